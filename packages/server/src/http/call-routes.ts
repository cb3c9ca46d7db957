/** Calls: which there were, what became of each and why, and what a user has decided before the call came to the phone. */
import type { CallDetail, CallSummary } from '@wakeline/core/domain';
import type { FastifyInstance } from 'fastify';
import { readSipAddress } from '../config/index.js';
import { callSchemas, PAGE_CALLS_MAX } from './call-schemas.js';
import { HttpError } from './errors.js';
import { ask } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { errorResponses, schemas } from './schemas.js';

const PAGE_DEFAULT = 100;
const authErrors = ['unauthorized', 'not-authorized'] as const;

export function addCallRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  const { request: hub } = options;

  app.route<{ Querystring: { address?: string; missed?: string; after?: string; count?: string } }>({
    method: 'GET',
    url: '/v1/calls',
    config: { scopes: ['read'] },
    schema: {
      tags: ['calls'],
      operationId: 'listCalls',
      summary: 'List calls, the newest first',
      querystring: callSchemas.callsQuery,
      response: {
        200: callSchemas.calls,
        ...errorResponses(['query-invalid', 'address-invalid', ...authErrors, 'calls-off']),
      },
    },
    handler: async (request) => {
      const { address, missed, after, count } = request.query;
      const asked = {
        kind: 'list-calls',
        aor: address === undefined ? undefined : addressOf(address),
        isMissed: missed === 'true',
        after,
        count: pageCount(count),
      } as const;
      const reply = await ask(hub, asked, 'calls');
      return { calls: reply.calls.map(summaryJson), next: reply.next ?? null };
    },
  });

  app.route<{ Params: { id: string } }>({
    method: 'GET',
    url: '/v1/calls/:id',
    config: { scopes: ['read'] },
    schema: {
      tags: ['calls'],
      operationId: 'getCall',
      summary: 'All about one call: its legs and everything that happened, in order',
      params: callSchemas.callId,
      querystring: schemas.nothing,
      response: {
        200: callSchemas.call,
        ...errorResponses(['body-invalid', ...authErrors, 'unknown-call', 'calls-off']),
      },
    },
    handler: async (request) => {
      return detailJson((await ask(hub, { kind: 'get-call', call: request.params.id }, 'call')).call);
    },
  });

  app.route<{ Params: { id: string }; Body: { intent: 'answer' | 'decline' } }>({
    method: 'POST',
    url: '/v1/calls/:id/intent',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['calls'],
      operationId: 'decideCall',
      summary: 'Decline a call that waits, or give it time to be answered, before it has reached the phone',
      params: callSchemas.callId,
      querystring: schemas.nothing,
      body: callSchemas.intent,
      response: {
        204: { type: 'null', description: 'the call has ended, or has the time' },
        ...errorResponses([
          'body-invalid',
          ...authErrors,
          'unknown-call',
          'call-ended',
          'storage-failed',
          'calls-off',
        ]),
      },
    },
    handler: async (request, reply) => {
      const { intent } = request.body;
      const asked = { kind: 'call-intent', call: request.params.id, deviceId: undefined, intent } as const;
      await ask(hub, asked, 'done');
      return reply.code(204).send();
    },
  });
}

/** @throws HttpError query-invalid */
export function pageCount(text: string | undefined): number {
  const count = text === undefined ? PAGE_DEFAULT : Number(text);
  if (count <= PAGE_CALLS_MAX) return count;
  throw new HttpError('query-invalid', `count must be from 1 to ${PAGE_CALLS_MAX}`);
}

/** @throws HttpError address-invalid */
export function addressOf(text: string): string {
  const address = readSipAddress(text);
  if (address === undefined) throw new HttpError('address-invalid');
  return address;
}

const timeText = (ms: number): string => new Date(ms).toISOString();
const timeOrNull = (ms: number | undefined): string | null => (ms === undefined ? null : timeText(ms));

function summaryJson(summary: CallSummary): object {
  const { caller } = summary;
  return {
    id: summary.call,
    user: summary.aor,
    caller: {
      uri: caller.uri,
      displayName: caller.displayName ?? null,
      user: caller.aor ?? null,
      trunk: caller.trunk ?? null,
    },
    sipCallId: summary.sipCallId,
    state: summary.state,
    missed: summary.isMissed,
    startedAt: timeText(summary.startedMs),
    deadlineAt: timeOrNull(summary.deadlineMs),
    endedAt: timeOrNull(summary.endedMs),
    status: summary.status ?? null,
    reason: summary.reason ?? null,
    wakes: summary.wakes,
    legCount: summary.legs,
  };
}

function detailJson(detail: CallDetail): object {
  return {
    ...summaryJson(detail),
    legs: detail.legViews.map(({ attempts, userAgent, ...leg }) => ({
      ...leg,
      userAgent: userAgent ?? null,
      attempts: attempts.map(({ attempt, mode, status, withdrawn }) => {
        return { attempt, mode, status: status ?? null, withdrawn: withdrawn ?? null };
      }),
    })),
    events: detail.events.map(({ atMs, kind, leg, attempt, status, text }) => {
      return { atMs, kind, leg: leg ?? null, attempt: attempt ?? null, status: status ?? null, text };
    }),
    eventsDropped: detail.eventsDropped,
  };
}

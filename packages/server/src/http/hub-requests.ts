/** Asks the hub and takes the one kind of reply that the question has; a refusal becomes the answer's error. */
import type { ControlReply } from '@wakeline/core/domain';
import { errorOfRefusal, HttpError } from './errors.js';
import type { HubRequest } from './options.js';

type ReplyKind = Exclude<ControlReply['kind'], 'refused'>;
export type ReplyOf<Kind extends ReplyKind> = Extract<ControlReply, { readonly kind: Kind }>;

/**
 * The same question, given up after a time. Fastify's own handler timeout ends with the request's body, which is long
 * before the hub answers.
 */
export function withinTime(
  send: (request: HubRequest) => Promise<ControlReply>,
  timeoutMs: number,
): (request: HubRequest) => Promise<ControlReply> {
  return (request) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new HttpError('timeout')), timeoutMs);
      send(request)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
}

/** @throws HttpError for what the hub refused; `internal` for a reply of another kind */
export async function ask<Kind extends ReplyKind>(
  send: (request: HubRequest) => Promise<ControlReply>,
  request: HubRequest,
  kind: Kind,
): Promise<ReplyOf<Kind>> {
  const reply = await send(request);
  if (reply.kind === 'refused') throw errorOfRefusal(reply.reason);
  if (reply.kind !== kind)
    throw new HttpError('internal', `the hub answered ${request.kind} with ${reply.kind}`);
  return reply as ReplyOf<Kind>;
}

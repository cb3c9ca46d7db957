/**
 * The application server's half of RFC 8030: pushing to an endpoint, taking a message back, and hearing what became of
 * it. The other half, how a message reaches the device, is the links' business.
 *
 * A URL of these is a capability and needs no other: whoever has it may use it. None is ever logged.
 */
import { limitKey } from '@wakeline/core/base';
import type { MessageStatus, Stage } from '@wakeline/core/domain';
import type { FastifyInstance } from 'fastify';
import { endpointHash, pushPaths, Seal } from './endpoint-urls.js';
import { HttpError } from './errors.js';
import { ask } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { pushLimits } from './push-limits.js';
import { preferences, readPush } from './push-request.js';
import { errorResponses, schemas } from './schemas.js';
import { readVapid, VapidVerifier } from './vapid.js';

const vapidErrors = [
  'vapid-malformed',
  'vapid-scheme-unknown',
  'vapid-key-malformed',
  'vapid-signature-wrong',
  'vapid-audience-wrong',
  'vapid-claims-invalid',
  'vapid-expired',
  'vapid-lifetime-too-long',
  'vapid-required',
  'vapid-key-wrong',
] as const;

const serverErrors = ['storage-failed', 'draining', 'hub-away', 'storage-full'] as const;

/** RFC 8030 §5.1 */
const RECEIPT_RELATION = 'urn:ietf:params:push:receipt';

export function addPushRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  const origin = (): string => new URL(publicUrlOf(options)).origin;
  const vapid = new VapidVerifier({ origin, now: options.now });
  const seals = new Seals(options);

  app.route<{ Params: { token: string } }>({
    method: 'POST',
    url: `${pushPaths.endpoint}:token`,
    bodyLimit: pushLimits.bodyBytesMax,
    config: { takesOpaqueBodies: true },
    schema: {
      tags: ['push'],
      operationId: 'push',
      summary: 'Push a message to an endpoint (RFC 8030, 8291, 8292)',
      security: [],
      consumes: ['application/octet-stream'],
      params: schemas.pushToken,
      headers: schemas.pushHeaders,
      querystring: schemas.nothing,
      response: {
        201: {
          type: 'null',
          description: 'stored and synced; Location is the message, TTL how long it is kept',
        },
        202: { type: 'null', description: 'the same, and Link names the receipt (Prefer: respond-async)' },
        ...errorResponses([
          'query-invalid',
          'ttl-missing',
          'ttl-invalid',
          'urgency-invalid',
          'push-topic-invalid',
          'encoding-unsupported',
          'encoding-headers-invalid',
          'body-too-large',
          ...vapidErrors,
          'unknown-endpoint',
          'endpoint-ended',
          'inbox-full',
          ...serverErrors,
        ]),
      },
    },
    handler: async (request, reply) => {
      const { message, ttlSeconds, wantsReceipt } = readPush(request.headers, request.rawBody);
      const tokenSha256 = endpointHash(request.params.token);
      if (tokenSha256 === undefined) throw forSender(new HttpError('unknown-endpoint'));
      const { authorization, 'crypto-key': cryptoKey } = request.headers;
      const credentials = readVapid({
        authorization,
        cryptoKey: cryptoKey === undefined ? undefined : String(cryptoKey),
      });
      if (credentials !== undefined && !vapid.isVerified(credentials)) {
        // Whoever makes up endpoints makes nobody verify signatures. The key that the endpoint takes is not compared
        // before: a signature that is wrong must not tell which one that is.
        await forSenders(ask(options.request, { kind: 'find-endpoint', tokenSha256 }, 'done'));
        await vapid.verify(credentials);
      }
      const push = {
        kind: 'push',
        tokenSha256,
        vapidKey: credentials?.key,
        message,
        wantsReceipt,
      } as const;
      const pushed = await forSenders(ask(options.request, push, 'pushed'));
      const seal = await seals.get();
      const publicUrl = publicUrlOf(options);
      void reply.header('ttl', String(ttlSeconds));
      void reply.header('location', publicUrl + pushPaths.message + seal.sealPlace(pushed.place));
      if (pushed.messageId === undefined) return reply.code(201).send();
      const receipt = publicUrl + pushPaths.receipt + seal.sealReceipt(pushed.messageId);
      void reply.header('link', `<${receipt}>; rel="${RECEIPT_RELATION}"`);
      void reply.header('preference-applied', 'respond-async');
      return reply.code(202).send();
    },
  });

  app.route<{ Params: { id: string } }>({
    method: 'DELETE',
    url: `${pushPaths.message}:id`,
    schema: {
      tags: ['push'],
      operationId: 'deletePush',
      summary: 'Take a pushed message back that its device has not acknowledged',
      security: [],
      params: schemas.messageId,
      querystring: schemas.nothing,
      response: {
        204: { type: 'null', description: 'it is not sent any more' },
        ...errorResponses(['unknown-message', ...serverErrors]),
      },
    },
    handler: async (request, reply) => {
      const place = (await seals.get()).openPlace(request.params.id);
      if (place === undefined) throw new HttpError('unknown-message');
      await ask(options.request, { kind: 'delete-push', place }, 'done');
      return reply.code(204).send();
    },
  });

  app.route<{ Params: { id: string }; Querystring: { known?: Stage } }>({
    method: 'GET',
    url: `${pushPaths.receipt}:id`,
    schema: {
      tags: ['push'],
      operationId: 'getReceipt',
      summary: 'What became of a pushed message',
      description:
        `With known=STAGE and Prefer: wait=SECONDS the answer waits until the stage is another, at most ` +
        `${pushLimits.receiptWaitSecondsMax} s.`,
      security: [],
      params: schemas.messageId,
      querystring: schemas.receiptQuery,
      response: {
        200: schemas.receipt,
        ...errorResponses([
          'query-invalid',
          'unknown-message',
          'quota-exceeded',
          'storage-failed',
          'hub-away',
        ]),
      },
    },
    handler: async (request, reply) => {
      const messageId = (await seals.get()).openReceipt(request.params.id);
      if (messageId === undefined) throw new HttpError('unknown-message');
      const { known } = request.query;
      const waitSeconds = Math.min(
        Number(preferences(request.headers).get('wait') ?? 0) || 0,
        pushLimits.receiptWaitSecondsMax,
      );
      if (known === undefined || waitSeconds <= 0)
        return receiptJson(
          (await ask(options.request, { kind: 'get-message', messageId }, 'message')).message,
        );
      const watchId = Buffer.from(options.random(16)).toString('hex');
      const watch = {
        kind: 'watch-message',
        messageId,
        knownStage: known,
        waitMs: waitSeconds * 1_000,
        watchId,
        addressKey: limitKey(request.ip),
      } as const;
      // A client that has left takes up no place of those that wait.
      const endWatch = (): void => {
        options.request({ kind: 'end-watch', watchId }).catch((error: unknown) => {
          options.log.error({ err: error }, 'a watch could not be ended');
        });
      };
      const client = reply.raw;
      if (client.destroyed) throw new HttpError('request-malformed', 'the client has left');
      client.once('close', endWatch);
      try {
        return receiptJson((await ask(options.request, watch, 'message')).message);
      } finally {
        client.off('close', endWatch);
      }
    },
  });
}

/** Of the recipient only how far the message came: which device it is, its sender need not know. */
function receiptJson({ acceptedMs, expiresMs, recipients: [recipient] }: MessageStatus): object {
  return {
    stage: recipient?.stage ?? 'dropped',
    reason: recipient?.reason ?? null,
    acceptedAt: new Date(acceptedMs).toISOString(),
    expiresAt: expiresMs === undefined ? null : new Date(expiresMs).toISOString(),
  };
}

function forSenders<Reply>(asked: Promise<Reply>): Promise<Reply> {
  return asked.catch((error: unknown) => {
    throw error instanceof HttpError ? forSender(error) : error;
  });
}

/** RFC 8030 §7.3: an endpoint that is gone may be remembered as that. RFC 9110 §15.5.2: 401 says what is needed. */
function forSender(error: HttpError): HttpError {
  if (error.code === 'vapid-required')
    return new HttpError(error.code, error.message, { 'www-authenticate': 'vapid' });
  const seconds =
    error.code === 'endpoint-ended'
      ? pushLimits.endedCacheSeconds
      : error.code === 'unknown-endpoint'
        ? pushLimits.unknownCacheSeconds
        : undefined;
  if (seconds === undefined) return error;
  return new HttpError(error.code, error.message, { 'cache-control': `max-age=${seconds}` });
}

function publicUrlOf(options: HttpApiOptions): string {
  const url = options.publicUrl();
  if (url === undefined) throw new HttpError('internal', 'a request came where nothing listens');
  return url;
}

/** The seal, once the hub has told its key. */
class Seals {
  readonly #options: HttpApiOptions;
  #seal: Promise<Seal> | undefined;

  constructor(options: HttpApiOptions) {
    this.#options = options;
  }

  get(): Promise<Seal> {
    this.#seal ??= ask(this.#options.request, { kind: 'get-seal-key' }, 'seal-key').then(
      ({ key }) => new Seal(key),
      (error: unknown) => {
        this.#seal = undefined;
        throw error;
      },
    );
    return this.#seal;
  }
}

/** Sending: to a device, to a topic, in batches; and what became of a message. */
import type { ApiToken, IdempotencyKey, MessageStatus, OutgoingMessage, Scope } from '@wakeline/core/domain';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HttpError } from './errors.js';
import type { ErrorBody, HttpErrorCode } from './errors.js';
import { ask } from './hub-requests.js';
import type { ReplyOf } from './hub-requests.js';
import { keyOfItem, readIdempotencyKey } from './idempotency.js';
import { messageOfEnvelope, messageOfRawBody } from './message-request.js';
import type { BatchItem, MessageEnvelope, MessageOptions } from './message-request.js';
import type { HttpApiOptions, HubRequest } from './options.js';
import { errorResponses, schemas } from './schemas.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The body as it came; undefined when there was none. */
    rawBody: Uint8Array | undefined;
    /** The token that the request was let in with; undefined: the API is open. */
    apiToken: ApiToken | undefined;
  }

  interface FastifyContextConfig {
    /** One of these scopes is needed; undefined: anyone may. */
    readonly scopes?: readonly Scope[];
    /** The route takes bodies of any content type. */
    readonly takesRawBodies?: boolean;
    /** The same, and JSON is not looked into either. */
    readonly takesOpaqueBodies?: boolean;
  }
}

const sendErrors: readonly HttpErrorCode[] = [
  'body-invalid',
  'query-invalid',
  'idempotency-key-invalid',
  'unauthorized',
  'not-authorized',
  'unknown-device',
  'body-too-large',
  'message-too-large',
  'idempotency-mismatch',
  'inbox-full',
  'storage-failed',
  'draining',
  'hub-away',
  'storage-full',
];

const NO_BYTES = new Uint8Array(0);

/** What a batch may hold, JSON and base64 included. */
const BATCH_BYTES_MAX = 16 * 1024 * 1024;

type SendRequest = Extract<HubRequest, { readonly kind: 'send-to-device' | 'send-to-topic' }>;

/** Where a message goes, without the message. */
type Target = { readonly device: string } | { readonly topic: string };

export function addMessageRoutes(app: FastifyInstance, options: HttpApiOptions, bytesMax: number): void {
  const sendSchema = {
    tags: ['messages'],
    consumes: ['application/json', '*/*'],
    body: { content: { 'application/json': { schema: schemas.envelope } } },
    response: {
      201: { ...schemas.sent, description: 'stored and synced' },
      ...errorResponses(sendErrors),
    },
  };
  const config = { scopes: ['send'], takesRawBodies: true } as const;

  const send = async (request: FastifyRequest, reply: FastifyReply, target: Target) => {
    const { message, options: given } = readMessage(request, bytesMax);
    const idempotency = readKey(request, false);
    const sent = await ask(options.request, sendRequest(target, message, given, idempotency), 'sent');
    if (sent.repeated) void reply.header('idempotency-replayed', 'true');
    void reply.code(201).header('location', `/v1/messages/${encodeURIComponent(sent.messageId)}`);
    return resultOf(sent);
  };

  app.route<{ Params: { id: string } }>({
    method: 'POST',
    url: '/v1/devices/:id/messages',
    config,
    schema: {
      ...sendSchema,
      operationId: 'sendToDevice',
      summary: "Send a message to one device's inbox",
      description: 'JSON describes the message; a body of any other content type is the message itself.',
      params: schemas.deviceId,
      querystring: schemas.rawQuery,
    },
    handler: (request, reply) => send(request, reply, { device: request.params.id }),
  });

  const topicSchema = {
    ...sendSchema,
    operationId: 'sendToTopic',
    summary: 'Send a message to every subscriber of a topic',
    description: 'Slashes of the topic name may stand as they are or as %2F.',
    querystring: schemas.rawQuery,
  };
  const sendToTopic = (request: FastifyRequest, reply: FastifyReply) => {
    return send(request, reply, { topic: topicOfUrl(request.raw.url ?? '') });
  };
  app.route({
    method: 'POST',
    url: '/v1/topics/:topic/messages',
    config,
    schema: { ...topicSchema, params: schemas.topic },
    handler: sendToTopic,
  });
  app.route({
    method: 'POST',
    url: '/v1/topics/*',
    config,
    schema: { ...topicSchema, hide: true },
    handler: sendToTopic,
  });

  app.route<{ Body: { messages: readonly BatchItem[] } }>({
    method: 'POST',
    url: '/v1/messages',
    bodyLimit: BATCH_BYTES_MAX,
    config: { scopes: ['send'] },
    schema: {
      tags: ['messages'],
      operationId: 'sendBatch',
      summary: 'Send up to 1,000 messages',
      description: 'Each is stored or refused by itself; the order of the list is the order of acceptance.',
      querystring: schemas.nothing,
      body: schemas.batch,
      response: { 200: schemas.batchResult, ...errorResponses(sendErrors) },
    },
    handler: async (request, reply) => {
      const key = readKey(request, true);
      // All are handed over before the first is awaited: the hub stores them in one commit.
      const pending = request.body.messages.map((item, index) => sendItem(item, keyOfItem(key, index)));
      const results = await Promise.all(pending);
      if (results.every(({ repeated }) => repeated)) void reply.header('idempotency-replayed', 'true');
      return { results: results.map(({ result }) => result) };
    },
  });

  const sendItem = async (item: BatchItem, idempotency: IdempotencyKey | undefined): Promise<ItemOutcome> => {
    try {
      const target = targetOf(item);
      const request = sendRequest(target, messageOfEnvelope(item, bytesMax), item, idempotency);
      const sent = await ask(options.request, request, 'sent');
      return { repeated: sent.repeated, result: { status: 201, ...resultOf(sent) } };
    } catch (cause) {
      if (!(cause instanceof HttpError)) options.log.error({ err: cause }, 'a message of a batch failed');
      const error = cause instanceof HttpError ? cause : new HttpError('internal');
      return { repeated: false, result: { status: error.status, ...error.body } };
    }
  };

  app.route<{ Params: { id: string } }>({
    method: 'GET',
    url: '/v1/messages/:id',
    config: { scopes: ['send', 'read'] },
    schema: {
      tags: ['messages'],
      operationId: 'getMessage',
      summary: 'What became of a message, for each recipient',
      params: schemas.messageId,
      querystring: schemas.nothing,
      response: {
        200: schemas.message,
        ...errorResponses(['unauthorized', 'not-authorized', 'unknown-message', 'storage-failed']),
      },
    },
    handler: async (request) => {
      const reply = await ask(
        options.request,
        { kind: 'get-message', messageId: request.params.id },
        'message',
      );
      return messageJson(reply.message);
    },
  });
}

interface ItemOutcome {
  readonly repeated: boolean;
  readonly result: {
    readonly status: number;
    readonly id?: string;
    readonly recipients?: number;
  } & Partial<ErrorBody>;
}

function resultOf(sent: ReplyOf<'sent'>): { readonly id: string; readonly recipients: number } {
  return { id: sent.messageId, recipients: sent.recipientCount };
}

function readMessage(
  request: FastifyRequest,
  bytesMax: number,
): { readonly message: OutgoingMessage; readonly options: MessageOptions } {
  const query = request.query as Readonly<Record<string, string>>;
  const contentType = request.headers['content-type'];
  if (contentType === undefined || contentType.split(';')[0]!.trim().toLowerCase() !== 'application/json') {
    return messageOfRawBody(request.rawBody ?? NO_BYTES, contentType, query, bytesMax);
  }
  const parameter = Object.keys(query)[0];
  if (parameter !== undefined) {
    throw new HttpError('query-invalid', `with a JSON body, "${parameter}" belongs into the body`);
  }
  const envelope = request.body as MessageEnvelope;
  return { message: messageOfEnvelope(envelope, bytesMax), options: envelope };
}

function readKey(request: FastifyRequest, isBatch: boolean): IdempotencyKey | undefined {
  const parts = {
    method: request.method,
    url: request.raw.url ?? '',
    header: request.headers['idempotency-key'],
    contentType: request.headers['content-type'],
    body: request.rawBody ?? NO_BYTES,
  };
  return readIdempotencyKey(parts, request.apiToken?.id ?? '', isBatch);
}

function sendRequest(
  target: Target,
  message: OutgoingMessage,
  { channel, retain }: MessageOptions,
  idempotency: IdempotencyKey | undefined,
): SendRequest {
  if ('device' in target) {
    if (retain !== undefined)
      throw new HttpError('body-invalid', 'retain is for topics; a device keeps every message');
    const { device: deviceId } = target;
    return { kind: 'send-to-device', deviceId, channel: channel ?? 'default', message, idempotency };
  }
  if (channel !== undefined) throw new HttpError('body-invalid', 'channel is for devices; a topic has none');
  return { kind: 'send-to-topic', topic: target.topic, retain: retain ?? false, message, idempotency };
}

function targetOf({ device, topic }: BatchItem): Target {
  if (device !== undefined && topic === undefined) return { device };
  if (topic !== undefined && device === undefined) return { topic };
  throw new HttpError('body-invalid', 'every message needs a device or a topic, and not both');
}

const TOPIC_PREFIX = '/v1/topics/';
const TOPIC_SUFFIX = '/messages';

/** The topic name as the URL has it: read from the raw path, because `a%2Fmessages` is a topic and no suffix. */
function topicOfUrl(url: string): string {
  const path = url.split(/[?#]/, 1)[0]!;
  const end = path.length - TOPIC_SUFFIX.length;
  if (!path.startsWith(TOPIC_PREFIX) || !path.endsWith(TOPIC_SUFFIX) || end <= TOPIC_PREFIX.length) {
    throw new HttpError('route-unknown', 'a topic is addressed as /v1/topics/{topic}/messages');
  }
  try {
    return decodeURIComponent(path.slice(TOPIC_PREFIX.length, end));
  } catch {
    throw new HttpError('topic-invalid', 'the topic is not percent-encoded UTF-8');
  }
}

function messageJson(message: MessageStatus): object {
  return {
    id: message.messageId,
    topic: message.topic,
    acceptedAt: new Date(message.acceptedMs).toISOString(),
    expiresAt: message.expiresMs === undefined ? null : new Date(message.expiresMs).toISOString(),
    recipientCount: message.recipientCount,
    recipients: message.recipients.map(({ deviceId, sequence, stage, reason }) => ({
      device: deviceId,
      sequence,
      stage,
      reason: reason ?? null,
    })),
  };
}

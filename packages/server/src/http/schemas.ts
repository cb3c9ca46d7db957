/** The JSON schemas of requests and answers: they validate, serialize and make /openapi.json. */
import { activities, scopes, stages, urgencyNames } from '@wakeline/core/domain';
import { durationPattern } from '../config/index.js';
import { httpErrors } from './errors.js';
import type { HttpErrorCode } from './errors.js';
import { closed, count, nullable, text, time } from './schema-parts.js';

/** Messages of one batch request. */
export const BATCH_MESSAGES_MAX = 1_000;

/** Devices of one page. */
export const PAGE_DEVICES_MAX = 1_000;

/** As `IdempotencyKey` and the hub's replace keys. */
const REPLACE_CHARACTERS_MAX = 256;

const replace = text('a newer message with the same key replaces the undelivered older one', {
  minLength: 1,
  maxLength: REPLACE_CHARACTERS_MAX,
});
const channel = text("channel of the device's inbox: one level of a topic name; default: default", {
  pattern: '^[^/+#\\u0000-\\u001f]{1,128}$',
});
const urgency = text('when a sleeping device is woken (RFC 8030 §5.3); default: normal', {
  enum: urgencyNames,
});
const contentType = text('media type of the body', { minLength: 1, maxLength: 255 });
const responseTopic = text('topic for an answer', { minLength: 1, maxLength: 1_024 });
const correlationData = text('bytes that the answer repeats, in base64', { maxLength: 87_384 });

const envelope = {
  body: text('the message as text'),
  bodyBase64: text('the message as bytes, in base64 or base64url; instead of body'),
  contentType,
  ttl: {
    type: ['integer', 'string'],
    minimum: 0,
    maximum: 4_294_967_295,
    pattern: durationPattern,
    description: 'how long the message may wait: seconds, or a duration like "10s"; default: no end',
  },
  urgency,
  replace,
  channel,
  qos: { type: 'integer', enum: [1, 2], description: 'default: 1' },
  retain: { type: 'boolean', description: 'topics only: keep it for later subscribers; default: false' },
  responseTopic,
  correlationData,
  properties: {
    type: 'object',
    description: 'user properties; a list gives a name several values',
    maxProperties: 256,
    additionalProperties: {
      type: ['string', 'array'],
      items: { type: 'string' },
      maxItems: 256,
    },
  },
};

/** Same names as in JSON; values are texts, as they stand in the URL. */
const rawQuery = {
  ...closed({
    contentType,
    ttl: text('seconds, or a duration like 10s', { pattern: `^[0-9]{1,10}$|${durationPattern}` }),
    urgency,
    replace,
    channel,
    qos: text('default: 1', { enum: ['1', '2'] }),
    retain: text('topics only', { enum: ['true', 'false'] }),
    responseTopic,
    correlationData,
  }),
  patternProperties: { '^property\\.': text('user property: property.NAME=VALUE') },
};

const accessRules = closed({
  publish: {
    type: 'array',
    maxItems: 1_000,
    items: { type: 'string' },
    description: 'topic filters; %d is the device id',
  },
  subscribe: {
    type: 'array',
    maxItems: 1_000,
    items: { type: 'string' },
    description: 'topic filters; %d is the device id',
  },
});

const errorBody = closed(
  {
    error: closed(
      {
        code: text('stable'),
        message: text('for people; may change'),
        hint: text('what to do'),
      },
      ['code', 'message'],
    ),
  },
  ['error'],
);

const sent = closed(
  { id: text('id of the message'), recipients: count('recipients that it was accepted for') },
  ['id', 'recipients'],
);

const deviceFields = {
  id: text('device id'),
  connected: { type: 'boolean' },
  durable: { type: 'boolean', description: 'something of the device is on disk' },
  hasCredential: { type: 'boolean' },
  waitingMessages: count('not yet acknowledged'),
  waitingBytes: count('their bytes'),
  inflightMessages: count('sent on the current connection and not acknowledged'),
};

const device = closed({
  ...deviceFields,
  epoch: text('16 hex digits; a new one means that numbering began anew'),
  lastSequence: count('number of the newest message'),
  acknowledgedThrough: count('every message up to this number is acknowledged or ended'),
  link: nullable(text('protocol of the current connection')),
  peer: nullable(text('its address')),
  connectedAt: nullable(time('its start')),
  activity: nullable(
    text('what it says it is doing; active if it says nothing', { enum: [...activities, null] }),
  ),
  windowMs: nullable(count('how long it runs when it is woken, as it says')),
  network: nullable(text('the network that it is on, as it says')),
  sessionExpirySeconds: nullable({ type: 'integer' }),
  subscriptions: { type: 'array', items: closed({ filter: text('topic filter'), qos: { type: 'integer' } }) },
  endpoints: count('channels that have a Web Push endpoint'),
  access: { ...accessRules, type: ['object', 'null'] },
});

const message = closed({
  id: text('id of the message'),
  topic: text('topic name'),
  acceptedAt: time('when it was stored'),
  expiresAt: nullable(time('when it expires')),
  recipientCount: count('recipients that it was accepted for'),
  recipients: {
    type: 'array',
    items: closed({
      device: text('device id'),
      sequence: count('number in the inbox'),
      stage: text('how far it came', { enum: stages }),
      reason: nullable(text('why it ended without being delivered')),
    }),
  },
});

const token = closed({
  id: text('id, for DELETE'),
  name: text('as given'),
  scopes: { type: 'array', items: { type: 'string', enum: scopes } },
  createdAt: time('when it was made'),
});

/** Answers with an error, by code. One status may stand for several codes. */
export function errorResponses(codes: readonly HttpErrorCode[]): Record<string, object> {
  const byStatus = new Map<number, string[]>();
  for (const code of codes) {
    const { status, meaning } = httpErrors[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), `${code}: ${meaning}`]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, lines]) => [String(status), { ...errorBody, description: lines.join('; ') }]),
  );
}

export const schemas = {
  accessRules,
  backup: closed(
    {
      directory: text("the backup, a directory on the server's machine"),
      bytes: count('size of the copied data'),
      createdAt: time('when it was begun; everything acknowledged until then is in it'),
    },
    ['directory', 'bytes', 'createdAt'],
  ),
  batch: closed(
    {
      messages: {
        type: 'array',
        minItems: 1,
        maxItems: BATCH_MESSAGES_MAX,
        items: closed({ device: text('device id'), topic: text('topic name'), ...envelope }),
      },
    },
    ['messages'],
  ),
  batchResult: closed(
    {
      results: {
        type: 'array',
        description: 'one for each message, in order',
        items: closed(
          {
            status: { type: 'integer', description: 'what the message alone would have been answered' },
            id: text('id of the message'),
            recipients: count('recipients that it was accepted for'),
            error: errorBody.properties && (errorBody.properties as { error: object }).error,
          },
          ['status'],
        ),
      },
    },
    ['results'],
  ),
  device,
  deviceId: closed({ id: text('device id, percent-encoded') }, ['id']),
  devices: closed(
    {
      devices: { type: 'array', items: closed(deviceFields) },
      next: nullable(text('give it as after for the next page; null: this was the last')),
    },
    ['devices', 'next'],
  ),
  devicesQuery: closed({
    after: text('only devices behind this id', { minLength: 1, maxLength: 1_024 }),
    count: text(`1 … ${PAGE_DEVICES_MAX}; default: 100`, { pattern: '^[1-9][0-9]{0,3}$' }),
  }),
  envelope: closed(envelope),
  message,
  messageId: closed({ id: text('id of the message') }, ['id']),
  newDevice: closed(
    { id: text('device id'), token: text('the credential; shown this once'), access: accessRules },
    ['id', 'token'],
  ),
  newToken: closed({ ...token.properties, token: text('the secret; shown this once') }, ['id', 'token']),
  nothing: closed({}),
  nothingOrNull: { ...closed({}), type: ['object', 'null'] },
  putDevice: { ...closed({ access: accessRules }), type: ['object', 'null'] },
  putToken: closed(
    {
      name: text('for people', { minLength: 1, maxLength: 100, pattern: '^[^\\u0000-\\u001f\\u007f]+$' }),
      scopes: { type: 'array', minItems: 1, uniqueItems: true, items: { type: 'string', enum: scopes } },
    },
    ['name', 'scopes'],
  ),
  endpoints: closed(
    {
      endpoints: {
        type: 'array',
        items: closed({
          id: text('names the endpoint; is no capability'),
          channel: text("channel of the device's inbox"),
          vapidKey: nullable(text('the VAPID key whose holder alone may push; null: everybody with the URL')),
          createdAt: time('when it was made'),
        }),
      },
    },
    ['endpoints'],
  ),
  endpointId: closed({ id: text('device id, percent-encoded'), endpoint: text('id of the endpoint') }, [
    'id',
    'endpoint',
  ]),
  pushHeaders: {
    type: 'object',
    properties: {
      ttl: text('seconds that the message may wait; 0: now or never. Required'),
      urgency: text('very-low, low, normal or high; default: normal'),
      topic: text('a newer message of the same topic replaces the undelivered older one'),
      prefer: text('respond-async: answer 202 with the URL of a receipt'),
      authorization: text('vapid t=TOKEN, k=KEY (RFC 8292)'),
      'content-encoding': text('aes128gcm or aesgcm'),
    },
  },
  pushToken: closed({ token: text('secret of the endpoint') }, ['token']),
  rawQuery,
  receipt: closed({
    stage: text('how far it came', { enum: stages }),
    reason: nullable(text('why it ended without being delivered')),
    acceptedAt: time('when it was stored'),
    expiresAt: nullable(time('when it expires')),
  }),
  receiptQuery: closed({ known: text('answer when the stage is another', { enum: stages }) }),
  sent,
  statistics: { type: 'object', additionalProperties: { type: 'number' } },
  tokenId: closed({ id: text('id of the token') }, ['id']),
  tokens: closed({ tokens: { type: 'array', items: token } }, ['tokens']),
  topic: closed({ topic: text('topic name; slashes may stand as they are or as %2F') }, ['topic']),
};

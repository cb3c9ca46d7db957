/**
 * What the HTTP API says when it says no: one table of codes, statuses and meanings, and the error that carries them.
 *
 * The hub's refusals keep their names here. docs/http.md carries the table; a test compares the two.
 */
import type { Refusal, RequestRefusal } from '@wakeline/core/domain';

interface HttpErrorRow {
  readonly status: number;
  readonly meaning: string;
  /** Sent as Retry-After; undefined: repeating the request unchanged is no use. */
  readonly retryAfterSeconds?: number;
  /** What to do, told with the error. */
  readonly hint?: string;
}

export const httpErrors = {
  'access-invalid': { status: 400, meaning: 'an access rule is not a topic filter' },
  'address-invalid': { status: 400, meaning: 'the address is not of the form user@domain' },
  'backup-no-room': {
    status: 507,
    meaning: 'a copy of the store would leave less free space than the floor; nothing was kept of it',
    hint: 'delete older backups, or free space on the disk of the data directory',
  },
  'backup-running': { status: 409, meaning: 'a backup is under way; there is one at a time' },
  'backup-unsupported': { status: 501, meaning: 'the store of this server cannot be backed up' },
  'bad-device-id': {
    status: 400,
    meaning: 'the device id is empty, too long, or has + # / or control characters',
  },
  'body-invalid': { status: 400, meaning: 'the body is not JSON, or not of the form that the route takes' },
  'body-too-large': { status: 413, meaning: 'the request is larger than the route takes; it was not read' },
  'call-ended': { status: 409, meaning: 'the call has ended already' },
  'calls-off': {
    status: 501,
    meaning: 'the server speaks no SIP',
    hint: 'add sip.domains and a SIP listener to the configuration',
  },
  'device-id-taken': { status: 409, meaning: 'the device id belongs to a device with another credential' },
  'device-not-durable': {
    status: 409,
    meaning: 'the device keeps nothing: its session ends with its connection and it has no credential',
    hint: 'let the device connect with a session expiry (MQTT 3.1.1: clean session off), or add it with: wakeline devices add ID',
  },
  draining: {
    status: 503,
    meaning: 'the server is shutting down',
    retryAfterSeconds: 5,
    hint: 'repeat the request with the same Idempotency-Key',
  },
  'encoding-headers-invalid': {
    status: 400,
    meaning: 'a body in aesgcm comes with Encryption: salt=… and Crypto-Key: dh=…; one is missing or wrong',
    hint: 'let a web-push library make the request, in aes128gcm if it can',
  },
  'encoding-unsupported': {
    status: 415,
    meaning: 'the body of a push is encrypted in aes128gcm or aesgcm, and Content-Encoding says which',
    hint: 'encrypt the body with a web-push library (RFC 8291), or push without a body',
  },
  'endpoint-ended': {
    status: 410,
    meaning: 'the endpoint is no more; it will not come back',
    hint: 'forget this subscription; its device may give you another',
  },
  'filter-invalid': { status: 400, meaning: 'the topic filter is malformed' },
  'host-refused': {
    status: 403,
    meaning: 'the API is open, and the Host header names something other than this machine',
    hint: 'use http://127.0.0.1:PORT or a bearer token',
  },
  'hub-away': {
    status: 503,
    meaning:
      'the process that keeps the messages is being started again; whether the request took effect is not known',
    retryAfterSeconds: 1,
    hint: 'repeat the request with the same Idempotency-Key',
  },
  'idempotency-key-invalid': {
    status: 400,
    meaning: 'the Idempotency-Key is empty, too long or not printable',
  },
  'idempotency-mismatch': {
    status: 422,
    meaning: 'the idempotency key was used for another request',
    hint: 'use a new key for every message',
  },
  'inbox-full': {
    status: 429,
    meaning: 'the device has as many waiting messages as it may; the newest is refused',
    retryAfterSeconds: 60,
    hint: 'let the device connect, or send with a ttl or a replace key so that old messages make room',
  },
  internal: { status: 500, meaning: 'a fault of the server; its log has the details' },
  'media-type-unsupported': {
    status: 415,
    meaning: 'the route takes JSON only',
    hint: 'send Content-Type: application/json',
  },
  'message-too-large': { status: 413, meaning: 'the message is larger than the server or the store takes' },
  'method-not-allowed': { status: 405, meaning: 'the path exists, but not with this method; see Allow' },
  'not-authorized': { status: 403, meaning: 'the token has not the scope that the route needs' },
  'not-ready': {
    status: 503,
    meaning: 'the server is starting or shutting down',
    retryAfterSeconds: 5,
  },
  'origin-refused': {
    status: 403,
    meaning: 'the API is open, and a web page of another site sent the request',
    hint: 'call the API from a program, or use a bearer token',
  },
  'push-topic-invalid': {
    status: 400,
    meaning: 'the Topic has not 1 to 32 characters of the base64url alphabet',
    hint: 'use letters, digits, - and _ only',
  },
  'query-invalid': { status: 400, meaning: 'a query parameter is unknown or has a wrong value' },
  'quota-exceeded': {
    status: 429,
    meaning: 'a limit of the server was reached; docs/limits.md names it',
    retryAfterSeconds: 60,
  },
  'request-malformed': { status: 400, meaning: 'the request is not HTTP as the server understands it' },
  'request-timeout': { status: 408, meaning: 'the request did not arrive whole in time' },
  'retained-full': { status: 507, meaning: 'the server keeps as many retained messages as it may' },
  'route-unknown': { status: 404, meaning: 'no such path; /openapi.json lists all' },
  'storage-failed': {
    status: 503,
    meaning: 'the store could not make the change durable; nothing of it is kept',
    retryAfterSeconds: 5,
    hint: 'repeat the request',
  },
  'storage-full': {
    status: 507,
    meaning: 'free space is below the floor; new messages are refused, reading and acknowledging go on',
    retryAfterSeconds: 60,
  },
  timeout: {
    status: 504,
    meaning: 'the server did not come to an answer in time; whether the request took effect is not known',
    retryAfterSeconds: 1,
    hint: 'repeat the request with the same Idempotency-Key',
  },
  'topic-invalid': {
    status: 400,
    meaning: 'the topic name is malformed, too long or too deep',
    hint: 'name one topic, without + and #; docs/limits.md has its length and depth',
  },
  'ttl-invalid': { status: 400, meaning: 'the TTL is no number of seconds' },
  'ttl-missing': {
    status: 400,
    meaning: 'a push needs a TTL header: how many seconds it may wait for its device',
    hint: 'send TTL: 0 for now or never, or for example TTL: 86400',
  },
  unauthorized: {
    status: 401,
    meaning: 'a bearer token is needed, or the one presented is not known',
    hint: 'send Authorization: Bearer TOKEN; make one with: wakeline token create',
  },
  'unknown-call': {
    status: 404,
    meaning: 'no such call, or it is no longer kept',
    hint: 'check the id: wakeline calls shows those that are kept',
  },
  'unknown-device': {
    status: 404,
    meaning: 'no such device',
    hint: 'it appears when it connects with a kept session, or make it with: wakeline devices add ID',
  },
  'unknown-endpoint': {
    status: 404,
    meaning: 'no such endpoint',
    hint: 'take the URL whole, as the device gave it; forget this subscription if it was never accepted',
  },
  'unknown-message': {
    status: 404,
    meaning: 'no such message, or its receipt is no longer kept',
    hint: 'check the id: the answer to the sending has it; receipts are kept for a limited time, see docs/limits.md',
  },
  'unknown-token': {
    status: 404,
    meaning: 'no such token',
    hint: 'take the id, not the token or its name, from: wakeline token list',
  },
  'unknown-user': { status: 404, meaning: 'no such user' },
  'urgency-invalid': {
    status: 400,
    meaning: 'the Urgency is none of very-low, low, normal and high',
  },
  'user-configured': {
    status: 409,
    meaning: 'the user stands in the configuration, which is changed there',
  },
  'vapid-audience-wrong': {
    status: 403,
    meaning: 'the VAPID token is for another push service: its aud is not the origin of the endpoint',
    hint: 'take scheme, host and port from the endpoint; an operator sets the outside name with publicUrl',
  },
  'vapid-claims-invalid': { status: 403, meaning: 'a claim of the VAPID token is missing or invalid' },
  'vapid-expired': {
    status: 403,
    meaning: 'the VAPID token has expired',
    hint: 'sign a new one; check the clock of the sender',
  },
  'vapid-key-malformed': {
    status: 403,
    meaning: 'the VAPID key is no uncompressed point of P-256 in base64url',
    hint: 'send the 65 bytes of the public key, as applicationServerKey has them',
  },
  'vapid-key-wrong': {
    status: 403,
    meaning: 'the endpoint takes pushes that another VAPID key signed',
    hint: 'sign with the key whose public half was the applicationServerKey of the subscription',
  },
  'vapid-lifetime-too-long': {
    status: 403,
    meaning: 'the VAPID token is valid for more than 24 hours from now',
    hint: 'sign one that expires within 24 hours',
  },
  'vapid-malformed': {
    status: 403,
    meaning: 'the Authorization header has no VAPID token and key as RFC 8292 writes them',
    hint: 'send Authorization: vapid t=TOKEN, k=KEY, signed with ES256',
  },
  'vapid-required': {
    status: 401,
    meaning: 'the endpoint takes pushes only that its VAPID key signed',
    hint: 'send Authorization: vapid t=TOKEN, k=KEY (RFC 8292)',
  },
  'vapid-scheme-unknown': {
    status: 403,
    meaning: 'the scheme of the Authorization header is neither vapid nor WebPush',
    hint: 'API tokens are not for endpoints: send none, or Authorization: vapid t=TOKEN, k=KEY',
  },
  'vapid-signature-wrong': {
    status: 403,
    meaning: 'the VAPID token was not signed with the key that came with it',
    hint: 'send the public half of the key that signs',
  },
} as const satisfies Record<string, HttpErrorRow>;

export type HttpErrorCode = keyof typeof httpErrors;

/** Every refusal that a request can meet has its row. */
httpErrors satisfies Record<RequestRefusal, HttpErrorRow>;

/** The JSON body of every answer that is no success. */
export interface ErrorBody {
  readonly error: { readonly code: HttpErrorCode; readonly message: string; readonly hint?: string };
}

/** Thrown inside a route; becomes the answer. The message is for people. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly code: HttpErrorCode;
  /** Further headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: HttpErrorCode, message?: string, headers: Readonly<Record<string, string>> = {}) {
    super(message ?? httpErrors[code].meaning);
    this.code = code;
    this.headers = headers;
  }

  get status(): number {
    return httpErrors[this.code].status;
  }

  get body(): ErrorBody {
    const { hint }: HttpErrorRow = httpErrors[this.code];
    return { error: { code: this.code, message: this.message, ...(hint === undefined ? {} : { hint }) } };
  }

  /** The headers of the answer, Retry-After among them. */
  get allHeaders(): Readonly<Record<string, string>> {
    const { retryAfterSeconds }: HttpErrorRow = httpErrors[this.code];
    if (retryAfterSeconds === undefined) return this.headers;
    return { 'retry-after': String(retryAfterSeconds), ...this.headers };
  }
}

/** The error for what the hub refused. A refusal that only a link can meet is a fault of ours here. */
export function errorOfRefusal(reason: Refusal | RequestRefusal): HttpError {
  if (Object.hasOwn(httpErrors, reason)) return new HttpError(reason as HttpErrorCode);
  return new HttpError('internal', `the hub refused the request for a reason no request can meet: ${reason}`);
}

/** What the headers of a push say, RFC 8030 §5, and how its body is encrypted, RFC 8291. */
import type { IncomingHttpHeaders } from 'node:http';
import { Urgency, encodePushHeaders, urgencyNames } from '@wakeline/core/domain';
import type { OutgoingMessage, PushHeaders } from '@wakeline/core/domain';
import { HttpError } from './errors.js';
import { pushLimits } from './push-limits.js';

export interface PushRequest {
  readonly message: OutgoingMessage;
  readonly ttlSeconds: number;
  /** RFC 8030 §5.1 */
  readonly wantsReceipt: boolean;
}

const NO_BYTES = new Uint8Array(0);

/** @throws HttpError ttl-missing, ttl-invalid, urgency-invalid, push-topic-invalid, encoding-… */
export function readPush(headers: IncomingHttpHeaders, body: Uint8Array = NO_BYTES): PushRequest {
  const ttlSeconds = readTtl(headers['ttl']);
  const message: OutgoingMessage = {
    body,
    properties: encodePushHeaders(readEncoding(headers, body.length > 0)),
    qos: 1,
    expirySeconds: ttlSeconds,
    urgency: readUrgency(headers['urgency']),
    replaceKey: readTopic(headers['topic']),
  };
  return { message, ttlSeconds, wantsReceipt: preferences(headers).has('respond-async') };
}

/** RFC 8030 §5.2: without a TTL a push is refused; a longer one than is kept is cut, and the sender told. */
function readTtl(header: string | string[] | undefined): number {
  if (header === undefined) throw new HttpError('ttl-missing');
  if (typeof header !== 'string' || !/^\d+$/.test(header.trim())) throw new HttpError('ttl-invalid');
  return Math.min(Number(header), pushLimits.ttlSecondsMax);
}

/** RFC 8030 §5.3 */
function readUrgency(header: string | string[] | undefined): Urgency {
  if (header === undefined) return Urgency.normal;
  const index = urgencyNames.indexOf(String(header).trim() as (typeof urgencyNames)[number]);
  if (index < 0) throw new HttpError('urgency-invalid');
  return index as Urgency;
}

/** RFC 8030 §5.4 */
function readTopic(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const topic = String(header);
  if (topic.length <= pushLimits.topicCharactersMax && /^[\w-]+$/.test(topic)) return topic;
  throw new HttpError('push-topic-invalid');
}

/** RFC 8291 §4 and, for `aesgcm`, draft-ietf-webpush-encryption-04. A push without a body has none of it. */
function readEncoding(headers: IncomingHttpHeaders, hasBody: boolean): PushHeaders {
  if (!hasBody) return { encoding: undefined, encryption: undefined, cryptoKey: undefined };
  const encoding = String(headers['content-encoding'] ?? '').trim();
  if (encoding === 'aes128gcm') return { encoding, encryption: undefined, cryptoKey: undefined };
  if (encoding !== 'aesgcm') throw new HttpError('encoding-unsupported');
  const encryption = readParameterHeader(headers['encryption'], 'Encryption', 'salt');
  const cryptoKey = readParameterHeader(headers['crypto-key'], 'Crypto-Key', 'dh');
  return { encoding, encryption, cryptoKey };
}

function readParameterHeader(header: string | string[] | undefined, name: string, parameter: string): string {
  const text = String(header ?? '');
  if (!text.split(/[;,]/).some((part) => part.trim().startsWith(`${parameter}=`))) {
    throw new HttpError(
      'encoding-headers-invalid',
      `Content-Encoding aesgcm needs ${name} with ${parameter}=…`,
    );
  }
  if (text.length <= pushLimits.headerCharactersMax && /^[\x20-\x7e]+$/.test(text)) return text;
  throw new HttpError('encoding-headers-invalid', `${name} is too long, or not printable ASCII`);
}

/** RFC 7240: what a request would rather have, by name; a preference without a value has an empty one. */
export function preferences(headers: IncomingHttpHeaders): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  // Several headers of one name are joined by Node with commas.
  for (const part of String(headers['prefer'] ?? '').split(',')) {
    const match = /^\s*([\w-]+)(?:\s*=\s*"?([^";]*)"?)?/.exec(part);
    const name = match?.[1]?.toLowerCase();
    if (name !== undefined && !found.has(name)) found.set(name, match?.[2]?.trim() ?? '');
  }
  return found;
}

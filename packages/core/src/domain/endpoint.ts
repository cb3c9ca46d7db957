/**
 * Web Push endpoints: capability URLs (RFC 8030 §8.3) by which somebody who speaks no protocol of ours pushes to one
 * channel of one device. A channel is a channel of the device's inbox, so a push is a message like any other: it is
 * stored, numbered, expired, replaced, delivered and acknowledged as they are, over any link.
 *
 * The secret of an endpoint is made at the edge and told to the device once; hub and store have its hash.
 */
import { ByteReader } from '../base/byte-reader.js';
import { PropertyId, encodeProperties, isPropertyText } from './properties.js';

/** An endpoint as made at the edge, before it is registered. */
export interface MintedEndpoint {
  /** What the device is told, and nobody else. */
  readonly url: string;
  /** SHA-256 of the token in the URL, hex: what the hub is told. */
  readonly tokenSha256: string;
}

/**
 * Makes an endpoint of at least 128 random bits. Given to sessions, which have neither randomness nor a hash. Undefined:
 * the server has no URL that endpoints could begin with; a session then refuses with `endpoints-off`.
 */
export type MintEndpoint = () => MintedEndpoint | undefined;

/** The topic of a channel of a device's own inbox is this with the channel behind it. */
export const INBOX_TOPIC_PREFIX = '$line/inbox/';

/** One level of a topic name: 1 … 128 characters without `/ + #` and control characters. */
export function isChannel(channel: string): boolean {
  return /^[^/+#\p{Cc}]{1,128}$/u.test(channel) && isPropertyText(channel);
}

/** 65 bytes in base64, with padding. */
const VAPID_KEY_CHARACTERS_MAX = 88;

/**
 * The VAPID public key (RFC 8292 §3.2: an uncompressed point of P-256) in base64url without padding, which is how keys
 * are compared; undefined: the text, in either base64 alphabet, is no such key.
 */
export function normalizeVapidKey(text: string): string | undefined {
  // Looking for the padding of a text without bound takes time that grows with its square.
  if (text.length > VAPID_KEY_CHARACTERS_MAX) return undefined;
  const key = text.replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_');
  // 65 bytes, of which the first is 4: 87 digits, the last of which has two bits that must be zero.
  return /^B[A-P][\w-]{84}[AEIMQUYcgkosw048]$/.test(key) ? key : undefined;
}

/**
 * How the body of a push is encrypted, as its sender said it; passed through untouched (RFC 8291, RFC 8188, and the
 * drafts before them). Carried as the MQTT user properties named as the header fields, in small letters.
 */
export interface PushHeaders {
  /** Content-Encoding: `aes128gcm` or `aesgcm`. */
  readonly encoding: string | undefined;
  /** Encryption; with `aesgcm` only. */
  readonly encryption: string | undefined;
  /** Crypto-Key; with `aesgcm` only. */
  readonly cryptoKey: string | undefined;
}

const headerNames = {
  encoding: 'content-encoding',
  encryption: 'encryption',
  cryptoKey: 'crypto-key',
} as const satisfies Record<keyof PushHeaders, string>;

/** For `OutgoingMessage.properties`. */
export function encodePushHeaders(headers: PushHeaders): Uint8Array {
  const userProperties: [string, string][] = [];
  for (const [field, name] of Object.entries(headerNames)) {
    const value = headers[field as keyof PushHeaders];
    if (value !== undefined) userProperties.push([name, value]);
  }
  return encodeProperties({ userProperties });
}

/** From `Delivery.properties`. What is not there, or not one of these, is left out. */
export function decodePushHeaders(properties: Uint8Array): PushHeaders {
  const found: { -readonly [Field in keyof PushHeaders]: string | undefined } = {
    encoding: undefined,
    encryption: undefined,
    cryptoKey: undefined,
  };
  const reader = new ByteReader(properties, 0, properties.length);
  while (reader.remainingBytes > 0 && !reader.failed) {
    const id = reader.readU8();
    if (id === PropertyId.payloadFormat) {
      reader.readU8();
      continue;
    }
    const name = reader.readView(reader.readU16());
    if (id !== PropertyId.userProperty) continue;
    const value = reader.readUtf8(reader.readU16());
    for (const [field, wanted] of Object.entries(headerNames)) {
      if (isText(name, wanted)) found[field as keyof PushHeaders] ??= value;
    }
  }
  return found;
}

/** Whether the bytes are this ASCII text. */
function isText(bytes: Uint8Array, text: string): boolean {
  if (bytes.length !== text.length) return false;
  return bytes.every((byte, index) => byte === text.charCodeAt(index));
}

/** Where a stored push is: made into a message URL at the edge, which seals it. */
export interface MessagePlace {
  /** Number of the device, never told to anybody but in sealed form. */
  readonly deviceNumber: number;
  /** Epoch of its inbox, 16 hex digits. */
  readonly epoch: string;
  /** 0: it has no place, because it was not to be stored (TTL 0). */
  readonly sequence: number;
}

/** An endpoint as an operator sees it. */
export interface EndpointSummary {
  /** The first 16 hex digits of its hash: names it, and is no capability. */
  readonly endpointId: string;
  readonly channel: string;
  /** The one key whose holder may push; undefined: everybody who knows the URL. */
  readonly vapidKey: string | undefined;
  /** Wall-clock ms. */
  readonly createdMs: number;
}

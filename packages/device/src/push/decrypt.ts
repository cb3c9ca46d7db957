/**
 * Opens what a Web Push sender has sealed: `aes128gcm` (RFC 8291, RFC 8188), and `aesgcm`, the coding of the drafts
 * before it (draft-ietf-webpush-encryption-04), which old senders still use.
 *
 * What a sender did wrong is a value. Keys and texts are never part of it.
 */
import { encodeUtf8, fromBase64Url } from '@wakeline/core/base';
import type { EcKeyPair, PushCrypto } from './push-crypto.js';

/** What a subscription's owner needs to read its messages. */
export interface PushKeys extends EcKeyPair {
  /** The authentication secret, 16 bytes, that its senders have too. Secret. */
  readonly auth: Uint8Array;
}

/** A push as it arrives: the body, and the headers that its sender gave. */
export interface SealedPush {
  readonly body: Uint8Array;
  /** `Content-Encoding`; undefined: none was given. */
  readonly contentEncoding: string | undefined;
  /** `Encryption`, of `aesgcm`. */
  readonly encryption: string | undefined;
  /** `Crypto-Key`, of `aesgcm`. */
  readonly cryptoKey: string | undefined;
}

/** Why a push cannot be read. */
export type PushFailure =
  /** Another coding than the two, or none for a body. */
  | 'encoding-unknown'
  /** Salt, record size or the sender's key is missing or cut short, or there is more than one record. */
  | 'header-invalid'
  /** Sealed for another key, changed on the way, or padded as it must not be. */
  | 'cannot-decrypt';

const SALT_BYTES = 16;
const TAG_BYTES = 16;
const POINT_BYTES = 65;
/** RFC 8188 §2.1: salt, record size, length of the key id. */
const HEADER_BYTES = SALT_BYTES + 5;
/** RFC 8188 §2.1: a delimiter and the tag. */
const RECORD_BYTES_MIN = 18;
/** draft-ietf-httpbis-encryption-encoding-03 §3.1: when no `rs` is given. */
const OLD_RECORD_BYTES_DEFAULT = 4_096;

/** The text, or why there is none. */
export async function decryptPush(
  crypto: PushCrypto,
  keys: PushKeys,
  push: SealedPush,
): Promise<Uint8Array | PushFailure> {
  switch (push.contentEncoding?.trim().toLowerCase()) {
    case 'aes128gcm':
      return decryptAes128Gcm(crypto, keys, push.body);
    case 'aesgcm':
      return decryptAesGcm(crypto, keys, push);
    default:
      return 'encoding-unknown';
  }
}

async function decryptAes128Gcm(
  crypto: PushCrypto,
  keys: PushKeys,
  body: Uint8Array,
): Promise<Uint8Array | PushFailure> {
  if (body.length < HEADER_BYTES) return 'header-invalid';
  const salt = body.subarray(0, SALT_BYTES);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const recordBytes = view.getUint32(SALT_BYTES);
  const keyBytes = view.getUint8(SALT_BYTES + 4);
  // RFC 8291 §4: the key id is the sender's public key.
  if (keyBytes !== POINT_BYTES) return 'header-invalid';
  const senderKey = body.subarray(HEADER_BYTES, HEADER_BYTES + POINT_BYTES);
  const sealed = body.subarray(HEADER_BYTES + POINT_BYTES);
  // RFC 8291 §4: one record.
  if (sealed.length < RECORD_BYTES_MIN - 1 || recordBytes < RECORD_BYTES_MIN || sealed.length > recordBytes) {
    return 'header-invalid';
  }
  try {
    const shared = await crypto.deriveShared(keys, senderKey);
    // RFC 8291 §3.4.
    const info = concat(encodeUtf8('WebPush: info\0'), keys.publicKey, senderKey);
    const secret = await derive(crypto, keys.auth, shared, info);
    const plain = await openRecord(crypto, salt, secret, sealed, {
      key: encodeUtf8('Content-Encoding: aes128gcm\0'),
      nonce: encodeUtf8('Content-Encoding: nonce\0'),
    });
    return withoutPadding(plain) ?? 'cannot-decrypt';
  } catch {
    return 'cannot-decrypt';
  }
}

/** RFC 8188 §2: a delimiter, 2 in the last record, and zeros behind the text. */
function withoutPadding(plain: Uint8Array): Uint8Array | undefined {
  let end = plain.length - 1;
  while (end >= 0 && plain[end] === 0) end -= 1;
  return end >= 0 && plain[end] === 2 ? plain.slice(0, end) : undefined;
}

async function decryptAesGcm(
  crypto: PushCrypto,
  keys: PushKeys,
  { body, encryption, cryptoKey }: SealedPush,
): Promise<Uint8Array | PushFailure> {
  const header = readOldHeaders(encryption, cryptoKey);
  if (header === undefined) return 'header-invalid';
  const { salt, senderKey, recordBytes } = header;
  // The record size does not count the tag, and a record that is full is not the last.
  if (body.length < TAG_BYTES + 2 || body.length >= recordBytes + TAG_BYTES) return 'header-invalid';
  try {
    const shared = await crypto.deriveShared(keys, senderKey);
    const secret = await derive(crypto, keys.auth, shared, encodeUtf8('Content-Encoding: auth\0'));
    const context = concat(
      encodeUtf8('P-256\0'),
      lengthOf(keys.publicKey),
      keys.publicKey,
      lengthOf(senderKey),
      senderKey,
    );
    const plain = await openRecord(crypto, salt, secret, body, {
      key: concat(encodeUtf8('Content-Encoding: aesgcm\0'), context),
      nonce: concat(encodeUtf8('Content-Encoding: nonce\0'), context),
    });
    return withoutOldPadding(plain) ?? 'cannot-decrypt';
  } catch {
    return 'cannot-decrypt';
  }
}

/** The length of the padding, two bytes, and zeros before the text. */
function withoutOldPadding(plain: Uint8Array): Uint8Array | undefined {
  if (plain.length < 2) return undefined;
  const start = 2 + ((plain[0]! << 8) | plain[1]!);
  if (start > plain.length) return undefined;
  for (let index = 2; index < start; index += 1) if (plain[index] !== 0) return undefined;
  return plain.slice(start);
}

interface OldHeader {
  readonly salt: Uint8Array;
  readonly senderKey: Uint8Array;
  readonly recordBytes: number;
}

function readOldHeaders(
  encryption: string | undefined,
  cryptoKey: string | undefined,
): OldHeader | undefined {
  const sealing = readItems(encryption).find((item) => item.has('salt'));
  if (sealing === undefined) return undefined;
  const key = readItems(cryptoKey).find(
    (item) => item.has('dh') && (!sealing.has('keyid') || item.get('keyid') === sealing.get('keyid')),
  );
  const salt = fromBase64Url(sealing.get('salt')!);
  const senderKey = fromBase64Url(key?.get('dh') ?? '');
  const size = sealing.get('rs') ?? String(OLD_RECORD_BYTES_DEFAULT);
  if (salt?.length !== SALT_BYTES || senderKey?.length !== POINT_BYTES || !/^\d{1,9}$/.test(size)) {
    return undefined;
  }
  return { salt, senderKey, recordBytes: Number(size) };
}

/** The items of a header, separated by commas; their parameters, by semicolons; values as they are or in quotes. */
function readItems(header: string | undefined): readonly ReadonlyMap<string, string>[] {
  return (header ?? '').split(',').map((item) => {
    const parameters = item.split(';').map((parameter): [string, string] => {
      const [name = '', ...value] = parameter.trim().split('=');
      return [name.toLowerCase(), value.join('=').replaceAll(/["=]/g, '')];
    });
    return new Map(parameters);
  });
}

/** The only record of a message (RFC 8188 §2.2, §2.3; its nonce is that of sequence number 0). */
async function openRecord(
  crypto: PushCrypto,
  salt: Uint8Array,
  secret: Uint8Array,
  sealed: Uint8Array,
  info: { readonly key: Uint8Array; readonly nonce: Uint8Array },
): Promise<Uint8Array> {
  const key = await derive(crypto, salt, secret, info.key);
  const nonce = await derive(crypto, salt, secret, info.nonce);
  return crypto.openAes128Gcm(key.slice(0, 16), nonce.slice(0, 12), sealed);
}

/** HKDF with SHA-256, of which one block is enough here (RFC 5869 §2.2, §2.3). */
async function derive(
  crypto: PushCrypto,
  salt: Uint8Array,
  secret: Uint8Array,
  info: Uint8Array,
): Promise<Uint8Array> {
  const extracted = await crypto.hmacSha256(salt, secret);
  return crypto.hmacSha256(extracted, concat(info, Uint8Array.of(1)));
}

function lengthOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(bytes.length >>> 8, bytes.length & 0xff);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * What a device keeps for a channel that senders push to: the endpoint, its keys, and those that it had before, for
 * what is on its way still. Stored before the endpoint is told to anybody.
 */
import { fromBase64Url, toBase64Url } from '@wakeline/core/base';
import { decryptPush, type PushFailure, type PushKeys, type SealedPush } from './decrypt.js';
import type { PushCrypto } from './push-crypto.js';

/** RFC 8291 §3.2. */
const AUTH_BYTES = 16;
const PRIVATE_KEY_BYTES = 32;
const POINT_BYTES = 65;

export interface StoredSubscription {
  /** The URL to push to; undefined: the channel has none now. */
  readonly endpoint: string | undefined;
  /** The VAPID key that the endpoint is bound to, as it was asked for. */
  readonly applicationServerKey: string | undefined;
  /** The newest first, at most {@link keySetsMax}. */
  readonly keys: readonly PushKeys[];
}

/** The keys of now and of the subscription before: a message sealed for an older one has no endpoint any more. */
export const keySetsMax = 2;

/** A new key pair and secret, for one subscription (RFC 8291 §3.1). */
export async function makePushKeys(crypto: PushCrypto): Promise<PushKeys> {
  const { publicKey, privateKey } = await crypto.generateKeyPair();
  return { publicKey, privateKey, auth: crypto.randomBytes(AUTH_BYTES) };
}

/** Tries the newest keys first. */
export async function openPush(
  crypto: PushCrypto,
  { keys }: StoredSubscription,
  push: SealedPush,
): Promise<Uint8Array | PushFailure> {
  let outcome: Uint8Array | PushFailure = 'cannot-decrypt';
  for (const set of keys) {
    outcome = await decryptPush(crypto, set, push);
    if (outcome !== 'cannot-decrypt') return outcome;
  }
  return outcome;
}

/** All channels as one text, as it is stored. Secret. */
export function encodeSubscriptions(channels: ReadonlyMap<string, StoredSubscription>): string {
  const entries = [...channels].map(([channel, { endpoint, applicationServerKey, keys }]) => {
    const sets = keys.map(({ publicKey, privateKey, auth }) => ({
      publicKey: toBase64Url(publicKey),
      privateKey: toBase64Url(privateKey),
      auth: toBase64Url(auth),
    }));
    return { channel, endpoint, applicationServerKey, keys: sets };
  });
  return JSON.stringify(entries);
}

/** undefined: it is none. */
export function decodeSubscriptions(text: string): Map<string, StoredSubscription> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  const channels = new Map<string, StoredSubscription>();
  for (const entry of value) {
    if (typeof entry !== 'object' || entry === null) return undefined;
    const { channel, endpoint, applicationServerKey, keys } = entry as Record<string, unknown>;
    if (typeof channel !== 'string' || !Array.isArray(keys)) return undefined;
    if (!isTextOrNone(endpoint) || !isTextOrNone(applicationServerKey)) return undefined;
    const sets = keys.map(decodeKeys);
    if (!sets.every((set) => set !== undefined)) return undefined;
    channels.set(channel, { endpoint, applicationServerKey, keys: sets });
  }
  return channels;
}

function decodeKeys(value: unknown): PushKeys | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const read = (name: string, bytes: number): Uint8Array | undefined => {
    const text = (value as Record<string, unknown>)[name];
    const field = typeof text === 'string' ? fromBase64Url(text) : undefined;
    return field?.length === bytes ? field : undefined;
  };
  const publicKey = read('publicKey', POINT_BYTES);
  const privateKey = read('privateKey', PRIVATE_KEY_BYTES);
  const auth = read('auth', AUTH_BYTES);
  if (publicKey === undefined || privateKey === undefined || auth === undefined) return undefined;
  return { publicKey, privateKey, auth };
}

function isTextOrNone(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

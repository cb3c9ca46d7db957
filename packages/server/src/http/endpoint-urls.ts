/**
 * The URLs of Web Push: endpoints, whose secret is random and known to nobody but who was told; messages and receipts,
 * which name what they are about and are sealed, so that nothing has to be kept for them.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { MessagePlace, MintedEndpoint } from '@wakeline/core/domain';

/** 144 bits (RFC 8030 §8.3 asks for 120 at least), 24 characters. */
const TOKEN_BYTES = 18;
const SEAL_BYTES = 16;
const PLACE_BYTES = 16;
const MESSAGE_ID_BYTES = 16;

const tokenPattern = /^[\w-]{24}$/;

/** Paths below the public URL. */
export const pushPaths = { endpoint: '/push/', message: '/message/', receipt: '/receipt/' } as const;

/** A new endpoint below this URL, which has no slash at its end. */
export function mintEndpoint(publicUrl: string): MintedEndpoint {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  return { url: publicUrl + pushPaths.endpoint + token, tokenSha256: hashOf(token) };
}

/** As {@link endpointHash}, of a whole URL; undefined: it is not below `publicUrl`, which has no slash at its end. */
export function ownEndpointHash(publicUrl: string | undefined, url: string): string | undefined {
  const beginning = publicUrl === undefined ? undefined : publicUrl + pushPaths.endpoint;
  if (beginning === undefined || !url.startsWith(beginning)) return undefined;
  return endpointHash(url.slice(beginning.length));
}

/** SHA-256 of an endpoint's token, hex; undefined: the text cannot be one. */
export function endpointHash(token: string): string | undefined {
  return tokenPattern.test(token) ? hashOf(token) : undefined;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** Seals what leaves the server and comes back, with a key that outlives it. */
export class Seal {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  sealPlace({ deviceNumber, epoch, sequence }: MessagePlace): string {
    const bytes = Buffer.alloc(PLACE_BYTES);
    bytes.writeUInt32BE(deviceNumber, 0);
    bytes.write(epoch, 4, 'hex');
    bytes.writeUInt32BE(sequence, 12);
    return this.#seal('message', bytes);
  }

  /** undefined: not sealed here. */
  openPlace(text: string): MessagePlace | undefined {
    const bytes = this.#open('message', text, PLACE_BYTES);
    if (bytes === undefined) return undefined;
    return {
      deviceNumber: bytes.readUInt32BE(0),
      epoch: bytes.toString('hex', 4, 12),
      sequence: bytes.readUInt32BE(12),
    };
  }

  /** `messageId` as the hub tells it. */
  sealReceipt(messageId: string): string {
    return this.#seal('receipt', Buffer.from(messageId, 'hex'));
  }

  /** undefined: not sealed here. */
  openReceipt(text: string): string | undefined {
    return this.#open('receipt', text, MESSAGE_ID_BYTES)?.toString('hex');
  }

  #seal(kind: string, bytes: Buffer): string {
    return Buffer.concat([bytes, this.#mark(kind, bytes)]).toString('base64url');
  }

  #open(kind: string, text: string, length: number): Buffer | undefined {
    if (!/^[\w-]+$/.test(text)) return undefined;
    const sealed = Buffer.from(text, 'base64url');
    if (sealed.length !== length + SEAL_BYTES) return undefined;
    const bytes = sealed.subarray(0, length);
    return timingSafeEqual(sealed.subarray(length), this.#mark(kind, bytes)) ? bytes : undefined;
  }

  /** One kind is never taken for another. */
  #mark(kind: string, bytes: Buffer): Buffer {
    const mac = createHmac('sha256', this.#key).update(`${kind}\n`).update(bytes);
    return mac.digest().subarray(0, SEAL_BYTES);
  }
}

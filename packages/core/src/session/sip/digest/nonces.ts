/**
 * Nonces that need no memory until they are used: the time and chance under a MAC. So a flood of requests without
 * credentials costs nothing that stays.
 *
 * What is remembered is which counts (`nc`) came with a nonce, so that an answer to a challenge that somebody overheard
 * is not taken twice. That memory is bounded: when it is full the nonce used first is forgotten, and everything that is
 * as old counts as stale from then on.
 */
import { encodeUtf8, fromBase64Url, toBase64Url, type InstantMs } from '../../../base/index.js';
import type { SipCrypto } from '../machine.js';

const TIME_BYTES = 6;
const CHANCE_BYTES = 6;
const MAC_BYTES = 16;

export interface NonceOptions {
  readonly crypto: SipCrypto;
  /** 32 bytes that outlive the process. */
  readonly key: Uint8Array;
  /** A nonce is good for so long, ms. */
  readonly nonceMsMax: number;
  /** Nonces whose counts are remembered. */
  readonly noncesMax: number;
}

/** `stale`: it is, or was, ours, and a new one is to be used. `foreign`: not made here, or for another scope. */
export type NonceCheck = 'fresh' | 'stale' | 'foreign';

/** The counts of a nonce that have come: the highest, and which of the 32 below it. */
interface Counts {
  readonly issuedMs: number;
  highest: number;
  /** Bit n: `highest - n` has come. */
  seen: number;
}

/** Counts that far below the highest cannot be told from repeats. */
const WINDOW = 32;

export class Nonces {
  readonly #options: NonceOptions;
  /** By nonce, in the order of their first use. */
  readonly #counts = new Map<string, Counts>();
  /** Nonces issued up to then may have been forgotten, wall ms. */
  #forgottenMs = -Infinity;

  constructor(options: NonceOptions) {
    this.#options = options;
  }

  /** Nonces that are remembered. */
  get size(): number {
    return this.#counts.size;
  }

  /** @param scope what it is good for, e.g. a realm; another scope does not take it. */
  make(now: InstantMs, scope: string): string {
    const bytes = new Uint8Array(TIME_BYTES + CHANCE_BYTES + MAC_BYTES);
    let time = Math.max(0, Math.floor(now.wall));
    for (let index = TIME_BYTES - 1; index >= 0; index--) {
      bytes[index] = time % 256;
      time = Math.floor(time / 256);
    }
    bytes.set(this.#options.crypto.randomBytes(CHANCE_BYTES), TIME_BYTES);
    const signed = TIME_BYTES + CHANCE_BYTES;
    bytes.set(this.#macOf(bytes.subarray(0, signed), scope), signed);
    return toBase64Url(bytes);
  }

  /** Whether it was made here for this scope and is young enough. Whether it was used before is for `take` to say. */
  check(now: InstantMs, nonce: string, scope: string): NonceCheck {
    const issuedMs = this.#issuedMs(nonce, scope);
    if (issuedMs === undefined) return 'foreign';
    const ageMs = now.wall - issuedMs;
    // One from the future was made before the clock was set back.
    return ageMs < 0 || ageMs > this.#options.nonceMsMax ? 'stale' : 'fresh';
  }

  /** Takes a count for a nonce that `check` found fresh. False: it was taken before, or nobody knows any more. */
  take(now: InstantMs, nonce: string, scope: string, count: number): boolean {
    this.#forgetOld(now);
    const known = this.#counts.get(nonce);
    if (known !== undefined) return takeCount(known, count);
    const issuedMs = this.#issuedMs(nonce, scope);
    // The clock was set back: what was forgotten was issued before now all the same.
    this.#forgottenMs = Math.min(this.#forgottenMs, now.wall);
    if (issuedMs === undefined || issuedMs <= this.#forgottenMs) return false;
    this.#counts.set(nonce, { issuedMs, highest: count, seen: 1 });
    return true;
  }

  #forgetOld(now: InstantMs): void {
    for (const [nonce, { issuedMs }] of this.#counts) {
      const isOver = now.wall - issuedMs > this.#options.nonceMsMax;
      if (!isOver) {
        if (this.#counts.size < this.#options.noncesMax) return;
        // One from before the clock was set back is stale anyhow.
        if (issuedMs <= now.wall) this.#forgottenMs = Math.max(this.#forgottenMs, issuedMs);
      }
      this.#counts.delete(nonce);
    }
  }

  #issuedMs(nonce: string, scope: string): number | undefined {
    const bytes = fromBase64Url(nonce);
    const signed = TIME_BYTES + CHANCE_BYTES;
    if (bytes === undefined || bytes.length !== signed + MAC_BYTES) return undefined;
    const mac = this.#macOf(bytes.subarray(0, signed), scope);
    let difference = 0;
    for (let index = 0; index < MAC_BYTES; index++) difference |= mac[index]! ^ bytes[signed + index]!;
    if (difference !== 0) return undefined;
    let time = 0;
    for (let index = 0; index < TIME_BYTES; index++) time = time * 256 + bytes[index]!;
    return time;
  }

  #macOf(head: Uint8Array, scope: string): Uint8Array {
    const name = encodeUtf8(`nonce\0${scope}\0`);
    const text = new Uint8Array(name.length + head.length);
    text.set(name);
    text.set(head, name.length);
    return this.#options.crypto.hmacSha256(this.#options.key, text).subarray(0, MAC_BYTES);
  }
}

function takeCount(counts: Counts, count: number): boolean {
  const ahead = count - counts.highest;
  if (ahead > 0) {
    counts.seen = ahead >= WINDOW ? 1 : ((counts.seen << ahead) | 1) >>> 0;
    counts.highest = count;
    return true;
  }
  if (-ahead >= WINDOW) return false;
  const bit = (1 << -ahead) >>> 0;
  if ((counts.seen & bit) !== 0) return false;
  counts.seen = (counts.seen | bit) >>> 0;
  return true;
}

/**
 * Wrong answers to challenges, of each address and of all of them: who guesses passwords is not listened to for a while,
 * nor is anybody once everybody guesses.
 *
 * Each address may fail so often at once, and gets that back over a minute. Bounded: the one that failed longest ago is
 * forgotten first.
 */
import { MINUTE_MS, type InstantMs } from '../../../base/index.js';

export interface FailedLoginOptions {
  /** Each minute, of one address. */
  readonly perAddressMax: number;
  /** Each minute, of all. */
  readonly totalMax: number;
  readonly addressesMax: number;
}

interface Failures {
  /** How many count at `atMs`; they fade evenly. */
  count: number;
  /** Monotonic ms. */
  atMs: number;
}

export class FailedLogins {
  readonly #options: FailedLoginOptions;
  readonly #total: Failures = { count: 0, atMs: 0 };
  /** In the order of their last failure. */
  readonly #addresses = new Map<string, Failures>();

  constructor(options: FailedLoginOptions) {
    this.#options = options;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#addresses.size;
  }

  isBlocked(now: InstantMs, address: string): boolean {
    const { perAddressMax, totalMax } = this.#options;
    const failures = this.#addresses.get(address);
    if (countAt(this.#total, now, totalMax) + 1 > totalMax) return true;
    return failures !== undefined && countAt(failures, now, perAddressMax) + 1 > perAddressMax;
  }

  add(now: InstantMs, address: string): void {
    const { perAddressMax, totalMax, addressesMax } = this.#options;
    addTo(this.#total, now, totalMax);
    const failures = this.#addresses.get(address) ?? { count: 0, atMs: now.monotonic };
    addTo(failures, now, perAddressMax);
    this.#addresses.delete(address);
    this.#addresses.set(address, failures);
    for (const [oldest, { atMs }] of this.#addresses) {
      const isFaded = now.monotonic - atMs >= MINUTE_MS;
      if (!isFaded && this.#addresses.size <= addressesMax) return;
      this.#addresses.delete(oldest);
    }
  }
}

function countAt(failures: Failures, now: InstantMs, perMinute: number): number {
  return Math.max(0, failures.count - ((now.monotonic - failures.atMs) / MINUTE_MS) * perMinute);
}

function addTo(failures: Failures, now: InstantMs, perMinute: number): void {
  failures.count = countAt(failures, now, perMinute) + 1;
  failures.atMs = now.monotonic;
}

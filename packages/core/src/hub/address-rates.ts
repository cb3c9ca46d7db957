/** How often something was done from each address within the running minute. */
import type { InstantMs } from '../base/time.js';
import { MINUTE_MS } from '../base/time.js';

/** Addresses counted in one minute; further ones have to wait for the next. */
const ADDRESSES_MAX = 100_000;

export class AddressRates {
  readonly #countMax: number;
  #sinceMs = -Infinity;
  #counts = new Map<string, number>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Counts one more. False: the address has had as many as it may. */
  take(now: InstantMs, address: string): boolean {
    if (now.monotonic - this.#sinceMs >= MINUTE_MS) {
      this.#sinceMs = now.monotonic;
      this.#counts = new Map();
    }
    const count = this.#counts.get(address) ?? 0;
    if (count >= this.#countMax || (count === 0 && this.#counts.size >= ADDRESSES_MAX)) return false;
    this.#counts.set(address, count + 1);
    return true;
  }
}

/**
 * How often something may be done each minute, by one address and by all of them together. What was not used is saved
 * up for a minute, so that an address may do a minute's worth at once.
 *
 * Time is handed in. Bounded: addresses that have their whole budget again need not be remembered, and the one that was
 * seen longest ago is forgotten when there are too many.
 */
import { MINUTE_MS, type InstantMs } from '../base/index.js';

interface Credit {
  left: number;
  /** Monotonic ms for which `left` holds. */
  atMs: number;
}

export class AddressBudget {
  readonly #perAddressMax: number;
  readonly #totalMax: number;
  readonly #addressesMax: number;
  readonly #total: Credit;
  /** In the order in which they were last seen. */
  readonly #addresses = new Map<string, Credit>();

  /** @param perAddressMax, @param totalMax times a minute. */
  constructor(perAddressMax: number, totalMax: number, addressesMax: number) {
    this.#perAddressMax = perAddressMax;
    this.#totalMax = totalMax;
    this.#addressesMax = addressesMax;
    this.#total = { left: totalMax, atMs: -Infinity };
  }

  /** Addresses that are remembered. */
  get addressCount(): number {
    return this.#addresses.size;
  }

  /** Whether {@link take} would be false; nothing is taken. */
  isSpent(now: InstantMs, address: string): boolean {
    const credit = this.#addresses.get(address);
    const ofAddress =
      credit === undefined ? this.#perAddressMax : leftAt(credit, now.monotonic, this.#perAddressMax);
    return ofAddress < 1 || leftAt(this.#total, now.monotonic, this.#totalMax) < 1;
  }

  /** Takes one; false: the address, or all of them, have none left, and nothing was taken. */
  take(now: InstantMs, address: string): boolean {
    const atMs = now.monotonic;
    const credit = this.#addresses.get(address) ?? { left: this.#perAddressMax, atMs };
    renew(credit, atMs, this.#perAddressMax);
    renew(this.#total, atMs, this.#totalMax);
    // Seen now, refused or not.
    this.#addresses.delete(address);
    this.#addresses.set(address, credit);
    this.#forget(atMs);
    if (credit.left < 1 || this.#total.left < 1) return false;
    credit.left -= 1;
    this.#total.left -= 1;
    return true;
  }

  #forget(atMs: number): void {
    for (const [address, credit] of this.#addresses) {
      const isWhole = atMs - credit.atMs >= MINUTE_MS;
      if (!isWhole && this.#addresses.size <= this.#addressesMax) return;
      this.#addresses.delete(address);
    }
  }
}

function leftAt({ left, atMs: sinceMs }: Credit, atMs: number, perMinute: number): number {
  return Math.min(perMinute, left + ((atMs - sinceMs) / MINUTE_MS) * perMinute);
}

function renew(credit: Credit, atMs: number, perMinute: number): void {
  credit.left = leftAt(credit, atMs, perMinute);
  credit.atMs = atMs;
}

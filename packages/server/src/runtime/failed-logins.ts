/** Counts wrong passwords per address, so that guessing costs the guesser and not the thread pool. */
import type { RuntimeLimits } from './limits.js';

interface Failures {
  count: number;
  readonly sinceMs: number;
}

type Limits = Pick<RuntimeLimits, 'failedLoginsMax' | 'failedLoginAddressesMax' | 'loginWindowMs'>;

export class FailedLogins {
  readonly #limits: Limits;
  /** In order of the first failure, so that the oldest is at hand. */
  readonly #byAddress = new Map<string, Failures>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Whether the address has failed as often as it may; `nowMs` is monotonic. */
  isBlocked(address: string, nowMs: number): boolean {
    const failures = this.#byAddress.get(address);
    if (failures === undefined) return false;
    if (nowMs - failures.sinceMs < this.#limits.loginWindowMs) {
      return failures.count >= this.#limits.failedLoginsMax;
    }
    this.#byAddress.delete(address);
    return false;
  }

  /** One more wrong password. */
  note(address: string, nowMs: number): void {
    const failures = this.#byAddress.get(address);
    if (failures !== undefined && nowMs - failures.sinceMs < this.#limits.loginWindowMs) {
      failures.count += 1;
      return;
    }
    this.#byAddress.delete(address);
    this.#byAddress.set(address, { count: 1, sinceMs: nowMs });
    if (this.#byAddress.size <= this.#limits.failedLoginAddressesMax) return;
    const [oldest] = this.#byAddress.keys();
    if (oldest !== undefined) this.#byAddress.delete(oldest);
  }
}

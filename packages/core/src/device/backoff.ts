/**
 * How long a device waits before it connects again. Random, so that the devices of a server that restarts come one after
 * another; growing, so that one that stays away is left alone; beginning anew once a connection has lasted.
 */
import { NEVER, SECOND_MS, type Prng } from '../base/index.js';
import { deviceLimits } from './limits.js';

export class Backoff {
  readonly #prng: Prng;
  /** Attempts since a connection that lasted. */
  #attempts = 0;
  /** Monotonic ms; NEVER: there is no connection. */
  #openedMs = NEVER;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  get attempts(): number {
    return this.#attempts;
  }

  handleOpened(nowMs: number): void {
    this.#openedMs = nowMs;
  }

  /** The connection, or the attempt, has ended: how long to wait, ms. */
  nextWaitMs(nowMs: number): number {
    if (nowMs - this.#openedMs >= deviceLimits.stableMs) this.#attempts = 0;
    this.#openedMs = NEVER;
    const { reconnectSpreadMs, reconnectMsMax } = deviceLimits;
    const longestMs = Math.min(reconnectMsMax, reconnectSpreadMs * 2 ** this.#attempts);
    this.#attempts = Math.min(this.#attempts + 1, 30);
    return Math.round(this.#prng.nextFloat() * (longestMs - SECOND_MS)) + this.#floorMs();
  }

  /** Something has changed that makes another attempt worth while at once. */
  reset(): void {
    this.#attempts = 0;
  }

  /** The first wait may be none at all; later ones are no storm. */
  #floorMs(): number {
    return this.#attempts > 1 ? SECOND_MS : 0;
  }
}

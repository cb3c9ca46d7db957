/** How long to wait before a program that died is started again. Pure. */
import { limits } from './limits.js';

/** Times of the back-off, ms; the defaults are the platform's, tests scale them. */
export interface RelaunchTimes {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly healthyMs: number;
}

export const defaultRelaunchTimes: RelaunchTimes = {
  firstMs: limits.relaunchMsMin,
  maxMs: limits.relaunchMsMax,
  healthyMs: limits.healthyRunMs,
};

export class RelaunchBackoff {
  readonly #times: RelaunchTimes;
  #nextMs: number;

  constructor(times: RelaunchTimes = defaultRelaunchTimes) {
    this.#times = times;
    this.#nextMs = times.firstMs;
  }

  /** The wait after a run of this length, ms: doubles each time and starts anew after a healthy run. */
  delayAfterRun(ranMs: number): number {
    if (ranMs >= this.#times.healthyMs) this.#nextMs = this.#times.firstMs;
    const delayMs = this.#nextMs;
    this.#nextMs = Math.min(this.#nextMs * 2, this.#times.maxMs);
    return delayMs;
  }
}

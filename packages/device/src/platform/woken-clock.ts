/**
 * Two clocks of a host whose monotonic one may stand still while the machine sleeps, as that of browsers and React Native does on
 * some systems: when the wall clock has gone on by more, that was sleep (or somebody set the clock), and is counted.
 */
import type { InstantMs } from '@wakeline/core/base';

/** Less is the ordinary wandering of two clocks. */
const SLEEP_MS_MIN = 1_000;

export class WokenClock {
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  readonly #startMonotonicMs: number;
  #startWallMs: number;
  #sleptMs = 0;

  /** Both in ms; the first never goes back. */
  constructor(monotonic: () => number, wall: () => number) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#startMonotonicMs = monotonic();
    this.#startWallMs = wall();
  }

  now(): InstantMs {
    const monotonic = this.#monotonic();
    const wall = this.#wall();
    const aheadMs = wall - this.#startWallMs - (monotonic - this.#startMonotonicMs) - this.#sleptMs;
    if (aheadMs >= SLEEP_MS_MIN) this.#sleptMs += aheadMs;
    // A clock that was set back tells nothing of sleep from there on, unless it is measured anew.
    else if (aheadMs < 0) this.#startWallMs += aheadMs;
    return { monotonic: Math.floor(monotonic + this.#sleptMs), wall: Math.floor(wall) };
  }
}

/**
 * A keepalive policy as others have it, to compare with: the device pings for itself, takes an answer as proof that the network
 * allows that silence, doubles, and halves the rest when none came. No policy of the product: behind a box that takes up a
 * forgotten connection for what goes out it learns what is not true.
 */
import { type InstantMs } from '../base/index.js';
import { gapConstants, type GapConstants, type KeepalivePolicy } from '../device/index.js';

interface Known {
  /** Longest silence after which a ping was answered, ms. */
  lowMs: number;
  /** Shortest after which none was; Infinity: none is known. */
  highMs: number;
}

export class ClientPing implements KeepalivePolicy {
  readonly keepsAwake = false;
  readonly warning = undefined;
  readonly #constants: GapConstants;
  readonly #known = new Map<string, Known>();
  #key = '';

  constructor(constants: GapConstants = gapConstants) {
    this.#constants = constants;
  }

  /** What it believes of the network it is on, ms. */
  get lowMs(): number {
    return this.#here.lowMs;
  }

  get answerMs(): number {
    return this.#constants.answerMs;
  }

  get pathMs(): number {
    return this.#constants.pathMs;
  }

  gapMs(): number {
    const { gapMsMax, guardMs, tolerance } = this.#constants;
    const { lowMs, highMs } = this.#here;
    if (highMs === Infinity) return Math.min(gapMsMax, 2 * lowMs);
    return highMs > lowMs * (1 + tolerance) ? (lowMs + highMs) / 2 : lowMs - guardMs;
  }

  handleNetwork(_now: InstantMs, key: string): void {
    this.#key = key;
  }

  handleAnswer(_now: InstantMs, gapMs: number): undefined {
    const here = this.#here;
    here.lowMs = Math.max(here.lowMs, gapMs);
  }

  handleDeath(_now: InstantMs, gapMs: number): void {
    const here = this.#here;
    here.highMs = Math.min(here.highMs, gapMs);
    if (here.lowMs >= here.highMs) here.lowMs = Math.max(this.#constants.gapMsMin, here.highMs / 2);
  }

  get #here(): Known {
    const known = this.#known.get(this.#key) ?? {
      lowMs: this.#constants.lowFirstMs,
      highMs: Infinity,
    };
    this.#known.set(this.#key, known);
    return known;
  }
}

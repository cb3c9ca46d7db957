/**
 * What is known of the silence that one network allows a connection: more than `low`, less than `high`; which silence to try
 * next, and which is safe meanwhile. The rules are [KA-1] to [KA-6] of docs/spec/keepalive.md.
 *
 * Knows nothing of connections: it is told how a probe or a keepalive ended. Bounds are only moved by evidence, and
 * `low` only by a push that arrived after that silence.
 */
import { assert, DAY_MS, MINUTE_MS, NEVER, SECOND_MS } from '../../base/index.js';
import { deviceLimits } from '../limits.js';

/** The constants of the estimate. Times in ms. */
export interface GapConstants {
  /** The silence that every network is trusted to allow. */
  readonly lowFirstMs: number;
  /** Nothing shorter is believed of a network, whatever fails. */
  readonly gapMsMin: number;
  /** Nothing longer is tried: the wakes saved beyond are not worth a probe. */
  readonly gapMsMax: number;
  /** It is good enough when `high / low` is at most one more than this. */
  readonly tolerance: number;
  /** The keepalive comes so much before what is known to be allowed. */
  readonly guardMs: number;
  /** The wake in which a canary is looked at comes so much later than the push into it: it takes a while to open one. */
  readonly leadMs: number;
  /** Where the main connection has to try for itself, it tries so many times of what is known. */
  readonly mainStep: number;
  /** So many dead probes in a row at the same silence make it the upper bound. */
  readonly deathsToBelieve: number;
  /** Two dead keepalives within this time prove the estimate wrong. */
  readonly deathsWithinMs: number;
  /** How long an upper bound is believed: networks change. */
  readonly highMsMax: number;
  /** Time for the answer of a connection that was asked. */
  readonly answerMs: number;
  /** Within so long another connection must come about for a silence to be the network's fault. */
  readonly pathMs: number;
  /** After a canary that could not be opened, none is for so long. */
  readonly canaryRetryMs: number;
}

export const gapConstants: GapConstants = {
  lowFirstMs: 240 * SECOND_MS,
  gapMsMin: MINUTE_MS,
  gapMsMax: 1_740 * SECOND_MS,
  tolerance: 0.1,
  guardMs: 10 * SECOND_MS,
  leadMs: 2 * SECOND_MS,
  mainStep: 1.25,
  deathsToBelieve: 2,
  deathsWithinMs: DAY_MS,
  highMsMax: 7 * DAY_MS,
  answerMs: deviceLimits.keepaliveAnswerMs,
  pathMs: deviceLimits.pathMs,
  canaryRetryMs: deviceLimits.canaryRetryMs,
};

/** All times divided by one factor, for networks whose timeouts a test cannot wait for. */
export function scaledConstants(factor: number): GapConstants {
  const {
    lowFirstMs,
    gapMsMin,
    gapMsMax,
    guardMs,
    leadMs,
    deathsWithinMs,
    highMsMax,
    answerMs,
    pathMs,
    canaryRetryMs,
  } = gapConstants;
  return {
    ...gapConstants,
    lowFirstMs: lowFirstMs / factor,
    gapMsMin: gapMsMin / factor,
    gapMsMax: gapMsMax / factor,
    guardMs: guardMs / factor,
    leadMs: leadMs / factor,
    deathsWithinMs: deathsWithinMs / factor,
    highMsMax: highMsMax / factor,
    answerMs: answerMs / factor,
    pathMs: pathMs / factor,
    canaryRetryMs: canaryRetryMs / factor,
  };
}

/** An estimate as it is stored. */
export interface GapKnowledge {
  readonly lowMs: number;
  /** Absent: none. */
  readonly highMs?: number;
  /** Wall clock of the upper bound, ms. */
  readonly highSinceMs?: number;
}

/** alive: the push arrived. dead: it was sent and did not, though all else works. void: nothing can be said. */
export type ProbeVerdict = 'alive' | 'dead' | 'void';

export class GapEstimate {
  readonly #constants: GapConstants;
  #lowMs: number;
  #highMs = NEVER;
  #highSinceMs = 0;
  /** Dead probes in a row, of the current target. */
  #deadProbes = 0;
  /** Wall clock of the last dead keepalive; -Infinity: none that counts. */
  #lastDeathMs = -NEVER;
  #isLearned = false;

  /** @param hintMs what the server knows of others on this network; undefined: nothing. */
  constructor(constants: GapConstants = gapConstants, hintMs?: number) {
    this.#constants = constants;
    const { lowFirstMs, gapMsMin, gapMsMax } = constants;
    this.#lowMs = Math.min(Math.max(hintMs ?? lowFirstMs, gapMsMin), gapMsMax);
  }

  /** From what was stored. Undefined: it is no knowledge, or not within the constants. */
  static restore(knowledge: GapKnowledge, constants: GapConstants = gapConstants): GapEstimate | undefined {
    const { lowMs, highMs, highSinceMs } = knowledge;
    if (!(lowMs >= constants.gapMsMin && lowMs <= constants.gapMsMax)) return undefined;
    const estimate = new GapEstimate(constants, lowMs);
    estimate.#isLearned = true;
    if (highMs === undefined) return estimate;
    if (!(highMs > lowMs && highMs < NEVER && Number.isFinite(highSinceMs))) return undefined;
    estimate.#highMs = highMs;
    estimate.#highSinceMs = highSinceMs!;
    return estimate;
  }

  get knowledge(): GapKnowledge {
    return {
      lowMs: this.#lowMs,
      ...(this.#highMs !== NEVER && { highMs: this.#highMs, highSinceMs: this.#highSinceMs }),
    };
  }

  /** Longest silence that is known to be allowed, ms. */
  get lowMs(): number {
    return this.#lowMs;
  }

  /** Shortest silence that is known not to be, ms; {@link NEVER}: none is. */
  highMs(wallMs: number): number {
    // A clock that was set back makes an upper bound look new; it then stays for longer, which costs wakes only.
    if (wallMs - this.#highSinceMs >= this.#constants.highMsMax) this.#highMs = NEVER;
    return this.#highMs;
  }

  /** Whether it holds more than what it began with. */
  get isLearned(): boolean {
    return this.#isLearned;
  }

  /** The silence to try next, whole ms; undefined: it is known well enough. */
  targetMs(wallMs: number): number | undefined {
    const { gapMsMax, tolerance } = this.#constants;
    const highMs = this.highMs(wallMs);
    const lowMs = this.#lowMs;
    if (highMs === NEVER) return lowMs < gapMsMax ? Math.round(Math.min(gapMsMax, 2 * lowMs)) : undefined;
    return highMs > lowMs * (1 + tolerance) ? Math.round(Math.sqrt(lowMs * highMs)) : undefined;
  }

  /** The silence after which the connection is asked, ms: short enough to be safe, and in step with the next probe. */
  gapMs(wallMs: number): number {
    const { leadMs } = this.#constants;
    const safeMs = this.#safeMs;
    const targetMs = this.targetMs(wallMs);
    if (targetMs === undefined) return safeMs;
    // A whole number of gaps makes the target, so that the probe ends at a keepalive and costs no wake of its own.
    const lookMs = targetMs + leadMs;
    return lookMs / Math.max(2, Math.ceil(lookMs / safeMs - 1e-9));
  }

  /** The same where there are no canaries, so that the connection itself is what is risked, by small steps. */
  mainGapMs(wallMs: number): number {
    const targetMs = this.targetMs(wallMs);
    return targetMs === undefined
      ? this.#safeMs
      : Math.min(targetMs, Math.round(this.#lowMs * this.#constants.mainStep));
  }

  get #safeMs(): number {
    const { gapMsMin, guardMs } = this.#constants;
    return Math.max(gapMsMin, this.#lowMs - guardMs, 1);
  }

  /** How the probe of `targetMs` ended. */
  handleProbe(wallMs: number, targetMs: number, verdict: ProbeVerdict): void {
    if (verdict === 'void') return;
    if (verdict === 'alive') {
      this.#isLearned = true;
      this.#deadProbes = 0;
      this.#lowMs = Math.max(this.#lowMs, targetMs);
      // Evidence against the upper bound: the network has changed.
      if (this.#highMs <= this.#lowMs) this.#highMs = NEVER;
      return;
    }
    assert(targetMs > this.#lowMs, 'a probe tries more than is known');
    this.#deadProbes += 1;
    if (this.#deadProbes < this.#constants.deathsToBelieve) return;
    this.#deadProbes = 0;
    this.#setHigh(wallMs, targetMs);
  }

  /** The connection did not answer after this silence, though the network was there. */
  handleDeath(wallMs: number, gapMs: number): void {
    const { deathsWithinMs, gapMsMin } = this.#constants;
    const isSecond = wallMs - this.#lastDeathMs <= deathsWithinMs;
    this.#lastDeathMs = wallMs;
    if (!isSecond) return;
    this.#lastDeathMs = -NEVER;
    this.#isLearned = true;
    this.#deadProbes = 0;
    this.#lowMs = Math.max(gapMsMin, gapMs / 2);
    if (gapMs > this.#lowMs) this.#setHigh(wallMs, gapMs);
    else this.#highMs = NEVER;
  }

  #setHigh(wallMs: number, highMs: number): void {
    this.#isLearned = true;
    this.#highMs = highMs;
    this.#highSinceMs = wallMs;
  }
}

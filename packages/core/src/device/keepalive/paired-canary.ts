/**
 * The policy `adaptive`: a second, empty connection of the device, the canary, carries the risk of finding out how long a silence
 * the network allows, so that the main connection never has to. It is opened and looked at only in wakes that happen anyway.
 *
 * Here are its decisions: when a canary is opened and looked at, what the look proves, and what is remembered of each
 * network. Whoever drives it opens connections, and has the server push into the canary when it has been silent for so long.
 */
import { type InstantMs } from '../../base/index.js';
import { deviceLimits } from '../limits.js';
import {
  gapConstants,
  GapEstimate,
  type GapConstants,
  type GapKnowledge,
  type ProbeVerdict,
} from './gap-estimate.js';
import type { CanaryLook, CanaryOrder, KeepalivePolicy, NetworkLearner } from './policy.js';

/** What the look proves [KA-3]. */
export function verdictOf(look: CanaryLook): ProbeVerdict {
  if (look.hasArrived) return 'alive';
  return look.isSent && look.isMainWell && look.isPathThere ? 'dead' : 'void';
}

interface Probe {
  readonly targetMs: number;
  /** Monotonic ms: ordered, and then opened. */
  openedMs: number;
  isMainWell: boolean;
}

/** A network that was not named. */
const UNNAMED = '';

/** Half a millisecond: sums of gaps that make a target are not exact. */
const ROUNDING_MS = 0.5;

export class PairedCanary implements KeepalivePolicy, NetworkLearner {
  readonly keepsAwake = false;
  readonly warning = undefined;
  readonly #constants: GapConstants;
  /** By network, the one used longest ago first. */
  readonly #estimates = new Map<string, GapEstimate>();
  #key = UNNAMED;
  #probe: Probe | null = null;
  #takesCanaries = true;

  constructor(constants: GapConstants = gapConstants) {
    this.#constants = constants;
    this.#use(UNNAMED);
  }

  get knowledge(): Readonly<Record<string, GapKnowledge>> {
    const learned = [...this.#estimates].filter(([, estimate]) => estimate.isLearned);
    return Object.fromEntries(learned.map(([key, estimate]) => [key, estimate.knowledge]));
  }

  /** Longest silence that is known to be allowed by the network in use, ms. */
  get lowMs(): number {
    return this.#estimate.lowMs;
  }

  restore(knowledge: Readonly<Record<string, GapKnowledge>>): void {
    for (const [key, entry] of Object.entries(knowledge)) {
      const estimate = GapEstimate.restore(entry, this.#constants);
      if (estimate !== undefined) this.#put(key, estimate);
    }
    this.#use(this.#key);
  }

  get answerMs(): number {
    return this.#constants.answerMs;
  }

  get pathMs(): number {
    return this.#constants.pathMs;
  }

  get canaryRetryMs(): number {
    return this.#constants.canaryRetryMs;
  }

  get learner(): this {
    return this;
  }

  isLearned(key: string): boolean {
    return this.#estimates.get(key)?.isLearned ?? false;
  }

  handleHint(key: string, hintMs: number): void {
    if (this.isLearned(key)) return;
    this.#put(key, new GapEstimate(this.#constants, hintMs));
    // What is being tried may not be more than what is now known.
    if (key === this.#key) this.#probe = null;
  }

  handleServer(takesCanaries: boolean): void {
    this.#takesCanaries = takesCanaries;
    this.#probe = null;
  }

  gapMs(now: InstantMs): number {
    return this.#takesCanaries ? this.#estimate.gapMs(now.wall) : this.#estimate.mainGapMs(now.wall);
  }

  handleNetwork(_now: InstantMs, key: string): void {
    // A canary that was opened on another network says nothing of this one, and nothing of that one any more.
    if (key !== this.#key) this.#probe = null;
    this.#use(key);
  }

  handleDeath(now: InstantMs, gapMs: number): void {
    if (this.#probe !== null) this.#probe.isMainWell = false;
    const estimate = this.#estimate;
    // Without canaries it was a probe, if it was longer than what is known.
    if (!this.#takesCanaries && gapMs > estimate.lowMs) estimate.handleProbe(now.wall, gapMs, 'dead');
    else estimate.handleDeath(now.wall, gapMs);
  }

  handleAnswer(now: InstantMs, gapMs: number): CanaryOrder | undefined {
    if (!this.#takesCanaries) {
      if (gapMs > this.#estimate.lowMs) this.#estimate.handleProbe(now.wall, gapMs, 'alive');
      return undefined;
    }
    const probe = this.#probe;
    if (probe !== null) {
      return now.monotonic - probe.openedMs >= probe.targetMs - ROUNDING_MS ? { kind: 'look' } : undefined;
    }
    const silenceMs = this.#estimate.targetMs(now.wall);
    if (silenceMs === undefined) return undefined;
    this.#probe = { targetMs: silenceMs, openedMs: now.monotonic, isMainWell: true };
    return { kind: 'open', silenceMs };
  }

  handleOpened(now: InstantMs): void {
    if (this.#probe !== null) this.#probe.openedMs = now.monotonic;
  }

  handleLook(now: InstantMs, look: Omit<CanaryLook, 'isMainWell'>): ProbeVerdict {
    const probe = this.#probe;
    if (probe === null) return 'void';
    this.#probe = null;
    const verdict = verdictOf({ ...look, isMainWell: probe.isMainWell });
    // A dead keepalive may have moved the bounds past what was tried.
    const counts = verdict !== 'dead' || probe.targetMs > this.#estimate.lowMs;
    if (counts) this.#estimate.handleProbe(now.wall, probe.targetMs, verdict);
    return verdict;
  }

  dropCanary(): void {
    this.#probe = null;
  }

  get #estimate(): GapEstimate {
    return this.#estimates.get(this.#key)!;
  }

  #use(key: string): void {
    this.#key = key;
    this.#put(key, this.#estimates.get(key) ?? new GapEstimate(this.#constants));
  }

  /** As the one used last. */
  #put(key: string, estimate: GapEstimate): void {
    this.#estimates.delete(key);
    this.#estimates.set(key, estimate);
    if (this.#estimates.size <= deviceLimits.networksMax) return;
    for (const oldest of this.#estimates.keys()) {
      if (oldest === this.#key) continue;
      this.#estimates.delete(oldest);
      return;
    }
  }
}

/** The policy `adaptive`. One for each device. */
export function adaptiveKeepalive(constants: GapConstants = gapConstants): KeepalivePolicy {
  return new PairedCanary(constants);
}

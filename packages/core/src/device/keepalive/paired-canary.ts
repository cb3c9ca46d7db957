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
import type { KeepalivePolicy } from './policy.js';

/** What to do in a wake, after the main connection has answered. */
export type CanaryOrder =
  /** Open a canary, and ask the server to push into it after so much silence, ms. */
  | { readonly kind: 'open'; readonly silenceMs: number }
  /** Look whether the push is there; tell it by {@link PairedCanary.handleLook}. */
  | { readonly kind: 'look' };

/** What a look at the canary found. */
export interface CanaryLook {
  /** The push was read. */
  readonly hasArrived: boolean;
  /** The server says that it has pushed. */
  readonly isSent: boolean;
  /** Every keepalive of the main connection since the canary was opened was answered. */
  readonly isMainWell: boolean;
  /** Where nothing has arrived: another canary came about at once. */
  readonly isPathThere: boolean;
}

/** What the look proves [KA-3]. */
export function verdictOf(look: CanaryLook): ProbeVerdict {
  if (look.hasArrived) return 'alive';
  return look.isSent && look.isMainWell && look.isPathThere ? 'dead' : 'void';
}

interface Probe {
  readonly targetMs: number;
  /** Monotonic ms. */
  readonly openedMs: number;
  isMainWell: boolean;
}

/** A network that was not named. */
const UNNAMED = '';

/** Half a millisecond: sums of gaps that make a target are not exact. */
const ROUNDING_MS = 0.5;

export class PairedCanary implements KeepalivePolicy {
  readonly keepsAwake = false;
  readonly warning = undefined;
  readonly #constants: GapConstants;
  /** By network, the one used longest ago first. */
  readonly #estimates = new Map<string, GapEstimate>();
  #key = UNNAMED;
  #probe: Probe | null = null;

  constructor(constants: GapConstants = gapConstants) {
    this.#constants = constants;
    this.#use(UNNAMED);
  }

  /** What is to be stored, by network: {@link restore}. */
  get knowledge(): Readonly<Record<string, GapKnowledge>> {
    return Object.fromEntries([...this.#estimates].map(([key, estimate]) => [key, estimate.knowledge]));
  }

  /** Takes what was stored. Networks of which nothing sensible is known are learned anew. */
  restore(knowledge: Readonly<Record<string, GapKnowledge>>): void {
    for (const [key, entry] of Object.entries(knowledge)) {
      const estimate = GapEstimate.restore(entry, this.#constants);
      if (estimate !== undefined) this.#put(key, estimate);
    }
    this.#use(this.#key);
  }

  /** What the server knows of others on this network, ms: taken if nothing is known here. */
  handleHint(key: string, hintMs: number): void {
    if (!this.#estimates.has(key)) this.#put(key, new GapEstimate(this.#constants, hintMs));
  }

  gapMs(now: InstantMs): number {
    return this.#estimate.gapMs(now.wall);
  }

  handleNetwork(_now: InstantMs, key: string): void {
    // A canary that was opened on another network says nothing of this one, and nothing of that one any more.
    if (key !== this.#key) this.#probe = null;
    this.#use(key);
  }

  handleDeath(now: InstantMs, gapMs: number): void {
    if (this.#probe !== null) this.#probe.isMainWell = false;
    this.#estimate.handleDeath(now.wall, gapMs);
  }

  /** The device is awake and its main connection has answered: what is to be done about the canary, if anything. */
  handleAnswer(now: InstantMs): CanaryOrder | undefined {
    const probe = this.#probe;
    if (probe !== null) {
      return now.monotonic - probe.openedMs >= probe.targetMs - ROUNDING_MS ? { kind: 'look' } : undefined;
    }
    const silenceMs = this.#estimate.targetMs(now.wall);
    if (silenceMs === undefined) return undefined;
    this.#probe = { targetMs: silenceMs, openedMs: now.monotonic, isMainWell: true };
    return { kind: 'open', silenceMs };
  }

  /**
   * What the ordered look found; `isMainWell` is known here and need not be right. The next order may be asked for in the
   * same wake.
   */
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

  /** The canary could not be opened, or was lost before its time. */
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

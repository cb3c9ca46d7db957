/** A device behind a middlebox that forgets silent connections, under a virtual clock; it does nothing but keep alive. */
import { DAY_MS, SECOND_MS, type InstantMs, type Prng } from '../../../src/base/index.js';
import { gapConstants, PairedCanary } from '../../../src/device/index.js';

const ANSWER_MS = 10 * SECOND_MS;

export interface WorldOptions {
  /** The silence after which the middlebox of a network forgets a connection, ms. */
  readonly timeoutMs: (key: string, nowMs: number) => number;
  readonly prng: Prng;
  /** Share of looks at a canary that find it dead for no reason of the network's, 0 … 1. */
  readonly falseDeaths?: number;
  /** Share of looks of which nothing can be said. */
  readonly voids?: number;
  /** Share of gaps in which something is received on the main connection, at a random time. */
  readonly traffic?: number;
  /** Networks, one of which is chosen anew after a gap with the probability of `churn`. */
  readonly networks?: readonly string[];
  readonly churn?: number;
}

/** Runs one device. Figures are sums since the start. */
export class World {
  readonly policy = new PairedCanary();
  nowMs = 0;
  key = 'n0';
  wakes = 0;
  /** Time in which something sent to the device would have been lost, ms. */
  outageMs = 0;
  deaths = 0;
  /** Targets of the probes that were looked at, in order. */
  readonly probes: number[] = [];
  readonly #options: WorldOptions;
  /** Since when nothing was carried by it; undefined: there is none. */
  #canaryMs: number | undefined;
  #targetMs = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.policy.handleNetwork(this.now, this.key);
    this.#obey();
  }

  get now(): InstantMs {
    return { monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs };
  }

  get lowMs(): number {
    return this.policy.lowMs;
  }

  /** Whether the policy still learns of the network it is on. */
  get isLearning(): boolean {
    return this.#canaryMs !== undefined;
  }

  /** To the next wake, and through it. */
  step(): void {
    const { prng, timeoutMs, traffic = 0, networks = [], churn = 0 } = this.#options;
    const gapMs = this.policy.gapMs(this.now);
    if (prng.nextFloat() < traffic) {
      // Received before the keepalive is due, and so its clock begins anew. The app's wake, and not counted.
      const afterMs = gapMs * prng.nextFloat();
      this.#pass(afterMs, timeoutMs(this.key, this.nowMs));
      return;
    }
    const allowedMs = timeoutMs(this.key, this.nowMs);
    this.#pass(gapMs, allowedMs);
    this.wakes += 1;
    if (gapMs >= allowedMs) {
      this.nowMs += ANSWER_MS;
      this.outageMs += ANSWER_MS;
      this.deaths += 1;
      this.policy.handleDeath(this.now, gapMs);
    }
    this.#obey();
    if (prng.nextFloat() >= churn) return;
    this.key = networks[prng.nextInteger(0, networks.length - 1)]!;
    this.policy.handleNetwork(this.now, this.key);
    this.#canaryMs = undefined;
    this.#obey();
  }

  runUntil(nowMs: number): void {
    while (this.nowMs < nowMs) this.step();
  }

  /** Until nothing is learned any more; at most a day. */
  learn(): void {
    const endMs = this.nowMs + DAY_MS;
    while (this.isLearning && this.nowMs < endMs) this.step();
  }

  #pass(ms: number, allowedMs: number): void {
    this.nowMs += ms;
    this.outageMs += Math.max(0, ms - allowedMs);
  }

  /** Does what the policy orders, in this wake. */
  #obey(): void {
    const { prng, timeoutMs, falseDeaths = 0, voids = 0 } = this.#options;
    const order = this.policy.handleAnswer(this.now, 0);
    if (order === undefined) return;
    if (order.kind === 'open') {
      this.#canaryMs = this.nowMs;
      this.#targetMs = order.silenceMs;
      return;
    }
    this.#canaryMs = undefined;
    const isVoid = prng.nextFloat() < voids;
    const isAlive = this.#targetMs < timeoutMs(this.key, this.nowMs) && prng.nextFloat() >= falseDeaths;
    if (!isVoid) this.probes.push(this.#targetMs);
    this.policy.handleLook(this.now, {
      hasArrived: !isVoid && isAlive,
      isSent: !isVoid,
      isPathThere: true,
    });
    this.#obey();
  }
}

/** What one who knows the timeout would do, ms. */
export function oracleGapMs(timeoutMs: number): number {
  return Math.min(timeoutMs, gapConstants.gapMsMax) - gapConstants.guardMs;
}

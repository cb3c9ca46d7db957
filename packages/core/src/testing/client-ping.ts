/**
 * A keepalive policy as others have it, to compare with: the device pings for itself, and takes an answer as proof that the network
 * allows the silence before it. Its steps are those of the product's own estimate where a server takes no canaries [KA-8], so that the
 * two differ in what they take for evidence and in nothing else. No policy of the product: behind a box that takes up a forgotten
 * connection for what goes out it learns what is not true.
 */
import { type InstantMs } from '../base/index.js';
import {
  gapConstants,
  PairedCanary,
  type GapConstants,
  type GapKnowledge,
  type KeepalivePolicy,
} from '../device/index.js';

export class ClientPing implements KeepalivePolicy {
  readonly keepsAwake = false;
  readonly warning = undefined;
  readonly answerMs: number;
  readonly pathMs: number;
  readonly #inner: PairedCanary;

  constructor(constants: GapConstants = gapConstants) {
    this.answerMs = constants.answerMs;
    this.pathMs = constants.pathMs;
    this.#inner = new PairedCanary(constants);
    this.#inner.handleServer(false);
  }

  /** What it believes of the network it is on, ms. */
  get lowMs(): number {
    return this.#inner.lowMs;
  }

  /** What it believes of networks, by their names. */
  get knowledge(): Readonly<Record<string, GapKnowledge>> {
    return this.#inner.knowledge;
  }

  gapMs(now: InstantMs): number {
    return this.#inner.gapMs(now);
  }

  handleNetwork(now: InstantMs, key: string): void {
    this.#inner.handleNetwork(now, key);
  }

  handleAnswer(now: InstantMs, gapMs: number): undefined {
    this.#inner.handleAnswer(now, gapMs);
  }

  handleDeath(now: InstantMs, gapMs: number): void {
    this.#inner.handleDeath(now, gapMs);
  }
}

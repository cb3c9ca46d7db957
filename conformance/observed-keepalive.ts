/** Keepalive policies that are watched while they decide. */
import type {
  CanaryLook,
  CanaryOrder,
  GapConstants,
  KeepalivePolicy,
  NetworkLearner,
} from '@wakeline/core/device';
import type { InstantMs } from '@wakeline/core/base';

/** What a policy was told, and what it then knew. */
export type KeepaliveEvent =
  /** The connection has answered after this silence; 0: for another reason. */
  | { readonly kind: 'answered'; readonly gapMs: number }
  /** It has not. */
  | { readonly kind: 'death'; readonly gapMs: number }
  /** A canary was looked at. */
  | { readonly kind: 'probe'; readonly silenceMs: number; readonly verdict: string };

/** As the policy inside; tells what it is told. The times are those of the constants, whatever the policy. */
export class ObservedKeepalive implements KeepalivePolicy {
  readonly answerMs: number;
  readonly pathMs: number;
  readonly canaryRetryMs: number;
  readonly learner: NetworkLearner | undefined;
  readonly #inner: KeepalivePolicy;
  readonly #tell: (event: KeepaliveEvent) => void;
  #silenceMs = 0;

  constructor(inner: KeepalivePolicy, constants: GapConstants, tell: (event: KeepaliveEvent) => void) {
    this.#inner = inner;
    this.#tell = tell;
    this.answerMs = constants.answerMs;
    this.pathMs = constants.pathMs;
    this.canaryRetryMs = constants.canaryRetryMs;
    this.learner = inner.learner === undefined ? undefined : this.#observe(inner.learner);
  }

  get keepsAwake(): boolean {
    return this.#inner.keepsAwake;
  }

  get warning(): string | undefined {
    return this.#inner.warning;
  }

  gapMs(now: InstantMs): number {
    return this.#inner.gapMs(now);
  }

  handleNetwork(now: InstantMs, key: string): void {
    this.#inner.handleNetwork(now, key);
  }

  handleDeath(now: InstantMs, gapMs: number): void {
    this.#inner.handleDeath(now, gapMs);
    this.#tell({ kind: 'death', gapMs });
  }

  handleAnswer(now: InstantMs, gapMs: number): CanaryOrder | undefined {
    const order = this.#inner.handleAnswer?.(now, gapMs);
    if (order?.kind === 'open') this.#silenceMs = order.silenceMs;
    this.#tell({ kind: 'answered', gapMs });
    return order;
  }

  #observe(learner: NetworkLearner): NetworkLearner {
    const tell = this.#tell;
    const silenceMs = (): number => this.#silenceMs;
    return {
      get knowledge() {
        return learner.knowledge;
      },
      restore: (knowledge) => learner.restore(knowledge),
      isLearned: (key) => learner.isLearned(key),
      handleHint: (key, hintMs) => learner.handleHint(key, hintMs),
      handleOpened: (now) => learner.handleOpened(now),
      handleLook: (now: InstantMs, look: Omit<CanaryLook, 'isMainWell'>) => {
        const verdict = learner.handleLook(now, look);
        tell({ kind: 'probe', silenceMs: silenceMs(), verdict });
        return verdict;
      },
      dropCanary: () => learner.dropCanary(),
      handleServer: (takesCanaries) => learner.handleServer(takesCanaries),
    };
  }
}

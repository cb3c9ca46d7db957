/** One timer for a machine, however often its next deadline changes. */
import type { InstantMs } from '@wakeline/core/base';

/** `setTimeout` takes no more; a later deadline is looked at again then. */
const TIMER_MS_MAX = 0x7fff_ffff;

export class DeadlineTimer {
  readonly #onDue: () => void;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;

  /** `onDue` may be called early: the machine says itself what is due. */
  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** Set anew only when the deadline, monotonic ms, is earlier than the one waited for. */
  arm(now: InstantMs, deadlineMs: number): void {
    if (deadlineMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = deadlineMs;
    const delayMs = Math.min(Math.max(1, Math.ceil(deadlineMs - now.monotonic)), TIMER_MS_MAX);
    this.#timer = setTimeout(() => {
      this.#dueMs = Infinity;
      this.#onDue();
    }, delayMs);
  }

  /** For good: nothing is waited for any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#dueMs = -Infinity;
  }
}

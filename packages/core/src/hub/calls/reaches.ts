/** Requests within dialogs for instances that are not there: they are woken, and the request waits for them a while. */
import { DeadlineHeap } from '../../base/deadline-heap.js';
import { toHex } from '../../base/hex.js';
import { SECOND_MS } from '../../base/time.js';
import type { Aor, CallCommand } from '../../domain/call.js';
import type { HubCore } from '../hub-core.js';
import { targetOf } from './bindings.js';
import type { Bindings } from './bindings.js';
import type { InstanceWaker } from './instance-waker.js';

/** Longest wait, ms. */
const WAIT_MS_MAX = 20 * SECOND_MS;

/** Ms after the first wake at which the next ones are due. */
const WAKE_OFFSETS_MS = [2 * SECOND_MS, 5 * SECOND_MS, 10 * SECOND_MS] as const;

type Reach = CallCommand & { readonly kind: 'reach' };

interface Waiting {
  readonly ticket: number;
  readonly aor: Aor;
  readonly instance: string;
  /** 32 hex digits, the same for every wake. */
  readonly id: string;
  readonly beganMs: number;
  readonly dueMs: number;
  wakes: number;
}

export class Reaches {
  readonly #core: HubCore;
  readonly #bindings: Bindings;
  readonly #waker: InstanceWaker;
  readonly #waiting = new Set<Waiting>();
  readonly #timers = new DeadlineHeap<Waiting>();

  constructor(core: HubCore, bindings: Bindings, waker: InstanceWaker) {
    this.#core = core;
    this.#bindings = bindings;
    this.#waker = waker;
  }

  handle({ ticket, aor, instance, waitMs }: Reach): void {
    const core = this.#core;
    const binding = this.#bindings.find(aor, instance, core.now);
    if (binding !== undefined && binding.flow !== 0)
      return core.outbox.call({ kind: 'reached', ticket, target: targetOf(binding) });
    const isFull = this.#waiting.size >= core.limits.reachesMax;
    if (isFull || core.isDraining || !this.#waker.canWake(aor, instance))
      return core.outbox.call({ kind: 'unreached', ticket });
    const beganMs = core.now.monotonic;
    const id = toHex(core.options.random.fill(new Uint8Array(16)));
    const dueMs = beganMs + Math.min(Math.max(1, waitMs), WAIT_MS_MAX);
    const waiting: Waiting = { ticket, aor, instance, id, beganMs, dueMs, wakes: 0 };
    this.#waiting.add(waiting);
    this.#wake(waiting);
  }

  /** The instance has a flow now. */
  handleFlow(aor: Aor, instance: string): void {
    for (const waiting of this.#waiting) {
      if (waiting.aor !== aor || waiting.instance !== instance) continue;
      const binding = this.#bindings.find(aor, instance, this.#core.now);
      if (binding === undefined || binding.flow === 0) continue;
      this.#waiting.delete(waiting);
      this.#core.outbox.call({ kind: 'reached', ticket: waiting.ticket, target: targetOf(binding) });
    }
  }

  handleTimeout(): void {
    const { now, outbox } = this.#core;
    for (let due = this.#timers.takeDue(now.monotonic); due; due = this.#timers.takeDue(now.monotonic)) {
      if (!this.#waiting.has(due)) continue;
      if (due.dueMs > now.monotonic) {
        this.#wake(due);
        continue;
      }
      this.#waiting.delete(due);
      outbox.call({ kind: 'unreached', ticket: due.ticket });
    }
  }

  get nextMs(): number {
    return this.#timers.nextMs;
  }

  #wake(waiting: Waiting): void {
    const { aor, instance, id, dueMs, beganMs } = waiting;
    this.#waker.wake(aor, instance, id, dueMs);
    const offsetMs = WAKE_OFFSETS_MS.at(waiting.wakes++);
    this.#timers.add(offsetMs === undefined ? dueMs : Math.min(dueMs, beganMs + offsetMs), waiting);
  }
}

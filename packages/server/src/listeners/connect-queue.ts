/**
 * Shapes a storm of connects: so many connections each second go on to TLS and CONNECT, the others wait, unread. The
 * addresses have their turns one after the other, so that one with thousands of connects does not hold up the others.
 *
 * Where the hub is slower than that, no more go on than a second's worth is with it: what it cannot answer in time comes again, and would make it
 * slower still.
 *
 * A connection that waits costs a socket and a place here; what its peer sends stays with the peer's host. Its end is
 * seen when its turn comes.
 */
import type { Clock } from '../runtime/clock.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import { limitKey } from '@wakeline/core/base';
import type { Admission } from './gate.js';

export interface ConnectQueueOptions {
  readonly clock: Clock;
  readonly limits: Pick<RuntimeLimits, 'connectQueueMax' | 'connectTickMs' | 'connectsSavedMs'>;
  readonly connectsPerSecondMax: number;
  /** Connections whose CONNECT the hub has not answered. */
  readonly openingCount: () => number;
}

interface Waiting {
  readonly admission: Admission;
  readonly proceed: () => void;
}

export class ConnectQueue {
  /** Connections closed because too many waited; only grows. */
  refused = 0;
  readonly #options: ConnectQueueOptions;
  /** Those that wait, oldest first, by address; the address whose turn it is comes first. */
  readonly #addresses = new Map<string, Waiting[]>();
  #count = 0;
  #credit: number;
  #creditMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ConnectQueueOptions) {
    this.#options = options;
    this.#credit = this.#creditMax;
    this.#creditMs = options.clock().monotonic;
  }

  /** Connections that wait. */
  get waitingCount(): number {
    return this.#count;
  }

  /**
   * Calls `proceed` at once, or when the connection's turn comes. The socket must not be read meanwhile. Where too
   * many wait, the address that has most of them loses its newest.
   */
  enter(admission: Admission, address: string, proceed: () => void): void {
    this.#refill();
    if (this.#count === 0 && this.#hasRoom) {
      this.#credit -= 1;
      proceed();
      return;
    }
    // Who waits for us is not slow.
    admission.finishHandshake();
    const key = limitKey(address);
    const waiting = this.#addresses.get(key);
    if (waiting === undefined) this.#addresses.set(key, [{ admission, proceed }]);
    else waiting.push({ admission, proceed });
    this.#count += 1;
    if (this.#count > this.#options.limits.connectQueueMax) this.#refuseOne();
    this.#timer ??= setInterval(() => this.serve(), this.#options.limits.connectTickMs);
  }

  /** Lets those go on whose turn has come. Run each `connectTickMs` while somebody waits. */
  serve(): void {
    this.#refill();
    while (this.#hasRoom) {
      const next = this.#takeNext();
      if (next === undefined) break;
      // It was closed meanwhile, e.g. by a limit: that costs nothing.
      if (next.admission.socket.destroyed) continue;
      this.#credit -= 1;
      next.admission.beginHandshake();
      next.proceed();
    }
    if (this.#count === 0) this.stop();
  }

  /** Closes those that wait. */
  close(): void {
    for (let next = this.#takeNext(); next !== undefined; next = this.#takeNext()) {
      next.admission.socket.destroy();
    }
    this.stop();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get #hasRoom(): boolean {
    const { openingCount, connectsPerSecondMax } = this.#options;
    return this.#credit >= 1 && openingCount() < connectsPerSecondMax;
  }

  /** Takes the oldest of the address whose turn it is; its next one waits until all others had theirs. */
  #takeNext(): Waiting | undefined {
    const [first] = this.#addresses;
    if (first === undefined) return undefined;
    const [key, waiting] = first;
    const next = waiting.shift();
    this.#addresses.delete(key);
    if (waiting.length > 0) this.#addresses.set(key, waiting);
    this.#count -= 1;
    return next;
  }

  #refuseOne(): void {
    let longest: Waiting[] = [];
    let longestKey = '';
    for (const [key, waiting] of this.#addresses) {
      if (waiting.length <= longest.length) continue;
      longest = waiting;
      longestKey = key;
    }
    const newest = longest.pop();
    if (longest.length === 0) this.#addresses.delete(longestKey);
    this.#count -= 1;
    this.refused += 1;
    newest?.admission.socket.destroy();
  }

  get #creditMax(): number {
    return Math.max(1, (this.#options.connectsPerSecondMax * this.#options.limits.connectsSavedMs) / 1_000);
  }

  #refill(): void {
    const nowMs = this.#options.clock().monotonic;
    const earned = ((nowMs - this.#creditMs) / 1_000) * this.#options.connectsPerSecondMax;
    this.#credit = Math.min(this.#creditMax, this.#credit + earned);
    this.#creditMs = nowMs;
  }
}

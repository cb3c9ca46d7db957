/**
 * The keep-alive handler: a moment before its timeout, picked by the box, at which the program is woken to say
 * that it lives; and the deadline by which it must be done. Pure; the box machine asks it for its next moment.
 */
import { limits } from './limits.js';
import type { Prng } from './prng.js';

/** One handler slot; setting it again replaces it. */
export class KeepaliveHandler {
  readonly #prng: Prng;
  readonly #handlerMs: number;
  #timeoutMs: number | undefined;
  #dueAt = Infinity;
  #deadlineAt = Infinity;

  constructor(prng: Prng, handlerMs: number = limits.handlerMsMax) {
    this.#prng = prng;
    this.#handlerMs = handlerMs;
  }

  /** Milliseconds of the timeout that is set; undefined: none. */
  get timeoutMs(): number | undefined {
    return this.#timeoutMs;
  }

  /** Whether a program that must say `done` is in its handler. */
  get isRunning(): boolean {
    return this.#deadlineAt !== Infinity;
  }

  set(now: number, timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
    this.#pick(now);
  }

  /** Also ends a run: the program that ran it is gone, or has withdrawn it. */
  clear(): void {
    this.#timeoutMs = undefined;
    this.#dueAt = Infinity;
    this.#deadlineAt = Infinity;
  }

  /** The next moment at which `due` or `isOverrun` may become true; Infinity: never. */
  nextTimeoutMs(): number {
    return Math.min(this.#dueAt, this.#deadlineAt);
  }

  isDue(now: number): boolean {
    return now >= this.#dueAt;
  }

  isOverrun(now: number): boolean {
    return now >= this.#deadlineAt;
  }

  /** The box has begun to wake the program for it: the next run is picked from here. */
  handleFired(now: number): void {
    this.#pick(now);
  }

  /** The program runs its handler and has to say `done`; returns the time it has, ms. */
  handleRun(now: number): number {
    this.#deadlineAt = now + this.#handlerMs;
    return this.#handlerMs;
  }

  /** The program is done. */
  handleDone(): void {
    this.#deadlineAt = Infinity;
  }

  #pick(now: number): void {
    if (this.#timeoutMs === undefined) return;
    const share =
      limits.handlerShareMin + (limits.handlerShareMax - limits.handlerShareMin) * this.#prng.next();
    this.#dueAt = now + Math.floor(this.#timeoutMs * share);
  }
}

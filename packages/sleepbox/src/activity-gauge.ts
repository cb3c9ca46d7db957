/**
 * Judges by a program's own activity whether it may be in the middle of an answer, where the watcher cannot count
 * bytes. Says nothing when the watcher can. Pure.
 */
import { limits } from './limits.js';
import type { SocketSnapshot } from './sockets.js';

export class ActivityGauge {
  #before: number | undefined;
  #settlingSince: number | undefined;
  #isExcused = false;

  handleLaunch(): void {
    this.#before = undefined;
  }

  handleWindow(): void {
    this.#settlingSince = undefined;
  }

  /** The program fell asleep. */
  handleAsleep(): void {
    this.#isExcused = false;
  }

  /** A look at the awake program, after `isBusy` has been asked. */
  handleLook(snapshot: SocketSnapshot): void {
    this.#before = snapshot.activity;
  }

  /** The window is over and the program has run since the look before; true for a limited time only. */
  isBusy(now: number, { activity }: SocketSnapshot): boolean {
    if (activity === undefined) return false;
    this.#settlingSince ??= now;
    if (now - this.#settlingSince >= limits.settleMsMax) return false;
    return activity !== this.#before || this.#settlingSince === now;
  }

  /**
   * It ran between the last look and the freeze, so it may have read what nobody saw. Being frozen is one turn for each
   * process. True once until it sleeps, or a program with a fast timer would never sleep.
   */
  hasRunUnseen({ activity, processes = 0 }: SocketSnapshot): boolean {
    const hasRun = activity !== undefined && activity > (this.#before ?? activity) + processes;
    if (!hasRun || this.#isExcused) return false;
    this.#isExcused = true;
    return true;
  }
}

/**
 * The timers of SIP transactions under the names that the RFCs give them, and how long they are.
 *
 * A transaction has a handful of them and no clock: it is told the time with every call, and says when it next wants to
 * be called.
 */

/** The values that all timers are made of (RFC 3261 §17.1.1.1, Table 4), ms. */
export interface TimerValues {
  /** Estimate of the round trip. */
  readonly t1Ms: number;
  /** Longest time between two retransmissions of a non-INVITE request or of an INVITE's response. */
  readonly t2Ms: number;
  /** How long a message can stay in the network. */
  readonly t4Ms: number;
}

export const defaultTimerValues: TimerValues = { t1Ms: 500, t2Ms: 4_000, t4Ms: 5_000 };

/** 64·T1: how long a transaction tries (Timers B, F, H, J, L, M). */
export function transactionMs(values: TimerValues): number {
  return 64 * values.t1Ms;
}

/**
 * RFC names, and five of ours: `100` is the time at which a server transaction says 100 by itself, `answer` the time after
 * which it says a 2xx again that nobody has acknowledged or repeated, `cancel` the time after
 * a CANCEL at which its INVITE is given up (RFC 3261 §9.1), `detached` how long a client transaction waits for a new
 * flow, `end` how long a server transaction waits for an answer of the core.
 */
export type TimerName =
  | 'A'
  | 'B'
  | 'C'
  | 'D'
  | 'E'
  | 'F'
  | 'G'
  | 'H'
  | 'I'
  | 'J'
  | 'K'
  | 'L'
  | 'M'
  | '100'
  | 'answer'
  | 'cancel'
  | 'detached'
  | 'end';

/** The running timers of one transaction. */
export class TimerSet {
  readonly #due = new Map<TimerName, number>();

  /** Starts it, or starts it anew. A timer of 0 is due at once. */
  start(name: TimerName, nowMs: number, durationMs: number): void {
    this.#due.set(name, nowMs + durationMs);
  }

  stop(...names: readonly TimerName[]): void {
    for (const name of names) this.#due.delete(name);
  }

  stopAll(): void {
    this.#due.clear();
  }

  isRunning(name: TimerName): boolean {
    return this.#due.has(name);
  }

  /** When the next one is due; Infinity: none runs. */
  get nextMs(): number {
    let next = Infinity;
    for (const due of this.#due.values()) if (due < next) next = due;
    return next;
  }

  /** Stops and returns the one that has been due longest; undefined: none is due. */
  takeDue(nowMs: number): TimerName | undefined {
    let first: TimerName | undefined;
    let firstMs = Infinity;
    for (const [name, due] of this.#due) {
      if (due > nowMs || due >= firstMs) continue;
      first = name;
      firstMs = due;
    }
    if (first !== undefined) this.#due.delete(first);
    return first;
  }
}

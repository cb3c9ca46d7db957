/** The one clock of a simulated world: things that happen at a time, the earliest first, those of one moment in their order. */
import type { InstantMs } from '../../src/base/index.js';

interface Entry {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void | Promise<void>;
}

const WALL_MS = 1_700_000_000_000;

export class SimClock {
  /** Monotonic ms. */
  nowMs = 1_000;
  /** When the wall clock was set, monotonic ms, and by how much. */
  readonly sets: { readonly atMs: number; readonly byMs: number }[] = [];
  #wallSetMs = 0;
  readonly #entries: Entry[] = [];
  #lastOrder = 0;

  get now(): InstantMs {
    return { monotonic: this.nowMs, wall: WALL_MS + this.#wallSetMs + this.nowMs };
  }

  setWall(byMs: number): void {
    this.sets.push({ atMs: this.nowMs, byMs });
    this.#wallSetMs += byMs;
  }

  after(ms: number, run: () => void | Promise<void>): void {
    const entry = { dueMs: this.nowMs + Math.max(0, ms), order: (this.#lastOrder += 1), run };
    const entries = this.#entries;
    let index = entries.length;
    entries.push(entry);
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (isBefore(entries[parent]!, entry)) break;
      entries[index] = entries[parent]!;
      index = parent;
    }
    entries[index] = entry;
  }

  /** Lets everything happen that is due until then; `isDone` ends it early. */
  async runUntil(endMs: number, isDone?: () => boolean): Promise<void> {
    while (this.#entries.length > 0 && this.#entries[0]!.dueMs <= endMs) {
      if (isDone?.() === true) return;
      const entry = this.#take();
      this.nowMs = Math.max(this.nowMs, entry.dueMs);
      const pending = entry.run();
      if (pending !== undefined) await pending;
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  #take(): Entry {
    const entries = this.#entries;
    const first = entries[0]!;
    const moved = entries.pop()!;
    if (entries.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && isBefore(entries[child + 1]!, entries[child]!)) child += 1;
      if (isBefore(moved, entries[child]!)) break;
      entries[index] = entries[child]!;
      index = child;
    }
    entries[index] = moved;
    return first;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.dueMs === other.dueMs ? one.order < other.order : one.dueMs < other.dueMs;
}

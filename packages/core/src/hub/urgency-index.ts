/**
 * Which urgencies wait in a lane, so that a full inbox finds what is to make way without looking at all of it. Exists
 * only while something waits, or waited, that is not of normal urgency.
 */
import { Urgency } from '../domain/message.js';
import { EntryFlag } from './entry-table.js';
import type { EntryTable } from './entry-table.js';
import type { Lane } from './lane.js';

export class UrgencyIndex {
  /** Waiting entries by urgency; those of normal urgency are the lane's rest. */
  readonly #counts = [0, 0, 0, 0];
  /** By urgency: up to this entry of the lane none is left that could make way. 0: not looked at. */
  readonly #passed = [0, 0, 0, 0];

  /** `isLast`: it stands behind everything else, so that nothing that was looked at comes behind it. */
  added(urgency: Urgency, isLast: boolean): void {
    if (urgency !== Urgency.normal) this.#counts[urgency]!++;
    if (!isLast) this.#passed[urgency] = 0;
  }

  /** Called before the entry leaves the lane. */
  removing(entries: EntryTable, entry: number): void {
    const urgency = entries.urgency[entry]!;
    if (urgency !== Urgency.normal) this.#counts[urgency]!--;
    const passed = this.#passed;
    for (let index = 0; index < passed.length; index++) {
      if (passed[index] === entry) passed[index] = entries.previous[entry]!;
    }
  }

  /** The oldest entry of the lowest urgency, `urgencyMax` at most, that was never sent and is synced; 0: none. */
  oldestUnsent(entries: EntryTable, lane: Lane, committed: number, urgencyMax: Urgency): number {
    for (let urgency: number = Urgency.veryLow; urgency <= urgencyMax; urgency++) {
      if (urgency !== Urgency.normal && this.#counts[urgency] === 0) continue;
      const entry = this.#oldestOf(entries, lane, committed, urgency);
      if (entry !== 0) return entry;
    }
    return 0;
  }

  #oldestOf(entries: EntryTable, lane: Lane, committed: number, urgency: number): number {
    const passed = this.#passed[urgency]!;
    let entry = passed === 0 ? lane.head : entries.next[passed]!;
    for (; entry !== 0 && entries.sequence[entry]! <= committed; entry = entries.next[entry]!) {
      if (entries.urgency[entry] === urgency && !(entries.flags[entry]! & EntryFlag.sent)) return entry;
      this.#passed[urgency] = entry;
    }
    return 0;
  }
}

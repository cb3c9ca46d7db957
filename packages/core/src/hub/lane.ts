/** One of an inbox's two queues of waiting messages, and how it is walked. */
import { EntryFlag } from './entry-table.js';
import type { EntryTable } from './entry-table.js';

/** A doubly linked list of entries in ascending sequence. */
export class Lane {
  head = 0;
  tail = 0;
  count = 0;
  /** The last entry looked at for the current flow; 0: none yet, or what was passed over is to be seen again. */
  scanned = 0;
}

/** The entry with this number; 0: there is none. Cheap near the head, where the oldest wait, and near what was sent last. */
export function findSequence(entries: EntryTable, lane: Lane, sequence: number): number {
  const { next, previous, sequence: sequences } = entries;
  let front = lane.head;
  // What is acknowledged was sent: it lies at or before the last one looked at for the flow.
  let back = lane.scanned !== 0 && sequences[lane.scanned] >= sequence ? lane.scanned : lane.tail;
  while (front !== 0 && back !== 0) {
    if (sequences[front] >= sequence) return sequences[front] === sequence ? front : 0;
    if (sequences[back] <= sequence) return sequences[back] === sequence ? back : 0;
    front = next[front];
    back = previous[back];
  }
  return 0;
}

/** The flow is gone: nothing is in flight, and everything is looked at again. Returns how many were in flight. */
export function endInflight(entries: EntryTable, lane: Lane, countMax: number): number {
  let count = 0;
  for (let entry = lane.head; entry !== 0 && count < countMax; entry = entries.next[entry]) {
    if (!(entries.flags[entry] & EntryFlag.inflight)) continue;
    entries.flags[entry] &= ~EntryFlag.inflight;
    count++;
  }
  lane.scanned = 0;
  return count;
}

/** Puts the entries into ascending sequence again. */
export function sortLane(entries: EntryTable, lane: Lane): void {
  const sorted: number[] = [];
  for (let entry = lane.head; entry !== 0; entry = entries.next[entry]) sorted.push(entry);
  sorted.sort((a, b) => entries.sequence[a] - entries.sequence[b]);
  lane.head = sorted[0];
  lane.tail = sorted[sorted.length - 1];
  for (let index = 0; index < sorted.length; index++) {
    entries.previous[sorted[index]] = index === 0 ? 0 : sorted[index - 1];
    entries.next[sorted[index]] = index + 1 === sorted.length ? 0 : sorted[index + 1];
  }
}

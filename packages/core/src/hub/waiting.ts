/**
 * An entry's place among what waits in its inbox: the lane's links, and every count and index over waiting entries.
 *
 * Must not: know chunks; an entry that is taken out here keeps its fields until its owner releases it.
 */
import { Urgency } from '../domain/message.js';
import { EntryFlag } from './entry-table.js';
import type { EntryTable } from './entry-table.js';
import type { Inbox } from './inbox.js';
import type { Lane } from './lane.js';
import { UrgencyIndex } from './urgency-index.js';

/** The lane in which an entry waits, or would. */
export function laneOf(entries: EntryTable, inbox: Inbox, entry: number): Lane {
  return entries.flags[entry] & EntryFlag.addressed ? inbox.addressed : inbox.topics;
}

/** Puts an entry, whose fields are set, behind everything in its lane. */
export function appendWaiting(entries: EntryTable, inbox: Inbox, entry: number): void {
  insertBehind(entries, inbox, entry, laneOf(entries, inbox, entry).tail);
}

/** Puts an entry back to where its number belongs. What was looked at for the current flow is looked at again. */
export function restoreWaiting(entries: EntryTable, inbox: Inbox, entry: number): void {
  const lane = laneOf(entries, inbox, entry);
  const sequence = entries.sequence[entry];
  let previous = lane.tail;
  while (previous !== 0 && entries.sequence[previous] > sequence) previous = entries.previous[previous];
  insertBehind(entries, inbox, entry, previous);
  lane.scanned = 0;
}

function insertBehind(entries: EntryTable, inbox: Inbox, entry: number, previous: number): void {
  const lane = laneOf(entries, inbox, entry);
  const next = previous === 0 ? lane.head : entries.next[previous];
  entries.previous[entry] = previous;
  entries.next[entry] = next;
  if (previous === 0) lane.head = entry;
  else entries.next[previous] = entry;
  if (next === 0) lane.tail = entry;
  else entries.previous[next] = entry;
  lane.count++;
  const urgency = entries.urgency[entry] as Urgency;
  if (lane === inbox.topics && (inbox.urgencies !== null || urgency !== Urgency.normal)) {
    (inbox.urgencies ??= new UrgencyIndex()).added(urgency, next === 0);
  }
  inbox.waitingBytes += entries.size[entry];
  const expirySeconds = entries.expirySeconds[entry];
  if (expirySeconds !== 0 && expirySeconds < inbox.earliestExpirySeconds) {
    inbox.earliestExpirySeconds = expirySeconds;
  }
}

/** Takes an entry out of its lane, and with it its replace key. */
export function removeWaiting(entries: EntryTable, inbox: Inbox, entry: number): void {
  const lane = laneOf(entries, inbox, entry);
  if (lane === inbox.topics) inbox.urgencies?.removing(entries, entry);
  const next = entries.next[entry];
  const previous = entries.previous[entry];
  if (previous === 0) lane.head = next;
  else entries.next[previous] = next;
  if (next === 0) lane.tail = previous;
  else entries.previous[next] = previous;
  if (lane.scanned === entry) lane.scanned = previous;
  lane.count--;
  const flags = entries.flags[entry];
  if (flags & EntryFlag.inflight) inbox.inflight--;
  if (flags & EntryFlag.keyed) inbox.keys?.deleteEntry(entry);
  inbox.waitingBytes -= entries.size[entry];
}

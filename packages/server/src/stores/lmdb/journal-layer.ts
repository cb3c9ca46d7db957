/**
 * What one file of the journal holds and LMDB does not have yet: the place of the last change to each key, in a hash table of numbers.
 *
 * A message that was delivered and acknowledged meanwhile is a deletion here and never reaches LMDB's trees. Keys and values stay where they lie, in the file's
 * memory: of a thousand messages a second, alive until the next checkpoint, objects would lengthen every pause of the collector. Whoever gives
 * a value away copies it.
 */
import { randomBytes } from 'node:crypto';
import { fnv1a } from '@wakeline/core/base';
import type { StoreChange, StoreRange, Table } from '@wakeline/core/ports';
import { tables } from '@wakeline/core/ports';
import { roomForEntry } from './environment.js';
import {
  isDeletion,
  keyBytesAt,
  keyEnd,
  keyPrefixAt,
  keyStart,
  keyTextAt,
  numberOf,
  tableNumberAt,
  valueAt,
  valueLengthAt,
} from './journal-changes.js';
import type { JournalSink } from './journal-file.js';

/** A value, or that the key was deleted. */
export type LayerValue = Uint8Array | 'deleted';

/** Slots of an empty table, a power of two; there are always twice as many as entries. */
const SLOTS_MIN = 1_024;

/** Peers choose keys (topics): without this number they do not know which ones collide. */
const hashSeed = randomBytes(4).readInt32LE();

export class JournalLayer implements JournalSink {
  /** Room that LMDB may need for it. */
  roomBytes = 0;
  #count = 0;
  /** By table. */
  readonly #counts = new Uint32Array(tables.length);
  /** Places of changes, plus one; 0: free. A key lies at its hash or in the first free slot behind. */
  #slots = new Int32Array(SLOTS_MIN);
  #memory: Buffer = Buffer.alloc(0);

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  take(memory: Buffer, at: number): void {
    this.#memory = memory;
    const table = tableNumberAt(memory, at);
    const slot = this.#find(table, memory, keyStart(at), keyEnd(memory, at));
    const before = this.#slots[slot]! - 1;
    this.#slots[slot] = at + 1;
    this.roomBytes += this.#roomOf(at);
    if (before >= 0) {
      this.roomBytes -= this.#roomOf(before);
      return;
    }
    this.#counts[table]!++;
    if (++this.#count > this.#slots.length / 2) this.#grow();
  }

  get(table: Table, key: Uint8Array): LayerValue | undefined {
    const at = this.#slots[this.#find(numberOf(table), key, 0, key.length)]! - 1;
    return at < 0 ? undefined : (valueAt(this.#memory, at) ?? 'deleted');
  }

  has(table: Table): boolean {
    return this.#counts[numberOf(table)]! > 0;
  }

  /** The changes to keys in a range, in no order: the key as text (journal-changes.ts) and the value; undefined: it was deleted. */
  *entriesIn(
    table: Table,
    { from, to }: StoreRange,
  ): Generator<readonly [key: string, value: Uint8Array | undefined]> {
    const number = numberOf(table);
    for (const place of this.#slots) {
      const at = place - 1;
      if (at < 0 || tableNumberAt(this.#memory, at) !== number) continue;
      if (from !== undefined && this.#compareKey(at, from) < 0) continue;
      if (to !== undefined && this.#compareKey(at, to) >= 0) continue;
      yield [keyTextAt(this.#memory, at), valueAt(this.#memory, at)];
    }
  }

  /** Everything, sorted within its table: neighbours share LMDB's pages. */
  *changes(): Generator<StoreChange> {
    for (const [table, count] of this.#counts.entries()) {
      if (count === 0) continue;
      for (const at of this.#sortedPlaces(table, count)) yield this.#changeAt(at);
    }
  }

  clear(): void {
    const isRoomy = this.#slots.length > Math.max(SLOTS_MIN, 16 * this.#count);
    if (isRoomy) this.#slots = new Int32Array(this.#slots.length / 2);
    else this.#slots.fill(0);
    this.#counts.fill(0);
    this.roomBytes = 0;
    this.#count = 0;
  }

  /** The slot of a key, or the free one where it belongs. */
  #find(table: number, bytes: Uint8Array, start: number, end: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashOf(table, bytes, start, end) & mask;
    while (slots[slot] !== 0 && !this.#isKey(slots[slot]! - 1, table, bytes, start, end))
      slot = (slot + 1) & mask;
    return slot;
  }

  #isKey(at: number, table: number, bytes: Uint8Array, start: number, end: number): boolean {
    const memory = this.#memory;
    const own = keyStart(at);
    if (tableNumberAt(memory, at) !== table || keyEnd(memory, at) - own !== end - start) return false;
    for (let index = end - 1; index >= start; index--)
      if (memory[own + index - start] !== bytes[index]) return false;
    return true;
  }

  #grow(): void {
    const places = this.#slots;
    this.#slots = new Int32Array(2 * places.length);
    for (const place of places) {
      if (place === 0) continue;
      const at = place - 1;
      const memory = this.#memory;
      this.#slots[this.#find(tableNumberAt(memory, at), memory, keyStart(at), keyEnd(memory, at))] = place;
    }
  }

  #compareKey(at: number, key: Uint8Array): number {
    return this.#memory.compare(key, 0, key.length, keyStart(at), keyEnd(this.#memory, at));
  }

  /** In one step of the event loop, so by numbers: most keys are no longer than what one holds. */
  #sortedPlaces(table: number, count: number): number[] {
    const memory = this.#memory;
    const places = new Int32Array(count);
    const prefixes = new Float64Array(count);
    let index = 0;
    for (const place of this.#slots) {
      if (place === 0 || tableNumberAt(memory, place - 1) !== table) continue;
      places[index] = place - 1;
      prefixes[index++] = keyPrefixAt(memory, place - 1);
    }
    const order = Array.from(places.keys());
    order.sort((a, b) => prefixes[a]! - prefixes[b]! || this.#compareKeys(places[a]!, places[b]!));
    return order.map((sorted) => places[sorted]!);
  }

  #compareKeys(one: number, other: number): number {
    const memory = this.#memory;
    return memory.compare(memory, keyStart(other), keyEnd(memory, other), keyStart(one), keyEnd(memory, one));
  }

  #changeAt(at: number): StoreChange {
    const memory = this.#memory;
    return {
      table: tables[tableNumberAt(memory, at)]!,
      key: keyBytesAt(memory, at),
      value: valueAt(memory, at),
    };
  }

  #roomOf(at: number): number {
    const memory = this.#memory;
    if (isDeletion(memory, at)) return 0;
    return roomForEntry(keyEnd(memory, at) - keyStart(at), valueLengthAt(memory, at));
  }
}

/** FNV-1a, mixed at the end so that every bit of the bytes concerns every bit of it. */
function hashOf(table: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = fnv1a(bytes, start, end, hashSeed ^ table);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/**
 * One ordered table in memory: entries sorted by key, in blocks of bounded size.
 *
 * A single sorted array would make every insertion in the middle move all that follows; with blocks it moves at
 * most one block, so that simulations with hundreds of thousands of rows stay linear in practice.
 */
import type { StoreEntry, StoreRange } from '../ports/index.js';

/** Entries of a block before it is split in two: small enough that a splice is cheap, large enough to be few. */
const BLOCK_ENTRIES_MAX = 512;

/** Orders as unsigned bytes, a prefix first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Keeps the arrays it is given: copying is up to the caller. */
export class SortedTable {
  /** Never holds an empty block. */
  #blocks: StoreEntry[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const block = this.#blocks[this.#blockOf(key)];
    if (block === undefined) return undefined;
    const entry = block[lowerBound(block, key)];
    return entry !== undefined && compareBytes(entry.key, key) === 0 ? entry.value : undefined;
  }

  put(entry: StoreEntry): void {
    const last = this.#blocks.at(-1);
    if (last === undefined) {
      this.#blocks.push([entry]);
      this.#size++;
      return;
    }
    // The log only ever grows at its end.
    if (compareBytes(entry.key, last.at(-1)!.key) > 0) {
      if (last.length < BLOCK_ENTRIES_MAX) last.push(entry);
      else this.#blocks.push([entry]);
      this.#size++;
      return;
    }
    const blockIndex = this.#blockOf(entry.key);
    const block = this.#blocks[blockIndex]!;
    const index = lowerBound(block, entry.key);
    const there = block[index];
    if (there !== undefined && compareBytes(there.key, entry.key) === 0) {
      block[index] = entry;
      return;
    }
    block.splice(index, 0, entry);
    this.#size++;
    if (block.length > BLOCK_ENTRIES_MAX) {
      this.#blocks.splice(blockIndex + 1, 0, block.splice(block.length >> 1));
    }
  }

  delete(key: Uint8Array): void {
    const blockIndex = this.#blockOf(key);
    const block = this.#blocks[blockIndex];
    if (block === undefined) return;
    const index = lowerBound(block, key);
    const there = block[index];
    if (there === undefined || compareBytes(there.key, key) !== 0) return;
    block.splice(index, 1);
    this.#size--;
    if (block.length === 0) this.#blocks.splice(blockIndex, 1);
  }

  *scan(range: StoreRange): Generator<StoreEntry> {
    const { from, to, reverse = false, limit = Infinity } = range;
    let left = limit;
    if (left <= 0 || this.#blocks.length === 0) return;
    if (reverse) {
      let blockIndex = to === undefined ? this.#blocks.length - 1 : this.#blockOf(to);
      let index =
        to === undefined ? this.#blocks[blockIndex]!.length : lowerBound(this.#blocks[blockIndex]!, to);
      for (; blockIndex >= 0; index = this.#blocks[--blockIndex]?.length ?? 0) {
        const block = this.#blocks[blockIndex]!;
        for (index--; index >= 0; index--) {
          const entry = block[index]!;
          if (from !== undefined && compareBytes(entry.key, from) < 0) return;
          yield entry;
          if (--left <= 0) return;
        }
      }
      return;
    }
    let blockIndex = from === undefined ? 0 : this.#blockOf(from);
    let index = from === undefined ? 0 : lowerBound(this.#blocks[blockIndex]!, from);
    for (; blockIndex < this.#blocks.length; blockIndex++, index = 0) {
      const block = this.#blocks[blockIndex]!;
      for (; index < block.length; index++) {
        const entry = block[index]!;
        if (to !== undefined && compareBytes(entry.key, to) >= 0) return;
        yield entry;
        if (--left <= 0) return;
      }
    }
  }

  /** Shares the entries, which are never changed in place, but not the blocks. */
  clone(): SortedTable {
    const copy = new SortedTable();
    copy.#blocks = this.#blocks.map((block) => block.slice());
    copy.#size = this.#size;
    return copy;
  }

  /** The last block whose first key is not beyond `key`, or 0. */
  #blockOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.#blocks[middle]![0]!.key, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** Index of the first entry whose key is not before `key`. */
function lowerBound(block: readonly StoreEntry[], key: Uint8Array): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(block[middle]!.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * What one file of the journal holds and LMDB does not have yet, in memory: the last change to each key.
 *
 * A message that was delivered and acknowledged meanwhile is a deletion here and never reaches LMDB's trees.
 * Values lie in the file's memory: whoever gives one away copies it.
 */
import type { StoreChange, StoreRange, Table } from '@wakeline/core/ports';
import { tables } from '@wakeline/core/ports';
import { roomForEntry } from './environment.js';
import type { JournalSink } from './journal-file.js';

/** A value, or that the key was deleted. */
export type LayerValue = Uint8Array | 'deleted';

/** A key as text, each byte a character: texts compare as the bytes do. */
export function keyText(key: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(key, 0, key.length);
}

export function keyBytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

export class JournalLayer implements JournalSink {
  /** Room that LMDB may need for it. */
  roomBytes = 0;
  #count = 0;
  readonly #tables = Object.fromEntries(tables.map((table) => [table, new Map()])) as unknown as Readonly<
    Record<Table, Map<string, LayerValue>>
  >;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  take({ table, key, value }: StoreChange): void {
    const entries = this.#tables[table];
    const text = keyText(key);
    const before = entries.get(text);
    if (before === undefined) this.#count++;
    else this.roomBytes -= roomOf(text, before);
    const after = value ?? 'deleted';
    this.roomBytes += roomOf(text, after);
    entries.set(text, after);
  }

  get(table: Table, text: string): LayerValue | undefined {
    return this.#tables[table].get(text);
  }

  has(table: Table): boolean {
    return this.#tables[table].size > 0;
  }

  /** The entries in a range, in no order. */
  *entriesIn(table: Table, { from, to }: StoreRange): Generator<readonly [string, LayerValue]> {
    const first = from === undefined ? '' : keyText(from);
    const end = to === undefined ? undefined : keyText(to);
    for (const entry of this.#tables[table])
      if (entry[0] >= first && (end === undefined || entry[0] < end)) yield entry;
  }

  /** Everything, sorted within its table: neighbours share LMDB's pages. */
  *changes(): Generator<StoreChange> {
    for (const table of tables) {
      const texts = [...this.#tables[table].keys()].sort(compareTexts);
      for (const text of texts) {
        const value = this.#tables[table].get(text)!;
        yield { table, key: keyBytes(text), value: value === 'deleted' ? undefined : value };
      }
    }
  }

  clear(): void {
    for (const table of tables) this.#tables[table].clear();
    this.roomBytes = 0;
    this.#count = 0;
  }
}

/** By unit, not by language. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function roomOf(text: string, value: LayerValue): number {
  return value === 'deleted' ? 0 : roomForEntry(text.length, value.length);
}

/**
 * The journal: a batch is durable once it stands here, by one synced write; LMDB gets it later, with others.
 *
 * Two files take turns. One takes batches; the other is either free or *sealed*: its changes are being brought to LMDB. When LMDB has them, durably and with
 * the generation that they came from, the file is free for a later generation. What neither file's changes have reached in LMDB yet is answered from
 * memory: reads see the journal first.
 *
 * After a crash the files are read back: generations above the one that LMDB names as applied are brought to it. Doing that twice is harmless, as long as
 * it is done from there to the end, which is why nothing else may write to LMDB while anything is unapplied.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, WakelineError } from '@wakeline/core/base';
import type { StoreChange, StoreEntry, StoreRange, Table } from '@wakeline/core/ports';
import { JOURNAL_FILES, syncDirectory } from './data-directory.js';
import { keyText } from './journal-changes.js';
import { JournalFile } from './journal-file.js';
import type { JournalEnd } from './journal-file.js';
import { JournalLayer, type LayerValue } from './journal-layer.js';

interface Side {
  readonly file: JournalFile;
  readonly layer: JournalLayer;
}

/** What is to be brought to LMDB. */
export interface Sealed {
  readonly generation: number;
  readonly layer: JournalLayer;
}

/** Makes both files, empty: durable when this resolves. */
export async function createJournal(directory: string): Promise<void> {
  for (const name of JOURNAL_FILES) await JournalFile.create(join(directory, name));
  await syncDirectory(directory);
}

export async function removeJournal(directory: string): Promise<void> {
  for (const name of JOURNAL_FILES) await rm(join(directory, name), { force: true });
}

export class Journal {
  #active: Side;
  #other: Side;
  #isSealed: boolean;

  private constructor(active: Side, other: Side, isSealed: boolean) {
    this.#active = active;
    this.#other = other;
    this.#isSealed = isSealed;
  }

  /**
   * Reads both files. `appliedGeneration`: what LMDB has of them. Rejects with STORE_CORRUPT when a file or a generation in between is missing, or
   * one is damaged in a way that no crash leaves behind.
   */
  static async open(directory: string, appliedGeneration: number, fileBytesMax: number): Promise<Journal> {
    const opened = await Promise.allSettled(
      JOURNAL_FILES.map((name) => openSide(join(directory, name), appliedGeneration, fileBytesMax)),
    );
    const sides = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    try {
      for (const one of opened) if (one.status === 'rejected') throw one.reason;
      const [older, newer] = sides.sort((a, b) => a.file.generation - b.file.generation) as [Side, Side];
      sides.forEach(({ file }) => {
        checkWhole(file, appliedGeneration);
        if (file.generation <= appliedGeneration) file.begin(0, undefined);
      });
      const unapplied = sides.filter(({ layer }) => !layer.isEmpty);
      unapplied.forEach(({ file }, index) => {
        if (file.generation !== appliedGeneration + 1 + index)
          throw corruptError(
            directory,
            `goes on with part ${file.generation}, but part ${appliedGeneration + 1 + index} is missing`,
          );
      });
      const { previousEnd } = newer.file;
      const isContinued = previousEnd !== undefined && !older.layer.isEmpty;
      if (isContinued && !isSameEnd(previousEnd, older.file.end))
        throw corruptError(older.file.path, 'does not end where the next part of the journal says');
      if (newer.layer.isEmpty) newer.file.begin(appliedGeneration + 1 + unapplied.length, endOf(older));
      return new Journal(newer, older, !older.layer.isEmpty);
    } catch (error) {
      for (const { file } of sides) await file.close();
      throw error;
    }
  }

  /** Nothing here that LMDB does not have. */
  get isEmpty(): boolean {
    return this.#active.layer.isEmpty && !this.#isSealed;
  }

  /** Whether {@link seal} has given something that is not released yet. */
  get isSealed(): boolean {
    return this.#isSealed;
  }

  /** Room that LMDB may need for what is here. */
  get roomBytes(): number {
    return this.#active.layer.roomBytes + (this.#isSealed ? this.#other.layer.roomBytes : 0);
  }

  /** Resolves when synced; with false when there is no room until {@link seal}. Rejects with the system's error. One call at a time. */
  append(changes: readonly StoreChange[]): Promise<boolean> {
    const { file, layer } = this.#active;
    return file.append(changes, layer);
  }

  /** What is sealed. Seals what there is, unless something is sealed already; undefined: there is nothing. Not while {@link append} is under way. */
  seal(): Sealed | undefined {
    if (!this.#isSealed) {
      if (this.#active.layer.isEmpty) return undefined;
      const { generation } = this.#active.file;
      [this.#active, this.#other] = [this.#other, this.#active];
      this.#isSealed = true;
      this.#active.file.begin(generation + 1, endOf(this.#other));
    }
    return { generation: this.#other.file.generation, layer: this.#other.layer };
  }

  /** LMDB has what was sealed: its file may be written over. */
  release(): void {
    assert(this.#isSealed, 'nothing is sealed');
    this.#isSealed = false;
    this.#other.layer.clear();
  }

  /** What the journal says about a key; undefined: nothing. The bytes are the caller's. */
  get(table: Table, key: Uint8Array): LayerValue | undefined {
    if (this.isEmpty) return undefined;
    const value =
      this.#active.layer.get(table, key) ?? (this.#isSealed ? this.#other.layer.get(table, key) : undefined);
    return typeof value === 'object' ? value.slice() : value;
  }

  /** A scan of LMDB with the journal's changes on top, as of now. `stored` gives LMDB's entries from it, whatever their number. */
  scan(
    table: Table,
    range: StoreRange,
    stored: (range: StoreRange) => Iterable<StoreEntry>,
  ): Iterable<StoreEntry> {
    const layers = [this.#isSealed ? this.#other.layer : undefined, this.#active.layer].filter(
      (layer): layer is JournalLayer => layer?.has(table) === true,
    );
    if (layers.length === 0) return stored(range);
    const changes = new Map<string, Uint8Array | undefined>();
    for (const layer of layers)
      for (const [key, value] of layer.entriesIn(table, range)) changes.set(key, value);
    if (changes.size === 0) return stored(range);
    const own = [...changes].sort(([a], [b]) => compareTexts(a, b));
    for (const entry of own) entry[1] = entry[1]?.slice();
    if (range.reverse === true) own.reverse();
    const { limit, ...unlimited } = range;
    return merged(own, stored(unlimited), range.reverse === true, limit ?? Infinity);
  }

  async close(): Promise<void> {
    await this.#active.file.close();
    await this.#other.file.close();
  }
}

async function openSide(path: string, appliedGeneration: number, fileBytesMax: number): Promise<Side> {
  const layer = new JournalLayer();
  try {
    return { file: await JournalFile.open(path, appliedGeneration, fileBytesMax, layer), layer };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw corruptError(path, 'is missing, but its directory has been in use');
  }
}

/** Throws STORE_CORRUPT if batches that LMDB does not have lie where they cannot be read any more. */
function checkWhole(file: JournalFile, appliedGeneration: number): void {
  const { generation, path } = file;
  if (generation > appliedGeneration) {
    if (file.hasBatchesBehind(generation))
      throw corruptError(path, `is damaged at byte ${file.end.bytes}, and there is more behind`);
  } else if (generation === 0) {
    const isUsed = [1, 2].some((number) => file.hasBatchesBehind(appliedGeneration + number));
    if (isUsed) throw corruptError(path, 'is damaged in its first bytes, and there is more behind');
  }
}

/** Where a generation ended that the next one goes on from; undefined: it has no batch. */
function endOf({ file, layer }: Side): JournalEnd | undefined {
  return layer.isEmpty ? undefined : file.end;
}

function isSameEnd(one: JournalEnd, other: JournalEnd): boolean {
  return one.bytes === other.bytes && one.checksum === other.checksum;
}

/** By unit, not by language. */
function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Two sequences in one order; of one key, ours counts. */
function* merged(
  own: readonly (readonly [string, Uint8Array | undefined])[],
  stored: Iterable<StoreEntry>,
  isReverse: boolean,
  limit: number,
): Generator<StoreEntry> {
  let left = limit;
  if (left <= 0) return;
  let index = 0;
  const isDue = (text: string | undefined): boolean => {
    const next = own[index];
    if (next === undefined) return false;
    return text === undefined || (isReverse ? next[0] >= text : next[0] <= text);
  };
  const takeOwn = function* (): Generator<StoreEntry> {
    const [text, value] = own[index++]!;
    if (value === undefined) return;
    yield { key: Buffer.from(text, 'latin1'), value };
    left--;
  };
  for (const entry of stored) {
    const text = keyText(entry.key);
    while (left > 0 && isDue(text)) {
      const isSame = own[index]![0] === text;
      yield* takeOwn();
      if (isSame) break;
    }
    if (left <= 0) return;
    if (index > 0 && own[index - 1]![0] === text) continue;
    yield entry;
    if (--left === 0) return;
  }
  while (left > 0 && isDue(undefined)) yield* takeOwn();
}

function corruptError(path: string, what: string): WakelineError {
  return new WakelineError('STORE_CORRUPT', `${path} ${what}: restore a backup`);
}

/**
 * The `lmdb` package behind the few calls that the store needs, with its traps dealt with in one place.
 *
 * - `overlappingSync: false`. With the package's default a put's promise resolves before the data is synced. Without
 *   it one commit is: write the pages, `fdatasync`, write the meta page through an O_DSYNC descriptor, resolve.
 * - One transaction per {@link LmdbEnvironment.write}: the caller never has two under way, and the operations of
 *   one go into one `batch`. (`eventTurnBatching` would add whatever else happens in the turn, and wait for its end.)
 * - A failed commit rejects twice: the promise, and a second promise in the error's `commitError`, which would
 *   end the process as an unhandled rejection. It is awaited here: it carries LMDB's own error.
 * - No append flag: it made no difference to chunks (their entries are small, the bodies lie in overflow pages),
 *   and with it a key that is not the greatest is dropped without an error.
 * - LMDB grows a map that is too small by mapping the file anew, beneath readers. A large map from the start costs
 *   address space only and never moves.
 * - A file that is not LMDB's ends the process (a fault in the package's way out of a failed open), and so does
 *   reading behind the end of one cut short (SIGBUS). `checkDataFile` looks at it first.
 * - After a failed commit LMDB may refuse every later one (MDB_PANIC, when the meta page could not be written), and
 *   the package then never settles the promise. The environment must be closed and opened again.
 */
import { type Database, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb';
import { assert } from '@wakeline/core/base';
import type { StoreChange, StoreEntry, StoreRange, Table } from '@wakeline/core/ports';
import { tables } from '@wakeline/core/ports';
import { FILE_MODE } from './data-directory.js';
import { PAGE_BYTES } from './data-file.js';

type BinaryDatabase = Database<Uint8Array, Uint8Array>;
type RootBinaryDatabase = RootDatabase<Uint8Array, Uint8Array>;

/** What the package has but does not declare. */
interface Undeclared {
  readonly env: { info(): { readonly lastPageNumber: number } };
  readonly lastSize: number;
}

/** Pages of one B-tree. */
interface TreeStats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}
interface RootStats extends TreeStats {
  readonly free: TreeStats;
  readonly lastPageNumber: number;
}

/** Pages that LMDB keeps for itself at the start of the file. */
const METAS = 2;
/** Read transactions at one time: one per iterator that is held, one of the main thread, one per backup. */
const READERS_MAX = 126;
/** LMDB's own bytes of an entry in a leaf, and of its share of the branches above. */
const ENTRY_EXTRA_BYTES = 32;
/** A gigabyte of full chunks. */
const PREFETCH_KEYS_MAX = 65_536;
const APPLIED_KEY = Uint8Array.of(1);
const BINARY = { encoding: 'binary', keyEncoding: 'binary' } as const;

export class LmdbEnvironment {
  readonly #root: RootBinaryDatabase;
  readonly #databases: Readonly<Record<Table, BinaryDatabase>>;
  /** One row: the journal's generation up to which everything is here. */
  readonly #applied: BinaryDatabase;

  constructor(directory: string, mapBytesMax: number) {
    const options: RootDatabaseOptionsWithPath & { permissionsMode: number } = {
      path: directory,
      noSubdir: false,
      maxDbs: tables.length + 1,
      mapSize: mapBytesMax,
      maxReaders: READERS_MAX,
      pageSize: PAGE_BYTES,
      overlappingSync: false,
      eventTurnBatching: false,
      // Pages are zeroed before use: otherwise remains of the heap (keys, passwords) reach the disk.
      noMemInit: false,
      permissionsMode: FILE_MODE,
      ...BINARY,
    };
    this.#root = open(options);
    // One named database per table: as fast as one with a prefix in the key, and each can be looked at with
    // LMDB's own tools.
    this.#databases = Object.fromEntries(
      tables.map((table) => [table, this.#root.openDB({ name: table, ...BINARY })]),
    ) as unknown as Record<Table, BinaryDatabase>;
    this.#applied = this.#root.openDB({ name: 'applied', ...BINARY });
  }

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    return copyOf(this.#databases[table], key);
  }

  scan(
    table: Table,
    { from, to, reverse = false, limit = Infinity, isLent = false }: StoreRange,
  ): Iterable<StoreEntry> {
    if (limit <= 0) return [];
    const bounds = reverse
      ? { start: to, end: from, exclusiveStart: true, inclusiveEnd: true }
      : { start: from, end: to };
    // Keys present but undefined: without them the package would begin at a default key of its own.
    const database = this.#databases[table];
    const options = {
      ...(bounds as { start: Uint8Array; end: Uint8Array }),
      reverse,
      ...(limit === Infinity ? {} : { limit }),
    };
    return isLent ? lentEntries(database, database.getKeys(options)) : database.getRange(options);
  }

  /** Has another thread bring the first values of a table to memory, for a scan that comes soon. */
  prefetch(table: Table): void {
    const database = this.#databases[table];
    void database.prefetch([...database.getKeys({ limit: PREFETCH_KEYS_MAX })]);
  }

  /**
   * One transaction. Resolves when synced; rejects with LMDB's error. Keys and values must be valid, and values stay as they are until then.
   * `appliedGeneration`: what {@link appliedGeneration} is from then on.
   */
  async write(changes: Iterable<StoreChange>, appliedGeneration?: number): Promise<void> {
    await this.#transact(() => {
      for (const { table, key, value } of changes) {
        if (value === undefined) void this.#databases[table].remove(key);
        else void this.#databases[table].put(key, value);
      }
      if (appliedGeneration === undefined) return;
      const value = new Uint8Array(4);
      new DataView(value.buffer).setUint32(0, appliedGeneration);
      void this.#applied.put(APPLIED_KEY, value);
    });
  }

  /** The journal's generation up to which everything is here; undefined: there is no journal beside this file. */
  appliedGeneration(): number | undefined {
    const value = copyOf(this.#applied, APPLIED_KEY);
    return value === undefined ? undefined : new DataView(value.buffer).getUint32(0);
  }

  /** From now on this file is all there is. */
  async forgetJournal(): Promise<void> {
    await this.#transact(() => void this.#applied.remove(APPLIED_KEY));
  }

  async #transact(change: () => void): Promise<void> {
    try {
      await this.#root.batch(change);
    } catch (error) {
      const { commitError } = error as { commitError?: Promise<never> };
      if (commitError !== undefined) await commitError;
      throw error;
    }
  }

  /** Bytes of the data file up to the last page in use; free pages among them. */
  usedBytes(): number {
    return ((this.#root as unknown as Undeclared).env.info().lastPageNumber + 1) * PAGE_BYTES;
  }

  /** Bytes of free pages among {@link usedBytes}; a few of them only after the next commits. */
  reusableBytes(): number {
    const root = this.#root.getStats() as RootStats;
    let inUse = METAS + pagesOf(root) + pagesOf(root.free) + pagesOf(this.#applied.getStats() as TreeStats);
    for (const table of tables) inUse += pagesOf(this.#databases[table].getStats() as TreeStats);
    return Math.max(0, root.lastPageNumber + 1 - inUse) * PAGE_BYTES;
  }

  /** False when LMDB refuses to go on after a failure of the disk (MDB_PANIC). */
  isReadable(): boolean {
    try {
      this.#root.resetReadTxn();
      for (const _ of this.scan('meta', { limit: 1 }));
      return true;
    } catch {
      return false;
    }
  }

  /** A consistent copy into an existing, empty directory, while reads and writes go on. */
  async copy(directory: string, isCompact: boolean): Promise<void> {
    await this.#root.backup(directory, isCompact);
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

/** The value, in memory of its own. */
function copyOf(database: BinaryDatabase, key: Uint8Array): Uint8Array | undefined {
  const shared = lentValue(database, key);
  if (shared === undefined) return undefined;
  return shared.slice();
}

/** The value where the package reads all values to: valid until the next read. */
function lentValue(database: BinaryDatabase, key: Uint8Array): Uint8Array | undefined {
  const shared = database.getBinaryFast(key);
  if (shared === undefined) return undefined;
  // Its own length is not reliable, and a `slice` of a Buffer would be no copy.
  const { lastSize } = database as unknown as Undeclared;
  return new Uint8Array(shared.buffer, shared.byteOffset, lastSize);
}

/** Entries with lent values: a value of its own for each of a whole log would cost more than all the rest of reading it. */
function* lentEntries(database: BinaryDatabase, keys: Iterable<Uint8Array>): Generator<StoreEntry> {
  for (const key of keys) {
    const value = lentValue(database, key);
    assert(value !== undefined, 'a key is there as long as its scan');
    yield { key, value };
  }
}

/** Bytes of pages that an entry may take, generously. */
export function roomForEntry(keyLength: number, valueLength: number): number {
  // A larger value has pages of its own; smaller ones share pages that may be half full.
  if (valueLength > PAGE_BYTES / 4) return valueLength + PAGE_BYTES;
  return 2 * (keyLength + valueLength + ENTRY_EXTRA_BYTES);
}

function pagesOf(tree: TreeStats): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
}

/**
 * The embedded store: a journal and LMDB in a data directory.
 *
 * A commit is one synced write to the {@link Journal}. From there it is brought to LMDB with others, once a second or when the journal's file is full
 * (a *checkpoint*); until then it is read from the journal's memory. A batch that no file of the journal can take goes to LMDB directly.
 *
 * It adds what the port promises beyond both: commits one after the other, failing
 * together; a lock on the directory; a reserve for a full disk; backups.
 */
import { stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { assert, limits, WakelineError } from '@wakeline/core/base';
import type { Store, StoreChange, StoreEntry, StoreRange, Table } from '@wakeline/core/ports';
import { writeBackup } from './backup.js';
import {
  checkFormat,
  checkReaderFile,
  createDataDirectory,
  DATA_FILE,
  explainedError,
  finishFirstStart,
  syncDirectory,
} from './data-directory.js';
import { applySealed, openJournal } from './checkpoint.js';
import { checkDataFile, PAGE_BYTES } from './data-file.js';
import { DirectoryLock } from './directory-lock.js';
import { LmdbEnvironment, roomForEntry } from './environment.js';
import { Headroom } from './headroom.js';
import type { Journal } from './journal.js';

/** Largest data file by default: only address space until it is used. */
const MAP_BYTES_MAX = 256 * 1024 ** 3;
/** Enough for many thousand commits that acknowledge and delete: each needs some ten pages and frees as many. */
const RESERVE_BYTES = 16 * 1024 * 1024;
/** Pages that a commit may need beyond its values: the path to each table's leaf and LMDB's list of free pages. */
const COMMIT_EXTRA_BYTES = 64 * PAGE_BYTES;
/** What was committed is brought to LMDB within this time: long enough for most messages to be delivered and gone before. */
const CHECKPOINT_MS = 1_000;
/** Between two looks whether a backup's copy has begun: a few at most. */
const COPY_POLL_MS = 2;
/** Tables with bodies: commits that add to them must leave the reserve alone. */
const BODY_TABLES: ReadonlySet<Table> = new Set<Table>(['log', 'retained']);

export interface LmdbStoreOptions {
  /** Created, for the owner alone, if it is not there. */
  readonly directory: string;
  /** Largest size of the data file, bytes. Beyond it commits that add messages are refused. Default: 256 GiB. */
  readonly mapBytesMax?: number;
  /** The process to end when the directory is wanted by another; told to whoever finds it locked. Default: this one. */
  readonly ownerPid?: number;
  /** Allocated inside the data file for commits that delete and acknowledge, bytes. Default: 16 MiB. */
  readonly reserveBytes?: number;
  /** Within this time LMDB gets what was committed, ms. Default: 1,000. */
  readonly checkpointMs?: number;
  /** Largest size of each of the journal's two files, bytes. Default: 16 MiB. */
  readonly journalFileBytesMax?: number;
  /** LMDB did not take what the journal has. Nothing is lost, and it is tried again; commits fail once the journal is full. */
  readonly onCheckpointFailed?: (error: unknown) => void;
}

export interface LmdbStats {
  /** Size of the data file. It never shrinks; a compact backup does not have its free pages. */
  readonly dataBytes: number;
  /** Of those, up to the last page in use. */
  readonly usedBytes: number;
  /** Of those again, in pages that deleted entries have left and that will be used again. */
  readonly reusableBytes: number;
  /** Free on the file system, for this user. */
  readonly freeBytes: number;
}

/** How a backup is written. */
export interface BackupOptions {
  /** Leaves out free pages: smaller and slower. Default: false. */
  readonly isCompact?: boolean;
}

/** What a commit takes of the data file. */
interface Space {
  /** It adds bodies. */
  readonly isGrowing: boolean;
  readonly roomBytes: number;
}

interface WaitingCommit {
  readonly changes: readonly StoreChange[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Opens the store, creating it in an empty directory. Rejects with STORE_LOCKED, STORE_FORMAT, STORE_CORRUPT or
 * STORE_UNUSABLE.
 */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<LmdbStore> {
  const directory = resolve(options.directory);
  try {
    await createDataDirectory(directory);
    return await openIn(directory, options);
  } catch (error) {
    throw explainedError(directory, error);
  }
}

async function openIn(directory: string, options: LmdbStoreOptions): Promise<LmdbStore> {
  const lock = await DirectoryLock.acquire(directory, options.ownerPid);
  let environment: LmdbEnvironment | undefined;
  let journal: Journal | undefined;
  try {
    const isFirstStart = await checkFormat(directory);
    if (!isFirstStart) await checkDataFile(join(directory, DATA_FILE));
    await checkReaderFile(directory);
    const mapBytesMax = options.mapBytesMax ?? MAP_BYTES_MAX;
    environment = new LmdbEnvironment(directory, mapBytesMax);
    // Whoever opens a store reads its log first.
    environment.prefetch('log');
    journal = await openJournal(directory, environment, options.journalFileBytesMax);
    // The names of LMDB's files must survive loss of power as well as what is in them.
    await syncDirectory(directory);
    if (isFirstStart) await finishFirstStart(directory);
    const headroom = await Headroom.open(join(directory, DATA_FILE));
    const reserveBytes = options.reserveBytes ?? RESERVE_BYTES;
    // On a full disk the store opens all the same: what is in it can then be read and deleted.
    await headroom.ensure(environment.usedBytes(), reserveBytes);
    const { checkpointMs = CHECKPOINT_MS, onCheckpointFailed = () => undefined } = options;
    return new LmdbStore({
      directory,
      mapBytesMax,
      reserveBytes,
      lock,
      environment,
      journal,
      headroom,
      checkpointMs,
      onCheckpointFailed,
    });
  } catch (error) {
    await journal?.close();
    await environment?.close();
    await lock.release();
    throw error;
  }
}

/** What an open store stands on. */
interface LmdbStoreParts {
  readonly directory: string;
  readonly mapBytesMax: number;
  readonly reserveBytes: number;
  readonly lock: DirectoryLock;
  readonly environment: LmdbEnvironment;
  readonly journal: Journal;
  readonly headroom: Headroom;
  readonly checkpointMs: number;
  readonly onCheckpointFailed: (error: unknown) => void;
}

/** Made by {@link openLmdbStore}. */
export class LmdbStore implements Store {
  readonly #parts: LmdbStoreParts;
  #environment: LmdbEnvironment;
  #waiting: WaitingCommit[] = [];
  #running: Promise<void> | undefined;
  /** What is to be done when no commit is under way. */
  #between: (() => void)[] = [];
  #checkpointing: Promise<void> | undefined;
  #checkpointTimer: NodeJS.Timeout | undefined;
  /** Known to lie ready behind LMDB's last page. */
  #roomBytes = 0;
  readonly #backups = new Set<Promise<void>>();
  /** What LMDB copies just now for a backup. */
  readonly #copies = new Set<Promise<void>>();
  /** The end of what {@link #inTurn} does. */
  #turn: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #isClosed = false;

  constructor(parts: LmdbStoreParts) {
    this.#parts = parts;
    this.#environment = parts.environment;
  }

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    if (this.#isClosed) throw closedError();
    const unapplied = this.#parts.journal.get(table, key);
    if (unapplied === undefined) return this.#environment.get(table, key);
    return unapplied === 'deleted' ? undefined : unapplied;
  }

  scan(table: Table, range: StoreRange = {}): Iterable<StoreEntry> {
    if (this.#isClosed) throw closedError();
    return this.#parts.journal.scan(table, range, (stored) => this.#environment.scan(table, stored));
  }

  /** The way of every message: here and in what it calls, a promise is made only where there is something to wait for. */
  commit(changes: readonly StoreChange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw closedError();
      for (const { key } of changes) {
        assert(
          key.length >= 1 && key.length <= limits.storeKeyBytesMax,
          'a store key has 1 … storeKeyBytesMax bytes',
        );
      }
      // The caller may reuse its keys at once.
      this.#waiting.push({ changes: withOwnKeys(changes), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Sizes, for health and metrics, with everything committed so far in the data file. */
  async stats(): Promise<LmdbStats> {
    if (this.#closing !== undefined) throw closedError();
    await this.#settle();
    const dataBytes = this.#parts.headroom.fileBytes();
    const usedBytes = this.#environment.usedBytes();
    const reusableBytes = this.#environment.reusableBytes();
    return { dataBytes, usedBytes, reusableBytes, freeBytes: await this.#fileSystemFreeBytes() };
  }

  /**
   * Bytes that new messages can still take: what the hub compares with `limits.diskFloorBytes`. Besides what the
   * file system has, those are the free pages of the data file, which never shrinks: a disk that it has filled
   * takes messages again once the old ones are deleted. (Counting them costs the same however many there are.)
   */
  async freeSpace(): Promise<{ readonly freeBytes: number }> {
    const freeBytes = (await this.#fileSystemFreeBytes()) - this.#parts.journal.roomBytes;
    // A backup keeps pages from being reused until it ends.
    if (this.#isClosed || this.#backups.size > 0) return { freeBytes };
    return { freeBytes: freeBytes + this.#environment.reusableBytes() };
  }

  async #fileSystemFreeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#parts.directory);
    return bavail * bsize;
  }

  /**
   * Copies the store as of now into a directory that is new or empty, synced, while commits go on. The copy is
   * marked as restored, so that a server started on it, or on a copy of it, changes the epoch of every inbox.
   * Pages freed during the copy are not reused until it ends, so the data file may grow.
   */
  async backup(directory: string, options: BackupOptions = {}): Promise<void> {
    if (this.#closing !== undefined) throw closedError();
    const copying = writeBackup(resolve(directory), async (target) => {
      await this.#settle();
      await this.#copy(target, options.isCompact ?? false);
    });
    this.#backups.add(copying);
    try {
      await copying;
    } finally {
      this.#backups.delete(copying);
    }
  }

  /**
   * A checkpoint takes several transactions, and the moment of which the copy is must not lie between two of them: so no checkpoint is under way
   * until that moment has come. Commits go on meanwhile, in the journal.
   */
  async #copy(target: string, isCompact: boolean): Promise<void> {
    let copying: Promise<void> | undefined;
    try {
      await this.#inTurn(async () => {
        copying = this.#environment.copy(target, isCompact);
        this.#copies.add(copying);
        await copyBegun(copying, join(target, DATA_FILE));
      });
      await copying;
    } finally {
      if (copying !== undefined) this.#copies.delete(copying);
    }
  }

  /** One after the other. */
  #inTurn(act: () => Promise<void>): Promise<void> {
    const acted = this.#turn.then(act);
    this.#turn = acted.catch(() => undefined); // Told to who asked.
    return acted;
  }

  /** Works through the queue, one synced write per commit. Never rejects. */
  async #run(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        await this.#commitOne(next.changes);
        this.#waiting.shift();
        next.resolve();
      } catch (error) {
        // Those behind were made from a state that did not come about.
        for (const { reject } of this.#waiting.splice(0)) reject(error as Error);
      }
      for (const act of this.#between.splice(0)) act();
    }
    // In the same step as the last look at the queue: a commit called next must begin anew.
    this.#running = undefined;
  }

  async #commitOne(changes: readonly StoreChange[]): Promise<void> {
    if (changes.length === 0) return;
    const space = spaceOf(changes);
    const refusal = this.#hasSpace(space) ? undefined : await this.#prepareSpace(space);
    if (refusal !== undefined) throw refusal;
    try {
      if (!(await this.#parts.journal.append(changes))) await this.#turnJournal(changes);
    } catch (error) {
      throw commitError('the store could not write to its data directory', error);
    }
    this.#armCheckpoint();
  }

  /** What the journal's file has no room for. */
  async #turnJournal(changes: readonly StoreChange[]): Promise<void> {
    const { journal } = this.#parts;
    // The other one is free as soon as LMDB has what was in it.
    if (journal.isSealed) await this.#checkpoint();
    const checkpointing = this.#checkpoint();
    // Its failure is told, and met again by whoever needs the file next.
    checkpointing.catch(() => undefined);
    if (await journal.append(changes)) return;
    await checkpointing;
    await this.#writeDirectly(changes);
  }

  /** Only while the journal is empty: what is brought to LMDB later must be later. */
  async #writeDirectly(changes: readonly StoreChange[]): Promise<void> {
    try {
      await this.#environment.write(changes);
    } catch (error) {
      await this.#recover();
      throw error;
    } finally {
      this.#roomBytes = 0;
    }
  }

  /**
   * Brings to LMDB what is sealed, or else what the journal has now; takes part in the one that is under way. Not
   * while a batch is being written to the journal.
   */
  #checkpoint(): Promise<void> {
    return (this.#checkpointing ??= this.#applySealed().finally(() => (this.#checkpointing = undefined)));
  }

  async #applySealed(): Promise<void> {
    const { journal, onCheckpointFailed } = this.#parts;
    const sealed = journal.seal();
    if (sealed === undefined) return;
    try {
      await this.#inTurn(() => applySealed(this.#environment, sealed));
      journal.release();
    } catch (error) {
      onCheckpointFailed(error);
      await this.#recover();
      throw error;
    } finally {
      this.#roomBytes = 0;
    }
  }

  /** Until its checkpoint has ended the timer counts as armed. */
  #armCheckpoint(): void {
    this.#checkpointTimer ??= setTimeout(() => {
      void this.#whenIdle(() => this.#checkpoint())
        .catch(() => undefined) // Told by whoever applied.
        .finally(() => {
          this.#checkpointTimer = undefined;
          if (!this.#parts.journal.isEmpty && this.#closing === undefined) this.#armCheckpoint();
        });
    }, this.#parts.checkpointMs).unref();
  }

  /** LMDB then has everything that was committed before the call. */
  async #settle(): Promise<void> {
    // The first may be one that began before.
    await this.#whenIdle(() => this.#checkpoint());
    await this.#whenIdle(() => this.#checkpoint());
  }

  /** Begins something between two commits. */
  #whenIdle(begin: () => Promise<void>): Promise<void> {
    if (this.#running === undefined) return begin();
    return new Promise((resolve, reject) => this.#between.push(() => void begin().then(resolve, reject)));
  }

  #neededBytes({ roomBytes }: Space): number {
    return this.#parts.reserveBytes + COMMIT_EXTRA_BYTES + this.#parts.journal.roomBytes + roomBytes;
  }

  /** The reserve is known to be whole after that commit and everything that LMDB does not have yet. */
  #hasSpace(space: Space): boolean {
    return this.#neededBytes(space) <= this.#roomBytes;
  }

  /**
   * Sees to it that {@link #hasSpace}. Resolves with the refusal of what would enlarge the log when that cannot be; what only acknowledges and
   * deletes may use the reserve.
   */
  async #prepareSpace(space: Space): Promise<WakelineError | undefined> {
    const { headroom, journal, mapBytesMax } = this.#parts;
    const neededBytes = this.#neededBytes(space);
    const usedBytes = this.#environment.usedBytes();
    const isMapFull = usedBytes + neededBytes > mapBytesMax;
    const failure = isMapFull ? undefined : await headroom.ensure(usedBytes, neededBytes);
    if (!isMapFull && failure === undefined) {
      this.#roomBytes = Math.min(headroom.fileBytes(), mapBytesMax) - usedBytes;
      return undefined;
    }
    if (!space.isGrowing) return undefined;
    // No room behind the last page in use; deleted messages may have left enough before it.
    const end = isMapFull ? mapBytesMax : headroom.fileBytes();
    if (end - usedBytes + this.#environment.reusableBytes() >= neededBytes) return undefined;
    if (!journal.isEmpty) {
      // Their deletions may be in the journal.
      await this.#checkpoint();
      await this.#checkpoint();
      return this.#hasSpace(space) ? undefined : this.#prepareSpace(space);
    }
    return isMapFull
      ? commitError(`the data file has reached its limit of ${mapBytesMax} bytes (mapBytesMax)`, undefined)
      : commitError('no disk space for new messages; acknowledging and deleting go on', failure);
  }

  /** After a failed write: LMDB may have put itself out of service, reads included. Then opens it anew. */
  async #recover(): Promise<void> {
    if (this.#environment.isReadable()) return;
    // Not for whole backups: one may wait for the very checkpoint that failed.
    await Promise.allSettled(this.#copies);
    await this.#environment.close();
    this.#environment = new LmdbEnvironment(this.#parts.directory, this.#parts.mapBytesMax);
  }

  async #close(): Promise<void> {
    await this.#running;
    await Promise.allSettled(this.#backups);
    clearTimeout(this.#checkpointTimer);
    // A failure is told; the next start tries again.
    await this.#settle().catch(() => undefined);
    this.#isClosed = true;
    await this.#parts.journal.close();
    await this.#environment.close();
    await this.#parts.headroom.close();
    await this.#parts.lock.release();
  }
}

/**
 * Resolves when LMDB has decided of which moment its copy is, or when the copy has ended: it does so before it writes the first byte.
 * LMDB tells it in no other way.
 */
async function copyBegun(copying: Promise<void>, path: string): Promise<void> {
  let isEnded = false;
  const end = (): void => {
    isEnded = true;
  };
  copying.then(end, end);
  while (!isEnded && (await sizeOf(path)) === 0) await delay(COPY_POLL_MS);
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/** The same changes with keys of our own, in one piece of memory. */
function withOwnKeys(changes: readonly StoreChange[]): StoreChange[] {
  let keyBytes = 0;
  for (const { key } of changes) keyBytes += key.length;
  const memory = new Uint8Array(keyBytes);
  let offset = 0;
  return changes.map(({ table, key, value }) => {
    memory.set(key, offset);
    return { table, key: memory.subarray(offset, (offset += key.length)), value };
  });
}

/**
 * Room that a commit may take in the data file, and whether it adds bodies. Replacing and moving
 * (as many deleted as written) is not adding: compaction must go on when the disk is full.
 */
function spaceOf(changes: readonly StoreChange[]): Space {
  let balance = 0;
  let roomBytes = 0;
  for (const { table, key, value } of changes) {
    if (BODY_TABLES.has(table)) balance += value === undefined ? -1 : 1;
    if (value !== undefined) roomBytes += roomForEntry(key.length, value.length);
  }
  return { isGrowing: balance > 0, roomBytes };
}

function closedError(): WakelineError {
  return new WakelineError('STORE_CLOSED', 'the store is closed');
}

function commitError(what: string, cause: unknown): WakelineError {
  return new WakelineError('STORE_COMMIT_FAILED', what, { cause, retryable: true });
}

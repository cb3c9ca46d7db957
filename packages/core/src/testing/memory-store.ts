/**
 * The store's fake: everything in memory, with faults on demand. For tests and the lab.
 *
 * It keeps the same promises as a real adapter (`store-contract.ts`) and is stricter in one respect: it notices
 * when a value is written to while its commit is under way, which a real adapter stores silently as wrong bytes.
 */
import { assert, fnv1a, InvariantError, limits, Prng, WakelineError } from '../base/index.js';
import { tables } from '../ports/index.js';
import type { Store, StoreChange, StoreEntry, StoreRange, Table } from '../ports/index.js';
import { SortedTable } from './sorted-table.js';

interface PendingCommit {
  readonly changes: readonly StoreChange[];
  /** Of the keys and values as they were given. */
  readonly fingerprint: number | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Called before each commit takes effect; the commit, and all behind it, wait for what it returns. */
export type CommitDelay = () => Promise<void>;

export class MemoryStore implements Store {
  #tables: Readonly<Record<Table, SortedTable>>;
  #pending: PendingCommit[] = [];
  #isRunning = false;
  #isHeld = false;
  /** Commits let through while held. */
  #permits = 0;
  #wakeHeld: (() => void) | undefined;
  #delay: CommitDelay | undefined;
  #failure: Error | undefined;
  #isClosed = false;
  #isCrashed = false;
  #idleWaiters: (() => void)[] = [];
  #commitCount = 0;

  constructor() {
    this.#tables = emptyTables();
  }

  /** Commits that have not settled. */
  get pendingCommits(): number {
    return this.#pending.length;
  }

  /** Commits that took effect since this store was made. */
  get commitCount(): number {
    return this.#commitCount;
  }

  /** Entries of a table. */
  size(table: Table): number {
    return this.#tables[table].size;
  }

  get(table: Table, key: Uint8Array): Uint8Array | undefined {
    this.#assertReadable();
    return this.#tables[table].get(key)?.slice();
  }

  *scan(table: Table, range: StoreRange = {}): Generator<StoreEntry> {
    this.#assertReadable();
    for (const { key, value } of this.#tables[table].scan(range)) {
      const given = value.slice();
      yield { key: key.slice(), value: given };
      // Whoever keeps what was lent finds it spoiled.
      if (range.isLent === true) given.fill(0xa5);
    }
  }

  async commit(changes: readonly StoreChange[]): Promise<void> {
    if (this.#isClosed) throw closedError();
    for (const { key } of changes) {
      assert(
        key.length >= 1 && key.length <= limits.storeKeyBytesMax,
        'a store key has 1 … storeKeyBytesMax bytes',
      );
    }
    const copied = changes.map((change) => ({ ...change, key: change.key.slice() }));
    return new Promise((resolve, reject) => {
      this.#pending.push({ changes: copied, fingerprint: fingerprintOf(copied), resolve, reject });
      void this.#run();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#isCrashed || this.#pending.length === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** From now on every commit waits for the promise of `delay` before it takes effect; undefined ends it. */
  delayCommits(delay: CommitDelay | undefined): void {
    this.#delay = delay;
  }

  /** From now on commits wait until {@link releaseCommit} or {@link resumeCommits} lets them through. */
  holdCommits(): void {
    this.#isHeld = true;
    this.#permits = 0;
  }

  /** Lets the oldest held commit through (or the next one, if none waits). */
  releaseCommit(): void {
    this.#permits++;
    this.#wake();
  }

  /** Ends {@link holdCommits} and lets everything through. */
  resumeCommits(): void {
    this.#isHeld = false;
    this.#permits = 0;
    this.#wake();
  }

  /** The next commit to take effect fails instead, and with it every one that waits behind it by then. */
  failNextCommit(
    error: Error = new WakelineError('STORE_COMMIT_FAILED', 'a failure ordered by the test', {
      retryable: true,
    }),
  ): void {
    this.#failure = error;
  }

  /**
   * Loss of power at this instant. Returns the store as it is found again: all that was committed and, of the
   * commits under way, the first few, whole; how many, `seed` decides. This store is dead: its commits under way
   * never settle, later ones reject with STORE_CLOSED.
   */
  crash(seed: number): MemoryStore {
    const kept = new Prng(seed).nextInteger(0, this.#pending.length);
    const survivor = new MemoryStore();
    survivor.#tables = Object.fromEntries(
      tables.map((table) => [table, this.#tables[table].clone()]),
    ) as unknown as Record<Table, SortedTable>;
    for (const commit of this.#pending.slice(0, kept)) survivor.#apply(commit.changes);
    survivor.#commitCount = 0;
    this.#isClosed = true;
    this.#isCrashed = true;
    this.#pending = [];
    return survivor;
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    // Never in the turn of the call, as with a real disk.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      while (this.#isHeld && this.#permits === 0 && !this.#isCrashed) {
        await new Promise<void>((resolve) => (this.#wakeHeld = resolve));
      }
      if (this.#delay !== undefined) await this.#delay();
      if (this.#isCrashed) break;
      if (this.#isHeld) this.#permits--;
      if (this.#failure !== undefined) {
        const failure = this.#failure;
        this.#failure = undefined;
        for (const commit of this.#pending.splice(0)) commit.reject(failure);
        break;
      }
      const commit = this.#pending[0]!;
      if (fingerprintOf(commit.changes) !== commit.fingerprint) {
        const mistake = new InvariantError('a value was written to before its commit settled');
        for (const waiting of this.#pending.splice(0)) waiting.reject(mistake);
        break;
      }
      this.#apply(commit.changes);
      this.#pending.shift();
      commit.resolve();
      await Promise.resolve();
    }
    this.#isRunning = false;
    for (const done of this.#idleWaiters.splice(0)) done();
  }

  #apply(changes: readonly StoreChange[]): void {
    for (const { table, key, value } of changes) {
      if (value === undefined) this.#tables[table].delete(key);
      else this.#tables[table].put({ key, value: value.slice() });
    }
    this.#commitCount++;
  }

  #wake(): void {
    const wake = this.#wakeHeld;
    this.#wakeHeld = undefined;
    wake?.();
  }

  #assertReadable(): void {
    if (this.#isClosed && this.#pending.length === 0) throw closedError();
  }
}

function emptyTables(): Record<Table, SortedTable> {
  return Object.fromEntries(tables.map((table) => [table, new SortedTable()])) as unknown as Record<
    Table,
    SortedTable
  >;
}

function closedError(): WakelineError {
  return new WakelineError('STORE_CLOSED', 'the store is closed');
}

/** Of the values: only to notice a change. */
function fingerprintOf(changes: readonly StoreChange[]): number | undefined {
  let hash: number | undefined;
  for (const { value } of changes) if (value !== undefined) hash = fnv1a(value, 0, value.length, hash);
  return hash;
}

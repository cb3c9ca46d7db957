/**
 * The durable state behind the hub: ordered tables of bytes, changed by atomic batches.
 *
 * The port is this small on purpose. What an inbox is, which chunk may be deleted, what survives a crash: all of
 * that is the hub's and is tested once, over any store. An adapter only has to keep promises 1 to 4 below, which
 * `testing/store-contract.ts` checks.
 *
 * 1. Atomic: after a crash at any instant a batch is there whole or not at all.
 * 2. Synced: `commit` resolves only when the batch would survive loss of power.
 * 3. In order: batches take effect in the order of the calls. When one fails, every one behind it fails too, and
 *    the next call after that starts from the last batch that succeeded.
 * 4. Reads see exactly the batches whose `commit` has resolved, and possibly those still under way.
 */

/** The tables. Their keys and values are laid down in docs/spec/store.md. A new one comes last: a journal names them by number. */
export const tables = [
  'meta',
  'log',
  'cursor',
  'device',
  'subscription',
  'retained',
  'receipt',
  'idempotency',
  'token',
  'endpoint',
  'user',
  'binding',
  'call',
  'sipMessage',
  'network',
] as const;
export type Table = (typeof tables)[number];

/** One change. `value` undefined deletes; deleting what is not there is no error. */
export interface StoreChange {
  readonly table: Table;
  /** 1 … `limits.storeKeyBytesMax` bytes; ordered as unsigned bytes, a prefix first. */
  readonly key: Uint8Array;
  /**
   * The store may keep a reference until the commit settles: whoever gave it must not write to it until then.
   */
  readonly value: Uint8Array | undefined;
}

export interface StoreEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface StoreRange {
  /** First key, included. Default: the first of the table. */
  readonly from?: Uint8Array;
  /** End, excluded. Default: the end of the table. */
  readonly to?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit?: number;
  /** Values may be lent: they are read within the step, before any other call of the store. For scans of a whole large table. */
  readonly isLent?: boolean;
}

export interface Store {
  /** The committed value, or undefined. The bytes belong to the caller. Synchronous: an adapter reads local state. */
  get(table: Table, key: Uint8Array): Uint8Array | undefined;
  /** Entries in key order, as of the call. Do not hold the iterator across a commit. */
  scan(table: Table, range?: StoreRange): Iterable<StoreEntry>;
  /**
   * Applies all changes or none; of two changes to one key the later wins. Resolves when synced.
   * Rejects with STORE_COMMIT_FAILED or STORE_CLOSED; then none of the changes took effect.
   */
  commit(changes: readonly StoreChange[]): Promise<void>;
  /** Space for more, on the file system and within the store's own file; undefined: it cannot run out. */
  freeSpace?(): Promise<{ readonly freeBytes: number }>;
  /** Waits for the commits under way and releases everything. Later commits reject with STORE_CLOSED. */
  close(): Promise<void>;
}

/**
 * What is to become durable: one batch being filled, at most one being committed, and what waits for each.
 *
 * Nothing that a peer may rely on is answered from anywhere else: an answer is a {@link Completion} of the batch
 * that holds its cause, and completions run, in order, when that batch is synced or has failed.
 */
import { assert } from '../base/assert.js';
import { limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import type { Store, StoreChange, Table } from '../ports/store.js';
import type { Device } from './device-state.js';
import type { Inbox, Touch } from './inbox.js';
import { InboxLog } from './inbox-log.js';
import type { LogBatch } from './log-batch.js';
import { encodeCursorRow, numberKey } from './rows.js';

/** Something that waits for its batch. Either `committed` is called, or what there is of `undo` and `failed`; once. */
export interface Completion {
  committed(): void;
  /** Takes back what was done in memory: called newest first, since each was done on top of the earlier ones. */
  undo?(): void;
  /** Tells whoever waits: called oldest first, when everything is undone. */
  failed?(): void;
}

interface Batch {
  readonly log: LogBatch;
  readonly completions: readonly Completion[];
  readonly cursors: readonly Inbox[];
  readonly devices: readonly Device[];
}

/** What a commit was about. */
export interface Committed {
  /** Inboxes that got messages. */
  readonly touches: readonly Touch[];
  /** Inboxes whose cursor row was written. */
  readonly cursors: readonly Inbox[];
}

export interface CommitQueueOptions {
  readonly store: Store;
  /** What the device's rows should be now. */
  readonly changesOf: (device: Device) => StoreChange[];
  readonly inboxByNumber: (number: number) => Inbox | undefined;
}

export class CommitQueue {
  readonly log: InboxLog;
  readonly #inboxByNumber: (number: number) => Inbox | undefined;
  #changes: StoreChange[] = [];
  #completions: Completion[] = [];
  #committing: Batch | null = null;
  /**
   * Numbers of the inboxes whose cursor row is out of date. Not the inboxes: a set's outgrown tables stay in old memory for a while, and what
   * they refer to would outlive the collections of young memory with them.
   */
  readonly #dirty = new Set<number>();
  /** Those of them whose row something waits for. */
  readonly #urgent = new Set<number>();
  /** Devices whose rows may wait for the next flush. */
  readonly #later = new Set<Device>();
  readonly #changesOf: (device: Device) => StoreChange[];
  /** Monotonic ms at which dirty cursors are due. */
  #flushDueMs = Infinity;
  #nowMs = 0;
  commits = 0;
  failures = 0;

  constructor(options: CommitQueueOptions) {
    this.#inboxByNumber = options.inboxByNumber;
    this.#changesOf = options.changesOf;
    this.log = new InboxLog({
      store: options.store,
      onCursorDirty: (inbox) => {
        this.#dirty.add(inbox.number);
        this.#flushWithin(limits.cursorFlushMs);
      },
    });
  }

  /** Monotonic ms by which {@link takeCommit} wants to be asked again. */
  get nextTimeoutMs(): number {
    return this.#committing === null ? this.#flushDueMs : Infinity;
  }

  get isCommitting(): boolean {
    return this.#committing !== null;
  }

  /** Whether anything is not on disk yet that should be. */
  get hasWork(): boolean {
    return this.#committing !== null || this.hasOpen || this.#hasDirty;
  }

  /** Bytes of messages waiting for their commit. */
  get openBytes(): number {
    return this.log.openBytes;
  }

  advance(now: InstantMs): void {
    this.#nowMs = now.monotonic;
  }

  /** Asks that the cursors be written now: the server is leaving. */
  flushSoon(): void {
    if (this.#hasDirty) this.#flushDueMs = this.#nowMs;
  }

  get #hasDirty(): boolean {
    return this.#dirty.size > 0 || this.#later.size > 0 || this.log.hasDead;
  }

  #flushWithin(delayMs: number): void {
    this.#flushDueMs = Math.min(this.#flushDueMs, this.#nowMs + delayMs);
  }

  /** The device's rows are written with the next flush: nobody waits for them. */
  putLater(device: Device): void {
    this.#later.add(device);
    this.#flushWithin(limits.cursorFlushMs);
  }

  put(table: Table, key: Uint8Array, value: Uint8Array | undefined): void {
    this.#changes.push({ table, key, value });
  }

  /** The inbox's cursor row goes with the batch being filled. */
  putCursor(inbox: Inbox): void {
    if (!inbox.isDurable) return;
    inbox.cursorDirty = true;
    this.#dirty.add(inbox.number);
    this.#urgent.add(inbox.number);
  }

  /** The inbox is gone: its row is no longer written. */
  forgetCursor(inbox: Inbox): void {
    inbox.cursorDirty = false;
    this.#dirty.delete(inbox.number);
    this.#urgent.delete(inbox.number);
  }

  /** Runs the completion when the batch being filled, and so every earlier one, is synced or has failed. */
  after(completion: Completion): void {
    this.#completions.push(completion);
  }

  /** Whether anything waits for the next commit. */
  get hasOpen(): boolean {
    return (
      this.#completions.length > 0 || this.#changes.length > 0 || this.#urgent.size > 0 || this.log.hasOpen
    );
  }

  /** The changes to commit now; undefined: nothing is due, or a commit is under way. */
  takeCommit(): readonly StoreChange[] | undefined {
    if (this.#committing !== null) return undefined;
    const isFlushDue = this.#flushDueMs <= this.#nowMs;
    if (!this.hasOpen && !isFlushDue) return undefined;
    const cursors = this.#inboxesOf(isFlushDue ? this.#dirty : this.#urgent);
    // Sorted keys are written to neighbouring pages.
    if (cursors.length > 1) cursors.sort((a, b) => a.number - b.number);
    const log = this.log.closeBatch(isFlushDue, this.#inboxByNumber);
    const changes = this.#changes;
    for (const inbox of cursors) {
      changes.push({ table: 'cursor', key: numberKey(inbox.number), value: encodeCursorRow(inbox) });
      inbox.cursorDirty = false;
      this.#dirty.delete(inbox.number);
    }
    this.#urgent.clear();
    const devices = isFlushDue ? [...this.#later] : [];
    if (isFlushDue) {
      for (const device of devices) changes.push(...this.#changesOf(device));
      this.#later.clear();
      this.#flushDueMs = Infinity;
    }
    for (const change of this.log.changesOf(log)) changes.push(change);
    this.#committing = { log, completions: this.#completions, cursors, devices };
    this.#changes = [];
    this.#completions = [];
    if (changes.length > 0) return changes;
    // Only answers that had to keep their order: there is nothing to sync.
    this.committed();
    return undefined;
  }

  /** The commit is synced. */
  committed(): Committed {
    const batch = this.#committing;
    assert(batch !== null, 'committed without a commit');
    this.#committing = null;
    this.commits++;
    this.log.committed(batch.log);
    if (this.log.hasDead) this.#flushWithin(limits.cursorFlushMs);
    for (const completion of batch.completions) completion.committed();
    return { touches: batch.log.touches, cursors: batch.cursors };
  }

  /** The commit failed, and with it everything that was built on its numbers. Returns inboxes in which messages may wait again. */
  failed(): ReadonlySet<Inbox> {
    const batch = this.#committing;
    assert(batch !== null, 'failed without a commit');
    this.#committing = null;
    this.failures++;
    const behind = this.log.closeBatch(false, this.#inboxByNumber);
    const completions = this.#completions;
    const cursors = [...batch.cursors, ...this.#inboxesOf(this.#urgent)];
    this.#changes = [];
    this.#completions = [];
    this.#urgent.clear();
    const logs = [behind, batch.log];
    this.log.failed(logs, this.#inboxByNumber);
    const all = [...batch.completions, ...completions];
    for (let index = all.length - 1; index >= 0; index--) all[index].undo?.();
    for (const completion of all) completion.failed?.();
    for (const inbox of cursors) this.log.markCursorDirty(inbox);
    for (const device of batch.devices) this.#later.add(device);
    // Not at once: the disk that refused this commit may refuse the next.
    if (this.#hasDirty) this.#flushDueMs = this.#nowMs + limits.commitRetryMs;
    return new Set(logs.flatMap(({ withdrawals }) => withdrawals.map(({ inbox }) => inbox)));
  }

  /** Those of them that are there still. */
  #inboxesOf(numbers: ReadonlySet<number>): Inbox[] {
    const inboxes: Inbox[] = [];
    for (const number of numbers) {
      const inbox = this.#inboxByNumber(number);
      if (inbox !== undefined) inboxes.push(inbox);
    }
    return inboxes;
  }
}

/**
 * The message log and the inboxes that read it: append, read, finish, reclaim, recover.
 *
 * Every publication is one record in an append-only log of chunks; every recipient is one entry in memory. Nothing
 * is ever changed in place: an acknowledgement moves the recipient's cursor, and a chunk is deleted when nobody
 * waits for anything in it and the cursor rows that say so are written. Messages for sessions that end with their
 * connection use the same structure with chunks that are never stored.
 *
 * Must not: know sessions, subscriptions or flows; decide when to commit.
 */
import { assert } from '../base/assert.js';
import { limits } from '../base/limits.js';
import type { Store, StoreChange } from '../ports/store.js';
import { logKey, logPosition } from './chunk.js';
import { emptyBatch } from './log-batch.js';
import type { LogBatch, Move, Recipient, Survivor, Withdrawal } from './log-batch.js';
import type { Chunk } from './chunk.js';
import { ChunkTable, corruptChunk } from './chunk-table.js';
import { EntryFlag, EntryTable } from './entry-table.js';
import { endInflight, findSequence, sortLane } from './lane.js';
import type { Lane } from './lane.js';
import type { Inbox } from './inbox.js';
import { SEQUENCE_MAX } from './inbox.js';
import { appendWaiting, removeWaiting, restoreWaiting } from './waiting.js';
import {
  RecipientCursor,
  RecipientFlag,
  RecordView,
  expirySecondsOf,
  recipientBytes,
  recordBytes,
  replaceKeyText,
  writeRecipient,
  writeRecord,
} from './record.js';
import type { RecordContent } from './record.js';

/** Chunks of a log after which its entries are estimated. */
const SAMPLE_CHUNKS = 64;

export interface InboxLogOptions {
  /** Reads only. */
  readonly store: Store;
  /** Default: `limits.logChunkBytes`. */
  readonly chunkBytes?: number;
  /** Called once for each inbox whose cursor row is out of date. */
  readonly onCursorDirty: (inbox: Inbox) => void;
}

export class InboxLog {
  readonly entries = new EntryTable();
  readonly #store: Store;
  readonly #chunkBytes: number;
  readonly #onCursorDirty: (inbox: Inbox) => void;
  readonly #chunks: ChunkTable;
  #volatileBytes = 0;
  #durableBytes = 0;
  #liveBytes = 0;
  /** Sealed or open durable chunks of the batch that is being filled. */
  #batch: LogBatch = emptyBatch();
  #openDurable: Chunk | null = null;
  #openVolatile: Chunk | null = null;
  /** Committed durable chunks nobody waits for. */
  #dead: Chunk[] = [];
  #nextPosition = 1;
  /** Slots of durable chunks in log order, for copying forward; may hold slots that are gone. */
  #order: Chunk[] = [];
  #orderStart = 0;
  readonly #view = new RecordView();
  readonly #recipient = new RecipientCursor();

  constructor(options: InboxLogOptions) {
    this.#store = options.store;
    this.#chunks = new ChunkTable(options.store);
    this.#chunkBytes = options.chunkBytes ?? limits.logChunkBytes;
    this.#onCursorDirty = options.onCursorDirty;
  }

  /** Bytes of all stored chunks, and of what in them is still waited for (approximate: bodies and topics). */
  get durableBytes(): number {
    return this.#durableBytes;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Bytes of messages held in memory only. */
  get volatileBytes(): number {
    return this.#volatileBytes;
  }

  /** Bytes of log the open batch holds. */
  get openBytes(): number {
    let bytes = 0;
    for (const chunk of this.#batch.chunks) bytes += chunk.used;
    return bytes;
  }

  /** Whether the open batch has anything to store. */
  get hasOpen(): boolean {
    return this.#batch.chunks.length > 0;
  }

  /** Whether there are chunks that could be deleted with the next flush of cursors. */
  get hasDead(): boolean {
    return this.#dead.length > 0;
  }

  /**
   * Numbers the publication in each recipient's inbox and writes it into the open batch. All recipients must be
   * durable or all volatile. Volatile messages may be read at once; durable ones after {@link committed}.
   */
  append(content: RecordContent, recipients: readonly Recipient[], isDurable: boolean): void {
    for (let start = 0; start < recipients.length; start += limits.recordRecipientsMax) {
      const part =
        recipients.length <= limits.recordRecipientsMax
          ? recipients
          : recipients.slice(start, start + limits.recordRecipientsMax);
      this.#appendRecord(content, part, isDurable);
    }
  }

  #appendRecord(content: RecordContent, recipients: readonly Recipient[], isDurable: boolean): void {
    let recipientsBytes = 0;
    for (const { subscriptionIds, group } of recipients) {
      recipientsBytes += recipientBytes(subscriptionIds.length, group);
    }
    const chunk = this.#room(recordBytes(content, recipientsBytes), isDurable);
    const offset = chunk.used;
    const bytes = chunk.bytes!;
    let position = writeRecord(bytes, offset, content, recipientsBytes);
    const contentFlags =
      (content.messageId === null ? 0 : EntryFlag.receipt) |
      (content.replaceKey === null ? 0 : EntryFlag.keyed);
    const size = content.topic.length + content.properties.length + content.body.length;
    const expirySeconds = expirySecondsOf(content.expiryMs);
    for (const recipient of recipients) {
      const { inbox } = recipient;
      assert(inbox.lastSequence < SEQUENCE_MAX, 'an inbox gives out at most 2^32 - 1 numbers');
      const sequence = ++inbox.lastSequence;
      const idsFlag = recipient.subscriptionIds.length === 0 ? 0 : RecipientFlag.subscriptionIds;
      const flags = recipient.flags | idsFlag;
      position = writeRecipient(
        bytes,
        position,
        inbox.number,
        sequence,
        recipient.flags,
        recipient.subscriptionIds,
        recipient.group,
      );
      this.#link(inbox, chunk, offset, sequence, flags | contentFlags, content.urgency, size, expirySeconds);
      if (isDurable) {
        if (inbox.touch === null) {
          inbox.touch = { inbox, through: sequence };
          this.#batch.touches.push(inbox.touch);
        } else inbox.touch.through = sequence;
      } else inbox.committed = sequence;
    }
    chunk.used += recordBytes(content, recipientsBytes);
  }

  /** The entry appended last to the inbox. */
  lastEntry(inbox: Inbox, isAddressed: boolean): number {
    return (isAddressed ? inbox.addressed : inbox.topics).tail;
  }

  /** Reads an entry's record into the view, which stays valid for the turn. */
  read(entry: number, view: RecordView): void {
    const chunk = this.#chunkOf(entry);
    if (!view.parse(this.#chunks.bytesOf(chunk), this.entries.offset[entry]))
      throw corruptChunk(chunk.position);
  }

  /** The subscription identifiers stored for an entry. */
  subscriptionIds(entry: number, inbox: Inbox, view: RecordView): readonly number[] {
    const hasIds = (this.entries.flags[entry] & EntryFlag.subscriptionIds) !== 0;
    return hasIds && this.#findRecipient(entry, inbox, view) ? this.#recipient.subscriptionIds() : [];
  }

  /** `groupHash` of the shared subscription by which an entry came; 0: by none. */
  groupOf(entry: number, inbox: Inbox, view: RecordView): number {
    return this.#findRecipient(entry, inbox, view) ? this.#recipient.group : 0;
  }

  #findRecipient(entry: number, inbox: Inbox, view: RecordView): boolean {
    const sequence = this.entries.sequence[entry];
    this.#recipient.begin(view);
    while (this.#recipient.next()) {
      if (this.#recipient.deviceNumber === inbox.number && this.#recipient.sequence === sequence) return true;
    }
    return false;
  }

  /** The entry with this number among those sent on the current flow; 0: there is none. */
  findInflight(inbox: Inbox, sequence: number): number {
    for (const lane of [inbox.topics, inbox.addressedIfAny]) {
      if (lane === null) continue;
      const entry = findSequence(this.entries, lane, sequence);
      if (entry !== 0 && this.entries.flags[entry] & EntryFlag.inflight) return entry;
    }
    return 0;
  }

  /** The flags of the waiting message with this number; 0: it does not wait. */
  flagsOf(inbox: Inbox, sequence: number): number {
    for (const lane of [inbox.topics, inbox.addressedIfAny]) {
      const entry = lane === null ? 0 : findSequence(this.entries, lane, sequence);
      if (entry !== 0) return this.entries.flags[entry];
    }
    return 0;
  }

  /** The device is done with the entry, whatever the reason: it is taken out and its number counted as finished. */
  finish(inbox: Inbox, entry: number): void {
    const { entries } = this;
    inbox.finished.add(entries.sequence[entry]);
    this.#unlink(inbox, entry);
    this.markCursorDirty(inbox);
  }

  /**
   * The open batch ends a message of a durable inbox that is synced and not in flight. As with {@link finish} it no longer
   * waits and its number counts as finished; but when the batch fails it waits again, in its place.
   */
  withdraw(inbox: Inbox, entry: number): void {
    const key = inbox.keys?.keyOf(entry);
    inbox.finished.add(this.entries.sequence[entry]);
    removeWaiting(this.entries, inbox, entry);
    this.#liveBytes -= this.entries.size[entry];
    this.#batch.withdrawals.push({ inbox, entry, key });
    this.markCursorDirty(inbox);
  }

  #restore({ inbox, entry, key }: Withdrawal): void {
    inbox.finished.delete(this.entries.sequence[entry]);
    restoreWaiting(this.entries, inbox, entry);
    this.#liveBytes += this.entries.size[entry];
    if (key !== undefined && inbox.keys?.entryOf(key) === 0) inbox.keys.set(key, entry);
  }

  markCursorDirty(inbox: Inbox): void {
    if (inbox.cursorDirty || !inbox.isDurable) return;
    inbox.cursorDirty = true;
    this.#onCursorDirty(inbox);
  }

  /** The flow is gone: what was sent on it and not acknowledged is to be sent again. */
  endFlow(inbox: Inbox): void {
    for (const lane of [inbox.topics, inbox.addressedIfAny]) {
      if (lane !== null) inbox.inflight -= endInflight(this.entries, lane, inbox.inflight);
    }
    assert(inbox.inflight === 0, 'what is in flight waits in one of the lanes');
    inbox.sentLast = 0;
  }

  /** What was passed over is looked at again, because what is subscribed has changed. */
  rescan(lane: Lane): void {
    lane.scanned = 0;
  }

  /** Drops everything of a lane up to a number. Returns the entries' count. */
  finishLane(inbox: Inbox, lane: Lane, through: number, onEnd: (entry: number) => void): number {
    const { entries } = this;
    let count = 0;
    let entry = lane.head;
    while (entry !== 0 && entries.sequence[entry] <= through) {
      const next = entries.next[entry];
      onEnd(entry);
      this.finish(inbox, entry);
      count++;
      entry = next;
    }
    return count;
  }

  /**
   * Closes the batch that is being filled and lists what it stores. With `includeReclaim`, which needs every dirty
   * cursor row in the same commit, dead chunks go and survivors of the oldest are copied forward first.
   */
  closeBatch(includeReclaim: boolean, inboxByNumber: (number: number) => Inbox | undefined): LogBatch {
    if (includeReclaim) {
      this.#copyForward(inboxByNumber);
      for (const chunk of this.#dead) this.#batch.deleted.push(chunk);
      this.#dead = [];
    }
    const batch = this.#batch;
    this.#batch = emptyBatch();
    this.#openDurable = null;
    for (const touch of batch.touches) touch.inbox.touch = null;
    return batch;
  }

  /** The changes a closed batch makes to the store. */
  changesOf(batch: LogBatch): StoreChange[] {
    const changes: StoreChange[] = [];
    for (const chunk of batch.chunks) {
      const value = chunk.bytes!.subarray(0, chunk.used);
      changes.push({ table: 'log', key: logKey(chunk.position), value });
    }
    for (const chunk of batch.deleted) {
      changes.push({ table: 'log', key: logKey(chunk.position), value: undefined });
    }
    return changes;
  }

  /** The batch is synced: its messages may be read. */
  committed(batch: LogBatch): void {
    for (const chunk of batch.chunks) {
      chunk.isCommitted = true;
      this.#order.push(chunk);
      this.#durableBytes += chunk.used;
      if (chunk.live === 0) this.#retire(chunk);
      else this.#chunks.cache(chunk);
    }
    for (const { inbox, through } of batch.touches) inbox.committed = Math.max(inbox.committed, through);
    for (const move of batch.moves) this.#applyMove(move);
    for (const { entry } of batch.withdrawals) this.#release(entry);
    for (const chunk of batch.deleted) this.#forget(chunk);
  }

  /**
   * The batches, newest first, are lost: their numbers are given out anew, and what they would have ended waits again,
   * unless its inbox or its session has ended since.
   */
  failed(batches: readonly LogBatch[], inboxByNumber: (number: number) => Inbox | undefined): void {
    for (const batch of batches) this.#takeBack(batch);
    for (const { withdrawals } of batches) {
      for (const withdrawal of withdrawals) {
        const { inbox, entry } = withdrawal;
        const isAddressed = (this.entries.flags[entry] & EntryFlag.addressed) !== 0;
        const endedThrough = isAddressed ? 0 : inbox.topicsDroppedThrough;
        const isWanted = inboxByNumber(inbox.number) === inbox && this.entries.sequence[entry] > endedThrough;
        if (isWanted) this.#restore(withdrawal);
        else this.#release(entry);
      }
    }
  }

  #takeBack(batch: LogBatch): void {
    for (const { inbox } of batch.touches) {
      this.#truncate(inbox, inbox.topics);
      if (inbox.addressedIfAny !== null) this.#truncate(inbox, inbox.addressedIfAny);
      inbox.lastSequence = inbox.committed;
      inbox.finished.truncate(inbox.committed);
    }
    for (const chunk of batch.deleted) {
      if (chunk.isLeaving) this.#stay(chunk);
      else this.#dead.push(chunk);
    }
    for (const chunk of batch.chunks) this.#chunks.delete(chunk);
  }

  /** The commit that would have copied the chunk forward failed. */
  #stay(chunk: Chunk): void {
    chunk.isLeaving = false;
    this.#durableBytes += chunk.used;
    this.#order.push(chunk);
    if (chunk.live === 0) this.#retire(chunk);
  }

  #truncate(inbox: Inbox, lane: Lane): void {
    while (lane.tail !== 0 && this.entries.sequence[lane.tail] > inbox.committed) {
      this.#unlink(inbox, lane.tail);
    }
  }

  /**
   * Reads the whole log. `inboxOf` gives the inbox of a number (undefined: its device is gone); `isWanted` says
   * whether the message still waits for it. Entries come out in ascending sequence whatever the log's order.
   */
  recover(
    inboxOf: (number: number) => Inbox | undefined,
    isWanted: (inbox: Inbox, sequence: number, flags: number, view: RecordView) => boolean,
  ): void {
    const unsorted = new Set<Lane>();
    const view = this.#view;
    const recipient = this.#recipient;
    let lastPosition = 0;
    for (const { key } of this.#store.scan('log', { reverse: true, limit: 1 }))
      lastPosition = logPosition(key);
    for (const { key, value } of this.#store.scan('log', { isLent: true })) {
      const position = logPosition(key);
      const chunk = this.#chunks.add(position, true, null);
      chunk.used = value.length;
      chunk.isCommitted = true;
      this.#nextPosition = position + 1;
      this.#durableBytes += value.length;
      for (let offset = 0; offset < value.length; offset = view.end) {
        if (!view.parse(value, offset)) throw corruptChunk(position);
        const contentFlags =
          (view.messageIdStart < 0 ? 0 : EntryFlag.receipt) |
          (view.replaceKeyStart < 0 ? 0 : EntryFlag.keyed);
        recipient.begin(view);
        while (recipient.next()) {
          const inbox = inboxOf(recipient.deviceNumber);
          if (inbox === undefined) continue;
          const { sequence, flags } = recipient;
          if (sequence > inbox.lastSequence) inbox.lastSequence = inbox.committed = sequence;
          if (inbox.finished.has(sequence) || !isWanted(inbox, sequence, flags, view)) continue;
          const isAddressed = (flags & RecipientFlag.addressed) !== 0;
          const lane = isAddressed ? inbox.addressed : inbox.topics;
          const sentThrough = isAddressed ? inbox.addressedSentThrough : inbox.topicsSentThrough;
          const sent = sequence <= sentThrough ? EntryFlag.sent : 0;
          if (lane.tail !== 0 && this.entries.sequence[lane.tail] > sequence) unsorted.add(lane);
          const entryFlags = flags | contentFlags | sent;
          const size = view.end - view.topicStart;
          const expirySeconds = expirySecondsOf(view.expiryMs);
          this.#link(inbox, chunk, offset, sequence, entryFlags, view.urgency, size, expirySeconds);
          if (view.replaceKeyStart >= 0)
            inbox.setKey(replaceKeyText(view.topic, view.replaceKey!), lane.tail);
        }
      }
      this.#order.push(chunk);
      if (chunk.live === 0) this.#retire(chunk);
      if (this.#order.length === SAMPLE_CHUNKS)
        this.entries.reserve((this.entries.count * (lastPosition - position)) / SAMPLE_CHUNKS);
    }
    for (const lane of unsorted) sortLane(this.entries, lane);
  }

  // ---- reclaim ---------------------------------------------------------------------------------------------

  /** Copies what is still wanted out of the oldest chunks when the log has grown to twice its live bytes. */
  #copyForward(inboxByNumber: (number: number) => Inbox | undefined): void {
    let budget = limits.logCopyBytesMax;
    while (
      budget > 0 &&
      this.#orderStart < this.#order.length &&
      this.#durableBytes > 2 * this.#liveBytes + limits.logSlackBytes
    ) {
      const chunk = this.#order[this.#orderStart++];
      if (chunk.live === 0 || !this.#chunks.has(chunk)) continue;
      budget -= chunk.used;
      this.#copyChunk(chunk, inboxByNumber);
      this.#batch.deleted.push(chunk);
      chunk.isLeaving = true;
      this.#durableBytes -= chunk.used;
    }
    if (this.#orderStart > 1024 && this.#orderStart * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#orderStart);
      this.#orderStart = 0;
    }
  }

  #copyChunk(chunk: Chunk, inboxByNumber: (number: number) => Inbox | undefined): void {
    const bytes = this.#chunks.bytesOf(chunk);
    chunk.bytes = bytes;
    const view = new RecordView();
    for (let offset = 0; offset < chunk.used; offset = view.end) {
      if (!view.parse(bytes, offset)) throw corruptChunk(chunk.position);
      this.#copyRecord(chunk, offset, view, inboxByNumber);
    }
  }

  #copyRecord(
    chunk: Chunk,
    offset: number,
    view: RecordView,
    inboxByNumber: (number: number) => Inbox | undefined,
  ): void {
    const live: Survivor[] = [];
    const recipient = this.#recipient;
    recipient.begin(view);
    while (recipient.next()) {
      const inbox = inboxByNumber(recipient.deviceNumber);
      if (inbox === undefined || inbox.finished.has(recipient.sequence)) continue;
      const lane = recipient.flags & RecipientFlag.addressed ? inbox.addressed : inbox.topics;
      const entry = findSequence(this.entries, lane, recipient.sequence);
      const isHere =
        entry !== 0 && this.entries.chunk[entry] === chunk.slot && this.entries.offset[entry] === offset;
      if (!isHere) continue;
      const ids = recipient.subscriptionIds();
      live.push({
        inbox,
        entry,
        sequence: recipient.sequence,
        flags: recipient.flags & ~RecipientFlag.subscriptionIds,
        ids,
        group: recipient.group,
      });
    }
    if (live.length === 0) return;
    const content = view.content();
    let recipientsBytes = 0;
    for (const { ids, group } of live) recipientsBytes += recipientBytes(ids.length, group);
    const to = this.#room(recordBytes(content, recipientsBytes), true);
    let position = writeRecord(to.bytes!, to.used, content, recipientsBytes);
    for (const { inbox, entry, sequence, flags, ids, group } of live) {
      position = writeRecipient(to.bytes!, position, inbox.number, sequence, flags, ids, group);
      this.#batch.moves.push({ inbox, entry, sequence, from: chunk, to, offset: to.used });
    }
    to.used += recordBytes(content, recipientsBytes);
    // Counted as wanted until the move is applied, so that the new chunk is not retired before it.
    to.live += live.length;
  }

  #applyMove(move: Move): void {
    const { entries } = this;
    const { entry, from, to } = move;
    // Also if it was withdrawn in between. New entries lie in other chunks: it cannot be one of them.
    const isThere = entries.sequence[entry] === move.sequence && entries.chunk[entry] === from.slot;
    if (isThere) {
      entries.chunk[entry] = to.slot;
      entries.offset[entry] = move.offset;
      from.live--;
    } else this.#wantOneLess(to);
  }

  #wantOneLess(chunk: Chunk): void {
    chunk.live--;
    if (chunk.live > 0 || !chunk.isCommitted || chunk.isLeaving) return;
    if (chunk.isDurable) this.#retire(chunk);
    else this.#forget(chunk);
  }

  /** A durable chunk that nobody waits for: deleted with the next flush of cursors. */
  #retire(chunk: Chunk): void {
    this.#chunks.uncache(chunk);
    chunk.bytes = null;
    this.#durableBytes -= chunk.used;
    this.#dead.push(chunk);
  }

  #forget(chunk: Chunk): void {
    if (!chunk.isDurable) this.#volatileBytes -= chunk.bytes!.length;
    this.#chunks.delete(chunk);
  }

  // ---- chunks ----------------------------------------------------------------------------------------------

  /** The open chunk with room for `bytes` more. */
  #room(bytes: number, isDurable: boolean): Chunk {
    const open = isDurable ? this.#openDurable : this.#openVolatile;
    if (open !== null && open.used + bytes <= open.bytes!.length) return open;
    const buffer = this.#chunks.takeMemory(Math.max(this.#chunkBytes, bytes));
    const chunk = this.#chunks.add(isDurable ? this.#nextPosition++ : 0, isDurable, buffer);
    if (isDurable) {
      this.#openDurable = chunk;
      this.#batch.chunks.push(chunk);
      return chunk;
    }
    // A volatile chunk counts as stored once nothing more is written to it.
    if (open !== null) {
      open.isCommitted = true;
      if (open.live === 0) this.#forget(open);
    }
    this.#openVolatile = chunk;
    this.#volatileBytes += buffer.length;
    return chunk;
  }

  // ---- entries ---------------------------------------------------------------------------------------------

  #link(
    inbox: Inbox,
    chunk: Chunk,
    offset: number,
    sequence: number,
    flags: number,
    urgency: number,
    size: number,
    expirySeconds: number,
  ): void {
    const { entries } = this;
    const entry = entries.allocate();
    entries.chunk[entry] = chunk.slot;
    entries.offset[entry] = offset;
    entries.sequence[entry] = sequence;
    entries.flags[entry] = flags;
    entries.urgency[entry] = urgency;
    entries.size[entry] = size;
    if (expirySeconds !== 0) entries.expirySeconds[entry] = expirySeconds;
    appendWaiting(entries, inbox, entry);
    chunk.live++;
    if (chunk.isDurable) this.#liveBytes += size;
  }

  #unlink(inbox: Inbox, entry: number): void {
    removeWaiting(this.entries, inbox, entry);
    if (this.#chunkOf(entry).isDurable) this.#liveBytes -= this.entries.size[entry];
    this.#release(entry);
  }

  /** Nobody refers to the entry any more, nor for its sake to its chunk. */
  #release(entry: number): void {
    const chunk = this.#chunkOf(entry);
    this.entries.release(entry);
    this.#wantOneLess(chunk);
  }

  #chunkOf(entry: number): Chunk {
    return this.#chunks.at(this.entries.chunk[entry]);
  }
}

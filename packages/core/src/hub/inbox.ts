/**
 * One device's inbox in memory: numbers, and the ends of its two lanes of waiting messages.
 *
 * Messages that came by topic and messages addressed to the device itself wait in lanes of their own, because they
 * end differently: the first with the session, the second only with the device. Numbers run over both.
 */
import { SequenceSet } from '../base/sequence-set.js';
import { Lane } from './lane.js';
import type { UrgencyIndex } from './urgency-index.js';

/** Device numbers from here on belong to inboxes that live in memory only. */
export const VOLATILE_NUMBER_BASE = 0x8000_0000;

/** The highest sequence number; an inbox that has reached it takes nothing more. */
export const SEQUENCE_MAX = 0xffff_ffff;

/** Which waiting entry carries which replace key; both ways, since either may be what is known. */
export class KeyIndex {
  readonly #entries = new Map<string, number>();
  readonly #keys = new Map<number, string>();

  entryOf(key: string): number {
    return this.#entries.get(key) ?? 0;
  }

  keyOf(entry: number): string | undefined {
    return this.#keys.get(entry);
  }

  set(key: string, entry: number): void {
    this.#entries.set(key, entry);
    this.#keys.set(entry, key);
  }

  deleteEntry(entry: number): void {
    const key = this.#keys.get(entry);
    if (key === undefined) return;
    this.#keys.delete(entry);
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}

/** What the open or the committing batch adds to one inbox. */
export interface Touch {
  readonly inbox: Inbox;
  /** Last sequence number the batch gives out. */
  through: number;
}

export class Inbox {
  /** Key of the cursor row and of the log's recipients. */
  readonly number: number;
  /** 8 random bytes: what was received under another one says nothing about this inbox. */
  epoch: Uint8Array;
  /** Last sequence number given out, synced or not. */
  lastSequence = 0;
  /** Last sequence number that is synced: only up to here may anything leave the server. */
  committed = 0;
  /** Acknowledged, expired, replaced or dropped. */
  finished = new SequenceSet();
  readonly topics = new Lane();
  #addressed: Lane | null = null;
  waitingBytes = 0;
  /** Entries sent on the current flow and not acknowledged. */
  inflight = 0;
  /** Up to here the timeline was told of. */
  toldThrough = 0;
  /** Sequence number with which what is in flight began. */
  sentFirst = 0;
  /** Sequence number sent last on the current flow. */
  sentLast = 0;
  /** Highest numbers sent to the device so far, by topic and addressed: kept over a restart. */
  topicsSentThrough = 0;
  addressedSentThrough = 0;
  /** Up to here a message may have been sent before a crash: it is marked as a duplicate. */
  maybeSentThrough = 0;
  /** At recovery, messages by topic up to here had been dropped with their session. */
  topicsDroppedThrough = 0;
  /** Wall-clock seconds of the earliest expiry among the waiting; Infinity: none expires. */
  earliestExpirySeconds = Infinity;
  /** QoS 2 packet ids the device has sent and not released. null: none. */
  inboundIds: Set<number> | null = null;
  /** QoS 2 deliveries for which PUBREL is owed or unanswered. null: none. */
  released: Set<number> | null = null;
  /** Replace keys of waiting entries. null: none has carried one. */
  keys: KeyIndex | null = null;
  /** Of the messages by topic. null: all of them are of normal urgency. */
  urgencies: UrgencyIndex | null = null;
  cursorDirty = false;
  touch: Touch | null = null;

  constructor(number: number, epoch: Uint8Array) {
    this.number = number;
    this.epoch = epoch;
  }

  /** An inbox in which everything up to a number is over, as {@link isIdle} means it. */
  static idle(number: number, epoch: Uint8Array, lastSequence: number): Inbox {
    const inbox = new Inbox(number, epoch);
    inbox.lastSequence = inbox.committed = inbox.toldThrough = lastSequence;
    inbox.topicsSentThrough = inbox.addressedSentThrough = inbox.topicsDroppedThrough = lastSequence;
    inbox.finished = new SequenceSet(lastSequence);
    return inbox;
  }

  /**
   * Nothing waits, nothing is under way and its row is up to date: number, epoch and last sequence number say all.
   * Numbers that were sent, dropped or finished are behind the last one, where no message comes again.
   */
  get isIdle(): boolean {
    return (
      this.waiting === 0 &&
      this.committed === this.lastSequence &&
      this.finished.through === this.lastSequence &&
      this.inboundIds === null &&
      this.released === null &&
      this.touch === null &&
      !this.cursorDirty
    );
  }

  /** Remembers which waiting entry carries a replace key (`replaceKeyText`). */
  setKey(key: string, entry: number): void {
    (this.keys ??= new KeyIndex()).set(key, entry);
  }

  get isDurable(): boolean {
    return this.number < VOLATILE_NUMBER_BASE;
  }

  /** The device lets a QoS 2 packet id go. False: it held none. */
  releaseInbound(packetId: number): boolean {
    if (!this.inboundIds?.delete(packetId)) return false;
    if (this.inboundIds.size === 0) this.inboundIds = null;
    return true;
  }

  /** The lane of messages addressed to the device; made when first needed. */
  get addressed(): Lane {
    return (this.#addressed ??= new Lane());
  }

  /** As {@link addressed}, without making one. */
  get addressedIfAny(): Lane | null {
    return this.#addressed;
  }

  get waiting(): number {
    return this.topics.count + (this.#addressed?.count ?? 0);
  }

  /** QoS 1 and 2 messages the device has not finished with, as its receive maximum counts them. */
  get unfinished(): number {
    return this.inflight + (this.released?.size ?? 0);
  }
}

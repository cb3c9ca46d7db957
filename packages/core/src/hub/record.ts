/**
 * The record of the message log: one publication, its recipients, its body once. docs/spec/store.md draws it.
 *
 * All integers are big-endian. A record never changes once written; who has finished with it stands in the cursor
 * rows.
 *
 *     0   u32  length of the whole record
 *     4   u8   flags (below)
 *     5   u8   urgency
 *     6   u16  topic bytes
 *     8   u32  properties bytes
 *     12  u32  body bytes
 *     16  u32  recipients bytes
 *     20  [f64 expiry, wall-clock ms] [16 message id] [u8 n, n bytes replace key]
 *         recipients: u32 device number, u32 sequence, u8 recipient flags [, u8 n, n × u32 subscription id]
 *         [, u32 shared subscription]
 *         topic, properties, body
 */

import { getU32, putU32 } from '../base/u32.js';
import { decodeUtf8 } from '../base/utf8.js';

const HEADER_BYTES = 20;
const RECIPIENT_BYTES = 9;

const HAS_EXPIRY = 1;
const HAS_MESSAGE_ID = 2;
const HAS_REPLACE_KEY = 4;

/** What a recipient's entry says beside its number. The same bits are kept in memory ({@link EntryTable}). */
export const RecipientFlag = {
  /** Delivered with QoS 2; otherwise with QoS 1. */
  qos2: 1,
  /** Sent to the device itself, not to a topic it subscribed to: outlives its session. */
  addressed: 2,
  /** Carries RETAIN when delivered. */
  retain: 4,
  /** Subscription identifiers follow. */
  subscriptionIds: 8,
} as const;

/** A flag of the record only: the hash of a shared subscription follows, by which the message came. */
const HAS_GROUP = 16;

/** What is stored of a publication. */
export interface RecordContent {
  readonly topic: Uint8Array;
  readonly properties: Uint8Array;
  readonly body: Uint8Array;
  readonly urgency: number;
  /** Wall-clock ms; 0: never. */
  readonly expiryMs: number;
  /** 16 bytes; null: nobody asked for a receipt. */
  readonly messageId: Uint8Array | null;
  /** At most 255 bytes; null: replaces nothing. */
  readonly replaceKey: Uint8Array | null;
}

/** Where the parts of a record lie within its chunk. Reused: valid until the next parse into it. */
export class RecordView {
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the byte behind the record. */
  end = 0;
  urgency = 0;
  expiryMs = 0;
  messageIdStart = -1;
  replaceKeyStart = -1;
  replaceKeyEnd = -1;
  recipientsStart = 0;
  recipientsEnd = 0;
  topicStart = 0;
  topicEnd = 0;
  propertiesEnd = 0;

  /** Reads the record at `offset`. False: the bytes cannot be a record; the store is corrupt. */
  parse(bytes: Uint8Array, offset: number): boolean {
    if (offset + HEADER_BYTES > bytes.length) return false;
    this.bytes = bytes;
    this.end = offset + getU32(bytes, offset);
    if (this.end > bytes.length) return false;
    const flags = bytes[offset + 4];
    this.urgency = bytes[offset + 5];
    const topicBytes = (bytes[offset + 6] << 8) | bytes[offset + 7];
    const propertiesBytes = getU32(bytes, offset + 8);
    const bodyBytes = getU32(bytes, offset + 12);
    const recipientsBytes = getU32(bytes, offset + 16);
    let position = offset + HEADER_BYTES;
    this.expiryMs = 0;
    this.messageIdStart = -1;
    this.replaceKeyStart = -1;
    if (flags & HAS_EXPIRY) {
      this.expiryMs = getU32(bytes, position) * 0x1_0000_0000 + getU32(bytes, position + 4);
      position += 8;
    }
    if (flags & HAS_MESSAGE_ID) {
      this.messageIdStart = position;
      position += 16;
    }
    if (flags & HAS_REPLACE_KEY) {
      this.replaceKeyStart = position + 1;
      this.replaceKeyEnd = position + 1 + bytes[position];
      position = this.replaceKeyEnd;
    }
    this.recipientsStart = position;
    this.recipientsEnd = position + recipientsBytes;
    this.topicStart = this.recipientsEnd;
    this.topicEnd = this.topicStart + topicBytes;
    this.propertiesEnd = this.topicEnd + propertiesBytes;
    return this.propertiesEnd + bodyBytes === this.end;
  }

  get topic(): Uint8Array {
    return this.bytes.subarray(this.topicStart, this.topicEnd);
  }

  get properties(): Uint8Array {
    return this.bytes.subarray(this.topicEnd, this.propertiesEnd);
  }

  get body(): Uint8Array {
    return this.bytes.subarray(this.propertiesEnd, this.end);
  }

  get messageId(): Uint8Array | null {
    if (this.messageIdStart < 0) return null;
    return this.bytes.subarray(this.messageIdStart, this.messageIdStart + 16);
  }

  get replaceKey(): Uint8Array | null {
    return this.replaceKeyStart < 0 ? null : this.bytes.subarray(this.replaceKeyStart, this.replaceKeyEnd);
  }

  /** What is stored, as views: to write it again elsewhere. */
  content(): RecordContent {
    return {
      topic: this.topic,
      properties: this.properties,
      body: this.body,
      urgency: this.urgency,
      expiryMs: this.expiryMs,
      messageId: this.messageId,
      replaceKey: this.replaceKey,
    };
  }
}

/** Walks the recipients of a record. */
export class RecipientCursor {
  deviceNumber = 0;
  sequence = 0;
  /** {@link RecipientFlag} bits. */
  flags = 0;
  /** `groupHash` of the shared subscription by which the message came; 0: by none. */
  group = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #position = 0;
  #end = 0;
  #idsStart = 0;
  #idCount = 0;

  begin(record: RecordView): void {
    this.#bytes = record.bytes;
    this.#position = record.recipientsStart;
    this.#end = record.recipientsEnd;
  }

  next(): boolean {
    if (this.#position >= this.#end) return false;
    const bytes = this.#bytes;
    this.deviceNumber = getU32(bytes, this.#position);
    this.sequence = getU32(bytes, this.#position + 4);
    const flags = bytes[this.#position + 8];
    this.flags = flags & ~HAS_GROUP;
    this.#position += RECIPIENT_BYTES;
    this.#idCount = 0;
    if (this.flags & RecipientFlag.subscriptionIds) {
      this.#idCount = bytes[this.#position];
      this.#idsStart = this.#position + 1;
      this.#position = this.#idsStart + this.#idCount * 4;
    }
    this.group = 0;
    if (flags & HAS_GROUP) {
      this.group = getU32(bytes, this.#position);
      this.#position += 4;
    }
    return true;
  }

  subscriptionIds(): readonly number[] {
    const ids: number[] = [];
    for (let index = 0; index < this.#idCount; index++) {
      ids.push(getU32(this.#bytes, this.#idsStart + index * 4));
    }
    return ids;
  }
}

/** At most this many subscription identifiers of one recipient are kept (they are counted in one byte). */
export const SUBSCRIPTION_IDS_MAX = 255;

export function recipientBytes(idCount: number, group: number): number {
  const ids = Math.min(idCount, SUBSCRIPTION_IDS_MAX);
  return RECIPIENT_BYTES + (ids === 0 ? 0 : 1 + ids * 4) + (group === 0 ? 0 : 4);
}

export function recordBytes(content: RecordContent, recipientsBytes: number): number {
  return (
    HEADER_BYTES +
    (content.expiryMs === 0 ? 0 : 8) +
    (content.messageId === null ? 0 : 16) +
    (content.replaceKey === null ? 0 : 1 + content.replaceKey.length) +
    recipientsBytes +
    content.topic.length +
    content.properties.length +
    content.body.length
  );
}

/** Writes everything but the recipients, for which it leaves room. Returns the offset where they begin. */
export function writeRecord(
  bytes: Uint8Array,
  offset: number,
  content: RecordContent,
  recipientsBytes: number,
): number {
  putU32(bytes, offset, recordBytes(content, recipientsBytes));
  bytes[offset + 4] =
    (content.expiryMs === 0 ? 0 : HAS_EXPIRY) |
    (content.messageId === null ? 0 : HAS_MESSAGE_ID) |
    (content.replaceKey === null ? 0 : HAS_REPLACE_KEY);
  bytes[offset + 5] = content.urgency;
  bytes[offset + 6] = content.topic.length >>> 8;
  bytes[offset + 7] = content.topic.length;
  putU32(bytes, offset + 8, content.properties.length);
  putU32(bytes, offset + 12, content.body.length);
  putU32(bytes, offset + 16, recipientsBytes);
  let position = offset + HEADER_BYTES;
  if (content.expiryMs !== 0) {
    putU32(bytes, position, Math.floor(content.expiryMs / 0x1_0000_0000));
    putU32(bytes, position + 4, content.expiryMs >>> 0);
    position += 8;
  }
  if (content.messageId !== null) {
    bytes.set(content.messageId, position);
    position += 16;
  }
  if (content.replaceKey !== null) {
    bytes[position] = content.replaceKey.length;
    bytes.set(content.replaceKey, position + 1);
    position += 1 + content.replaceKey.length;
  }
  const recipientsStart = position;
  position += recipientsBytes;
  bytes.set(content.topic, position);
  position += content.topic.length;
  bytes.set(content.properties, position);
  position += content.properties.length;
  bytes.set(content.body, position);
  return recipientsStart;
}

/** Writes one recipient and returns the offset behind it. */
export function writeRecipient(
  bytes: Uint8Array,
  offset: number,
  deviceNumber: number,
  sequence: number,
  flags: number,
  subscriptionIds: readonly number[],
  group: number,
): number {
  putU32(bytes, offset, deviceNumber);
  putU32(bytes, offset + 4, sequence);
  const count = Math.min(subscriptionIds.length, SUBSCRIPTION_IDS_MAX);
  bytes[offset + 8] =
    flags | (count === 0 ? 0 : RecipientFlag.subscriptionIds) | (group === 0 ? 0 : HAS_GROUP);
  let position = offset + RECIPIENT_BYTES;
  if (count > 0) bytes[position++] = count;
  for (let index = 0; index < count; index++) {
    putU32(bytes, position, subscriptionIds[index]);
    position += 4;
  }
  return group === 0 ? position : putU32(bytes, position, group);
}

/** Replace keys are kept apart by channel, as `key, line break, topic`. */
export function replaceKeyText(topic: Uint8Array, key: Uint8Array): string {
  return `${decodeUtf8(key, 0, key.length) ?? ''}\n${decodeUtf8(topic, 0, topic.length) ?? ''}`;
}

/** Wall-clock seconds, rounded up; 0: never. */
export function expirySecondsOf(expiryMs: number): number {
  return expiryMs === 0 ? 0 : Math.ceil(expiryMs / 1000);
}

/**
 * What became of messages whose sender asked (HTTP): one row when accepted, one more per recipient for whom it
 * ended otherwise than by an acknowledgement. Everything else follows from the recipient's cursor when asked.
 *
 * Message ids begin with the time, so that the oldest rows come first and are forgotten first. The answer to an
 * idempotency key is kept here too, in the same commit as its message.
 */
import { fromHex, toHex } from '../base/hex.js';
import type { Limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import { encodeUtf8 } from '../base/utf8.js';
import type { IdempotencyKey } from '../domain/control.js';
import type { Stage } from '../domain/message.js';
import type { Random } from '../ports/random.js';
import type { Store } from '../ports/store.js';
import type { CommitQueue } from './commit-queue.js';
import { encodeJson, parseJson } from './rows.js';

const MESSAGE_ID_BYTES = 16;
const TIME_BYTES = 6;
/** Rows forgotten in one sweep. */
const SWEEP_ROWS_MAX = 20_000;

export interface ReceiptRow {
  readonly topic: string;
  readonly acceptedMs: number;
  readonly expiresMs: number | undefined;
  readonly recipientCount: number;
  readonly recipients: readonly {
    readonly deviceId: string;
    /** The device's number: another one means that it was removed and made anew. */
    readonly number: number;
    readonly sequence: number;
  }[];
}

export interface EndRow {
  readonly stage: Stage;
  readonly reason: string | undefined;
  readonly atMs: number;
}

export interface IdempotentAnswer {
  readonly requestSha256: string;
  readonly messageId: string;
  readonly recipientCount: number;
}

/** Rows of one kind, and up to where the oldest were forgotten to make room. */
class RowCount {
  count = 0;
  forgottenThrough: Uint8Array | undefined;
}

/** Keys of answers by time begin with 1, answers by key with 0. */
const byTimeStart = new Uint8Array([1]);

export class Receipts {
  readonly #store: Store;
  readonly #random: Random;
  readonly #queue: CommitQueue;
  readonly #limits: Limits;
  readonly #receipts = new RowCount();
  readonly #answers = new RowCount();
  /** Answers whose commit is under way. */
  readonly #pendingAnswers = new Map<string, IdempotentAnswer>();

  constructor(store: Store, random: Random, queue: CommitQueue, limits: Limits) {
    this.#store = store;
    this.#random = random;
    this.#queue = queue;
    this.#limits = limits;
  }

  /** Counts what the store has. */
  recover(): void {
    for (const { key } of this.#store.scan('receipt'))
      if (key.length === MESSAGE_ID_BYTES) this.#receipts.count++;
    for (const { key } of this.#store.scan('idempotency', { to: byTimeStart })) {
      if (key.length > 0) this.#answers.count++;
    }
  }

  newMessageId(now: InstantMs): Uint8Array {
    const id = this.#random.fill(new Uint8Array(MESSAGE_ID_BYTES));
    id.set(timeBytes(now.wall), 0);
    return id;
  }

  put(messageId: Uint8Array, row: ReceiptRow): void {
    this.#queue.put('receipt', messageId, encodeJson(row));
    if (++this.#receipts.count > this.#limits.receiptsMax) this.#forgetOldestReceipt();
  }

  /** The message ended for one recipient without an acknowledgement. */
  putEnd(messageId: Uint8Array, deviceId: string, row: EndRow): void {
    this.#queue.put('receipt', endKey(messageId, deviceId), encodeJson(row));
  }

  /**
   * One recipient of a message stands in for another. A receipt that is not synced yet is left as it is: it then shows
   * the message as ended for the first.
   */
  handOver(
    messageId: Uint8Array,
    deviceId: string,
    number: number,
    sequence: number,
    to: ReceiptRow['recipients'][number],
  ): void {
    const bytes = this.#store.get('receipt', messageId);
    if (bytes === undefined) return;
    const row = parseJson(bytes) as ReceiptRow;
    const recipients = row.recipients.map((recipient) => {
      const isIt =
        recipient.deviceId === deviceId && recipient.number === number && recipient.sequence === sequence;
      return isIt ? to : recipient;
    });
    this.#queue.put('receipt', messageId.slice(), encodeJson({ ...row, recipients }));
  }

  /** undefined: not a message id, or no longer kept. */
  get(messageId: string): { id: Uint8Array; row: ReceiptRow } | undefined {
    const id = fromHex(messageId);
    if (id === undefined || id.length !== MESSAGE_ID_BYTES) return undefined;
    const bytes = this.#store.get('receipt', id);
    return bytes && { id, row: parseJson(bytes) as ReceiptRow };
  }

  getEnd(messageId: Uint8Array, deviceId: string): EndRow | undefined {
    const bytes = this.#store.get('receipt', endKey(messageId, deviceId));
    return bytes && (parseJson(bytes) as EndRow);
  }

  /** The answer an idempotency key got before, synced or not. */
  findAnswer(idempotency: IdempotencyKey, now: InstantMs): IdempotentAnswer | undefined {
    const text = answerText(idempotency);
    const pending = this.#pendingAnswers.get(text);
    if (pending !== undefined) return pending;
    const bytes = this.#store.get('idempotency', answerKey(text));
    if (bytes === undefined) return undefined;
    const row = parseJson(bytes) as IdempotentAnswer & { atMs: number };
    return row.atMs + this.#limits.idempotencyMsMax > now.wall ? row : undefined;
  }

  putAnswer(idempotency: IdempotencyKey, answer: IdempotentAnswer, now: InstantMs): void {
    const text = answerText(idempotency);
    const key = answerKey(text);
    const byTime = new Uint8Array(1 + TIME_BYTES + key.length);
    byTime[0] = 1;
    byTime.set(timeBytes(now.wall), 1);
    byTime.set(key, 1 + TIME_BYTES);
    this.#queue.put('idempotency', key, encodeJson({ ...answer, atMs: now.wall }));
    this.#queue.put('idempotency', byTime, new Uint8Array(1));
    if (++this.#answers.count > this.#limits.idempotencyKeysMax) this.#forgetOldestAnswer(now);
    this.#pendingAnswers.set(text, answer);
    const forget = (): void => void this.#pendingAnswers.delete(text);
    this.#queue.after({ committed: forget, undo: forget });
  }

  /** Forgets what is too old, oldest first; a bounded number of rows a call. */
  sweep(now: InstantMs): void {
    const receiptEnd = timeBytes(now.wall - this.#limits.receiptMsMax);
    for (const { key } of this.#store.scan('receipt', { to: receiptEnd, limit: SWEEP_ROWS_MAX })) {
      this.#queue.put('receipt', key, undefined);
      if (key.length === MESSAGE_ID_BYTES) this.#receipts.count--;
    }
    const to = new Uint8Array(1 + TIME_BYTES);
    to[0] = 1;
    to.set(timeBytes(now.wall - this.#limits.idempotencyMsMax), 1);
    for (const { key } of this.#store.scan('idempotency', { from: byTimeStart, to, limit: SWEEP_ROWS_MAX })) {
      this.#queue.put('idempotency', key, undefined);
      this.#forgetAnswer(key.slice(1 + TIME_BYTES), now.wall - this.#limits.idempotencyMsMax);
    }
  }

  /** Makes room: the first receipt behind the last one forgotten goes, with its ends. */
  #forgetOldestReceipt(): void {
    const from = this.#receipts.forgottenThrough;
    for (const { key } of this.#store.scan('receipt', { ...(from && { from }), limit: SWEEP_ROWS_MAX })) {
      const isNext = key.length === MESSAGE_ID_BYTES && this.#receipts.count <= this.#limits.receiptsMax;
      if (isNext) return;
      if (key.length === MESSAGE_ID_BYTES) this.#receipts.count--;
      this.#queue.put('receipt', key, undefined);
      this.#receipts.forgottenThrough = behind(key);
    }
  }

  #forgetOldestAnswer(now: InstantMs): void {
    const from = this.#answers.forgottenThrough ?? byTimeStart;
    for (const { key } of this.#store.scan('idempotency', { from, limit: 1 })) {
      this.#queue.put('idempotency', key, undefined);
      this.#answers.forgottenThrough = behind(key);
      this.#forgetAnswer(key.slice(1 + TIME_BYTES), now.wall);
    }
  }

  /** Deletes the answer unless the key was used anew since. */
  #forgetAnswer(key: Uint8Array, givenBeforeMs: number): void {
    const bytes = this.#store.get('idempotency', key);
    if (bytes === undefined) return;
    const { atMs } = parseJson(bytes) as { atMs: number };
    if (atMs > givenBeforeMs) return;
    this.#queue.put('idempotency', key, undefined);
    this.#answers.count--;
  }
}

export function messageIdText(id: Uint8Array): string {
  return toHex(id);
}

/** The first key that is greater. */
function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key, 0);
  return next;
}

function timeBytes(wallMs: number): Uint8Array {
  const bytes = new Uint8Array(TIME_BYTES);
  let rest = Math.max(0, Math.floor(wallMs));
  for (let index = TIME_BYTES - 1; index >= 0; index--) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

function endKey(messageId: Uint8Array, deviceId: string): Uint8Array {
  const device = encodeUtf8(deviceId);
  const key = new Uint8Array(MESSAGE_ID_BYTES + device.length);
  key.set(messageId, 0);
  key.set(device, MESSAGE_ID_BYTES);
  return key;
}

function answerText(idempotency: IdempotencyKey): string {
  return `${idempotency.owner}\n${idempotency.key}`;
}

function answerKey(text: string): Uint8Array {
  const bytes = encodeUtf8(text);
  const key = new Uint8Array(1 + bytes.length);
  key.set(bytes, 1);
  return key;
}

/**
 * The rows beside the log: how devices, cursors, subscriptions and tokens are written down. docs/spec/store.md has
 * the layout. Rows that change with every acknowledgement are binary; the others are JSON, to be read by people.
 */
import { WakelineError } from '../base/errors.js';
import { fromHex, toHex } from '../base/hex.js';
import { SequenceSet } from '../base/sequence-set.js';
import { getU32, putU32 } from '../base/u32.js';
import { decodeUtf8, encodeUtf8, utf8Bytes, writeUtf8 } from '../base/utf8.js';
import type { AccessRules } from '../domain/device.js';
import type { Will } from '../domain/link.js';
import type { Qos, Urgency } from '../domain/message.js';
import { Inbox } from './inbox.js';

export interface SessionRow {
  readonly expirySeconds: number;
  /** Wall-clock ms at which its last flow ended; undefined: it has one, or had one when the server died. */
  readonly endedMs: number | undefined;
  readonly will: Will | undefined;
}

export interface DeviceRow {
  readonly number: number;
  readonly tokenSha256: string | undefined;
  readonly access: AccessRules | undefined;
  readonly session: SessionRow | undefined;
  /** A user agent of Web Push; undefined: it is none. */
  readonly isAgent?: true | undefined;
}

export function encodeDeviceRow(row: DeviceRow): Uint8Array {
  const will = row.session?.will;
  return encodeUtf8(
    JSON.stringify({
      ...row,
      session: row.session && { ...row.session, will: will && willToJson(will) },
    }),
  );
}

export function decodeDeviceRow(bytes: Uint8Array): DeviceRow {
  const row = parseJson(bytes) as DeviceRow & { session?: { will?: WillJson } };
  const will = row.session?.will;
  if (will === undefined) return row;
  return { ...row, session: { ...row.session!, will: willFromJson(will as unknown as WillJson) } };
}

interface WillJson {
  readonly topic: string;
  readonly body: string;
  readonly properties: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly expirySeconds: number | undefined;
  readonly urgency: Urgency;
  readonly replaceKey: string | undefined;
  readonly delaySeconds: number;
}

function willToJson(will: Will): WillJson {
  const { publication, delaySeconds } = will;
  return {
    ...publication,
    body: toHex(publication.body),
    properties: toHex(publication.properties),
    delaySeconds,
  };
}

function willFromJson(json: WillJson): Will {
  const { delaySeconds, ...publication } = json;
  const body = fromHex(json.body);
  const properties = fromHex(json.properties);
  if (body === undefined || properties === undefined) throw corruptRow('a will');
  return { publication: { ...publication, body, properties }, delaySeconds };
}

/** Key of everything that belongs to a device number. */
export function numberKey(number: number): Uint8Array {
  const key = new Uint8Array(4);
  putU32(key, 0, number);
  return key;
}

/**
 * Cursor row: 8 epoch, u32 last sequence, u32 finished through, u32 topics dropped through, u32 topics sent through,
 * u32 addressed sent through, u32 n, n × (u32 first, u32 last) finished beyond, u32 n, n × u16 inbound QoS 2 ids, u32 n, n × u32 released sequences.
 */
export function encodeCursorRow(inbox: Inbox): Uint8Array {
  const { beyond } = inbox.finished;
  const inboundCount = inbox.inboundIds?.size ?? 0;
  const releasedCount = inbox.released?.size ?? 0;
  const bytes = new Uint8Array(40 + beyond.length * 4 + inboundCount * 2 + releasedCount * 4);
  bytes.set(inbox.epoch, 0);
  putU32(bytes, 8, inbox.lastSequence);
  putU32(bytes, 12, inbox.finished.through);
  putU32(bytes, 16, inbox.topicsDroppedThrough);
  putU32(bytes, 20, inbox.topicsSentThrough);
  putU32(bytes, 24, inbox.addressedSentThrough);
  putU32(bytes, 28, beyond.length / 2);
  let position = 32;
  for (const value of beyond) position = putU32(bytes, position, value);
  position = putU32(bytes, position, inboundCount);
  for (const id of inbox.inboundIds ?? []) {
    bytes[position++] = id >>> 8;
    bytes[position++] = id;
  }
  position = putU32(bytes, position, releasedCount);
  for (const sequence of inbox.released ?? []) position = putU32(bytes, position, sequence);
  return bytes;
}

export function decodeCursorRow(number: number, bytes: Uint8Array): Inbox {
  if (bytes.length < 40) throw corruptRow('a cursor');
  const inbox = new Inbox(number, bytes.slice(0, 8));
  inbox.lastSequence = inbox.committed = getU32(bytes, 8);
  inbox.topicsDroppedThrough = getU32(bytes, 16);
  inbox.topicsSentThrough = getU32(bytes, 20);
  inbox.addressedSentThrough = getU32(bytes, 24);
  const through = getU32(bytes, 12);
  const beyond: number[] = [];
  let count = getU32(bytes, 28) * 2;
  let position = 32;
  for (; count > 0; count--, position += 4) beyond.push(getU32(bytes, position));
  inbox.finished = new SequenceSet(through, beyond);
  count = getU32(bytes, position);
  position += 4;
  if (count > 0) inbox.inboundIds = new Set();
  for (; count > 0; count--, position += 2) {
    inbox.inboundIds!.add((bytes[position] << 8) | bytes[position + 1]);
  }
  count = getU32(bytes, position);
  position += 4;
  if (count > 0) inbox.released = new Set();
  for (; count > 0; count--, position += 4) inbox.released!.add(getU32(bytes, position));
  if (position !== bytes.length) throw corruptRow('a cursor');
  return inbox;
}

/** What of a subscription is stored; the filter stands in the key. */
export interface SubscriptionRow {
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly subscriptionId: number;
}

/** Key: u32 device number, filter. */
export function subscriptionKey(number: number, filter: string): Uint8Array {
  const key = new Uint8Array(4 + utf8Bytes(filter));
  putU32(key, 0, number);
  writeUtf8(key, 4, filter);
  return key;
}

export function encodeSubscriptionRow(row: SubscriptionRow): Uint8Array {
  const bytes = new Uint8Array(5);
  bytes[0] = row.qos | (row.noLocal ? 4 : 0) | (row.retainAsPublished ? 8 : 0);
  putU32(bytes, 1, row.subscriptionId);
  return bytes;
}

export function decodeSubscriptionRow(
  key: Uint8Array,
  bytes: Uint8Array,
): { number: number; row: SubscriptionRow } {
  const filter = decodeUtf8(key, 4, key.length);
  if (filter === undefined || bytes.length !== 5) throw corruptRow('a subscription');
  const flags = bytes[0];
  return {
    number: getU32(key, 0),
    row: {
      filter,
      qos: (flags & 3) as Qos,
      noLocal: (flags & 4) !== 0,
      retainAsPublished: (flags & 8) !== 0,
      subscriptionId: getU32(bytes, 1),
    },
  };
}

export function encodeJson(value: unknown): Uint8Array {
  return encodeUtf8(JSON.stringify(value));
}

export function parseJson(bytes: Uint8Array): unknown {
  const text = decodeUtf8(bytes, 0, bytes.length);
  if (text === undefined) throw corruptRow('a row');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw corruptRow('a row', cause);
  }
}

function corruptRow(what: string, cause?: unknown): WakelineError {
  return new WakelineError(
    'STORE_CORRUPT',
    `${what} in the store cannot be read; restore the data directory from a backup`,
    {
      cause,
    },
  );
}

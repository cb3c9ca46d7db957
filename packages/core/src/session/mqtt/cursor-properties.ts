/**
 * How a device that asks is told its cursor over MQTT 5.0: the epoch of its inbox in CONNACK, and with each numbered
 * message its sequence number, as user properties. A packet id does not do: it is the number folded to 16 bits.
 *
 * Written by the server, read by the device; what a sender puts under these names is told apart by standing in front.
 */
import { decodeUtf8, encodeUtf8 } from '../../base/index.js';
import type { Delivery } from '../../domain/index.js';
import { encodeApplicationProperties, type Properties } from '../../wire/mqtt/index.js';

/** User property of CONNECT that asks for the others. */
export const cursorRequest = ['wakeline', 'cursor'] as const;

/** Names of the user properties that tell. */
export const cursorNames = {
  /** Of CONNACK: 16 hex digits. */
  epoch: 'epoch',
  /** Of PUBLISH, behind all others: decimal, 1 …. */
  sequence: 'sequence',
} as const;

/** Whether a CONNECT with these properties asks. */
export function asksForCursor({ userProperties }: Properties): boolean {
  return (
    userProperties?.some(([name, value]) => name === cursorRequest[0] && value === cursorRequest[1]) ?? false
  );
}

/** The delivery with its number behind its own properties; one without a number as it is. */
export function withSequence(delivery: Delivery): Delivery {
  const { sequence, properties } = delivery;
  if (sequence === 0) return delivery;
  const told = encodeApplicationProperties({ userProperties: [[cursorNames.sequence, String(sequence)]] });
  const all = new Uint8Array(properties.length + told.length);
  all.set(properties);
  all.set(told, properties.length);
  return { ...delivery, properties: all };
}

/** The epoch that CONNACK tells; undefined: it tells none. */
export function epochIn({ userProperties }: Properties): string | undefined {
  const value = userProperties?.find(([name]) => name === cursorNames.epoch)?.[1];
  return value !== undefined && /^[0-9a-f]{16}$/.test(value) ? value : undefined;
}

/** Name and both lengths, as a user property is written (MQTT 5.0 §2.2.2.2), up to its value's length. */
const head = Uint8Array.of(0x26, 0, cursorNames.sequence.length, ...encodeUtf8(cursorNames.sequence));

/** Takes the number off the end of a message's properties; 0: there is none. The rest is a view. */
export function splitSequence(properties: Uint8Array): {
  readonly sequence: number;
  readonly properties: Uint8Array;
} {
  // The number has at most 10 digits, so its property begins at one of few places.
  for (let digits = 1; digits <= 10; digits += 1) {
    const start = properties.length - digits - 2 - head.length;
    if (start < 0) break;
    if (!head.every((byte, index) => properties[start + index] === byte)) continue;
    const at = start + head.length;
    if (properties[at] !== 0 || properties[at + 1] !== digits) continue;
    const text = decodeUtf8(properties, at + 2, properties.length);
    if (text === undefined || !/^[1-9][0-9]*$/.test(text)) continue;
    return { sequence: Number(text), properties: properties.subarray(0, start) };
  }
  return { sequence: 0, properties };
}

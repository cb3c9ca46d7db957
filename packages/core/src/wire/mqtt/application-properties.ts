/**
 * The properties of PUBLISH and of the will (MQTT 5.0 §3.3.2.3, §3.1.3.2).
 *
 * What belongs to the application is checked once and from then on carried as the bytes it came in; only what the
 * server itself acts on is taken apart. Nothing on this path makes a string.
 */
import { ByteReader, ByteWriter, decodeUtf8, isTextUtf8 } from '../../base/index.js';
import { Malformed, malformedPacket, protocolError } from './malformed.js';
import { readText, writeUserProperty, type UserProperty } from './properties.js';

/** No properties: shared, so that the common case allocates nothing. */
export const noApplicationProperties: Uint8Array = new Uint8Array(0);

/** No subscription identifiers, shared. */
export const noSubscriptionIds: readonly number[] = Object.freeze([]);

const PropertyId = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionId: 0x0b,
  willDelay: 0x18,
  topicAlias: 0x23,
  userProperty: 0x26,
} as const;

/** What a property block of PUBLISH or of a will held. */
export interface ApplicationBlock {
  /** The forwardable properties, a view where they lie together. */
  properties: Uint8Array;
  messageExpirySeconds: number | undefined;
  topicAlias: number;
  subscriptionIds: readonly number[];
  willDelaySeconds: number;
}

/** Reads a property length and the properties of PUBLISH (or of a will) behind it. */
export function readApplicationBlock(
  reader: ByteReader,
  place: 'publish' | 'will',
): ApplicationBlock | Malformed {
  const length = reader.readVarint();
  if (reader.failed || length > reader.remainingBytes) {
    return malformedPacket('the properties are longer than the packet');
  }
  const block: ApplicationBlock = {
    properties: noApplicationProperties,
    messageExpirySeconds: undefined,
    topicAlias: 0,
    subscriptionIds: noSubscriptionIds,
    willDelaySeconds: 0,
  };
  if (length === 0) return block;
  const outerEnd = reader.end;
  reader.end = reader.position + length;
  const bad = scanBlock(reader, place, block);
  reader.end = outerEnd;
  return bad ?? block;
}

function scanBlock(
  reader: ByteReader,
  place: 'publish' | 'will',
  block: ApplicationBlock,
): Malformed | undefined {
  const start = reader.position;
  // Ids are below 32 except for the topic alias and user properties, so one word remembers which were there.
  let seen = 0;
  let kept: ByteWriter | undefined;
  let keptStart = start;
  let keptEnd = start;
  while (reader.remainingBytes > 0) {
    const at = reader.position;
    const id = reader.readVarint();
    if (id !== PropertyId.userProperty && id !== PropertyId.subscriptionId) {
      const bit = id === PropertyId.topicAlias ? 1 : id < 32 ? 1 << id : 0;
      if ((seen & bit) !== 0) return protocolError('a property is there twice');
      seen |= bit;
    }
    if (isForwardable(id)) {
      const bad = skipForwardable(reader, id);
      if (bad !== undefined) return bad;
      // Forwardable stretches that are not neighbours are brought together in a copy.
      if (keptEnd === at || keptEnd === keptStart) {
        if (keptEnd === keptStart) keptStart = at;
      } else {
        kept ??= new ByteWriter(reader.end - start);
        kept.writeBytes(reader.bytes.subarray(keptStart, keptEnd));
        keptStart = at;
      }
      keptEnd = reader.position;
    } else {
      const bad = readServerProperty(reader, id, place, block);
      if (bad !== undefined) return bad;
    }
  }
  const last = reader.bytes.subarray(keptStart, keptEnd);
  if (kept !== undefined) {
    kept.writeBytes(last);
    block.properties = kept.take();
  } else if (keptEnd > keptStart) block.properties = last;
  return undefined;
}

function isForwardable(id: number): boolean {
  return (
    id === PropertyId.userProperty ||
    id === PropertyId.payloadFormat ||
    id === PropertyId.contentType ||
    id === PropertyId.responseTopic ||
    id === PropertyId.correlationData
  );
}

function skipForwardable(reader: ByteReader, id: number): Malformed | undefined {
  if (id === PropertyId.payloadFormat) {
    if (reader.readU8() > 1) return protocolError('the payload format indicator is 0 or 1');
  } else if (id === PropertyId.correlationData) reader.skip(reader.readU16());
  else {
    skipText(reader, id === PropertyId.responseTopic);
    if (id === PropertyId.userProperty) skipText(reader, false);
  }
  return reader.failed ? malformedPacket('a property is cut short or not UTF-8') : undefined;
}

function skipText(reader: ByteReader, isTopic: boolean): void {
  const length = reader.readU16();
  const at = reader.skip(length);
  if (at < 0) return;
  if (!isTextUtf8(reader.bytes, at, at + length)) reader.failed = true;
  // [MQTT-3.3.2-14] the response topic has no wildcards.
  else if (isTopic && hasWildcard(reader.bytes, at, at + length)) reader.failed = true;
}

/** Whether `+` or `#` stands in the bytes of a topic. */
export function hasWildcard(bytes: Uint8Array, start: number, end: number): boolean {
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    if (byte === 0x23 || byte === 0x2b) return true;
  }
  return false;
}

function readServerProperty(
  reader: ByteReader,
  id: number,
  place: 'publish' | 'will',
  block: ApplicationBlock,
): Malformed | undefined {
  if (id === PropertyId.messageExpiry) block.messageExpirySeconds = reader.readU32();
  else if (id === PropertyId.willDelay && place === 'will') block.willDelaySeconds = reader.readU32();
  else if (id === PropertyId.topicAlias && place === 'publish') {
    block.topicAlias = reader.readU16();
    // [MQTT-3.3.2-8] a topic alias is not 0.
    if (block.topicAlias === 0 && !reader.failed)
      return new Malformed('protocol-error', 0x94, 'topic alias 0');
  } else if (id === PropertyId.subscriptionId && place === 'publish') {
    const value = reader.readVarint();
    // MQTT 5.0 §3.3.2.3.8: a subscription identifier is not 0.
    if (value === 0 && !reader.failed) return protocolError('a subscription identifier is 0');
    if (block.subscriptionIds === noSubscriptionIds) block.subscriptionIds = [value];
    else (block.subscriptionIds as number[]).push(value);
  } else return malformedPacket('a property that is unknown or not allowed in this packet');
  return reader.failed ? malformedPacket('a property is cut short') : undefined;
}

/** Application properties as values. Not for the hot path. */
export interface ApplicationProperties {
  /** 0: bytes; 1: UTF-8 text. */
  readonly payloadFormat?: number;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  readonly userProperties?: readonly UserProperty[];
}

/** The block of {@link PublishPacket.properties} for these values. */
export function encodeApplicationProperties(properties: ApplicationProperties): Uint8Array {
  const writer = new ByteWriter(64);
  const { payloadFormat, contentType, responseTopic, correlationData, userProperties } = properties;
  if (payloadFormat !== undefined) {
    writer.writeU8(PropertyId.payloadFormat);
    writer.writeU8(payloadFormat);
  }
  if (contentType !== undefined) {
    writer.writeU8(PropertyId.contentType);
    writer.writeUtf8WithLength(contentType);
  }
  if (responseTopic !== undefined) {
    writer.writeU8(PropertyId.responseTopic);
    writer.writeUtf8WithLength(responseTopic);
  }
  if (correlationData !== undefined) {
    writer.writeU8(PropertyId.correlationData);
    writer.writeBytesWithLength(correlationData);
  }
  for (const pair of userProperties ?? []) writeUserProperty(writer, pair);
  return writer.length === 0 ? noApplicationProperties : writer.take();
}

/** The values in a verified block; undefined if it is none, which a decoded packet never holds. */
export function decodeApplicationProperties(block: Uint8Array): ApplicationProperties | undefined {
  const reader = new ByteReader(block, 0, block.length);
  const values: {
    -readonly [Key in keyof ApplicationProperties]: ApplicationProperties[Key];
  } = {};
  const pairs: UserProperty[] = [];
  while (reader.remainingBytes > 0 && !reader.failed) {
    const id = reader.readU8();
    if (id === PropertyId.payloadFormat) values.payloadFormat = reader.readU8();
    else if (id === PropertyId.contentType) values.contentType = readText(reader);
    else if (id === PropertyId.responseTopic) values.responseTopic = readText(reader);
    else if (id === PropertyId.correlationData) values.correlationData = reader.readView(reader.readU16());
    else if (id === PropertyId.userProperty) pairs.push([readText(reader), readText(reader)]);
    else return undefined;
  }
  if (pairs.length > 0) values.userProperties = pairs;
  return reader.failed ? undefined : values;
}

/** The value of the first user property with this name in a verified block; undefined if there is none. */
export function findUserProperty(block: Uint8Array, name: Uint8Array): string | undefined {
  let position = 0;
  while (position < block.length) {
    const id = block[position]!;
    if (id === PropertyId.payloadFormat) {
      position += 2;
      continue;
    }
    const length = lengthAt(block, position + 1);
    const next = position + 3 + length;
    if (id !== PropertyId.userProperty) {
      position = next;
      continue;
    }
    const valueLength = lengthAt(block, next);
    if (length === name.length && isSame(block, position + 3, name)) {
      return decodeUtf8(block, next + 2, next + 2 + valueLength);
    }
    position = next + 2 + valueLength;
  }
  return undefined;
}

function lengthAt(block: Uint8Array, position: number): number {
  return (block[position]! << 8) | block[position + 1]!;
}

function isSame(block: Uint8Array, offset: number, name: Uint8Array): boolean {
  for (let index = 0; index < name.length; index += 1) {
    if (block[offset + index] !== name[index]) return false;
  }
  return true;
}

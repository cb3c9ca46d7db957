/**
 * The properties of MQTT 5.0 §2.2.2: one table of names, types and places, and a reader and a writer driven by it.
 *
 * Those of PUBLISH and of the will are not handled here: they are carried as bytes, see application-properties.ts.
 */
import type { ByteReader, ByteWriter } from '../../base/index.js';
import { malformedPacket, protocolError } from './malformed.js';
import type { Malformed } from './malformed.js';

/** A name and a value; the same name may come again, and the order is kept. */
export type UserProperty = readonly [name: string, value: string];

/** Every property that is not carried as bytes. What is absent is undefined; defaults are the reader's business. */
export interface Properties {
  readonly sessionExpirySeconds?: number;
  readonly assignedClientId?: string;
  readonly serverKeepAliveSeconds?: number;
  readonly authenticationMethod?: string;
  readonly authenticationData?: Uint8Array;
  readonly requestProblemInformation?: number;
  readonly requestResponseInformation?: number;
  readonly responseInformation?: string;
  readonly serverReference?: string;
  readonly reasonString?: string;
  /** 1 … 65,535. */
  readonly receiveMaximum?: number;
  readonly topicAliasMaximum?: number;
  readonly maximumQos?: number;
  readonly retainAvailable?: number;
  /** 1 … 4,294,967,295. */
  readonly maximumPacketBytes?: number;
  readonly wildcardSubscriptionAvailable?: number;
  readonly subscriptionIdentifierAvailable?: number;
  readonly sharedSubscriptionAvailable?: number;
  /** Of SUBSCRIBE: 1 … 268,435,455. */
  readonly subscriptionId?: number;
  readonly userProperties?: readonly UserProperty[];
}

/** No properties, shared. */
export const noProperties: Properties = Object.freeze({});

/** Sets of packets, as bits, for the column "allowed in". */
export const PropertyPlace = {
  connect: 1,
  connack: 2,
  /** PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK: reason string and user properties. */
  acknowledgement: 4,
  subscribe: 8,
  unsubscribe: 16,
  disconnect: 32,
  auth: 64,
} as const;
export type PropertyPlace = (typeof PropertyPlace)[keyof typeof PropertyPlace];

type PropertyKind = 'flag' | 'u16' | 'u32' | 'varint' | 'text' | 'binary' | 'pair';

interface PropertyRule {
  readonly id: number;
  readonly name: keyof Properties;
  readonly kind: PropertyKind;
  readonly places: number;
  /** [MQTT-3.1.2.11.3 and others] zero is a protocol error. */
  readonly nonZero: boolean;
}

const { connect, connack, acknowledgement, subscribe, unsubscribe, disconnect, auth } = PropertyPlace;
const everywhere = connect | connack | acknowledgement | subscribe | unsubscribe | disconnect | auth;

function rule(id: number, name: keyof Properties, kind: PropertyKind, places: number): PropertyRule {
  const nonZero = name === 'receiveMaximum' || name === 'maximumPacketBytes' || name === 'subscriptionId';
  return { id, name, kind, places, nonZero };
}

/** MQTT 5.0 table 2-4, without the properties that only PUBLISH and the will carry. */
const rules: readonly PropertyRule[] = [
  rule(0x0b, 'subscriptionId', 'varint', subscribe),
  rule(0x11, 'sessionExpirySeconds', 'u32', connect | connack | disconnect),
  rule(0x12, 'assignedClientId', 'text', connack),
  rule(0x13, 'serverKeepAliveSeconds', 'u16', connack),
  rule(0x15, 'authenticationMethod', 'text', connect | connack | auth),
  rule(0x16, 'authenticationData', 'binary', connect | connack | auth),
  rule(0x17, 'requestProblemInformation', 'flag', connect),
  rule(0x19, 'requestResponseInformation', 'flag', connect),
  rule(0x1a, 'responseInformation', 'text', connack),
  rule(0x1c, 'serverReference', 'text', connack | disconnect),
  rule(0x1f, 'reasonString', 'text', connack | acknowledgement | disconnect | auth),
  rule(0x21, 'receiveMaximum', 'u16', connect | connack),
  rule(0x22, 'topicAliasMaximum', 'u16', connect | connack),
  rule(0x24, 'maximumQos', 'flag', connack),
  rule(0x25, 'retainAvailable', 'flag', connack),
  rule(0x26, 'userProperties', 'pair', everywhere),
  rule(0x27, 'maximumPacketBytes', 'u32', connect | connack),
  rule(0x28, 'wildcardSubscriptionAvailable', 'flag', connack),
  rule(0x29, 'subscriptionIdentifierAvailable', 'flag', connack),
  rule(0x2a, 'sharedSubscriptionAvailable', 'flag', connack),
];

const rulesById: (PropertyRule | undefined)[] = [];
for (const entry of rules) rulesById[entry.id] = entry;

/** Reads a property length and the properties behind it. The caller still asks `reader.failed`. */
export function readProperties(reader: ByteReader, place: PropertyPlace): Properties | Malformed {
  const length = reader.readVarint();
  if (length === 0) return noProperties;
  if (length > reader.remainingBytes) return malformedPacket('the properties are longer than the packet');
  const outerEnd = reader.end;
  reader.end = reader.position + length;
  const result = readBlock(reader, place);
  reader.end = outerEnd;
  return result;
}

function readBlock(reader: ByteReader, place: PropertyPlace): Properties | Malformed {
  const values: Record<string, unknown> = {};
  let pairs: UserProperty[] | undefined;
  while (reader.remainingBytes > 0) {
    const found = rulesById[reader.readVarint()];
    if (found === undefined) return malformedPacket('an unknown property');
    // MQTT 5.0 §2.2.2.2: a property that is not valid for its packet makes it malformed.
    if ((found.places & place) === 0) return malformedPacket(`${found.name} is not allowed in this packet`);
    if (found.kind === 'pair') {
      pairs ??= [];
      pairs.push([readText(reader), readText(reader)]);
    } else {
      if (values[found.name] !== undefined) return protocolError(`${found.name} is there twice`);
      const value = readValue(reader, found.kind);
      if (found.kind === 'flag' && (value as number) > 1) return protocolError(`${found.name} is 0 or 1`);
      if (found.nonZero && value === 0 && !reader.failed) return protocolError(`${found.name} is 0`);
      values[found.name] = value;
    }
    if (reader.failed) return malformedPacket('a property is cut short or not UTF-8');
  }
  if (pairs !== undefined) values['userProperties'] = pairs;
  return values;
}

function readValue(reader: ByteReader, kind: Exclude<PropertyKind, 'pair'>): unknown {
  switch (kind) {
    case 'flag':
      return reader.readU8();
    case 'u16':
      return reader.readU16();
    case 'u32':
      return reader.readU32();
    case 'varint':
      return reader.readVarint();
    case 'text':
      return readText(reader);
    case 'binary':
      return reader.readView(reader.readU16());
  }
}

/** A UTF-8 string behind its length (MQTT 5.0 §1.5.4). */
export function readText(reader: ByteReader): string {
  const text = reader.readUtf8(reader.readU16());
  // [MQTT-1.5.4-2] U+0000 is forbidden; control and non-characters may be refused and are not.
  if (text.includes('\0')) reader.failed = true;
  return text;
}

/** Writes a property length and the properties that may stand in this packet; others are an error of the caller. */
export function writeProperties(writer: ByteWriter, properties: Properties): void {
  if (properties === noProperties) {
    writer.writeU8(0);
    return;
  }
  const mark = writer.length;
  for (const { id, name, kind } of rules) {
    const value = properties[name];
    if (value === undefined) continue;
    if (kind === 'pair') {
      for (const pair of value as readonly UserProperty[]) writeUserProperty(writer, pair);
      continue;
    }
    writer.writeU8(id);
    if (kind === 'text') writer.writeUtf8WithLength(value as string);
    else if (kind === 'binary') writer.writeBytesWithLength(value as Uint8Array);
    else if (kind === 'u32') writer.writeU32(value as number);
    else if (kind === 'u16') writer.writeU16(value as number);
    else if (kind === 'varint') writer.writeVarint(value as number);
    else writer.writeU8(value as number);
  }
  writer.insertLengthAt(mark);
}

export function writeUserProperty(writer: ByteWriter, pair: UserProperty): void {
  writer.writeU8(0x26);
  writer.writeUtf8WithLength(pair[0]);
  writer.writeUtf8WithLength(pair[1]);
}

/** Packets to bytes. What cannot be said in a version (properties, reason codes) is not written in it. */
import { encodeUtf8, unreachable, type ByteWriter } from '../../base/index.js';
import { encodePublish } from './encode-publish.js';
import type {
  AckType,
  AuthPacket,
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  Packet,
  ProtocolVersion,
  PublishPacket,
  SubackPacket,
  SubscribePacket,
  UnsubackPacket,
  UnsubscribePacket,
  WillFields,
} from './packets.js';
import { noProperties, writeProperties, type Properties } from './properties.js';

const ackFirstByte = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;

/**
 * Writes one packet. Values out of the range of their field are an error of the caller and throw an
 * `InvariantError` where they would break the framing.
 */
export function encodePacket(writer: ByteWriter, packet: Packet, version: ProtocolVersion): void {
  switch (packet.type) {
    case 'connect':
      return encodeConnect(writer, packet);
    case 'connack':
      return encodeConnack(writer, packet, version);
    case 'publish':
      return encodePublishPacket(writer, packet, version);
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return encodeAck(writer, version, packet.type, packet.packetId, packet.reasonCode, packet.properties);
    case 'subscribe':
      return encodeSubscribe(writer, packet, version);
    case 'suback':
    case 'unsuback':
      return encodeSuback(writer, packet, version);
    case 'unsubscribe':
      return encodeUnsubscribe(writer, packet, version);
    case 'pingreq':
      return writer.writeU16(0xc000);
    case 'pingresp':
      return writer.writeU16(0xd000);
    case 'disconnect':
    case 'auth':
      return encodeFarewell(writer, packet, version);
    default:
      return unreachable(packet);
  }
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP, in the shortest form. */
export function encodeAck(
  writer: ByteWriter,
  version: ProtocolVersion,
  type: AckType,
  packetId: number,
  reasonCode = 0,
  properties: Properties = noProperties,
): void {
  writer.writeU8(ackFirstByte[type]);
  // MQTT 5.0 §3.4.2.1: success without properties needs no more than the packet id.
  if (version === 4 || (reasonCode === 0 && properties === noProperties)) {
    writer.writeU8(2);
    writer.writeU16(packetId);
    return;
  }
  const mark = writer.length;
  writer.writeU16(packetId);
  writer.writeU8(reasonCode);
  if (properties !== noProperties) writeProperties(writer, properties);
  writer.insertLengthAt(mark);
}

function encodeConnect(writer: ByteWriter, packet: ConnectPacket): void {
  const { will, username, password, protocolVersion } = packet;
  writer.writeU8(0x10);
  const mark = writer.length;
  writer.writeUtf8WithLength('MQTT');
  writer.writeU8(protocolVersion);
  let flags = packet.clean ? 2 : 0;
  if (will !== undefined) flags |= 4 | (will.qos << 3) | (will.retain ? 32 : 0);
  if (password !== undefined) flags |= 64;
  if (username !== undefined) flags |= 128;
  writer.writeU8(flags);
  writer.writeU16(packet.keepAliveSeconds);
  if (protocolVersion === 5) writeProperties(writer, packet.properties);
  writer.writeUtf8WithLength(packet.clientId);
  if (will !== undefined) writeWill(writer, will, protocolVersion);
  if (username !== undefined) writer.writeUtf8WithLength(username);
  if (password !== undefined) writer.writeBytesWithLength(password);
  writer.insertLengthAt(mark);
}

function writeWill(writer: ByteWriter, will: WillFields, version: ProtocolVersion): void {
  if (version === 5) {
    const mark = writer.length;
    if (will.delaySeconds > 0) {
      writer.writeU8(0x18);
      writer.writeU32(will.delaySeconds);
    }
    if (will.messageExpirySeconds !== undefined) {
      writer.writeU8(0x02);
      writer.writeU32(will.messageExpirySeconds);
    }
    writer.writeBytes(will.properties);
    writer.insertLengthAt(mark);
  }
  writer.writeUtf8WithLength(will.topic);
  writer.writeBytesWithLength(will.payload);
}

function encodeConnack(writer: ByteWriter, packet: ConnackPacket, version: ProtocolVersion): void {
  writer.writeU8(0x20);
  const mark = writer.length;
  writer.writeU8(packet.sessionPresent ? 1 : 0);
  writer.writeU8(packet.reasonCode);
  if (version === 5) writeProperties(writer, packet.properties);
  writer.insertLengthAt(mark);
}

function encodePublishPacket(writer: ByteWriter, packet: PublishPacket, version: ProtocolVersion): void {
  const fields = {
    topic: encodeUtf8(packet.topic),
    qos: packet.qos,
    retain: packet.retain,
    duplicate: packet.dup,
    properties: packet.properties,
    body: packet.payload,
    expirySeconds: packet.messageExpirySeconds,
    subscriptionIds: packet.subscriptionIds,
  };
  encodePublish(writer, version, packet.packetId, fields, packet.topicAlias);
}

function encodeSubscribe(writer: ByteWriter, packet: SubscribePacket, version: ProtocolVersion): void {
  writer.writeU8(0x82);
  const mark = writer.length;
  writer.writeU16(packet.packetId);
  if (version === 5) writeProperties(writer, packet.properties);
  for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of packet.subscriptions) {
    writer.writeUtf8WithLength(filter);
    let options: number = qos;
    if (version === 5) options |= (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4);
    writer.writeU8(options);
  }
  writer.insertLengthAt(mark);
}

function encodeSuback(
  writer: ByteWriter,
  packet: SubackPacket | UnsubackPacket,
  version: ProtocolVersion,
): void {
  writer.writeU8(packet.type === 'suback' ? 0x90 : 0xb0);
  const mark = writer.length;
  writer.writeU16(packet.packetId);
  if (version === 5) writeProperties(writer, packet.properties);
  // MQTT 3.1.1 §3.11: UNSUBACK has no payload.
  if (version === 5 || packet.type === 'suback') for (const code of packet.reasonCodes) writer.writeU8(code);
  writer.insertLengthAt(mark);
}

function encodeUnsubscribe(writer: ByteWriter, packet: UnsubscribePacket, version: ProtocolVersion): void {
  writer.writeU8(0xa2);
  const mark = writer.length;
  writer.writeU16(packet.packetId);
  if (version === 5) writeProperties(writer, packet.properties);
  for (const filter of packet.filters) writer.writeUtf8WithLength(filter);
  writer.insertLengthAt(mark);
}

function encodeFarewell(
  writer: ByteWriter,
  packet: DisconnectPacket | AuthPacket,
  version: ProtocolVersion,
): void {
  writer.writeU8(packet.type === 'disconnect' ? 0xe0 : 0xf0);
  const mark = writer.length;
  // MQTT 5.0 §3.14.2.1: success without properties may be left out.
  if (version === 5 && (packet.reasonCode !== 0 || packet.properties !== noProperties)) {
    writer.writeU8(packet.reasonCode);
    if (packet.properties !== noProperties) writeProperties(writer, packet.properties);
  }
  writer.insertLengthAt(mark);
}

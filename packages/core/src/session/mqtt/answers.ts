/** Packets that carry more than a packet id, and may not be larger than the client takes: CONNACK, SUBACK, UNSUBACK, DISCONNECT. */
import type { ByteWriter } from '../../base/index.js';
import {
  encodePacket,
  noProperties,
  type Packet,
  type Properties,
  type ProtocolVersion,
} from '../../wire/mqtt/index.js';
import {
  subackCodes,
  unsubackCodes,
  type SubscribeResults,
  type UnsubscribeResults,
} from './subscription-requests.js';

/** Writes the packet. False: it is larger than the client takes and was left out ([MQTT-3.1.2-24], [MQTT-3.1.2-25]). */
export function writeWithin(
  packetBytesMax: number,
  writer: ByteWriter,
  packet: Packet,
  version: ProtocolVersion,
): boolean {
  const mark = writer.length;
  encodePacket(writer, packet, version);
  if (writer.length - mark <= packetBytesMax) return true;
  writer.truncate(mark);
  return false;
}

export function writeSuback(
  packetBytesMax: number,
  writer: ByteWriter,
  version: ProtocolVersion,
  packetId: number,
  results: SubscribeResults,
  properties: Properties,
): void {
  const reasonCodes = subackCodes(version, results);
  writeWithin(packetBytesMax, writer, { type: 'suback', packetId, reasonCodes, properties }, version);
}

export function writeUnsuback(
  packetBytesMax: number,
  writer: ByteWriter,
  version: ProtocolVersion,
  packetId: number,
  results: UnsubscribeResults,
  properties: Properties,
): void {
  const reasonCodes = unsubackCodes(results);
  writeWithin(packetBytesMax, writer, { type: 'unsuback', packetId, reasonCodes, properties }, version);
}

/** Of MQTT 5.0: 3.1.1 knows none from a server. With a reason string only for who takes it; without, smaller than any CONNACK. */
export function writeDisconnect(
  writer: ByteWriter,
  reasonCode: number,
  reasonString: string | undefined,
): void {
  const properties = reasonString === undefined ? noProperties : { reasonString };
  encodePacket(writer, { type: 'disconnect', reasonCode, properties }, 5);
}

/** Answers that carry more than a packet id: SUBACK, UNSUBACK, DISCONNECT. */
import type { ByteWriter } from '../../base/index.js';
import { encodePacket, noProperties, type Properties, type ProtocolVersion } from '../../wire/mqtt/index.js';
import {
  subackCodes,
  unsubackCodes,
  type SubscribeResults,
  type UnsubscribeResults,
} from './subscription-requests.js';

export function writeSuback(
  writer: ByteWriter,
  version: ProtocolVersion,
  packetId: number,
  results: SubscribeResults,
  properties: Properties,
): void {
  const reasonCodes = subackCodes(version, results);
  encodePacket(writer, { type: 'suback', packetId, reasonCodes, properties }, version);
}

export function writeUnsuback(
  writer: ByteWriter,
  version: ProtocolVersion,
  packetId: number,
  results: UnsubscribeResults,
  properties: Properties,
): void {
  const reasonCodes = unsubackCodes(results);
  encodePacket(writer, { type: 'unsuback', packetId, reasonCodes, properties }, version);
}

/** Of MQTT 5.0: 3.1.1 knows none from a server. */
export function writeDisconnect(
  writer: ByteWriter,
  reasonCode: number,
  reasonString: string | undefined,
): void {
  const properties = reasonString === undefined ? noProperties : { reasonString };
  encodePacket(writer, { type: 'disconnect', reasonCode, properties }, 5);
}

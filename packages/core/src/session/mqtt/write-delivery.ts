/** From the domain's `Delivery` to a PUBLISH of the connection: what the client can take, and by which topic alias. */
import type { ByteWriter } from '../../base/index.js';
import type { Delivery } from '../../domain/index.js';
import {
  encodePublish,
  knownTopic,
  publishPacketBytes,
  type ProtocolVersion,
} from '../../wire/mqtt/index.js';
import { PACKET_BYTES_UNLIMITED } from './handshake.js';
import { packetIdOf } from './packet-ids.js';
import { sharedPacket } from './shared-packets.js';
import type { TopicAliases } from './topic-aliases.js';

/**
 * Writes the delivery. False: no way to say it is within the client's maximum packet size, and nothing was written.
 *
 * @param aliases null: the client takes none.
 */
export function writeDelivery(
  writer: ByteWriter,
  version: ProtocolVersion,
  delivery: Delivery,
  packetBytesMax: number,
  aliases: TopicAliases | null,
): boolean {
  const { sequence, topic } = delivery;
  // Behind other packets it would be copied twice.
  if (delivery.qos === 0 && aliases === null && writer.length === 0) {
    const packet = sharedPacket(version, delivery);
    if (packet.length > packetBytesMax) return false;
    writer.writeShared(packet);
    return true;
  }
  const packetId = sequence === 0 ? 0 : packetIdOf(sequence);
  const known = aliases === null ? 0 : aliases.find(topic);
  const offered = known !== 0 || aliases === null ? 0 : aliases.offer(topic);
  const isFitting = (alias: number, written: Uint8Array): boolean =>
    packetBytesMax === PACKET_BYTES_UNLIMITED ||
    publishPacketBytes(version, delivery, alias, written) <= packetBytesMax;
  if (known !== 0) {
    if (!isFitting(known, knownTopic)) return false;
    encodePublish(writer, version, packetId, delivery, known, knownTopic);
  } else if (offered !== 0 && isFitting(offered, topic)) {
    encodePublish(writer, version, packetId, delivery, offered);
    aliases!.set(offered, topic);
  } else {
    // An alias that is not set yet makes the packet longer: it may fit without.
    if (!isFitting(0, topic)) return false;
    encodePublish(writer, version, packetId, delivery);
  }
  return true;
}

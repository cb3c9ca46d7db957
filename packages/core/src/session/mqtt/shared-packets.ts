/**
 * A fan-out's packet, encoded once for all connections that get the same one in the same words. Else thousands of copies
 * would be made in a turn, held until the last of them is written, and longer for each peer that does not read.
 *
 * For QoS 0 without topic aliases only: with a packet id no two packets are alike. Keeps the last one of each version and no more.
 */
import { ByteWriter } from '../../base/index.js';
import type { Delivery } from '../../domain/index.js';
import { encodePublish, type ProtocolVersion } from '../../wire/mqtt/index.js';

interface Encoded {
  readonly delivery: Delivery;
  readonly bytes: Uint8Array;
}

const writer = new ByteWriter();
const last: Record<ProtocolVersion, Encoded | null> = { 4: null, 5: null };

/** The PUBLISH of a QoS 0 delivery. To be read only: who gets the same delivery gets the same bytes. */
export function sharedPacket(version: ProtocolVersion, delivery: Delivery): Uint8Array {
  const known = last[version];
  if (known?.delivery === delivery) return known.bytes;
  encodePublish(writer, version, 0, delivery);
  const bytes = writer.take();
  last[version] = { delivery, bytes };
  return bytes;
}

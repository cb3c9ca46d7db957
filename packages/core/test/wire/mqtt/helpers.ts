/** Shortcuts of the codec's tests. */
import { ByteWriter } from '../../../src/base/index.js';
import {
  encodePacket,
  MqttDecoder,
  type Malformed,
  type Packet,
  type ProtocolVersion,
} from '../../../src/wire/mqtt/index.js';

export function encode(version: ProtocolVersion, ...packets: readonly Packet[]): Uint8Array {
  const writer = new ByteWriter();
  for (const packet of packets) encodePacket(writer, packet, version);
  return writer.take();
}

/** Everything that comes out, with views copied and empty and absent properties made the same. */
export function decodeAll(
  version: ProtocolVersion,
  chunks: Iterable<Uint8Array>,
  maxPacketBytes = 1 << 20,
): (Packet | Malformed)[] {
  const decoder = new MqttDecoder({ maxPacketBytes, protocolVersion: version });
  const found: (Packet | Malformed)[] = [];
  for (const chunk of chunks) {
    const lent = Uint8Array.from(chunk);
    decoder.push(lent);
    for (let next = decoder.next(); next !== undefined; next = decoder.next())
      found.push(structuredClone(next));
    // What was lent is reused: nothing that is kept may point into it.
    lent.fill(0xee);
  }
  return found;
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

/** Runs of a property: many when `WAKELINE_LONG` asks for it. */
export function runs(short: number, long: number): number {
  return process.env['WAKELINE_LONG'] === '1' ? long : short;
}

/**
 * Decoders for open connections, which need one only while they are read: a sleeping line keeps none. There is at
 * most one spare; a decoder that holds the beginning of a packet stays with its session.
 */
import { MqttDecoder, type ProtocolVersion } from '../../wire/mqtt/index.js';

let spare: MqttDecoder | undefined;

export const decoders = {
  /** A decoder for the bytes behind CONNECT. */
  take(protocolVersion: ProtocolVersion, maxPacketBytes: number): MqttDecoder {
    const decoder = spare ?? new MqttDecoder({ maxPacketBytes });
    spare = undefined;
    decoder.resume(protocolVersion, maxPacketBytes);
    return decoder;
  },

  /** It must be drained, hold nothing and not be dead. */
  giveBack(decoder: MqttDecoder): void {
    spare = decoder;
  },
} as const;

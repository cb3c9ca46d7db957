/** Acknowledgements, subscriptions, farewells: every packet that is neither CONNECT, CONNACK nor PUBLISH. */
import { ByteReader } from '../../base/index.js';
import { Malformed, malformedPacket, protocolError } from './malformed.js';
import type {
  AckPacket,
  AckType,
  AuthPacket,
  DisconnectPacket,
  ProtocolVersion,
  QosLevel,
  SubackPacket,
  SubscribeEntry,
  SubscribePacket,
  UnsubackPacket,
  UnsubscribePacket,
} from './packets.js';
import { noProperties, PropertyPlace, readProperties, readText } from './properties.js';
import { isReasonCodeAllowed, ReasonCode } from './reason-codes.js';

/** PUBACK, PUBREC, PUBREL and PUBCOMP in `bytes[start … end)`. */
export function decodeAck(
  type: AckType,
  bytes: Uint8Array,
  start: number,
  end: number,
  version: ProtocolVersion,
): AckPacket | Malformed {
  const length = end - start;
  if (length < 2 || (version === 4 && length !== 2)) return malformedPacket(`${type} has the wrong length`);
  const packetId = (bytes[start]! << 8) | bytes[start + 1]!;
  if (packetId === 0) return protocolError('packet id 0');
  // MQTT 5.0 §3.4.2.1: without a reason code it is success, without a property length there are none.
  const reasonCode = length > 2 ? bytes[start + 2]! : 0;
  if (reasonCode !== 0 && !isReasonCodeAllowed(type, reasonCode)) {
    return malformedPacket(`an unknown reason code in ${type}`);
  }
  let properties = noProperties;
  if (length > 3) {
    const reader = new ByteReader(bytes, start + 3, end);
    const read = readProperties(reader, PropertyPlace.acknowledgement);
    if (read instanceof Malformed) return read;
    if (reader.failed || reader.remainingBytes > 0) return malformedPacket(`${type} has the wrong length`);
    properties = read;
  }
  return { type, packetId, reasonCode, properties };
}

export function decodeSubscribe(reader: ByteReader, version: ProtocolVersion): SubscribePacket | Malformed {
  const packetId = reader.readU16();
  const properties = version === 5 ? readProperties(reader, PropertyPlace.subscribe) : noProperties;
  if (properties instanceof Malformed) return properties;
  // [MQTT-2.2.1-3]
  if (packetId === 0 && !reader.failed) return protocolError('packet id 0');
  const subscriptions: SubscribeEntry[] = [];
  while (reader.remainingBytes > 0) {
    const filter = readText(reader);
    const options = reader.readU8();
    if (reader.failed) break;
    const qos = options & 3;
    const retainHandling = (options >> 4) & 3;
    // [MQTT-3-8.3-4] of 3.1.1, [MQTT-3.8.3-5] of 5.0
    if (qos === 3 || (options & (version === 5 ? 0xc0 : 0xfc)) !== 0) {
      return malformedPacket('reserved bits of the subscription options are set');
    }
    // MQTT 5.0 §3.8.3.1
    if (retainHandling === 3) return protocolError('retain handling 3');
    // [MQTT-4.7.3-1]
    if (filter === '') return protocolError('an empty topic filter');
    subscriptions.push({
      filter,
      qos: qos as QosLevel,
      noLocal: (options & 4) !== 0,
      retainAsPublished: (options & 8) !== 0,
      retainHandling: retainHandling as 0 | 1 | 2,
    });
  }
  if (reader.failed) return malformedPacket('SUBSCRIBE is cut short or a filter is not UTF-8');
  // [MQTT-3.8.3-3] of 3.1.1, [MQTT-3.8.3-2] of 5.0
  if (subscriptions.length === 0) return protocolError('SUBSCRIBE without a filter');
  return { type: 'subscribe', packetId, subscriptions, properties };
}

export function decodeUnsubscribe(
  reader: ByteReader,
  version: ProtocolVersion,
): UnsubscribePacket | Malformed {
  const packetId = reader.readU16();
  const properties = version === 5 ? readProperties(reader, PropertyPlace.unsubscribe) : noProperties;
  if (properties instanceof Malformed) return properties;
  if (packetId === 0 && !reader.failed) return protocolError('packet id 0');
  const filters: string[] = [];
  while (reader.remainingBytes > 0) {
    const filter = readText(reader);
    if (reader.failed) break;
    if (filter === '') return protocolError('an empty topic filter');
    filters.push(filter);
  }
  if (reader.failed) return malformedPacket('UNSUBSCRIBE is cut short or a filter is not UTF-8');
  // [MQTT-3.10.3-2]
  if (filters.length === 0) return protocolError('UNSUBSCRIBE without a filter');
  return { type: 'unsubscribe', packetId, filters, properties };
}

export function decodeSuback(
  type: 'suback' | 'unsuback',
  reader: ByteReader,
  version: ProtocolVersion,
): SubackPacket | UnsubackPacket | Malformed {
  const packetId = reader.readU16();
  const properties = version === 5 ? readProperties(reader, PropertyPlace.acknowledgement) : noProperties;
  if (properties instanceof Malformed) return properties;
  if (reader.failed) return malformedPacket(`${type} is cut short`);
  if (packetId === 0) return protocolError('packet id 0');
  const reasonCodes: number[] = [];
  while (reader.remainingBytes > 0) {
    const code = reader.readU8();
    const isKnown =
      version === 5 ? isReasonCodeAllowed(type, code) : type === 'suback' && (code <= 2 || code === 0x80);
    if (!isKnown) return malformedPacket(`an unknown reason code in ${type}`);
    reasonCodes.push(code);
  }
  // MQTT 3.1.1 §3.11: UNSUBACK has no payload; everywhere else there is a code for each filter.
  const isEmptyRight = version === 4 && type === 'unsuback';
  if ((reasonCodes.length === 0) !== isEmptyRight) return malformedPacket(`${type} has the wrong length`);
  return { type, packetId, reasonCodes, properties };
}

export function decodeDisconnect(reader: ByteReader, version: ProtocolVersion): DisconnectPacket | Malformed {
  if (version === 4 && reader.remainingBytes > 0) return malformedPacket('DISCONNECT has the wrong length');
  return decodeFarewell('disconnect', PropertyPlace.disconnect, reader) as DisconnectPacket | Malformed;
}

export function decodeAuth(reader: ByteReader, version: ProtocolVersion): AuthPacket | Malformed {
  // MQTT 3.1.1 §2.2.1: type 15 is reserved.
  if (version === 4) return malformedPacket('packet type 15 is reserved');
  return decodeFarewell('auth', PropertyPlace.auth, reader) as AuthPacket | Malformed;
}

function decodeFarewell(
  type: 'disconnect' | 'auth',
  place: PropertyPlace,
  reader: ByteReader,
): DisconnectPacket | AuthPacket | Malformed {
  // MQTT 5.0 §3.14.2.1, §3.15.2.1: reason code and properties may be left out.
  const reasonCode = reader.remainingBytes > 0 ? reader.readU8() : ReasonCode.success;
  if (!isReasonCodeAllowed(type, reasonCode)) return malformedPacket(`an unknown reason code in ${type}`);
  const properties = reader.remainingBytes > 0 ? readProperties(reader, place) : noProperties;
  if (properties instanceof Malformed) return properties;
  if (reader.failed || reader.remainingBytes > 0) return malformedPacket(`${type} has the wrong length`);
  return { type, reasonCode, properties };
}

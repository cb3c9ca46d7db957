/** CONNECT and CONNACK (MQTT 3.1.1 and 5.0 §3.1, §3.2), bytes to packets. */
import type { ByteReader } from '../../base/index.js';
import { noApplicationProperties, hasWildcard, readApplicationBlock } from './application-properties.js';
import { Malformed, malformedPacket, protocolError } from './malformed.js';
import type { ConnackPacket, ConnectPacket, ProtocolVersion, QosLevel, WillFields } from './packets.js';
import { noProperties, PropertyPlace, readProperties, readText } from './properties.js';
import { isReasonCodeAllowed, ReasonCode } from './reason-codes.js';

const ConnectFlag = { reserved: 1, clean: 2, will: 4, willRetain: 32, password: 64, username: 128 } as const;

/**
 * Reads the protocol name and level at the start of CONNECT. `answer` is the version in which a refusal of
 * whatever follows can be said.
 */
export function readProtocolVersion(reader: ByteReader): {
  readonly answer: ProtocolVersion;
  readonly bad: Malformed | undefined;
} {
  const name = readText(reader);
  const level = reader.readU8();
  if (reader.failed) return { answer: 4, bad: malformedPacket('CONNECT is cut short') };
  // MQTT 3.1 called itself by another name; [MQTT-3.1.2-1] any other name is not MQTT and gets no answer.
  if (name !== 'MQTT' && name !== 'MQIsdp')
    return { answer: 4, bad: malformedPacket('the protocol is not MQTT') };
  if (name === 'MQTT' && (level === 4 || level === 5)) return { answer: level, bad: undefined };
  // [MQTT-3.1.2-2] the answer must be one that the client can read: levels above 5 know reason codes.
  const bad = new Malformed(
    'unsupported-version',
    ReasonCode.unsupportedProtocolVersion,
    'MQTT 3.1.1 and 5.0 are spoken here',
  );
  return { answer: name === 'MQTT' && level > 5 ? 5 : 4, bad };
}

/** Reads what follows the protocol level. */
export function decodeConnect(reader: ByteReader, version: ProtocolVersion): ConnectPacket | Malformed {
  const flags = reader.readU8();
  const bad = checkConnectFlags(flags, version);
  if (bad !== undefined) return bad;
  const keepAliveSeconds = reader.readU16();
  const properties = version === 5 ? readProperties(reader, PropertyPlace.connect) : noProperties;
  if (properties instanceof Malformed) return properties;
  // MQTT 5.0 §3.1.2.11.10
  if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    return protocolError('authentication data without a method');
  }
  const clientId = readText(reader);
  const will = (flags & ConnectFlag.will) === 0 ? undefined : readWill(reader, version, flags);
  if (will instanceof Malformed) return will;
  const username = (flags & ConnectFlag.username) === 0 ? undefined : readText(reader);
  const password = (flags & ConnectFlag.password) === 0 ? undefined : reader.readView(reader.readU16());
  if (reader.failed) return malformedPacket('CONNECT is cut short or a text is not UTF-8');
  if (reader.remainingBytes > 0) return malformedPacket('bytes behind the end of CONNECT');
  return {
    type: 'connect',
    protocolVersion: version,
    clean: (flags & ConnectFlag.clean) !== 0,
    keepAliveSeconds,
    clientId,
    username,
    password,
    will,
    properties,
  };
}

function checkConnectFlags(flags: number, version: ProtocolVersion): Malformed | undefined {
  // [MQTT-3.1.2-3]
  if ((flags & ConnectFlag.reserved) !== 0) return malformedPacket('the reserved flag of CONNECT is set');
  const willQos = (flags >> 3) & 3;
  // [MQTT-3.1.2-12]
  if (willQos === 3) return malformedPacket('will QoS 3');
  // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
  if ((flags & ConnectFlag.will) === 0 && (willQos !== 0 || (flags & ConnectFlag.willRetain) !== 0)) {
    return malformedPacket('will QoS or will retain without a will');
  }
  // [MQTT-3.1.2-22] of 3.1.1; 5.0 allows a password alone.
  if (version === 4 && (flags & ConnectFlag.password) !== 0 && (flags & ConnectFlag.username) === 0) {
    return malformedPacket('a password without a user name');
  }
  return undefined;
}

function readWill(reader: ByteReader, version: ProtocolVersion, flags: number): WillFields | Malformed {
  const block = version === 5 ? readApplicationBlock(reader, 'will') : undefined;
  if (block instanceof Malformed) return block;
  const topicBytes = reader.readU16();
  const topicStart = reader.position;
  const topic = reader.readUtf8(topicBytes);
  if (topic.includes('\0')) reader.failed = true;
  const payload = reader.readView(reader.readU16());
  if (reader.failed) return malformedPacket('the will is cut short or its topic is not UTF-8');
  // [MQTT-4.7.1-1], [MQTT-4.7.3-1] hold for the topic of a will too.
  if (topic === '' || hasWildcard(reader.bytes, topicStart, topicStart + topicBytes)) {
    return new Malformed(
      'topic-invalid',
      ReasonCode.topicNameInvalid,
      'the will topic is empty or has wildcards',
    );
  }
  return {
    topic,
    payload,
    qos: ((flags >> 3) & 3) as QosLevel,
    retain: (flags & ConnectFlag.willRetain) !== 0,
    delaySeconds: block?.willDelaySeconds ?? 0,
    messageExpirySeconds: block?.messageExpirySeconds,
    properties: block?.properties ?? noApplicationProperties,
  };
}

export function decodeConnack(reader: ByteReader, version: ProtocolVersion): ConnackPacket | Malformed {
  const flags = reader.readU8();
  const reasonCode = reader.readU8();
  // [MQTT-3.2.2-1] all but the session present flag are reserved.
  if (flags > 1) return malformedPacket('reserved flags of CONNACK are set');
  const properties = version === 5 ? readProperties(reader, PropertyPlace.connack) : noProperties;
  if (properties instanceof Malformed) return properties;
  if (reader.failed || reader.remainingBytes > 0) return malformedPacket('CONNACK has the wrong length');
  const isKnown = version === 5 ? isReasonCodeAllowed('connack', reasonCode) : reasonCode <= 5;
  if (!isKnown) return malformedPacket('an unknown reason code in CONNACK');
  // [MQTT-3.2.2-6] of 5.0, [MQTT-3.2.2-4] of 3.1.1
  if (reasonCode !== 0 && flags !== 0) return protocolError('session present in a refusal');
  return { type: 'connack', sessionPresent: flags === 1, reasonCode, properties };
}

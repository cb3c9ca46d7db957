/** PUBLISH (§3.3): the hot path. Payload and properties stay where they are; the topic is interned. */
import { ByteReader } from '../../base/index.js';
import {
  hasWildcard,
  noApplicationProperties,
  noSubscriptionIds,
  readApplicationBlock,
} from './application-properties.js';
import { Malformed, malformedPacket, protocolError } from './malformed.js';
import type { ProtocolVersion, PublishPacket, QosLevel } from './packets.js';
import { ReasonCode } from './reason-codes.js';
import type { TopicInterner } from './topic-interner.js';

/** Decodes the body of a PUBLISH in `bytes[start … end)`; `flags` is the low half of its first byte. */
export function decodePublish(
  bytes: Uint8Array,
  start: number,
  end: number,
  flags: number,
  version: ProtocolVersion,
  topics: TopicInterner,
): PublishPacket | Malformed {
  const qos = ((flags >> 1) & 3) as QosLevel;
  // [MQTT-3.3.1-4]
  if ((qos as number) === 3) return malformedPacket('QoS 3');
  // [MQTT-3.3.1-2]
  if (qos === 0 && (flags & 8) !== 0) return malformedPacket('DUP with QoS 0');
  if (end - start < 2) return malformedPacket('PUBLISH is cut short');
  const topicStart = start + 2;
  const topicEnd = topicStart + ((bytes[start]! << 8) | bytes[start + 1]!);
  let position = topicEnd + (qos === 0 ? 0 : 2);
  if (position > end) return malformedPacket('PUBLISH is cut short');
  const topic = topics.intern(bytes, topicStart, topicEnd);
  if (topic === undefined) return malformedPacket('the topic is not UTF-8');
  // [MQTT-3.3.2-2]
  if (hasWildcard(bytes, topicStart, topicEnd)) {
    return new Malformed('topic-invalid', ReasonCode.topicNameInvalid, 'the topic has wildcards');
  }
  let packetId = 0;
  if (qos !== 0) {
    packetId = (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]!;
    // [MQTT-2.2.1-3]
    if (packetId === 0) return protocolError('packet id 0');
  }
  let properties = noApplicationProperties;
  let messageExpirySeconds: number | undefined;
  let topicAlias = 0;
  let subscriptionIds = noSubscriptionIds;
  if (version === 5) {
    // The usual single zero byte needs no reader.
    if (position < end && bytes[position] === 0) position += 1;
    else {
      const reader = new ByteReader(bytes, position, end);
      const block = readApplicationBlock(reader, 'publish');
      if (block instanceof Malformed) return block;
      ({ properties, messageExpirySeconds, topicAlias, subscriptionIds } = block);
      position = reader.position;
    }
  }
  // [MQTT-4.7.3-1]; MQTT 5.0 §3.3.2.1: an empty topic stands for its alias.
  if (topicStart === topicEnd && topicAlias === 0) return protocolError('an empty topic');
  return {
    type: 'publish',
    topic,
    payload: bytes.subarray(position, end),
    qos,
    retain: (flags & 1) !== 0,
    dup: (flags & 8) !== 0,
    packetId,
    properties,
    messageExpirySeconds,
    topicAlias,
    subscriptionIds,
  };
}

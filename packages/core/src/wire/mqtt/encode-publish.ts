/** PUBLISH out: the hot path of delivery. Topic, properties and body are bytes already and are only copied. */
import { varintBytes, type ByteWriter } from '../../base/index.js';
import type { ProtocolVersion, QosLevel } from './packets.js';

/** What a PUBLISH is made of; the domain's `Delivery` has this shape. */
export interface PublishFields {
  readonly topic: Uint8Array;
  readonly qos: QosLevel;
  readonly retain: boolean;
  readonly duplicate: boolean;
  /** Forwardable application properties, MQTT encoded; not written in 3.1.1. */
  readonly properties: Uint8Array;
  readonly body: Uint8Array;
  readonly expirySeconds: number | undefined;
  readonly subscriptionIds: readonly number[];
}

const MESSAGE_EXPIRY_ID = 0x02;
const SUBSCRIPTION_ID = 0x0b;
const TOPIC_ALIAS_ID = 0x23;

/** In the place of a topic that the peer knows by its alias. */
export const knownTopic: Uint8Array = new Uint8Array(0);

/** Bytes of the whole packet, to compare with a peer's maximum packet size before it is written. */
export function publishPacketBytes(
  version: ProtocolVersion,
  fields: PublishFields,
  topicAlias = 0,
  topic = fields.topic,
): number {
  const remaining = remainingBytes(version, fields, topic, propertiesBytes(fields, topicAlias));
  return 1 + varintBytes(remaining) + remaining;
}

/**
 * Writes one PUBLISH.
 *
 * @param packetId 1 … 65,535; not written with QoS 0.
 * @param topicAlias 1 … 65,535; 0: none.
 * @param topic {@link knownTopic} where the alias was set before.
 */
export function encodePublish(
  writer: ByteWriter,
  version: ProtocolVersion,
  packetId: number,
  fields: PublishFields,
  topicAlias = 0,
  topic = fields.topic,
): void {
  const { qos, properties, body } = fields;
  const blockBytes = propertiesBytes(fields, topicAlias);
  const remaining = remainingBytes(version, fields, topic, blockBytes);
  writer.ensure(5 + remaining);
  writer.writeU8(0x30 | (fields.duplicate && qos > 0 ? 8 : 0) | (qos << 1) | (fields.retain ? 1 : 0));
  writer.writeVarint(remaining);
  writer.writeBytesWithLength(topic);
  if (qos > 0) writer.writeU16(packetId);
  if (version === 5) {
    writer.writeVarint(blockBytes);
    if (blockBytes > 0) {
      if (fields.expirySeconds !== undefined) {
        writer.writeU8(MESSAGE_EXPIRY_ID);
        writer.writeU32(fields.expirySeconds);
      }
      if (topicAlias > 0) {
        writer.writeU8(TOPIC_ALIAS_ID);
        writer.writeU16(topicAlias);
      }
      for (const id of fields.subscriptionIds) {
        writer.writeU8(SUBSCRIPTION_ID);
        writer.writeVarint(id);
      }
      writer.writeBytes(properties);
    }
  }
  writer.writeBytes(body);
}

function propertiesBytes(fields: PublishFields, topicAlias: number): number {
  let bytes = fields.properties.length;
  if (fields.expirySeconds !== undefined) bytes += 5;
  if (topicAlias > 0) bytes += 3;
  const ids = fields.subscriptionIds;
  for (let index = 0; index < ids.length; index += 1) bytes += 1 + varintBytes(ids[index]!);
  return bytes;
}

function remainingBytes(
  version: ProtocolVersion,
  fields: PublishFields,
  topic: Uint8Array,
  blockBytes: number,
): number {
  const { qos, body } = fields;
  const plain = 2 + topic.length + (qos > 0 ? 2 : 0) + body.length;
  return version === 5 ? plain + varintBytes(blockBytes) + blockBytes : plain;
}

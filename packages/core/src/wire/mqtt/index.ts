/**
 * MQTT 3.1.1 and 5.0 on the wire: bytes to packets and back, for both ends of a connection.
 *
 * Knows the format and nothing of its meaning: which packet may follow which is the session's business.
 */
export {
  decodeApplicationProperties,
  encodeApplicationProperties,
  findUserProperty,
  noApplicationProperties,
  type ApplicationProperties,
} from './application-properties.js';
export { MqttDecoder, type MqttDecoderOptions } from './decoder.js';
export { encodePublish, knownTopic, publishPacketBytes, type PublishFields } from './encode-publish.js';
export { encodeAck, encodePacket } from './encoder.js';
export { Malformed, type MalformedReason } from './malformed.js';
export * from './packets.js';
export { noProperties, type Properties, type UserProperty } from './properties.js';
export { ConnectReturnCode, isReasonCodeAllowed, ReasonCode, SUBACK_FAILURE } from './reason-codes.js';
export { TopicInterner } from './topic-interner.js';

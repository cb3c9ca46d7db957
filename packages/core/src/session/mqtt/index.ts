/** MQTT sessions: one machine for each connection of a device (MQTT 3.1.1 and 5.0, server side). */
export { mqttLimits } from './limits.js';
export { packetIdOf, sequenceOf } from './packet-ids.js';
export { reasonCodeIn, reasons, type ReasonRow } from './reasons.js';
export { MqttSession } from './session.js';
export type { MqttSessionOptions } from './session-options.js';
export { checkFilter, checkTopicName, isFilterValid, isSharedFilter } from './topics.js';

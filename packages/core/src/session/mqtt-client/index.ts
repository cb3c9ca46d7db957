/** The device's side of MQTT 5.0: one machine for each connection. */
export {
  MqttClient,
  type ClientEnd,
  type ClientInput,
  type ClientMessage,
  type ClientOutput,
  type ClientPublication,
  type ClientSubscription,
  type MqttClientOptions,
} from './client.js';
export { isLastingEnd } from './lasting-ends.js';
export { mqttClientLimits } from './limits.js';
export type { StrangePeer } from './strange-peer.js';

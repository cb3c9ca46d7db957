/** The device's side of a line: its machine, its cursor and its keepalive policies. */
export { isCursorValue, type CursorValue } from './cursor.js';
export { DeviceMachine } from './device-machine.js';
export * from './keepalive/index.js';
export { isNetworkKnowledge } from './knowledge.js';
export { deviceLimits } from './limits.js';
export type {
  CallEnd,
  CallIntent,
  CallIntentOutcome,
  CallWake,
  ConnectionRole,
  DeviceInput,
  DeviceMessage,
  DeviceOptions,
  DeviceOutput,
  NetworkKnowledge,
  RequestAnswer,
  RequestRefusal,
  Status,
} from './types.js';

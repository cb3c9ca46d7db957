/** The device's side of a line: its machine, its cursor and its keepalive policies. */
export { isCursorValue, type CursorValue } from './cursor.js';
export { DeviceMachine } from './device-machine.js';
export * from './keepalive/index.js';
export { deviceLimits } from './limits.js';
export type {
  DeviceInput,
  DeviceMessage,
  DeviceOptions,
  DeviceOutput,
  RequestRefusal,
  Status,
} from './types.js';

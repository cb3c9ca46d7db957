/** The device's side of a line: its machine and its keepalive policies. */
export { deviceLimits } from './limits.js';
export * from './keepalive/index.js';

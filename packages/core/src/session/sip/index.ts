/** SIP: registrar and proxy in front of phones that sleep. */
export * from './digest/index.js';
export { SipEdge, type SipEdgeOptions } from './edge.js';
export type * from './edge-types.js';
export * from './limits.js';
export type * from './machine.js';
export type * from './options.js';
export * from './screening/refusals.js';
export { SipStack } from './stack.js';

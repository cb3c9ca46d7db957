/** SIP: registrar and proxy in front of phones that sleep. */
export type * from './edge-types.js';
export * from './limits.js';
export type * from './machine.js';
export type * from './options.js';
export * from './screening/refusals.js';

/** How a server is configured: one file, the environment and flags, checked once. */
export * from './config.js';
export * from './data-directory.js';
export * from './listener-url.js';
export * from './load-config.js';
export * from './password.js';
export * from './settings.js';
export { defaultDevices } from './sip-schema.js';
export * from './sip-password.js';
export * from './units.js';

/** What tests of any package may use: the in-memory store and the contract every store must keep; a keepalive policy to compare with. */
export * from './memory-store.js';
export * from './store-contract.js';
export { ClientPing } from './client-ping.js';

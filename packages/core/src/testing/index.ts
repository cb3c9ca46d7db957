/** What tests of any package may use: the in-memory store and the contract every store must keep. */
export * from './memory-store.js';
export * from './store-contract.js';

/** Bytes, time, chance and assertions: what everything else stands on. Imports nothing. */
export * from './addresses.js';
export * from './assert.js';
export * from './base64.js';
export * from './byte-reader.js';
export * from './byte-writer.js';
export * from './deadline-heap.js';
export * from './errors.js';
export * from './hex.js';
export * from './limits.js';
export * from './machine.js';
export * from './nearest-name.js';
export * from './paged-table.js';
export * from './prng.js';
export * from './sequence-set.js';
export * from './time.js';
export * from './u32.js';
export * from './utf8.js';

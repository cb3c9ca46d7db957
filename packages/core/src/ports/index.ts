/** Interfaces through which core reaches the world. Imports domain and base only. */
export * from './random.js';
export * from './store.js';

/** What is done with a data directory while no server runs on it. */
export { restoreBackup } from './lmdb/index.js';

/** The embedded store on LMDB: opening, backup and restore. */
export { RESTORED_KEY, restoreBackup } from './backup.js';
export { createDataDirectory, DATA_FILE, STORE_FORMAT_VERSION, syncDirectory } from './data-directory.js';
export {
  type BackupOptions,
  LmdbStore,
  type LmdbStats,
  type LmdbStoreOptions,
  openLmdbStore,
} from './lmdb-store.js';

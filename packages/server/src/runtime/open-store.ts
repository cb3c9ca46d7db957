/** The embedded store, with its own troubles in the log. */
import { type LmdbStore, type LmdbStoreOptions, openLmdbStore } from '../stores/lmdb/index.js';
import type { Log } from './log.js';

export function openStore(
  log: Log,
  options: Pick<LmdbStoreOptions, 'directory' | 'ownerPid'>,
): Promise<LmdbStore> {
  return openLmdbStore({
    ...options,
    onCheckpointFailed: (error) =>
      log.error(
        { err: error },
        'the data file cannot be written; messages are kept in the journal until it is full',
      ),
  });
}

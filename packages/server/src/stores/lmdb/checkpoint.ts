/** How what stands in the journal comes to LMDB. */
import type { StoreChange } from '@wakeline/core/ports';
import type { LmdbEnvironment } from './environment.js';
import { createJournal, Journal, type Sealed } from './journal.js';

/** Two files of this size bound what a start has to read back, and the memory of what LMDB does not have yet. */
const JOURNAL_FILE_BYTES_MAX = 16 * 1024 * 1024;
/** Bounds of one transaction: handing it over takes the main thread a millisecond or two. */
const CHANGES_MAX = 1_000;
const BYTES_MAX = 2 * 1024 * 1024;

/**
 * Resolves when LMDB has all of it, synced, and says so. Rejects with LMDB's error when it has the first few changes at most: then the whole is to be
 * brought again. (That a crash leaves part of it is harmless for the same reason.)
 */
export async function applySealed(
  environment: LmdbEnvironment,
  { layer, generation }: Sealed,
): Promise<void> {
  let changes: StoreChange[] = [];
  let bytes = 0;
  for (const change of layer.changes()) {
    changes.push(change);
    bytes += change.value?.length ?? 0;
    if (changes.length < CHANGES_MAX && bytes < BYTES_MAX) continue;
    await environment.write(changes);
    changes = [];
    bytes = 0;
  }
  await environment.write(changes, generation);
}

/** The journal, with everything in it brought to LMDB; made where there is none yet. */
export async function openJournal(
  directory: string,
  environment: LmdbEnvironment,
  fileBytesMax = JOURNAL_FILE_BYTES_MAX,
): Promise<Journal> {
  const appliedGeneration = environment.appliedGeneration();
  if (appliedGeneration === undefined) {
    await createJournal(directory);
    await environment.write([], 0);
  }
  const journal = await Journal.open(directory, appliedGeneration ?? 0, fileBytesMax);
  try {
    for (let sealed = journal.seal(); sealed !== undefined; sealed = journal.seal()) {
      await applySealed(environment, sealed);
      journal.release();
    }
    return journal;
  } catch (error) {
    await journal.close();
    throw error;
  }
}

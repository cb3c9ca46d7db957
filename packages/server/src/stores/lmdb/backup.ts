/**
 * Backups: whole data directories that a server can be started on.
 *
 * Every copy carries a marker row, because an inbox must not go on counting from an old state: devices may have
 * seen the sequence numbers given out since. A server that finds the marker changes the epoch of every inbox and
 * deletes the marker in the same commit.
 */
import { constants } from 'node:fs';
import { chmod, copyFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { WakelineError } from '@wakeline/core/base';
import {
  createDataDirectory,
  DATA_FILE,
  DIRECTORY_MODE,
  FILE_MODE,
  JOURNAL_FILES,
  readFormat,
  STORE_FORMAT_VERSION,
  syncDirectory,
  syncFile,
  writeFormat,
} from './data-directory.js';
import { openJournal } from './checkpoint.js';
import { checkDataFile } from './data-file.js';
import { DirectoryLock } from './directory-lock.js';
import { LmdbEnvironment } from './environment.js';
import { removeJournal } from './journal.js';

/** Key in table `meta`; value one byte, 1. There when the store is a copy whose inbox epochs must be changed. */
export const RESTORED_KEY: Uint8Array = new TextEncoder().encode('restored');
/** Address space for opening a copy: it grows by itself if the copy is larger. */
const COPY_MAP_BYTES = 1024 ** 3;

/** Fills a new or empty directory by `copy`, marks it and syncs it. `FORMAT` comes last: without it, unfinished. */
export async function writeBackup(target: string, copy: (target: string) => Promise<void>): Promise<void> {
  await createDataDirectory(target);
  if ((await readdir(target)).length > 0) throw notEmptyError(target);
  await chmod(target, DIRECTORY_MODE);
  await copy(target);
  const dataFile = join(target, DATA_FILE);
  await chmod(dataFile, FILE_MODE);
  await checkDataFile(dataFile);
  const environment = new LmdbEnvironment(target, COPY_MAP_BYTES);
  try {
    await environment.write([{ table: 'meta', key: RESTORED_KEY, value: Uint8Array.of(1) }]);
    // The copy is whole without a journal, and its first start begins one.
    await environment.forgetJournal();
  } finally {
    await environment.close();
  }
  await syncFile(dataFile);
  await writeFormat(target);
  await syncDirectory(target);
}

/**
 * Makes a data directory from a backup, or from a data directory that is not in use. `target` must be new or empty. Rejects with STORE_FORMAT when `source` is
 * no backup of this version, and with STORE_LOCKED when it is in use: a running store is copied by its `backup`.
 */
export async function restoreBackup(source: string, target: string): Promise<void> {
  const from = resolve(source);
  const version = await readFormat(from);
  if (version !== STORE_FORMAT_VERSION) {
    const what =
      version === undefined ? 'is not a complete backup (no FORMAT file)' : `has format ${version}`;
    throw new WakelineError('STORE_FORMAT', `${from} ${what}; this version reads ${STORE_FORMAT_VERSION}`);
  }
  const pid = await DirectoryLock.holderPid(from);
  if (pid !== undefined) {
    throw new WakelineError(
      'STORE_LOCKED',
      `${from} is in use by process ${pid}; let it make a backup instead`,
    );
  }
  await writeBackup(resolve(target), async (directory) => {
    for (const name of [DATA_FILE, ...JOURNAL_FILES])
      await copyIfThere(join(from, name), join(directory, name));
    await bringJournalHome(directory);
  });
}

async function copyIfThere(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  } catch (error) {
    // What must be there is missed by whoever opens the copy.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** What a killed server left in its journal is brought to the copy's data file, which then stands alone. */
async function bringJournalHome(directory: string): Promise<void> {
  await checkDataFile(join(directory, DATA_FILE));
  const environment = new LmdbEnvironment(directory, COPY_MAP_BYTES);
  try {
    if (environment.appliedGeneration() !== undefined)
      await (await openJournal(directory, environment)).close();
  } finally {
    await environment.close();
  }
  await removeJournal(directory);
}

function notEmptyError(directory: string): Error {
  return new Error(`${directory} is not empty; a copy is only written to a new or empty directory`);
}

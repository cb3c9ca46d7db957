/**
 * The data directory on disk: who may read it, and which format it is in.
 *
 * `FORMAT` is one line and is written before anything else, so that no version ever guesses from the data.
 */
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { WakelineError } from '@wakeline/core/base';

/** Counts up with every change of the tables' layout that an older version cannot read. */
export const STORE_FORMAT_VERSION = 1;
/** Name of LMDB's file inside the directory. */
export const DATA_FILE = 'data.mdb';
const FORMAT_FILE = 'FORMAT';
const FORMAT_LINE = /^wakeline store (\d+)\n$/;
/** Only the owner: the tables hold credentials and messages. */
export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;

/** Creates the directory if need be (parents too). */
export async function createDataDirectory(directory: string): Promise<void> {
  const made = await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  if (made !== undefined) await syncDirectory(dirname(made));
}

/**
 * Makes sure that the directory is ours and of this version; marks an empty one. Rejects with STORE_FORMAT.
 * Call while holding the lock.
 */
export async function checkFormat(directory: string): Promise<void> {
  const version = await readFormat(directory);
  if (version === STORE_FORMAT_VERSION) return;
  if (version !== undefined) {
    const advice =
      version > STORE_FORMAT_VERSION
        ? 'start the newer version of Wakeline that wrote it, or restore a backup made by this version'
        : 'start the older version of Wakeline that wrote it, or choose an empty directory';
    throw formatError(directory, `has format ${version}, this version reads ${STORE_FORMAT_VERSION}`, advice);
  }
  if ((await readdir(directory)).includes(DATA_FILE)) {
    throw formatError(
      directory,
      `has a ${DATA_FILE} but no ${FORMAT_FILE}`,
      'it was not written by Wakeline, or its FORMAT file was lost: choose an empty directory or restore a backup',
    );
  }
  await writeFormat(directory);
}

/** The version in `FORMAT`, undefined when there is no such file. */
export async function readFormat(directory: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, FORMAT_FILE), 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const match = FORMAT_LINE.exec(text);
  if (match === null) {
    throw formatError(
      directory,
      `has a ${FORMAT_FILE} file that is not Wakeline's`,
      'choose another directory',
    );
  }
  return Number(match[1]);
}

/** Written aside, synced and renamed, so that it is there whole or not at all. */
export async function writeFormat(directory: string): Promise<void> {
  const temporary = join(directory, `${FORMAT_FILE}.new`);
  const file = await open(temporary, 'w', FILE_MODE);
  try {
    await file.writeFile(`wakeline store ${STORE_FORMAT_VERSION}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(directory, FORMAT_FILE));
  await syncDirectory(directory);
}

/** Makes names in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a file's bytes durable. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function formatError(directory: string, what: string, advice: string): WakelineError {
  return new WakelineError('STORE_FORMAT', `the data directory ${directory} ${what}: ${advice}`);
}

/**
 * The data directory on disk: who may read it, and which format it is in.
 *
 * `FORMAT` is one line, so that no version ever guesses from the data. It appears after the data file is whole, so
 * that where it is, a data file that is missing or empty has been lost. The first start is marked by a file of its
 * own until `FORMAT` is there: killed in between, the next start begins anew.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { WakelineError } from '@wakeline/core/base';

/** Counts up with every change of the tables' layout that an older version cannot read. */
export const STORE_FORMAT_VERSION = 3;
/** Name of LMDB's file inside the directory. */
export const DATA_FILE = 'data.mdb';
/** Names of the journal's files. */
export const JOURNAL_FILES = ['journal.0', 'journal.1'] as const;
/** Name of LMDB's table of readers. */
const LOCK_FILE = 'lock.mdb';
const FORMAT_FILE = 'FORMAT';
/** There during the first start only. Nothing has been stored while it is there without `FORMAT`. */
const FIRST_START_FILE = 'FIRST_START';
const FORMAT_LINE = /^wakeline store (\d+)\n$/;
/** Only the owner: the tables hold credentials and messages. */
export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;

/** What to do about the system's errors that a data directory can meet. */
const adviceByErrno: Readonly<Record<string, string>> = {
  EACCES: 'give the user that runs Wakeline the right to read and write it',
  EDQUOT: 'free some space or raise the quota',
  EEXIST: 'it, or a part of its path, is not a directory: choose another path',
  EISDIR: 'a directory stands where a file belongs: move it away, or choose another directory',
  ENOENT: 'its parent directory does not exist and cannot be created: create it, or choose another path',
  ENOSPC: 'the disk is full: free some space',
  ENOTDIR: 'it, or a part of its path, is not a directory: choose another path',
  EPERM: 'give the user that runs Wakeline the right to read and write it',
  EROFS: 'its file system is mounted read-only: mount it for writing, or choose another directory',
};

/** STORE_UNUSABLE for an error of the operating system; any other error as it is. */
export function explainedError(directory: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (error instanceof WakelineError || !(error instanceof Error)) return error;
  if (code === undefined || syscall === undefined) return error;
  const advice = adviceByErrno[code] ?? 'check the path, its permissions and its disk';
  return new WakelineError(
    'STORE_UNUSABLE',
    `the data directory ${directory} cannot be used (${error.message}): ${advice}`,
    { cause: error },
  );
}

/** Creates the directory if need be (parents too). */
export async function createDataDirectory(directory: string): Promise<void> {
  const made = await makeDirectories(resolve(directory));
  if (made !== undefined) await syncDirectory(dirname(made));
}

/** Resolves with the first directory made. (Node's own `recursive` never ends below /proc.) */
async function makeDirectories(directory: string): Promise<string | undefined> {
  const make = async (): Promise<string | undefined> => {
    try {
      await mkdir(directory, DIRECTORY_MODE);
      return directory;
    } catch (error) {
      const isThere = await stat(directory).then(
        (entry) => entry.isDirectory(),
        () => false,
      );
      if (isThere) return undefined;
      throw error;
    }
  };
  try {
    return await make();
  } catch (error) {
    const parent = dirname(directory);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === directory) throw error;
    const first = await makeDirectories(parent);
    const made = await make();
    return first ?? made;
  }
}

/**
 * Makes sure that the directory is ours and of this version, or new. Resolves with whether this is its first start:
 * then {@link finishFirstStart} is due once the data file is there. Rejects with STORE_FORMAT. Call while holding
 * the lock.
 */
export async function checkFormat(directory: string): Promise<boolean> {
  const version = await readFormat(directory);
  if (version === STORE_FORMAT_VERSION) {
    // Killed at the very end of the first start.
    await rm(join(directory, FIRST_START_FILE), { force: true });
    return false;
  }
  if (version !== undefined) {
    const advice =
      version > STORE_FORMAT_VERSION
        ? 'start the newer version of Wakeline that wrote it, or restore a backup made by this version'
        : 'start the older version of Wakeline that wrote it, or choose an empty directory';
    throw formatError(directory, `has format ${version}, this version reads ${STORE_FORMAT_VERSION}`, advice);
  }
  const names = await readdir(directory);
  if (names.includes(FIRST_START_FILE)) {
    // Killed before the first start had ended: its data file may be anything, and nobody has stored in it.
    for (const name of [DATA_FILE, LOCK_FILE, ...JOURNAL_FILES])
      await rm(join(directory, name), { force: true });
  } else if (names.includes(DATA_FILE)) {
    throw formatError(
      directory,
      `has a ${DATA_FILE} but no ${FORMAT_FILE}`,
      'it was not written by Wakeline, or its FORMAT file was lost: choose an empty directory or restore a backup',
    );
  }
  await (await open(join(directory, FIRST_START_FILE), 'w', FILE_MODE)).close();
  await syncDirectory(directory);
  return true;
}

/** Marks a new directory as ours, its data file being whole: makes that durable first. */
export async function finishFirstStart(directory: string): Promise<void> {
  await syncFile(join(directory, DATA_FILE));
  await syncDirectory(directory);
  await writeFormat(directory);
  await rm(join(directory, FIRST_START_FILE));
}

/** Rejects with the system's error where LMDB could not open its files: the package would not survive it. */
export async function checkReaderFile(directory: string): Promise<void> {
  try {
    await (await open(join(directory, LOCK_FILE), 'r+')).close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** The version in `FORMAT`, undefined when there is no such file. */
export async function readFormat(directory: string): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, FORMAT_FILE), 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code !== 'EISDIR') throw error;
    throw formatError(directory, `has a directory named ${FORMAT_FILE}`, 'choose another directory');
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

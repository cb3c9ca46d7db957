/**
 * Where running boxes are found: one directory per user (0700), in it one per box with its two sockets and
 * `box.json`. Also the sweep: what a box that died without a word has left is thawed, ended and removed when the
 * next one starts.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { SleepboxError } from './errors.js';
import { cgroupPrefix, findCgroupParents, type FreezerKind, openCgroup } from './freezer.js';
import { limits } from './limits.js';
import { isSameProcess, readPidNamespace, readProcessStat, readSession, sendSignal } from './processes.js';

/** What `box.json` says. */
export interface BoxRecord {
  readonly name: string;
  readonly pid: number;
  readonly startTime: string;
  readonly pidNamespace: string;
  readonly command: readonly string[];
  readonly freezer: FreezerKind;
  /** The program's pid and start time, once launched: its session is what a signal freezer has to thaw. */
  readonly program?: { readonly pid: number; readonly startTime: string };
}

/** The user's directory of boxes: in XDG_RUNTIME_DIR, else in the directory for temporary files. */
export function runtimeDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env['XDG_RUNTIME_DIR'];
  if (given !== undefined && given !== '') return join(given, 'wakeline-sleepbox');
  return join(tmpdir(), `wakeline-sleepbox-${process.getuid?.() ?? 0}`);
}

/**
 * Makes the directory of a new box, after sweeping what others have left.
 * @throws SleepboxError RUNTIME_DIRECTORY, NAME_TAKEN
 */
export function openBoxDirectory(root: string, name: string): string {
  ensurePrivate(root);
  sweep(root);
  const directory = join(root, name);
  if (Buffer.byteLength(join(directory, 'program.sock')) > limits.socketPathBytesMax) {
    throw new SleepboxError(
      'RUNTIME_DIRECTORY',
      `${directory} is too long for a socket; set XDG_RUNTIME_DIR to a shorter one`,
    );
  }
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new SleepboxError('NAME_TAKEN', `a box named "${name}" is running`);
    }
    throw new SleepboxError('RUNTIME_DIRECTORY', `${directory} cannot be made`, { cause: error });
  }
  return directory;
}

/** Writes who the box is; again after each launch. */
export function writeBoxRecord(
  directory: string,
  box: { name: string; command: readonly string[]; freezer: FreezerKind; programPid?: number },
): void {
  const { programPid, ...rest } = box;
  const program = programPid === undefined ? undefined : readProcessStat(programPid);
  const record: BoxRecord = {
    ...rest,
    pid: process.pid,
    startTime: readProcessStat(process.pid)?.startTime ?? '0',
    pidNamespace: readPidNamespace(),
    ...(program !== undefined && { program: { pid: program.pid, startTime: program.startTime } }),
  };
  writeFileSync(join(directory, 'box.json'), JSON.stringify(record), { mode: 0o600 });
}

export function removeBoxDirectory(directory: string): void {
  for (const file of ['program.sock', 'ctl.sock', 'box.json', 'resolv.conf'])
    rmSync(join(directory, file), { force: true });
  try {
    rmdirSync(directory);
  } catch {
    // somebody put a file there: theirs
  }
}

/** Boxes that are running, by name. */
export function listBoxes(root: string): BoxRecord[] {
  return readRecords(root)
    .filter(({ record }) => record !== undefined && isOwnerAlive(record))
    .map(({ record }) => record as BoxRecord);
}

/** Thaws, ends and removes what boxes have left whose process is gone. Returns the names of what it removed. */
export function sweep(root: string): string[] {
  const removed: string[] = [];
  const namespace = readPidNamespace();
  for (const { directory, record } of readRecords(root)) {
    if (record === undefined && isOld(directory)) removeBoxDirectory(directory); // it died before it had a program
    if (record === undefined || record.pidNamespace !== namespace || isOwnerAlive(record)) continue;
    const { program } = record;
    if (
      record.freezer === 'signal' &&
      program !== undefined &&
      isSameProcess(program.pid, program.startTime)
    ) {
      for (const { pid } of readSession(program.pid)) sendSignal(pid, 'SIGKILL');
    }
    removeBoxDirectory(directory);
    removed.push(record.name);
  }
  for (const { kind, directory: parent } of findCgroupParents()) {
    for (const name of listNames(parent)) {
      if (!name.startsWith(`${cgroupPrefix}${namespace}-`)) continue;
      const [pid = '', startTime = ''] = name.slice(cgroupPrefix.length).split('-').slice(1);
      if (isSameProcess(Number(pid), startTime)) continue;
      const group = openCgroup(kind, join(parent, name));
      group.signal('SIGKILL');
      group.thaw();
      void group.remove();
      removed.push(name);
    }
  }
  return removed;
}

function isOwnerAlive(record: BoxRecord): boolean {
  return isSameProcess(record.pid, record.startTime);
}

function readRecords(root: string): { directory: string; record: BoxRecord | undefined }[] {
  return listNames(root).map((name) => {
    const directory = join(root, name);
    try {
      return {
        directory,
        record: JSON.parse(readFileSync(join(directory, 'box.json'), 'utf8')) as BoxRecord,
      };
    } catch {
      return { directory, record: undefined };
    }
  });
}

/** Not of a box that is just starting. */
function isOld(directory: string): boolean {
  try {
    return Date.now() - lstatSync(directory).mtimeMs > 60_000;
  } catch {
    return false;
  }
}

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Ours, a real directory, closed to others: otherwise somebody could speak for our boxes. */
function ensurePrivate(root: string): void {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const status = lstatSync(root);
    if (!status.isDirectory() || status.uid !== process.getuid?.() || (status.mode & 0o077) !== 0) {
      throw new SleepboxError('RUNTIME_DIRECTORY', `${root} must be a directory of yours with mode 0700`);
    }
  } catch (error) {
    if (error instanceof SleepboxError) throw error;
    throw new SleepboxError('RUNTIME_DIRECTORY', `${root} cannot be made`, { cause: error });
  }
}

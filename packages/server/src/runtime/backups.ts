/**
 * Backups of the running store, one at a time, in a directory of the server's own choice.
 *
 * A copy is made under a name that says that it is unfinished and gets its own name when it is synced. What a killed
 * process left unfinished is deleted by the next backup: the data directory is locked, so nobody else can be at it.
 * Finished backups are never deleted here.
 */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupMade, BackupRefused } from '../http/index.js';
import { createDataDirectory, DATA_FILE, syncDirectory } from '../stores/lmdb/index.js';
import type { LmdbStore } from '../stores/lmdb/index.js';
import type { Log } from './log.js';

/** Name inside the data directory. */
export const backupsDirectory = 'backups';
const UNFINISHED = '.unfinished';
const UNFINISHED_NAME = /^\d{8}T\d{6}\.\d{3}Z\.unfinished$/;

export interface BackupsOptions {
  readonly store: Pick<LmdbStore, 'backup' | 'stats'>;
  /** Where backups are made; created, for the owner alone, if it is not there. */
  readonly directory: string;
  /** Free bytes of the file system that a directory is on, for this user. */
  readonly freeBytes: (directory: string) => Promise<number>;
  /** Bytes that must stay free: below it the server would refuse messages. */
  readonly floorBytes: number;
  /** Wall clock, ms. */
  readonly now: () => number;
  readonly log: Log;
}

export class Backups {
  readonly #options: BackupsOptions;
  #isRunning = false;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** Copies the store as of now. Resolves when the copy and its name are synced; rejects with the host's error. */
  async make(): Promise<BackupMade | BackupRefused> {
    if (this.#isRunning) return { refused: 'backup-running' };
    this.#isRunning = true;
    try {
      const { directory } = this.#options;
      await createDataDirectory(directory);
      await this.#deleteUnfinished();
      if (!(await this.#hasRoom())) return { refused: 'backup-no-room' };
      return await this.#copy(join(directory, nameOf(this.#options.now())));
    } finally {
      this.#isRunning = false;
    }
  }

  async #copy(target: string): Promise<BackupMade | BackupRefused> {
    const { store, directory, freeBytes, floorBytes, log } = this.#options;
    const unfinished = target + UNFINISHED;
    try {
      await store.backup(unfinished, { isCompact: true });
      await rename(unfinished, target);
      await syncDirectory(directory);
    } catch (error) {
      // LMDB gives its error as a text only: the disk is asked, while the copy is still on it.
      const isFull = (await freeBytes(directory).catch(() => Infinity)) < floorBytes;
      await rm(unfinished, { recursive: true, force: true });
      if (!isFull) throw error;
      log.error({ err: error }, 'backup given up: the disk is full');
      return { refused: 'backup-no-room' };
    }
    const { size: bytes } = await stat(join(target, DATA_FILE));
    log.info({ directory: target, bytes }, 'backup made');
    return { directory: target, bytes };
  }

  async #deleteUnfinished(): Promise<void> {
    const { directory, log } = this.#options;
    for (const name of await readdir(directory)) {
      if (!UNFINISHED_NAME.test(name)) continue;
      await rm(join(directory, name), { recursive: true, force: true });
      log.warn({ name }, 'unfinished backup deleted');
    }
  }

  async #hasRoom(): Promise<boolean> {
    const { store, directory, freeBytes, floorBytes, log } = this.#options;
    const { usedBytes, reusableBytes } = await store.stats();
    const neededBytes = usedBytes - reusableBytes;
    const free = await freeBytes(directory);
    if (free - neededBytes >= floorBytes) return true;
    log.error({ freeBytes: free, neededBytes, floorBytes }, 'too little free space for a backup');
    return false;
  }
}

/** `20261123T054500.123Z`: sorts by time, and is a file name everywhere. */
function nameOf(nowMs: number): string {
  return new Date(nowMs).toISOString().replaceAll(/[-:]/g, '');
}

/**
 * Storage in a directory of files, in Node: each text is written beside its old one, synced, and renamed over it, so that after a
 * crash or a loss of power there is the old one or the new one.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DeviceError } from '../errors.js';
import type { Storage, StoredName } from '../ports/index.js';
import { HeldError, lockDirectory, type ProcessLock } from './process-lock.js';

/** @param directory of this device alone; made if it is not there. */
export function fileStorage(directory: string): Storage {
  return new FileStorage(directory);
}

class FileStorage implements Storage {
  readonly #directory: string;
  #lock: ProcessLock | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      this.#lock = await lockDirectory(this.#directory);
    } catch (error) {
      if (error instanceof HeldError) {
        throw new DeviceError('STORAGE_LOCKED', error.message, { cause: error, retryable: true });
      }
      const text = `the directory ${this.#directory} cannot be used`;
      throw new DeviceError('STORAGE_FAILED', text, { cause: error });
    }
  }

  async get(name: StoredName): Promise<string | undefined> {
    try {
      return await readFile(this.#path(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new DeviceError('STORAGE_FAILED', `${this.#path(name)} cannot be read`, { cause: error });
    }
  }

  async set(name: StoredName, text: string): Promise<void> {
    const path = this.#path(name);
    // Knowledge of networks is learned anew.
    const isDurable = name !== 'keepalive';
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(text);
      if (isDurable) await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    if (isDurable) await syncDirectory(this.#directory);
  }

  async close(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.release().catch(() => undefined);
  }

  #path(name: StoredName): string {
    return join(this.#directory, `${name}.json`);
  }
}

/** That the new file is under its name is on disk when its directory is. Windows knows no such thing, and needs none. */
async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

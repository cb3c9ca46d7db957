/** What a page keeps of its device: in IndexedDB, or where that is forbidden in localStorage. One tab at a time. */
import { DeviceError } from '../../errors.js';
import type { Storage, StoredName } from '../../ports/index.js';
import { DeviceLock, type LockManagerLike, type OtherTab } from './device-lock.js';

/** As much of IndexedDB as is used. */
export interface IndexedDbLike {
  open(name: string, version: number): RequestLike<DatabaseLike>;
}

interface RequestLike<T> {
  readonly result: T;
  readonly error: unknown;
  addEventListener(type: 'success' | 'error' | 'upgradeneeded', listener: () => void): void;
}

interface DatabaseLike {
  createObjectStore(name: string): unknown;
  transaction(
    names: string,
    mode: 'readonly' | 'readwrite',
    options?: { readonly durability: 'strict' },
  ): {
    readonly error: unknown;
    addEventListener(type: 'complete' | 'abort', listener: () => void): void;
    objectStore(name: string): {
      get(key: string): RequestLike<unknown>;
      put(value: string, key: string): unknown;
    };
  };
  close(): void;
}

/** As much of `localStorage` as is used. */
export interface LocalStorageLike {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export interface PageStorageOptions {
  readonly deviceId: string;
  readonly locks: LockManagerLike | undefined;
  readonly otherTab: OtherTab;
}

const DATABASE_VERSION = 1;
const OBJECT_STORE = 'device';

/** A database for each device. What was set is flushed to the disk, as far as the browser does what it is asked. */
export class IndexedDbStorage implements Storage {
  readonly #indexedDb: IndexedDbLike;
  readonly #name: string;
  readonly #lock: DeviceLock;
  #database: DatabaseLike | undefined;

  constructor(indexedDb: IndexedDbLike, { deviceId, locks, otherTab }: PageStorageOptions) {
    this.#indexedDb = indexedDb;
    this.#name = `wakeline:${deviceId}`;
    this.#lock = new DeviceLock(locks, deviceId, otherTab);
  }

  async open(): Promise<void> {
    await this.#lock.take();
    try {
      const request = this.#indexedDb.open(this.#name, DATABASE_VERSION);
      request.addEventListener('upgradeneeded', () => request.result.createObjectStore(OBJECT_STORE));
      this.#database = await resultOf(request);
    } catch (error) {
      await this.#lock.release();
      throw failure('open', error);
    }
  }

  async get(name: StoredName): Promise<string | undefined> {
    try {
      const store = this.#opened.transaction(OBJECT_STORE, 'readonly').objectStore(OBJECT_STORE);
      const value = await resultOf(store.get(name));
      return typeof value === 'string' ? value : undefined;
    } catch (error) {
      throw failure('read', error);
    }
  }

  async set(name: StoredName, text: string): Promise<void> {
    try {
      // Strict: `complete` comes after the flush, and not before it.
      const transaction = this.#opened.transaction(OBJECT_STORE, 'readwrite', { durability: 'strict' });
      await new Promise<void>((resolve, reject) => {
        transaction.addEventListener('complete', () => resolve());
        transaction.addEventListener('abort', () => reject(transaction.error));
        transaction.objectStore(OBJECT_STORE).put(text, name);
      });
    } catch (error) {
      throw failure('write', error);
    }
  }

  async close(): Promise<void> {
    this.#database?.close();
    this.#database = undefined;
    await this.#lock.release();
  }

  get #opened(): DatabaseLike {
    if (this.#database === undefined) throw new Error('it is closed');
    return this.#database;
  }
}

/** Survives the page and the browser; a loss of power only if the browser had written it by then, which it does not tell. */
export class LocalStorage implements Storage {
  readonly #localStorage: LocalStorageLike;
  readonly #prefix: string;
  readonly #lock: DeviceLock;

  constructor(localStorage: LocalStorageLike, { deviceId, locks, otherTab }: PageStorageOptions) {
    this.#localStorage = localStorage;
    this.#prefix = `wakeline:${deviceId}:`;
    this.#lock = new DeviceLock(locks, deviceId, otherTab);
  }

  open(): Promise<void> {
    return this.#lock.take();
  }

  async get(name: StoredName): Promise<string | undefined> {
    try {
      return this.#localStorage.getItem(this.#prefix + name) ?? undefined;
    } catch (error) {
      throw failure('read', error);
    }
  }

  async set(name: StoredName, text: string): Promise<void> {
    try {
      this.#localStorage.setItem(this.#prefix + name, text);
    } catch (error) {
      throw failure('write', error);
    }
  }

  close(): Promise<void> {
    return this.#lock.release();
  }
}

function resultOf<T>(request: RequestLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error));
  });
}

function failure(what: 'open' | 'read' | 'write', cause: unknown): DeviceError {
  return new DeviceError('STORAGE_FAILED', `the browser did not let the page ${what} its storage`, {
    cause,
    retryable: what === 'write',
  });
}

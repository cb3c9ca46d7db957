/** What a React Native app keeps of its device, in a key-value storage that the app brings: AsyncStorage or MMKV. */
import { DeviceError } from '../../errors.js';
import type { Storage, StoredName } from '../../ports/index.js';

/** The shape of `@react-native-async-storage/async-storage`. */
export interface AsyncStorageLike {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<void>;
}

/** The shape of an instance of `react-native-mmkv`, of any version. */
export interface MmkvLike {
  getString(key: string): string | undefined;
  set(key: string, value: string): void;
}

/** Prefixes that a line of this process has hold of. Another process of the app would have to be kept apart by the app. */
const held = new Set<string>();

class KeyValueStorage implements Storage {
  readonly #prefix: string;
  readonly #get: (key: string) => Promise<string | undefined>;
  readonly #set: (key: string, value: string) => Promise<void>;
  #isOpen = false;

  constructor(
    deviceId: string,
    get: (key: string) => Promise<string | undefined>,
    set: (key: string, value: string) => Promise<void>,
  ) {
    this.#prefix = `wakeline:${deviceId}:`;
    this.#get = get;
    this.#set = set;
  }

  async open(): Promise<void> {
    if (held.has(this.#prefix)) {
      throw new DeviceError('STORAGE_LOCKED', 'another line of this app has the storage of this device');
    }
    held.add(this.#prefix);
    this.#isOpen = true;
  }

  async get(name: StoredName): Promise<string | undefined> {
    try {
      return await this.#get(this.#prefix + name);
    } catch (cause) {
      throw new DeviceError('STORAGE_FAILED', 'the storage of the app could not be read', { cause });
    }
  }

  async set(name: StoredName, text: string): Promise<void> {
    try {
      await this.#set(this.#prefix + name, text);
    } catch (cause) {
      throw new DeviceError('STORAGE_FAILED', 'the storage of the app could not be written', {
        cause,
        retryable: true,
      });
    }
  }

  async close(): Promise<void> {
    if (this.#isOpen) held.delete(this.#prefix);
    this.#isOpen = false;
  }
}

/** A database of its own for each app; what was set is committed when it resolves. */
export function asyncStorage(storage: AsyncStorageLike, deviceId: string): Storage {
  return new KeyValueStorage(
    deviceId,
    async (key) => (await storage.getItem(key)) ?? undefined,
    (key, value) => storage.setItem(key, value),
  );
}

/** Memory that the system writes to a file: survives the end of the app, and a loss of power only if it was written by then. */
export function mmkvStorage(storage: MmkvLike, deviceId: string): Storage {
  return new KeyValueStorage(
    deviceId,
    async (key) => storage.getString(key),
    async (key, value) => storage.set(key, value),
  );
}

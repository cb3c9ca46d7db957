/** Storage that does not outlive the app: for tests, and for devices that may get a message again after each start. */
import type { Storage, StoredName } from '../ports/index.js';

export function memoryStorage(): Storage {
  const texts = new Map<StoredName, string>();
  return {
    open: () => Promise.resolve(),
    get: (name) => Promise.resolve(texts.get(name)),
    set: (name, text) => {
      texts.set(name, text);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

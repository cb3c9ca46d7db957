/** What a React Native app keeps, by modules with the interfaces of AsyncStorage and MMKV. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Storage } from '../../../src/ports/index.js';
import { asyncStorage, mmkvStorage } from '../../../src/platform/react-native/key-value-storage.js';

/** Both modules over one map, and what they do when the phone is full. */
function makeKinds(): readonly {
  readonly name: string;
  readonly keys: () => readonly string[];
  make(deviceId: string): Storage;
  fail(): void;
}[] {
  const kinds = [];
  for (const name of ['AsyncStorage', 'MMKV']) {
    const map = new Map<string, string>();
    let failure: Error | undefined;
    const check = (): void => {
      if (failure !== undefined) throw failure;
    };
    const asynchronous = {
      getItem: async (key: string) => (check(), map.get(key) ?? null),
      setItem: async (key: string, value: string) => (check(), void map.set(key, value)),
    };
    const synchronous = {
      getString: (key: string) => (check(), map.get(key)),
      set: (key: string, value: string) => (check(), void map.set(key, value)),
    };
    kinds.push({
      name,
      keys: () => [...map.keys()],
      make: (deviceId: string) =>
        name === 'MMKV' ? mmkvStorage(synchronous, deviceId) : asyncStorage(asynchronous, deviceId),
      fail: () => (failure = new Error('full')),
    });
  }
  return kinds;
}

for (const { name, keys, make, fail } of makeKinds()) {
  describe(`the storage ${name}`, () => {
    test('gives back what was set, to the next start of the app too, and to no other device', async () => {
      const first = make('phone');
      await first.open();
      assert.equal(await first.get('cursor'), undefined);
      await first.set('cursor', 'one');
      await first.set('cursor', 'two');
      await first.close();
      const second = make('phone');
      await second.open();
      assert.equal(await second.get('cursor'), 'two');
      assert.equal(await second.get('push'), undefined);
      const other = make('tablet');
      await other.open();
      assert.equal(await other.get('cursor'), undefined);
      await Promise.all([second.close(), other.close()]);
      assert.deepEqual(keys(), ['wakeline:phone:cursor']);
    });

    test('belongs to one line at a time', async () => {
      const first = make('phone');
      await first.open();
      const second = make('phone');
      await assert.rejects(second.open(), { code: 'STORAGE_LOCKED' });
      // Closing what was never opened takes nothing from who has it.
      await second.close();
      await assert.rejects(make('phone').open(), { code: 'STORAGE_LOCKED' });
      await first.close();
      await second.open();
      await second.close();
    });

    test('says by a code that it does not work', async () => {
      const storage = make('phone');
      await storage.open();
      fail();
      await assert.rejects(storage.set('cursor', 'x'), { code: 'STORAGE_FAILED', retryable: true });
      await assert.rejects(storage.get('cursor'), { code: 'STORAGE_FAILED' });
      await storage.close();
    });
  });
}

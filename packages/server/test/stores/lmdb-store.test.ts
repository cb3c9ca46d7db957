import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Store, StoreChange } from '@wakeline/core/ports';
import { storeContract } from '@wakeline/core/testing';
import { type LmdbStore, openLmdbStore, RESTORED_KEY, restoreBackup } from '../../src/stores/lmdb/index.js';

const base = await mkdtemp(join(tmpdir(), 'wakeline-store-'));
after(() => rm(base, { recursive: true, force: true }));
let directories = 0;
const freshDirectory = (): string => join(base, String(++directories));

/** Everything is read from the journal; from LMDB; from both, while files take turns and checkpoints fall anywhere. */
const journalings = {
  'before any checkpoint': { checkpointMs: 60_000 },
  'a checkpoint after each commit': { checkpointMs: 0 },
  'checkpoints anywhere': { checkpointMs: 3, journalFileBytesMax: 1024 * 1024 },
};
for (const [name, journaling] of Object.entries(journalings)) {
  const cases = storeContract(() => {
    const directory = freshDirectory();
    let store: LmdbStore | undefined;
    const open = async (): Promise<Store> => (store = await openLmdbStore({ directory, ...journaling }));
    return {
      open,
      reopen: async () => {
        await store?.close();
        return open();
      },
      dispose: async () => store?.close(),
    };
  });
  for (const { title, run } of cases) test(`${title}; ${name}`, run);
}

function row(number: number, bytes = 1): StoreChange {
  return { table: 'log', key: Uint8Array.of(number >> 8, number), value: new Uint8Array(bytes).fill(number) };
}

function drop(number: number): StoreChange {
  return { ...row(number), value: undefined };
}

test('the directory and its files are for the owner alone', async () => {
  const directory = join(freshDirectory(), 'deeper');
  const store = await openLmdbStore({ directory });
  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  for (const name of ['data.mdb', 'journal.0', 'journal.1', 'lock.mdb']) {
    assert.equal((await stat(join(directory, name))).mode & 0o177, 0, name);
  }
  await store.close();
  assert.deepEqual((await readdir(directory)).sort(), [
    'FORMAT',
    'data.mdb',
    'journal.0',
    'journal.1',
    'lock.mdb',
  ]);
});

test('another format, and a directory that is not ours, are refused with advice', async () => {
  const newer = freshDirectory();
  await (await openLmdbStore({ directory: newer })).close();
  await writeFile(join(newer, 'FORMAT'), 'wakeline store 4\n');
  await assert.rejects(openLmdbStore({ directory: newer }), {
    code: 'STORE_FORMAT',
    message: /format 4.*newer version/,
  });
  await writeFile(join(newer, 'FORMAT'), 'wakeline store 0\n');
  await assert.rejects(openLmdbStore({ directory: newer }), {
    code: 'STORE_FORMAT',
    message: /older version/,
  });
  await writeFile(join(newer, 'FORMAT'), 'something');
  await assert.rejects(openLmdbStore({ directory: newer }), {
    code: 'STORE_FORMAT',
    message: /not Wakeline's/,
  });
  await rm(join(newer, 'FORMAT'));
  await mkdir(join(newer, 'FORMAT'));
  await assert.rejects(openLmdbStore({ directory: newer }), {
    code: 'STORE_FORMAT',
    message: /directory named FORMAT/,
  });
  await rm(join(newer, 'FORMAT'), { recursive: true });
  const foreign = freshDirectory();
  await mkdir(foreign);
  await writeFile(join(foreign, 'data.mdb'), 'x');
  await assert.rejects(openLmdbStore({ directory: foreign }), { code: 'STORE_FORMAT', message: /no FORMAT/ });
  // Refused, not held.
  await writeFile(join(newer, 'FORMAT'), 'wakeline store 3\n');
  await (await openLmdbStore({ directory: newer })).close();
});

test('a damaged data file is refused as such, and does not end the process', async () => {
  const directory = freshDirectory();
  const dataFile = join(directory, 'data.mdb');
  const store = await openLmdbStore({ directory, reserveBytes: 0 });
  await store.commit([row(1, 5_000_000)]);
  await store.close();
  for (const size of [3_000_000, 8_192, 5_000, 100]) {
    await truncate(dataFile, size);
    await assert.rejects(openLmdbStore({ directory }), { code: 'STORE_CORRUPT', message: /cut short/ });
    await assert.rejects(restoreBackup(directory, freshDirectory()), { code: 'STORE_CORRUPT' });
  }
  await writeFile(dataFile, Buffer.alloc(100_000, 'x'));
  await assert.rejects(openLmdbStore({ directory }), { code: 'STORE_CORRUPT', message: /not an LMDB file/ });
});

test('a data file that is empty or gone is refused with advice, not taken for a new store', async () => {
  const directory = freshDirectory();
  const dataFile = join(directory, 'data.mdb');
  await (await openLmdbStore({ directory })).close();
  await truncate(dataFile, 0);
  const expected = (what: string) => ({
    code: 'STORE_CORRUPT',
    message: new RegExp(`data\\.mdb ${what}.*restore a backup, or.* remove the directory ${directory}`),
  });
  await assert.rejects(openLmdbStore({ directory }), expected('is empty'));
  await rm(dataFile);
  for (let round = 0; round < 2; round++)
    await assert.rejects(openLmdbStore({ directory }), expected('is missing'));
  await rm(directory, { recursive: true });
  await (await openLmdbStore({ directory })).close();
});

test('a first start that was killed at any step is begun anew', async () => {
  const whole = freshDirectory();
  await (await openLmdbStore({ directory: whole, reserveBytes: 0 })).close();
  const data = await readFile(join(whole, 'data.mdb'));
  const journals = ['journal.0', 'journal.1'];
  for (const dataFile of [undefined, data.subarray(0, 0), data.subarray(0, 5_000), data]) {
    for (const format of [undefined, 'wakeline store 3\n']) {
      // FORMAT is there only once the data file is whole.
      if (format !== undefined && dataFile !== data) continue;
      const directory = freshDirectory();
      await mkdir(directory);
      await writeFile(join(directory, 'FIRST_START'), '');
      if (dataFile !== undefined) await writeFile(join(directory, 'data.mdb'), dataFile);
      for (const name of dataFile === data ? journals : journals.slice(0, 1))
        await writeFile(join(directory, name), await readFile(join(whole, name)));
      await writeFile(join(directory, 'FORMAT.new'), 'wake');
      if (format !== undefined) await writeFile(join(directory, 'FORMAT'), format);
      let store = await openLmdbStore({ directory });
      assert.ok(!(await readdir(directory)).includes('FIRST_START'));
      await store.commit([row(1)]);
      await store.close();
      store = await openLmdbStore({ directory });
      assert.equal([...store.scan('log')].length, 1);
      await store.close();
    }
  }
});

test('a directory that cannot be used is refused with its path and advice', async (t) => {
  const refuses = async (directory: string, advice: RegExp): Promise<void> =>
    assert.rejects(openLmdbStore({ directory }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'STORE_UNUSABLE', String(error));
      assert.ok(error.message.includes(directory), error.message);
      assert.match(error.message, advice);
      return true;
    });
  for (const name of ['data.mdb', 'lock.mdb']) {
    const directory = freshDirectory();
    await (await openLmdbStore({ directory })).close();
    await rm(join(directory, name));
    await mkdir(join(directory, name));
    await refuses(directory, new RegExp(`${name}.*a directory stands where a file belongs`));
  }
  await refuses('/dev/null', /not a directory: choose another path/);
  await refuses('/dev/null/deeper', /not a directory: choose another path/);
  if (process.platform === 'linux') await refuses('/proc/wakeline/data', /cannot be created/);
  if (process.getuid?.() === 0) return t.diagnostic('root may write everywhere: permissions are not tested');
  const directory = freshDirectory();
  await mkdir(directory, { mode: 0o500 });
  await refuses(directory, /right to read and write/);
  await refuses(join(directory, 'deeper'), /right to read and write/);
});

test('[ST-7] a commit called at the very moment the queue runs empty is not forgotten', async () => {
  const store = await openLmdbStore({ directory: freshDirectory() });
  for (let ticks = 0; ticks < 12; ticks++) {
    // Calls the second commit this many microtasks after the first has settled.
    let second: Promise<void> | undefined;
    await new Promise<void>((resolve) => {
      const later = (left: number): void => {
        if (left > 0) return queueMicrotask(() => later(left - 1));
        second = store.commit([row(ticks)]);
        resolve();
      };
      void store.commit([row(100)]).then(() => later(ticks));
    });
    await second;
  }
  await store.close();
});

test('a second opener is refused with the pid of the first, also in a very long path', async () => {
  for (const directory of [freshDirectory(), join(freshDirectory(), 'd'.repeat(100), 'e'.repeat(150))]) {
    const store = await openLmdbStore({ directory });
    await assert.rejects(openLmdbStore({ directory }), {
      code: 'STORE_LOCKED',
      message: new RegExp(`process ${process.pid}\\b`),
    });
    await store.commit([row(1)]);
    await store.close();
    await (await openLmdbStore({ directory })).close();
  }
});

test('of many openers at once in one process exactly one succeeds', async () => {
  const directory = freshDirectory();
  for (let round = 0; round < 5; round++) {
    const opened = await Promise.allSettled(Array.from({ length: 8 }, () => openLmdbStore({ directory })));
    const stores = opened.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    for (const outcome of opened) {
      if (outcome.status === 'rejected')
        assert.equal(outcome.reason.code, 'STORE_LOCKED', String(outcome.reason));
    }
    assert.equal(stores.length, 1);
    await stores[0]!.close();
  }
});

test('reads fail with STORE_CLOSED after close', async () => {
  const store = await openLmdbStore({ directory: freshDirectory() });
  await store.close();
  assert.throws(() => store.get('log', Uint8Array.of(1)), { code: 'STORE_CLOSED' });
  assert.throws(() => store.scan('log'), { code: 'STORE_CLOSED' });
  await assert.rejects(store.backup(freshDirectory()), { code: 'STORE_CLOSED' });
});

test('[ST-10] the size limit refuses what adds messages, lets the rest through, and reuses what was deleted', async () => {
  const mebibyte = 1024 * 1024;
  const store = await openLmdbStore({
    directory: freshDirectory(),
    mapBytesMax: 24 * mebibyte,
    reserveBytes: 4 * mebibyte,
  });
  let next = 0;
  const fill = async (): Promise<number> => {
    for (let count = 0; ; count++) {
      try {
        await store.commit([row(++next, 100_000)]);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'STORE_COMMIT_FAILED');
        assert.match(String(error), /mapBytesMax/);
        return count;
      }
    }
  };
  const first = await fill();
  assert.ok(first > 150, `${first} fitted`);
  // Rows and deletions, a hundred times over.
  for (let round = 0; round < 100; round++) {
    await store.commit([{ table: 'cursor', key: Uint8Array.of(round), value: new Uint8Array(200) }]);
  }
  await assert.rejects(store.commit([row(next, 100_000)]), { code: 'STORE_COMMIT_FAILED' });
  for (let number = 1; number <= 100; number++) await store.commit([drop(number)]);
  const again = await fill();
  assert.ok(again > 80, `${again} fitted again`);
  assert.equal([...store.scan('log')].length, first + again - 100);
  const { usedBytes, dataBytes, reusableBytes } = await store.stats();
  assert.ok(usedBytes <= 24 * mebibyte && dataBytes <= 25 * mebibyte && reusableBytes < usedBytes);
  await store.close();
});

test('a backup during commits is a consistent, marked data directory; restoring refuses what is not empty', async () => {
  for (const isCompact of [false, true]) {
    const directory = freshDirectory();
    const store = await openLmdbStore({ directory });
    let isDone = false;
    let number = 0;
    const writing = (async () => {
      while (!isDone) {
        number++;
        const value = new Uint8Array(20_000).fill(number);
        await store.commit([
          row(number % 500, 20_000),
          { table: 'cursor', key: row(number % 500).key, value },
        ]);
        if (number % 3 === 0)
          await store.commit([drop(number % 7), { ...drop(number % 7), table: 'cursor' }]);
      }
    })();
    while (number < 50) await new Promise(setImmediate);
    const backup = freshDirectory();
    await store.backup(backup, { isCompact });
    isDone = true;
    await writing;
    await assert.rejects(store.backup(backup), /not empty/);
    await assert.rejects(restoreBackup(directory, freshDirectory()), { code: 'STORE_LOCKED' });
    await store.close();

    const target = freshDirectory();
    await restoreBackup(backup, target);
    await assert.rejects(restoreBackup(backup, target), /not empty/);
    for (const copy of [backup, target]) {
      assert.equal((await stat(copy)).mode & 0o777, 0o700);
      assert.equal((await stat(join(copy, 'data.mdb'))).mode & 0o777, 0o600);
      const restored = await openLmdbStore({ directory: copy });
      assert.deepEqual([...restored.get('meta', RESTORED_KEY)!], [1]);
      const log = [...restored.scan('log')];
      const cursors = [...restored.scan('cursor')];
      assert.ok(log.length >= 40 && log.length === cursors.length);
      log.forEach(({ value }, index) => assert.ok(Buffer.from(value).equals(cursors[index]!.value)));
      await restored.commit([{ table: 'meta', key: RESTORED_KEY, value: undefined }]);
      await restored.close();
    }
  }
  const nothing = freshDirectory();
  await mkdir(nothing);
  await assert.rejects(restoreBackup(nothing, freshDirectory()), { code: 'STORE_FORMAT' });
});

test('a backup is of one moment between two commits, also while large ones are brought to LMDB', async () => {
  // Each batch takes several transactions of LMDB, and nearly fills a file of the journal: a checkpoint is always under way.
  const journalFileBytesMax = 1024 * 1024;
  const batchOfAll = (number: number): StoreChange[] =>
    Array.from({ length: 8_000 }, (_, index) => {
      const key = Buffer.alloc(4);
      key.writeUInt32BE(index);
      const value = new Uint8Array(60).fill(number);
      return { table: index < 4_000 ? 'cursor' : 'log', key, value };
    });
  const store = await openLmdbStore({ directory: freshDirectory(), journalFileBytesMax });
  let isDone = false;
  let number = 0;
  const writing = (async () => {
    do await store.commit(batchOfAll(++number % 256));
    while (!isDone);
  })();
  for (let round = 0; round < 6; round++) {
    const begin = number;
    while (number < begin + 2) await new Promise(setImmediate);
    const directory = freshDirectory();
    await store.backup(directory, { isCompact: round % 2 === 1 });
    const copy = await openLmdbStore({ directory });
    const found = new Set<number>();
    for (const table of ['cursor', 'log'] as const)
      for (const { value } of copy.scan(table)) found.add(value[0]!);
    assert.equal(found.size, 1, `parts of the commits ${[...found].join(', ')}`);
    await copy.close();
  }
  isDone = true;
  await writing;
  await store.close();
});

test('stats and free space', async () => {
  const store = await openLmdbStore({ directory: freshDirectory(), reserveBytes: 2 * 1024 * 1024 });
  await store.commit([row(1, 1_000_000)]);
  const before = await store.stats();
  assert.ok(
    before.usedBytes > 1_000_000 && before.dataBytes >= before.usedBytes + 2 * 1024 * 1024 - 1_500_000,
  );
  assert.ok(before.reusableBytes < 100_000, `${before.reusableBytes} reusable`);
  assert.ok(before.freeBytes > 0 && (await store.freeSpace()).freeBytes > 0);
  await store.commit([drop(1)]);
  await new Promise(setImmediate);
  assert.ok((await store.stats()).reusableBytes >= 1_000_000);
  await store.close();
});

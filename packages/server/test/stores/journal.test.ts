import assert from 'node:assert/strict';
import fs from 'node:fs';
import { copyFile, mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import { tables, type StoreChange } from '@wakeline/core/ports';
import { openLmdbStore, restoreBackup } from '../../src/stores/lmdb/index.js';
import { keyBytesAt, tableNumberAt, valueAt } from '../../src/stores/lmdb/journal-changes.js';
import { JournalFile } from '../../src/stores/lmdb/journal-file.js';
import { firstSeed } from '../seed.js';

const base = await mkdtemp(join(tmpdir(), 'wakeline-journal-'));
after(() => rm(base, { recursive: true, force: true }));
let names = 0;
const freshPath = (): string => join(base, String(++names));
const BYTES_MAX = 1024 * 1024;

function changesOf(batch: number): StoreChange[] {
  const value = new Uint8Array((batch * 37) % 300).fill(batch);
  return [
    { table: 'log', key: Buffer.from(`key ${batch}`), value },
    { table: 'cursor', key: Uint8Array.of(batch), value: batch % 3 === 0 ? undefined : value },
  ];
}

class Found {
  readonly batches: number[] = [];
  #half: StoreChange | undefined;

  take(memory: Buffer, at: number): void {
    const table = tables[tableNumberAt(memory, at)]!;
    const change = { table, key: keyBytesAt(memory, at), value: valueAt(memory, at) };
    if (this.#half === undefined) {
      this.#half = change;
      return;
    }
    const batch = Number(Buffer.from(this.#half.key).toString().slice('key '.length));
    assert.deepEqual([this.#half, change].map(plain), changesOf(batch).map(plain));
    this.batches.push(batch);
    this.#half = undefined;
  }
}

function plain({ table, key, value }: StoreChange): unknown {
  return [
    table,
    Buffer.from(key).toString('hex'),
    value === undefined ? 'deleted' : Buffer.from(value).toString('hex'),
  ];
}

async function found(
  path: string,
  appliedGeneration = 0,
): Promise<{ batches: number[]; generation: number }> {
  const sink = new Found();
  const file = await JournalFile.open(path, appliedGeneration, BYTES_MAX, sink);
  await file.close();
  return { batches: sink.batches, generation: file.generation };
}

/** Batches of one generation, and where each ends in the file. */
async function write(path: string, generation: number, first: number, count: number): Promise<number[]> {
  const file = await JournalFile.open(path, 0, BYTES_MAX, { take: () => undefined });
  file.begin(generation, undefined);
  const ends: number[] = [];
  for (let batch = first; batch < first + count; batch++) {
    assert.equal(await file.append(changesOf(batch), new Found()), true);
    const bytes = await readFile(path);
    ends.push(bytes.findLastIndex((byte, index) => byte !== 0 && index < BYTES_MAX) + 1);
  }
  await file.close();
  return ends;
}

test('[ST-9] a journal cut off anywhere, or damaged, ends at the last batch before that', async (t) => {
  const prng = new Prng(firstSeed);
  const path = freshPath();
  await JournalFile.create(path);
  const ends = await write(path, 7, 1, 20);
  const whole = await readFile(path);
  const fileEnd = ends.at(-1)!;
  for (let round = 0; round < 200; round++) {
    const at = prng.nextInteger(0, fileEnd - 1);
    const bytes = Buffer.from(whole);
    if (round % 2 === 0) bytes.fill(0, at);
    else bytes[at]! ^= 1 << prng.nextInteger(0, 7);
    await writeFile(path, bytes);
    const { batches } = await found(path);
    const left = ends.filter((end) => end <= at).length;
    // Cutting may take away zeros only.
    const isSame = bytes.equals(whole);
    assert.deepEqual(
      batches,
      Array.from({ length: isSame ? 20 : batches.length }, (_, index) => index + 1),
    );
    assert.ok(
      isSame || (batches.length >= left && batches.length <= left + 1),
      `seed ${firstSeed}, round ${round}: ${batches.length}, not ${left}`,
    );
    if (round % 2 === 1)
      assert.equal(batches.length, at < 20 ? 0 : left, `seed ${firstSeed}, round ${round}`);
  }
  for (const size of [0, 10, 24, 100]) {
    await writeFile(path, whole);
    await truncate(path, size);
    assert.equal((await found(path)).batches.length, ends.filter((end) => end <= size).length);
  }
  t.diagnostic(`seed ${firstSeed}`);
});

test('a generation that LMDB has is not read, a later one is', async () => {
  const path = freshPath();
  await JournalFile.create(path);
  await write(path, 5, 1, 3);
  assert.deepEqual(await found(path, 5), { batches: [], generation: 5 });
  assert.deepEqual(await found(path, 4), { batches: [1, 2, 3], generation: 5 });
});

test('what an older generation left behind the end is never taken for a batch, whatever it says', async () => {
  const path = freshPath();
  await JournalFile.create(path);
  await write(path, 1, 1, 30);
  await write(path, 2, 50, 3);
  assert.deepEqual(await found(path), { batches: [50, 51, 52], generation: 2 });
  // A sender who knew the place could copy a batch that was valid there, checksum and all.
  const file = await JournalFile.open(path, 0, BYTES_MAX, { take: () => undefined });
  file.begin(3, undefined);
  await file.append(changesOf(60), new Found());
  await file.close();
  const third = await readFile(path);
  const forged = freshPath();
  await writeFile(forged, third);
  const [end] = await write(forged, 4, 60, 1);
  const fourth = await readFile(forged);
  const source = third.subarray(20, end);
  source.copy(fourth, end!);
  await writeFile(forged, fourth);
  assert.deepEqual(await found(forged), { batches: [60], generation: 4 });
});

test('a journal goes on where it ended, and says when it is full', async () => {
  const path = freshPath();
  await JournalFile.create(path);
  await write(path, 5, 1, 4);
  const sink = new Found();
  const file = await JournalFile.open(path, 0, BYTES_MAX, sink);
  assert.equal(await file.append(changesOf(5), sink), true);
  const large: StoreChange = { table: 'log', key: Uint8Array.of(1), value: new Uint8Array(BYTES_MAX) };
  assert.equal(await file.append([large], sink), false);
  await file.close();
  assert.deepEqual(await found(path), { batches: [1, 2, 3, 4, 5], generation: 5 });
});

test('[ST-10] a batch whose write is said to have failed is not found, though its bytes had reached the disk', async () => {
  for (const before of [0, 3]) {
    const path = freshPath();
    await JournalFile.create(path);
    await write(path, 6, 1, before);
    const file = await JournalFile.open(path, 0, BYTES_MAX, new Found());
    if (before === 0) file.begin(6, undefined);
    const { write: writeReally } = fs;
    const failing = (...args: Parameters<typeof writeReally>): void => {
      fs.write = writeReally;
      syncBuiltinESMExports();
      const callback = args.pop() as (error: Error) => void;
      writeReally(...([...args, () => callback(new Error('EIO'))] as unknown as typeof args));
    };
    fs.write = failing as typeof writeReally;
    syncBuiltinESMExports();
    await assert.rejects(file.append(changesOf(9), new Found()), /EIO/);
    await file.close();
    assert.deepEqual((await found(path)).batches, [1, 2, 3].slice(0, before));
  }
});

const row = (number: number, bytes = 10): StoreChange => ({
  table: 'log',
  key: Uint8Array.of(number),
  value: new Uint8Array(bytes).fill(number),
});

test('a batch larger than the journal, and what came before and after it, are all there in order', async () => {
  const directory = freshPath();
  const options = { directory, checkpointMs: 60_000, journalFileBytesMax: BYTES_MAX };
  let store = await openLmdbStore(options);
  await Promise.all([
    store.commit([row(1), row(2)]),
    store.commit([row(2, 3_000_000)]),
    store.commit([row(3)]),
  ]);
  await store.commit([{ ...row(1), value: undefined }]);
  const check = (): void =>
    assert.deepEqual(
      [...store.scan('log')].map(({ key, value }) => [key[0], value.length]),
      [
        [2, 3_000_000],
        [3, 10],
      ],
    );
  check();
  await store.close();
  store = await openLmdbStore(options);
  check();
  await store.close();
});

/** A copy of a store's files as a kill would leave them at this moment. */
async function copyAsKilled(directory: string): Promise<string> {
  const copy = freshPath();
  await (await openLmdbStore({ directory: copy })).close();
  for (const name of ['journal.0', 'journal.1', 'data.mdb'])
    await copyFile(join(directory, name), join(copy, name));
  return copy;
}

test('[ST-9] what stands in the journal only is found by the next start, and by a restore', async () => {
  const directory = freshPath();
  const store = await openLmdbStore({ directory, checkpointMs: 60_000 });
  await store.commit([row(1), row(2)]);
  await store.stats(); // Brings it to LMDB.
  await store.commit([row(3), { ...row(1), value: undefined }]);
  const killed = await copyAsKilled(directory);
  await store.close();
  const restored = freshPath();
  await restoreBackup(killed, restored);
  for (const place of [killed, restored]) {
    for (let start = 0; start < 2; start++) {
      const again = await openLmdbStore({ directory: place });
      assert.deepEqual(
        [...again.scan('log')].map(({ key }) => key[0]),
        [2, 3],
      );
      await again.close();
    }
  }
});

test('a journal that is missing, or a part of it, is refused with advice', async () => {
  const directory = freshPath();
  const store = await openLmdbStore({ directory, checkpointMs: 60_000, journalFileBytesMax: BYTES_MAX });
  await store.commit([row(1)]);
  await store.stats();
  await store.commit([row(2)]);
  const killed = await copyAsKilled(directory);
  await store.close();
  // A generation further on, as if the one before it had never been brought to LMDB.
  for (const name of ['journal.0', 'journal.1']) {
    const file = await open(join(killed, name), 'r+');
    const header = Buffer.alloc(24);
    await file.read(header, 0, 24, 0);
    await file.close();
    if (header.readUInt32LE(8) !== 2) continue;
    const changed = await JournalFile.open(join(killed, name), 0, BYTES_MAX, { take: () => undefined });
    changed.begin(3, undefined);
    await changed.append([row(4)], { take: () => undefined });
    await changed.close();
  }
  await assert.rejects(openLmdbStore({ directory: killed }), {
    code: 'STORE_CORRUPT',
    message: /part 2 is missing.*backup/,
  });
  await rm(join(directory, 'journal.1'));
  await assert.rejects(openLmdbStore({ directory }), {
    code: 'STORE_CORRUPT',
    message: /journal\.1 is missing/,
  });
});

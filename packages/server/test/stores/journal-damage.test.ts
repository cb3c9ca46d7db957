/** What a crash leaves of the journal is taken as it is; what no crash leaves is refused, with advice. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import type { StoreChange } from '@wakeline/core/ports';
import { createJournal, Journal } from '../../src/stores/lmdb/journal.js';
import { openLmdbStore } from '../../src/stores/lmdb/index.js';
import { firstSeed } from '../seed.js';

const base = await mkdtemp(join(tmpdir(), 'wakeline-damage-'));
after(() => rm(base, { recursive: true, force: true }));
const BYTES_MAX = 1024 * 1024;
const HEADER_BYTES = 28;
const BATCHES = 8;
const prng = new Prng(firstSeed);

const row = (number: number, bytes: number): StoreChange => ({
  table: 'log',
  key: Uint8Array.of(number),
  value: new Uint8Array(bytes).fill(number),
});

interface Written {
  readonly directory: string;
  /** Of the file that is in use. */
  readonly path: string;
  readonly bytes: Buffer;
  /** Where each batch ends in it. */
  readonly ends: readonly number[];
}

/** Batches of `valueBytes` each (by number), after so many generations of the same that LMDB has. */
async function written(valueBytes: (number: number) => number, generations = 0): Promise<Written> {
  const directory = await mkdtemp(join(base, 'journal-'));
  await createJournal(directory);
  const journal = await Journal.open(directory, 0, BYTES_MAX);
  for (let generation = 0; generation < generations; generation++) {
    for (let number = 1; number <= 3 * BATCHES; number++)
      await journal.append([row(number, valueBytes(number))]);
    journal.seal();
    journal.release();
  }
  const path = join(directory, `journal.${(1 + generations) % 2}`);
  const ends: number[] = [];
  for (let number = 1; number <= BATCHES; number++) {
    await journal.append([row(number, valueBytes(number))]);
    // Length, checksum, generation, and of the change its fields and the key.
    ends.push((ends.at(-1) ?? HEADER_BYTES) + 12 + 7 + 1 + valueBytes(number));
  }
  await journal.close();
  const bytes = await readFile(path);
  assert.equal(bytes.toString('latin1', 0, 8), 'WLJRNL02', 'it is the file in use');
  assert.equal(bytes.readUInt32LE(8), generations + 1);
  return { directory, path, bytes, ends };
}

/** How many batches are found. */
async function countOf(directory: string, appliedGeneration: number): Promise<number> {
  const journal = await Journal.open(directory, appliedGeneration, BYTES_MAX);
  const count = [...journal.scan('log', {}, () => [])].length;
  await journal.close();
  return count;
}

test('[ST-14] a bit that changes anywhere before the last batches is found, and refused with advice', async (t) => {
  const sizes = Array.from({ length: BATCHES + 1 }, () => 1 + prng.nextInteger(0, 200));
  const { directory, path, bytes, ends } = await written((number) => sizes[number]!);
  // Where the damage hides how long a batch is, three behind it are needed to tell.
  const sureEnd = ends[BATCHES - 4]!;
  for (let round = 0; round < 400; round++) {
    const damaged = Buffer.from(bytes);
    const at = round < HEADER_BYTES ? round : prng.nextInteger(0, sureEnd - 1);
    damaged[at]! ^= 1 << prng.nextInteger(0, 7);
    await writeFile(path, damaged);
    await assert.rejects(
      Journal.open(directory, 0, BYTES_MAX),
      { code: 'STORE_CORRUPT', message: /journal\.\d .*damaged.*restore a backup/ },
      `seed ${firstSeed}, byte ${at}`,
    );
  }
  t.diagnostic(`seed ${firstSeed}`);
});

test('[ST-14] the body of any batch but the last', async () => {
  const { directory, path, bytes, ends } = await written(() => 50);
  for (let batch = 0; batch < BATCHES; batch++) {
    const damaged = Buffer.from(bytes);
    damaged[ends[batch]! - 1]! ^= 1;
    await writeFile(path, damaged);
    if (batch === BATCHES - 1) assert.equal(await countOf(directory, 0), BATCHES - 1);
    else await assert.rejects(countOf(directory, 0), { code: 'STORE_CORRUPT' }, `batch ${batch}`);
  }
});

test('[ST-9] a last batch that a loss of power left half-written is no damage, whatever lies behind it', async (t) => {
  // Generations before it had batches of the same sizes at the same places: their ends are its ends.
  for (const generations of [0, 2, 3]) {
    const { directory, path, bytes, ends } = await written(() => 100, generations);
    const [start, end] = [ends[BATCHES - 2]!, ends[BATCHES - 1]!];
    for (let round = 0; round < 200; round++) {
      const torn = Buffer.from(bytes);
      // What did not reach the disk is what was there before: of an older generation, or nothing.
      const at = prng.nextInteger(start, end - 1);
      if (round % 3 === 0) torn.fill(0, at, end);
      else if (round % 3 === 1) bytes.copy(torn, at, at + (end - start), end + (end - start));
      else for (let index = at; index < end; index++) torn[index] = prng.nextInteger(0, 255);
      await writeFile(path, torn);
      const count = await countOf(directory, generations);
      assert(count === BATCHES - 1 || torn.equals(bytes), `seed ${firstSeed}, round ${round}: ${count}`);
    }
    await writeFile(path, bytes);
    assert.equal(await countOf(directory, generations), BATCHES);
  }
  t.diagnostic(`seed ${firstSeed}`);
});

test('[ST-9] neither is a first batch with its header', async () => {
  for (const generations of [0, 1, 2]) {
    const { directory, path, bytes, ends } = await written(() => 100, generations);
    for (let at = 0; at < ends[0]!; at++) {
      // As it was when only that batch had been written.
      const torn = Buffer.from(bytes);
      torn.fill(0, at);
      await writeFile(path, torn);
      assert.equal(await countOf(directory, generations), 0, `byte ${at}`);
    }
  }
});

test('[ST-14] a part that ends before where the next one says', async () => {
  const directory = await mkdtemp(join(base, 'sealed-'));
  await createJournal(directory);
  const journal = await Journal.open(directory, 0, BYTES_MAX);
  for (let number = 1; number <= 3; number++) await journal.append([row(number, 100)]);
  journal.seal();
  await journal.append([row(4, 100)]);
  await journal.close();
  assert.equal(await countOf(directory, 0), 4);
  const path = join(directory, 'journal.1');
  const bytes = await readFile(path);
  for (const at of [0, HEADER_BYTES + 2 * 120 + 60]) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1;
    await writeFile(path, damaged);
    await assert.rejects(countOf(directory, 0), { code: 'STORE_CORRUPT', message: /restore a backup/ });
  }
});

test('[ST-14] the store does not start on it, and leaves it as it is', async () => {
  const directory = join(base, 'store');
  const store = await openLmdbStore({ directory, checkpointMs: 60_000 });
  for (let number = 1; number <= 5; number++) await store.commit([row(number, 100)]);
  const path = join(directory, 'journal.1');
  const bytes = await readFile(path);
  await store.close();
  assert.equal(bytes.toString('latin1', 0, 6), 'WLJRNL');
  // As a kill would have left it, and then a bad sector.
  const killed = join(base, 'killed');
  await (await openLmdbStore({ directory: killed })).close();
  bytes[HEADER_BYTES + 130]! ^= 1;
  await writeFile(join(killed, 'journal.1'), bytes);
  await assert.rejects(openLmdbStore({ directory: killed }), {
    code: 'STORE_CORRUPT',
    message: /journal\.1 is damaged at byte 148, and there is more behind: .*backup/,
  });
  assert(bytes.equals(await readFile(join(killed, 'journal.1'))));
});

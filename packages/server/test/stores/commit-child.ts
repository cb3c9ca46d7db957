/**
 * A program for store.e2e.test.ts: opens the store in argv[2] and does what argv[3] says until it is killed.
 *
 * `commit`: commits numbered batches, several under way at once, and prints each number once it is resolved.
 * `hold`: prints `holds` or the error's code and message, and stays. `one`: commits, each between two marks on stderr.
 * `turns`: commits enough to fill the journal's files several times.
 */
import { writeSync } from 'node:fs';
import { openLmdbStore } from '../../src/stores/lmdb/index.js';
import { batchOf } from './numbered-batches.js';

const [directory = '', mode] = process.argv.slice(2);

async function commitForever(): Promise<void> {
  const store = await openLmdbStore({
    directory,
    reserveBytes: 1024 * 1024,
    // So that a kill at any moment meets checkpoints and files that take turns.
    checkpointMs: 20,
    journalFileBytesMax: 1024 * 1024,
  });
  let number = 0;
  const last = [...store.scan('log', { reverse: true, limit: 1 })][0];
  if (last !== undefined) number = Buffer.from(last.key).readUIntBE(0, 6);
  writeSync(1, 'open\n');
  for (;;) {
    const commits: Promise<void>[] = [];
    for (let count = 1 + (number % 4); count > 0; count--) {
      const current = ++number;
      commits.push(store.commit(batchOf(current)).then(() => void writeSync(1, `${current}\n`)));
    }
    await Promise.all(commits);
  }
}

async function hold(): Promise<void> {
  try {
    const store = await openLmdbStore({ directory });
    writeSync(1, 'holds\n');
    setInterval(() => store.get('log', Buffer.from('x')), 1_000);
  } catch (error) {
    writeSync(1, `${(error as { code?: string }).code} ${(error as Error).message}\n`);
  }
}

async function one(): Promise<void> {
  const store = await openLmdbStore({ directory, checkpointMs: 60_000 });
  for (let number = 1; number <= 5; number++) {
    writeSync(2, `commit ${number}\n`);
    await store.commit(batchOf(number));
    writeSync(2, `resolved ${number}\n`);
  }
  await store.close();
}

async function turns(): Promise<void> {
  const store = await openLmdbStore({ directory, checkpointMs: 60_000, journalFileBytesMax: 1024 * 1024 });
  for (let number = 1; number <= 300; number++) await store.commit(batchOf(number));
  await store.close();
}

if (mode === 'commit') await commitForever();
else if (mode === 'hold') await hold();
else if (mode === 'turns') await turns();
else await one();

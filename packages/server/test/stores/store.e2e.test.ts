import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Prng } from '@wakeline/core/base';
import { DiskWatch } from '../../src/runtime/disk-watch.js';
import { type LmdbStore, openLmdbStore } from '../../src/stores/lmdb/index.js';
import { FakeLog } from '../runtime/fakes.js';
import { checkBatches } from './numbered-batches.js';
import { firstSeed } from '../seed.js';

const childProgram = fileURLToPath(new URL('commit-child.js', import.meta.url));
const isLong = process.env['WAKELINE_LONG'] === '1';
const base = await mkdtemp(join(tmpdir(), 'wakeline-store-'));
after(() => rm(base, { recursive: true, force: true }));

function start(directory: string, mode: string): ChildProcess {
  return spawn(process.execPath, [childProgram, directory, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('[ST-9] what was resolved survives SIGKILL at any moment, batches are whole and in order', async (t) => {
  const directory = join(base, 'crash');
  const prng = new Prng(firstSeed);
  const rounds = isLong ? 300 : 25;
  let total = 0;
  for (let round = 0; round < rounds; round++) {
    const child = start(directory, 'commit');
    let printed = 0;
    let killAt = Infinity;
    for await (const line of createInterface({ input: child.stdout! })) {
      if (line === 'open') {
        // After a random time or after a random number of batches, whichever comes first.
        const killMs = prng.nextInteger(0, 150);
        killAt = prng.nextInteger(1, 200);
        // The last one gets far, however slow the disk is.
        if (round === rounds - 1) killAt = rounds + 1;
        else setTimeout(() => child.kill('SIGKILL'), killMs);
        continue;
      }
      printed = Number(line);
      if (--killAt === 0) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.equal(child.signalCode, 'SIGKILL', `seed ${firstSeed}, round ${round}`);
    const store = await openLmdbStore({ directory });
    const last = checkBatches(store);
    assert.ok(
      last >= printed,
      `seed ${firstSeed}, round ${round}: ${printed} was resolved, ${last} is the last there`,
    );
    await store.close();
    total = last;
  }
  t.diagnostic(`seed ${firstSeed}: ${rounds} kills, ${total} batches`);
  assert.ok(total > rounds);
});

test('after SIGKILL of the holder exactly one of many starters takes the lock', async () => {
  const directory = join(base, 'lock');
  const rounds = isLong ? 30 : 5;
  let holder: ChildProcess | undefined;
  for (let round = 0; round < rounds; round++) {
    // The starters begin while the holder dies: some meet it alive, some its stale socket.
    const starters = Array.from({ length: 6 }, () => start(directory, 'hold'));
    holder?.kill('SIGKILL');
    const lines = await Promise.all(
      starters.map(async (child) => {
        for await (const line of createInterface({ input: child.stdout! })) return line;
        return 'nothing';
      }),
    );
    const holders = starters.filter((_, index) => lines[index] === 'holds');
    assert.ok(holders.length <= 1, `${holders.length} hold at once`);
    // All may have met the dying holder; from a clean start exactly one must succeed.
    if (round === 0) assert.equal(holders.length, 1, lines.join('\n'));
    for (const line of lines) assert.match(line, /^(holds$|STORE_LOCKED .*in use by (process \d+|another))/);
    if (holders[0] !== undefined && round === 0) {
      assert.equal(lines.filter((line) => line.includes(`process ${holders[0]!.pid}`)).length > 0, true);
    }
    holder = holders[0] ?? holder;
    for (const child of starters) if (child !== holder) child.kill('SIGKILL');
    if (holders[0] === undefined) {
      const child = start(directory, 'hold');
      for await (const line of createInterface({ input: child.stdout! })) {
        assert.equal(line, 'holds');
        break;
      }
      holder = child;
    }
  }
  holder?.kill('SIGKILL');
  await once(holder!, 'exit');
  const store = await openLmdbStore({ directory });
  const sockets = (await readdir(directory)).filter((name) => name.endsWith('.sock'));
  assert.equal(sockets.length, 1, `stale sockets are removed: ${sockets.join()}`);
  await store.close();
});

test('a holder that does not answer, being busy, is still the holder', async () => {
  const directory = join(base, 'busy');
  const child = start(directory, 'hold');
  for await (const line of createInterface({ input: child.stdout! })) {
    assert.equal(line, 'holds');
    break;
  }
  child.kill('SIGSTOP');
  await assert.rejects(openLmdbStore({ directory }), {
    code: 'STORE_LOCKED',
    message: new RegExp(`process ${child.pid}\\b`),
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  await (await openLmdbStore({ directory })).close();
});

test('a commit resolves only when its synced write to the journal has ended (seen by strace)', async (t) => {
  const lines = await traceOne(t, join(base, 'traced'));
  if (lines === undefined) return;
  // The one descriptor by which a journal's file is written syncs with each write.
  const opened = lines.filter((line) => /\/journal\.[01]"/.test(line) && line.includes('O_RDWR'));
  assert.ok(opened.length === 2 && opened.every((line) => line.includes('O_DSYNC')), opened.join('\n'));
  for (let number = 1; number <= 5; number++) {
    const begin = lines.findIndex((line) => line.includes(`"commit ${number}\\n"`));
    const end = lines.findIndex((line) => line.includes(`"resolved ${number}\\n"`));
    assert.ok(begin >= 0 && end > begin);
    const during = lines.slice(begin, end);
    const write = during.findIndex((line) => /pwrite64\(\d+<.*\/journal\.[01]>/.test(line));
    assert.ok(write >= 0, during.join('\n'));
    // Finished as well, not only begun.
    const thread = during[write]!.split(' ')[0]!;
    const rest = during.slice(write).filter((line) => line.startsWith(`${thread} `));
    assert.ok(
      rest.some((line) => /pwrite64.*= [1-9]\d+$/.test(line)),
      rest.join('\n'),
    );
  }
});

test('a file of the journal is written over only when LMDB has synced what was in it (seen by strace)', async (t) => {
  const lines = await traceOne(t, join(base, 'traced-turns'), 'turns');
  if (lines === undefined) return;
  // LMDB's two descriptors of one file: the second, for meta pages, syncs with each write.
  const opening = lines.findIndex((line) => /openat.*\/data\.mdb".*O_DSYNC/.test(line));
  const opener = lines[opening]?.split(' ')[0];
  // Its result is in a line of its own where another thread's call came between.
  const opened = lines.slice(opening).find((line) => line.startsWith(`${opener} `) && / = \d+</.test(line));
  const metas = / = (\d+)</.exec(opened ?? '')?.[1];
  assert.ok(metas !== undefined);
  const pagesPattern = /(writev|pwrite64|pwritev)\(\d+<.*\/data\.mdb>/;
  const begunPattern = /pwrite64\(\d+<.*\/journal\.[01]>, "WLJRNL02/;
  let unsyncedPages = 0;
  let syncingThread = '';
  let metaThread = '';
  let applied = 0;
  let begun = 0;
  for (const line of lines) {
    const thread = line.split(' ')[0]!;
    if (line.includes(`pwrite64(${metas}<`)) {
      assert.equal(unsyncedPages, 0, line);
      assert.equal(thread, syncingThread, line);
      metaThread = thread;
      syncingThread = '';
    } else if (pagesPattern.test(line)) unsyncedPages++;
    else if (/fdatasync\(.*\/data\.mdb>/.test(line)) {
      unsyncedPages = 0;
      syncingThread = thread;
    } else if (begunPattern.test(line)) {
      // The generation before the last lay in this file. The last one is sealed, so LMDB may have it too, and no other.
      const wanted = [begun - 1, begun];
      assert.ok(begun === 0 || wanted.includes(applied), `${begun} begun, ${applied} applied: ${line}`);
      begun++;
    }
    // Finished as well, not only begun: in the line that begins it, or in one of its own.
    if (begun > 0 && thread === metaThread && line.includes('pwrite64') && line.endsWith('= 128')) {
      metaThread = '';
      applied++;
    }
  }
  assert.ok(begun >= 5, `${begun} generations`);
});

/** System calls of the child program, in order; undefined (said loudly) where there is no strace. */
async function traceOne(t: TestContext, directory: string, mode = 'one'): Promise<string[] | undefined> {
  const trace = `${directory}.txt`;
  const calls = 'openat,fdatasync,fsync,pwrite64,pwritev,writev,write';
  const strace = [
    '-f',
    '-y',
    '-o',
    trace,
    '-e',
    `trace=${calls}`,
    process.execPath,
    childProgram,
    directory,
    mode,
  ];
  try {
    execFileSync('strace', strace, { stdio: 'ignore' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    console.error('SKIPPED: no strace, so the order of sync and resolution is NOT tested');
    t.skip('needs strace');
    return undefined;
  }
  return (await readFile(trace, 'latin1')).split('\n');
}

/** A small file system of its own; undefined (said loudly) where this user may not mount one. */
async function mountSmall(name: string, bytes: number): Promise<string | undefined> {
  const directory = join(base, name);
  await mkdir(directory);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory], { stdio: 'pipe' });
    return directory;
  } catch (error) {
    console.error(`SKIPPED: cannot mount a tmpfs, so a full disk is NOT tested: ${String(error)}`);
    return undefined;
  }
}

test('a full disk: appends fail, deleting and acknowledging go on, nothing is lost', async (t) => {
  const mount = await mountSmall('full', 40 * 1024 * 1024);
  if (mount === undefined) return t.skip('needs root, to mount a small tmpfs');
  let store: LmdbStore | undefined;
  try {
    const directory = join(mount, 'data');
    const options = { directory, reserveBytes: 4 * 1024 * 1024, journalFileBytesMax: 1024 * 1024 };
    store = await openLmdbStore(options);
    const key = (number: number): Uint8Array => Uint8Array.of(number >> 8, number);
    const append = (number: number): Promise<void> =>
      store!.commit([{ table: 'log', key: key(number), value: new Uint8Array(16_360).fill(number) }]);
    let stored = 0;
    for (; stored < 100; stored++) await append(stored);
    // Another program takes the rest of the disk, to the last byte.
    const other = join(mount, 'other');
    for (let size = 1024 * 1024; size >= 1; size = size === 1 ? 0 : Math.max(1, size >> 4)) {
      try {
        for (;;) writeFileSync(other, new Uint8Array(size), { flag: 'a' });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
    assert.equal((await store.stats()).freeBytes, 0);
    let refused: unknown;
    for (; refused === undefined;) await append(stored++).catch((error: unknown) => (refused = error));
    stored--;
    assert.equal((refused as { code: string }).code, 'STORE_COMMIT_FAILED');
    assert.equal((refused as { retryable: boolean }).retryable, true);
    assert.ok(stored < 200, `the reserve was used by appends: ${stored}`);

    // Thousands of small commits, as acknowledging makes them; one in ten deletes a chunk.
    let deleted = 0;
    const smallCommits = 3_000;
    for (let number = 0; number < smallCommits; number++) {
      const row = {
        table: 'cursor',
        key: key(number % 1_000),
        value: new Uint8Array(60).fill(number),
      } as const;
      const isDeleting = number % 100 === 0 && deleted < 20;
      await store.commit(isDeleting ? [row, { table: 'log', key: key(deleted++), value: undefined }] : [row]);
    }
    // What was deleted makes room for as much, and no more.
    const before = stored;
    for (refused = undefined; refused === undefined;) {
      await append(stored++).catch((error: unknown) => (refused = error));
    }
    stored--;
    assert.ok(stored - before <= deleted + 5, `${stored - before} appended after ${deleted} were deleted`);
    await assert.rejects(append(stored), { code: 'STORE_COMMIT_FAILED' });

    // It can be opened on the full disk, and everything is there.
    await store.close();
    store = await openLmdbStore(options);
    const check = (count: number): void => {
      const log = [...store!.scan('log')];
      assert.equal(log.length, count);
      log.forEach((entry, index) => {
        assert.deepEqual(Buffer.from(entry.key), Buffer.from(key(deleted + index)));
        assert.ok(
          entry.value.length === 16_360 && entry.value.every((byte) => byte === ((deleted + index) & 0xff)),
        );
      });
      assert.equal([...store!.scan('cursor')].length, 1_000);
    };
    check(stored - deleted);
    await store.commit([{ table: 'meta', key: key(1), value: key(1) }]);

    // Space appears.
    await writeFile(other, '');
    for (let count = 0; count < 500; count++) await append(stored++);
    check(stored - deleted);
    t.diagnostic(JSON.stringify(await store.stats()));
  } finally {
    await store?.close();
    execFileSync('umount', ['-l', mount]);
  }
});

test('a disk that the data file itself has filled takes messages again once they are deleted', async (t) => {
  const mount = await mountSmall('self', 40 * 1024 * 1024);
  if (mount === undefined) return t.skip('needs root, to mount a small tmpfs');
  let store: LmdbStore | undefined;
  try {
    const options = {
      directory: join(mount, 'data'),
      reserveBytes: 4 * 1024 * 1024,
      journalFileBytesMax: 1024 * 1024,
    };
    const floorBytes = 10 * 1024 * 1024;
    let isAllowed = true;
    const open = async (): Promise<DiskWatch> => {
      store = await openLmdbStore(options);
      isAllowed = true;
      return new DiskWatch({
        freeBytes: async () => (await store!.freeSpace()).freeBytes,
        floorBytes,
        limits: { diskPollMs: 1_000, diskHysteresisShare: 0.25 },
        log: new FakeLog(),
        onChange: (appendsAllowed) => (isAllowed = appendsAllowed),
      });
    };
    const key = (number: number): Uint8Array => Uint8Array.of(number >> 8, number);
    let next = 0;
    const fill = async (watch: DiskWatch): Promise<number> => {
      const first = next;
      for (; next - first < 10_000; next++) {
        await watch.look();
        if (!isAllowed) break;
        await store!.commit([{ table: 'log', key: key(next), value: new Uint8Array(16_360) }]);
      }
      return next - first;
    };
    let watch = await open();
    const count = await fill(watch);
    assert.ok(!isAllowed && count > 1_000, `${count} until the floor`);
    for (let round = 0; round < 4; round++) {
      const keys = [...store!.scan('log')].map((entry) => entry.key);
      for (const log of keys) await store!.commit([{ table: 'log', key: log, value: undefined }]);
      assert.ok((await store!.stats()).freeBytes < floorBytes * 1.25, 'the file has not shrunk');
      if (round % 2 === 1) {
        await store!.close();
        watch = await open();
      }
      await watch.look();
      assert.ok(isAllowed, `round ${round}: ${JSON.stringify(await store!.stats())}`);
      const again = await fill(watch);
      assert.ok(again > count * 0.9, `round ${round}: ${again} of ${count} again`);
      // Mostly pages within the file were used, and the reserve is whole.
      const { dataBytes, usedBytes, freeBytes } = await store!.stats();
      assert.ok(freeBytes > 0 && dataBytes - usedBytes >= options.reserveBytes * 0.9);
    }
    t.diagnostic(JSON.stringify(await store!.stats()));
  } finally {
    await store?.close();
    execFileSync('umount', ['-l', mount]);
  }
});

test('[ST-9] a first start that is killed at any moment leaves a directory that can be opened', async () => {
  const rounds = isLong ? 200 : 20;
  for (let round = 0; round < rounds; round++) {
    const directory = join(base, `first-${round}`);
    const child = start(directory, 'commit');
    const ended = once(child, 'exit');
    child.stdout!.resume();
    // The directory appears at the very beginning of the opening.
    while (!existsSync(directory)) await new Promise((resolve) => setTimeout(resolve, 1));
    const killAt = performance.now() + (round / rounds) * 25;
    while (performance.now() < killAt) await new Promise(setImmediate);
    child.kill('SIGKILL');
    await ended;
    const store = await openLmdbStore({ directory });
    checkBatches(store);
    await store.close();
    await rm(directory, { recursive: true });
  }
});

test('[ST-10] a write that LMDB itself fails is contained: an error, no lost data, no end of the process', async (t) => {
  const mount = await mountSmall('enospc', 12 * 1024 * 1024);
  if (mount === undefined) return t.skip('needs root, to mount a small tmpfs');
  let store: LmdbStore | undefined;
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  try {
    store = await openLmdbStore({ directory: join(mount, 'data'), reserveBytes: 1024 * 1024 });
    await store.commit([{ table: 'device', key: Uint8Array.of(1), value: Uint8Array.of(1) }]);
    // A row far larger than disk and reserve: it is not a message, so only LMDB can refuse it.
    for (let round = 0; round < 3; round++) {
      const huge = { table: 'device', key: Uint8Array.of(2), value: new Uint8Array(20_000_000) } as const;
      const outcomes: PromiseSettledResult<void>[] = await Promise.allSettled([
        store.commit([huge]),
        store.commit([]),
      ]);
      for (const outcome of outcomes) {
        assert.equal(outcome.status, 'rejected');
        assert.equal((outcome as PromiseRejectedResult).reason.code, 'STORE_COMMIT_FAILED');
      }
      t.diagnostic(String((outcomes[0] as PromiseRejectedResult).reason.cause));
      assert.equal(store.get('device', Uint8Array.of(2)), undefined);
      await store.commit([{ table: 'device', key: Uint8Array.of(3), value: Uint8Array.of(round) }]);
      assert.deepEqual([...store.get('device', Uint8Array.of(3))!], [round]);
    }
    await new Promise(setImmediate);
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', onUnhandled);
    await store?.close();
    execFileSync('umount', ['-l', mount]);
  }
});

test('[ST-10] when LMDB takes nothing, commits go on until the journal is full; nothing of them is lost', async (t) => {
  const mount = await mountSmall('checkpoint', 16 * 1024 * 1024);
  if (mount === undefined) return t.skip('needs root, to mount a small tmpfs');
  let store: LmdbStore | undefined;
  try {
    const failures: unknown[] = [];
    const options = {
      directory: join(mount, 'data'),
      reserveBytes: 1024 * 1024,
      checkpointMs: 10,
      journalFileBytesMax: 1024 * 1024,
      onCheckpointFailed: (error: unknown): void => void failures.push(error),
    };
    store = await openLmdbStore(options);
    const other = join(mount, 'other');
    assert.throws(
      () => {
        for (;;) writeFileSync(other, new Uint8Array(65_536), { flag: 'a' });
      },
      { code: 'ENOSPC' },
    );
    // Rows that are no messages may use the reserve, and are more than it.
    const commit = (number: number): Promise<void> =>
      store!.commit([
        { table: 'device', key: Uint8Array.of(number), value: new Uint8Array(100_000).fill(number) },
      ]);
    let stored = 0;
    let refused: unknown;
    for (; refused === undefined && stored < 100; stored++)
      await commit(stored).catch((error: unknown) => (refused = error));
    stored--;
    assert.equal((refused as { code?: string }).code, 'STORE_COMMIT_FAILED');
    assert.ok(failures.length > 0);
    const check = (): void => {
      const rows = [...store!.scan('device')];
      assert.equal(rows.length, stored);
      rows.forEach(({ value }, number) =>
        assert.ok(value.length === 100_000 && value.every((byte) => byte === number)),
      );
    };
    check();
    await rm(other);
    for (let count = 0; count < 20; count++) await commit(stored++);
    check();
    await store.close();
    store = await openLmdbStore(options);
    check();
    t.diagnostic(`${stored} rows, ${failures.length} checkpoints failed`);
  } finally {
    await store?.close();
    execFileSync('umount', ['-l', mount]);
  }
});

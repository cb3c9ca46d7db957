import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { Backups } from '../../src/runtime/backups.js';
import type { BackupsOptions } from '../../src/runtime/backups.js';
import { temporaryDirectory } from '../listeners/harness.js';
import { FakeLog } from './fakes.js';

const NAME = '20260102T030405.678Z';
/** Of the store's 1,000 bytes in use 400 are free pages. */
const COPY_BYTES = 600;
const FLOOR_BYTES = 100;

interface Fake {
  freeBytes: number;
  copy: (target: string) => Promise<void>;
}

async function backupsOf(
  t: TestContext,
): Promise<{ readonly directory: string; readonly fake: Fake; readonly backups: Backups }> {
  const directory = join(await temporaryDirectory(t), 'data', 'backups');
  const fake: Fake = {
    freeBytes: 1_000_000,
    copy: async (target) => {
      await mkdir(target);
      await writeFile(join(target, 'data.mdb'), new Uint8Array(COPY_BYTES));
    },
  };
  const stats = { dataBytes: 2_000, usedBytes: 1_000, reusableBytes: 400, freeBytes: 0 };
  const store: BackupsOptions['store'] = {
    backup: (target, options) => {
      assert.equal(options?.isCompact, true);
      return fake.copy(target);
    },
    stats: () => Promise.resolve(stats),
  };
  const backups = new Backups({
    store,
    directory,
    freeBytes: () => Promise.resolve(fake.freeBytes),
    floorBytes: FLOOR_BYTES,
    now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    log: new FakeLog(),
  });
  return { directory, fake, backups };
}

describe('backups', () => {
  it('are made in a directory of their own, for the owner alone, under the time', async (t) => {
    const { directory, backups } = await backupsOf(t);
    assert.deepEqual(await backups.make(), { directory: join(directory, NAME), bytes: COPY_BYTES });
    assert.deepEqual(await readdir(directory), [NAME]);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
  });

  it('are made one at a time', async (t) => {
    const { fake, backups } = await backupsOf(t);
    const { copy } = fake;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    fake.copy = (target) => held.then(() => copy(target));
    const first = backups.make();
    assert.deepEqual(await backups.make(), { refused: 'backup-running' });
    release();
    assert.ok('directory' in (await first));
  });

  it('are refused where they would take the free space below the floor', async (t) => {
    const { directory, fake, backups } = await backupsOf(t);
    fake.freeBytes = COPY_BYTES + FLOOR_BYTES - 1;
    assert.deepEqual(await backups.make(), { refused: 'backup-no-room' });
    assert.deepEqual(await readdir(directory), []);
    fake.freeBytes += 1;
    assert.ok('directory' in (await backups.make()));
  });

  it('that fail leave nothing behind, and a disk that ran full is told apart', async (t) => {
    const { directory, fake, backups } = await backupsOf(t);
    const { copy } = fake;
    fake.copy = async (target) => {
      await copy(target);
      throw new Error('the disk broke');
    };
    await assert.rejects(backups.make(), /the disk broke/);
    assert.deepEqual(await readdir(directory), []);
    fake.copy = async (target) => {
      await copy(target);
      fake.freeBytes = FLOOR_BYTES - 1;
      throw new Error('No space left on device');
    };
    assert.deepEqual(await backups.make(), { refused: 'backup-no-room' });
    assert.deepEqual(await readdir(directory), []);
    fake.copy = copy;
    fake.freeBytes = 1_000_000;
    assert.ok('directory' in (await backups.make()));
  });

  it('that a killed process left unfinished are deleted, and nothing else', async (t) => {
    const { directory, backups } = await backupsOf(t);
    const unfinished = '20250102T030405.678Z.unfinished';
    for (const name of [unfinished, 'mine.unfinished', '20250102T030405.678Z']) {
      await mkdir(join(directory, name), { recursive: true });
      await writeFile(join(directory, name, 'data.mdb'), name);
    }
    await backups.make();
    assert.deepEqual((await readdir(directory)).sort(), ['20250102T030405.678Z', NAME, 'mine.unfinished']);
    assert.equal(await readFile(join(directory, 'mine.unfinished', 'data.mdb'), 'utf8'), 'mine.unfinished');
  });
});

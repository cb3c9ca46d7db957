import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileStorage } from '../../src/platform/node/index.js';

const root = mkdtempSync(join(tmpdir(), 'wakeline-file-storage-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('what was set is there for the next one that opens it, and for nobody else to read', async () => {
  const directory = join(root, 'deep', 'phone');
  const first = fileStorage(directory);
  await first.open();
  assert.equal(await first.get('cursor'), undefined);
  await first.set('cursor', 'one');
  await first.set('cursor', 'two');
  await first.set('keepalive', 'three');
  await first.close();
  const second = fileStorage(directory);
  await second.open();
  assert.equal(await second.get('cursor'), 'two');
  assert.equal(await second.get('keepalive'), 'three');
  await second.close();
  assert.deepEqual(readdirSync(directory), ['cursor.json', 'keepalive.json']);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, 'cursor.json')).mode & 0o777, 0o600);
});

test('what a crash has left half written is not read', async () => {
  const directory = join(root, 'half');
  const storage = fileStorage(directory);
  await storage.open();
  await storage.set('cursor', 'whole');
  writeFileSync(join(directory, 'cursor.json.new'), 'ha');
  assert.equal(await storage.get('cursor'), 'whole');
  await storage.set('cursor', 'new');
  assert.equal(await storage.get('cursor'), 'new');
  await storage.close();
});

test('a directory belongs to one at a time, in one process or two', async () => {
  const directory = join(root, 'one');
  const first = fileStorage(directory);
  await first.open();
  const second = fileStorage(directory);
  await assert.rejects(second.open(), {
    code: 'STORAGE_LOCKED',
    retryable: true,
    message: /process \d+ has/,
  });
  await first.close();
  await second.open();
  await second.close();
});

test('a process that was killed holds nothing, one that stands still holds all', async () => {
  // Too long for a socket's path, too.
  for (const name of ['killed', 'x'.repeat(120)]) {
    const directory = join(root, name);
    const module = new URL('../../src/platform/node/index.js', import.meta.url).href;
    const code = `
      const { fileStorage } = await import(${JSON.stringify(module)});
      await fileStorage(${JSON.stringify(directory)}).open();
      console.log('open');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
    await once(child.stdout, 'data');
    child.kill('SIGSTOP');
    await assert.rejects(fileStorage(directory).open(), { code: 'STORAGE_LOCKED' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const next = fileStorage(directory);
    await next.open();
    await next.close();
  }
});

test('of many that open it at once at most one has it', async () => {
  const directory = join(root, 'many');
  mkdirSync(directory);
  for (let round = 0; round < 10; round += 1) {
    const all = Array.from({ length: 8 }, () => fileStorage(directory));
    const opened = await Promise.allSettled(all.map((storage) => storage.open()));
    assert(opened.filter(({ status }) => status === 'fulfilled').length <= 1);
    await Promise.all(all.map((storage) => storage.close()));
  }
});

test('a place that cannot be used is told with its cause', async () => {
  writeFileSync(join(root, 'file'), '');
  await assert.rejects(
    fileStorage(join(root, 'file', 'x')).open(),
    (error: { code: string; cause: unknown }) => {
      assert.equal(error.code, 'STORAGE_FAILED');
      return error.cause instanceof Error;
    },
  );
  const directory = join(root, 'odd');
  mkdirSync(join(directory, 'cursor.json'), { recursive: true });
  const storage = fileStorage(directory);
  await storage.open();
  await assert.rejects(storage.get('cursor'), { code: 'STORAGE_FAILED' });
  await assert.rejects(storage.set('cursor', 'x'));
  await storage.close();
  chmodSync(directory, 0o700);
});

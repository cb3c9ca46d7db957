/** A backup of a server at work, restored: with real processes, every acknowledged message that was not received is in it. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { MemoryStore } from '@wakeline/core/testing';
import { startServer } from '@wakeline/server';
import { loadConfig } from '@wakeline/server/config';
import { LedgerClient } from './ledger-client.js';
import { PATIENCE_MS, wakeline } from './program.js';
import type { ProgramEnd } from './program.js';
import { ServerProcess, sleep, temporaryDirectory, until } from './support.js';

/** Messages of the sender under way at one time. */
const WINDOW = 50;
const RECEIVED_BEFORE = 200;
const WAITING_BEFORE = 1_000;
const BODY = '.'.repeat(500);

async function run(...args: readonly string[]): Promise<ProgramEnd> {
  const program = wakeline(args);
  program.endInput();
  return program.ended;
}

async function epochOf(server: ServerProcess, deviceId: string): Promise<string> {
  const response = await fetch(`${server.url}/v1/devices/${deviceId}`);
  return ((await response.json()) as { readonly epoch: string }).epoch;
}

test('[IN-14] a backup made while messages flow has every acknowledged message; restored, inboxes have a new epoch', async (t) => {
  const directory = temporaryDirectory('wakeline-backup');
  const first = await ServerProcess.create(join(directory.path, 'data'));
  const restoredData = join(directory.path, 'restored');
  const second = await ServerProcess.create(restoredData);
  const device = new LedgerClient('device', first.mqttPort);
  const sender = new LedgerClient('sender', first.mqttPort);
  const returned = new LedgerClient('device', second.mqttPort);
  try {
    await first.start();
    assert(await device.connect());
    await device.subscribe([{ filter: 'news', qos: 1 }]);
    assert(await sender.connect());
    const accepted = (): readonly string[] =>
      sender.sent.filter(({ isAccepted }) => isAccepted).map(({ body }) => body);
    const load = { isOver: false, next: 0 };
    const publishing = (async () => {
      for (; !load.isOver; await sleep(1))
        while (sender.open.size < WINDOW) sender.publish('news', `${load.next++} ${BODY}`, 1);
    })();
    await until(
      () => device.received.length >= RECEIVED_BEFORE,
      PATIENCE_MS,
      () => `${device.received.length} received`,
    );
    device.destroy();
    const received = new Set(device.received.map(({ body }) => body));
    const acceptedWhenGone = accepted().length;
    await until(
      () => accepted().length >= acceptedWhenGone + WAITING_BEFORE,
      PATIENCE_MS,
      () => `${accepted().length} accepted`,
    );

    const before = accepted();
    const backup = await run('backup', '--server', first.url, '--data', first.dataDirectory, '--json');
    assert.equal(backup.code, 0, backup.stderr);
    const { directory: source, bytes } = JSON.parse(backup.stdout) as { directory: string; bytes: number };
    const duringBackup = accepted().length - before.length;
    assert.equal(dirname(source), join(first.dataDirectory, 'backups'));
    assert.equal(statSync(source).mode & 0o777, 0o700);
    assert.equal(statSync(join(source, 'data.mdb')).size, bytes);
    assert(!existsSync(join(source, 'admin.token')));

    // Two at once: one of them may be refused, none is broken.
    const twice = await Promise.all(
      [1, 2].map(async () => (await fetch(`${first.url}/v1/backups`, { method: 'POST' })).status),
    );
    assert(twice.includes(201) && twice.every((status) => status === 201 || status === 409), `${twice}`);
    const names = readdirSync(join(first.dataDirectory, 'backups'));
    assert(
      names.every((name) => /^\d{8}T\d{6}\.\d{3}Z$/.test(name)),
      `${names}`,
    );

    const locked = await run('restore', first.dataDirectory, '--data', restoredData);
    assert.equal(locked.code, 3, locked.stderr);
    assert.match(locked.stderr, /in use by process \d+[\s\S]*wakeline backup/);
    const oldEpoch = await epochOf(first, 'device');
    load.isOver = true;
    await publishing;
    await first.kill();

    const restored = await run('restore', source, '--data', restoredData);
    assert.equal(restored.code, 0, restored.stderr);
    assert(restored.stdout.includes(`wakeline up --data ${restoredData}`), restored.stdout);
    assert.match(restored.stdout, /every inbox gets a new epoch/);
    const again = await run('restore', source, '--data', restoredData);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /is not empty/);

    await second.start();
    assert.notEqual(await epochOf(second, 'device'), oldEpoch);
    assert(await returned.connect());
    assert(returned.sessionPresent, 'the session is in the backup');
    const missing = (): readonly string[] => {
      const now = new Set(returned.received.map(({ body }) => body));
      return before.filter((body) => !received.has(body) && !now.has(body));
    };
    await until(
      () => missing().length === 0,
      PATIENCE_MS,
      () => `${missing().length} of ${before.length} acknowledged messages are missing`,
    );
    t.diagnostic(
      `${before.length} acknowledged before the backup (${bytes} bytes), ${received.size} received before, ` +
        `${returned.received.length} after; ${duringBackup} were accepted meanwhile`,
    );
    assert.equal(returned.fault, undefined);
    assert.equal(await second.stop(), 0);
  } finally {
    for (const client of [device, sender, returned]) client.destroy();
    await first.kill();
    await second.kill();
    directory.remove();
  }
});

test('a store in memory, and a disk without room, refuse a backup', async () => {
  const directory = temporaryDirectory('wakeline-no-backup');
  const config = loadConfig({
    flags: { data: directory.path, listen: ['http://127.0.0.1:0'], logLevel: 'silent' },
    environment: {},
    workingDirectory: directory.path,
    homeDirectory: directory.path,
  });
  const floor = { ...config, limits: { ...config.limits, diskFloorBytes: Number.MAX_SAFE_INTEGER } };
  try {
    for (const [code, status, start] of [
      ['backup-unsupported', 501, () => startServer(config, { store: new MemoryStore() })],
      ['backup-no-room', 507, () => startServer(floor)],
    ] as const) {
      const server = await start();
      try {
        const answer = await run('backup', '--server', server.addresses[0].url, '--json');
        assert.equal(answer.code, 1);
        assert.equal((JSON.parse(answer.stderr) as { error: { code: string } }).error.code, code);
        const response = await fetch(`${server.addresses[0].url}/v1/backups`, { method: 'POST' });
        assert.equal(response.status, status);
      } finally {
        await server.stop();
      }
    }
  } finally {
    directory.remove();
  }
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TransportConnection } from '../../../src/api.js';
import { sleepboxPlatform } from '../../../src/platform/sleepbox/index.js';

type Fields = Record<string, unknown>;

/** A box that answers as the test says, and notes what it was asked. */
async function withBox(
  run: (box: {
    readonly path: string;
    readonly asked: Fields[];
    say(text: string): void;
    end(): void;
    heard(count: number): Promise<void>;
  }) => Promise<void>,
  answer: (request: Fields) => Fields = () => ({ ok: true }),
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'wakeline-box-'));
  const path = join(directory, 'box.sock');
  const asked: Fields[] = [];
  const sockets = new Set<Socket>();
  let notify = (): void => undefined;
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const { id, ...request } = JSON.parse(line) as Fields;
        asked.push(request);
        socket.write(`${JSON.stringify({ id, ...answer(request) })}\n`);
      }
      notify();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  }).listen(path);
  await once(server, 'listening');
  try {
    await run({
      path,
      asked,
      say: (text) => {
        for (const socket of sockets) socket.write(text);
      },
      end: () => {
        for (const socket of sockets) socket.destroy();
      },
      heard: async (count) => {
        while (asked.length < count) await new Promise<void>((resolve) => (notify = resolve));
      },
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function events() {
  const seen: string[] = [];
  let wake = (): void => undefined;
  const add = (text: string): void => {
    seen.push(text);
    wake();
  };
  return {
    seen,
    handler: {
      handleNetwork: (key: string | undefined) => add(`network ${key}`),
      handleActivity: (activity: string) => add(activity),
      handleWake: () => add('wake'),
    },
    until: async (count: number) => {
      while (seen.length < count) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

const connectionAt = (localPort: number | undefined): TransportConnection => ({
  localPort,
  unsentBytes: 0,
  write: () => undefined,
  flush: () => Promise.resolve(),
  close: () => Promise.resolve(),
});

test('the handler is set at the floor, the main connection is marked, the one before no more, and done is said', async () => {
  await withBox(async (box) => {
    const platform = sleepboxPlatform({ socketPath: box.path, keepaliveMsMin: 540_000, windowMs: 5_000 });
    assert.deepEqual(
      [platform.activity, platform.windowMs, platform.wakeGapMsMin],
      ['asleep', 5_000, 540_000],
    );
    platform.start(events().handler);
    await platform.handleOpen(connectionAt(40_001));
    await platform.handleOpen(connectionAt(40_002));
    platform.handleDone();
    await platform.notify('Ann', 'calls');
    assert.deepEqual(box.asked, [
      { cmd: 'keepalive', timeoutMs: 540_000 },
      { cmd: 'mark', localPort: 40_001 },
      { cmd: 'mark', localPort: 40_002 },
      { cmd: 'unmark', localPort: 40_001 },
      { cmd: 'done' },
      { cmd: 'notify', title: 'Ann', body: 'calls' },
    ]);
    await platform.stop();
  });
});

test('the handler of the box is a wake, in whatever pieces it comes; unknown events are nothing', async () => {
  await withBox(async (box) => {
    const platform = sleepboxPlatform({ socketPath: box.path });
    const told = events();
    platform.start(told.handler);
    await box.heard(1);
    box.say('{"event":"weather"}\n{"event":"keep');
    box.say('alive","deadlineMs":10000}\n');
    await told.until(1);
    assert.deepEqual(told.seen, ['wake']);
    await platform.stop();
  });
});

test('a box that ends leaves a plain process, and one that says nonsense is left', async () => {
  for (const isNonsense of [false, true]) {
    await withBox(async (box) => {
      const platform = sleepboxPlatform({ socketPath: box.path });
      const told = events();
      platform.start(told.handler);
      await box.heard(1);
      if (isNonsense) box.say('nonsense\n');
      else box.end();
      await told.until(1);
      assert.deepEqual(told.seen, ['active']);
      // Nobody answers any more, and nobody waits for it.
      await platform.handleOpen(connectionAt(40_001));
      platform.handleDone();
      await assert.rejects(platform.notify('x'));
      await platform.stop();
    });
  }
});

test('what the box refuses is told; a connection without a port is not marked', async () => {
  await withBox(
    async (box) => {
      const platform = sleepboxPlatform({ socketPath: box.path });
      platform.start(events().handler);
      await platform.handleOpen(connectionAt(undefined));
      await assert.rejects(platform.notify('x'.repeat(10)), /too long/);
      assert(!box.asked.some(({ cmd }) => cmd === 'mark'));
      await platform.stop();
    },
    ({ cmd }) =>
      cmd === 'notify' ? { ok: false, error: 'BAD_ARGUMENT', message: 'too long' } : { ok: true },
  );
});

/** A line on a device that sleeps: its windows, and what it tells the machine of the platform. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openLineWith, type LineOptions } from '../../src/api.js';
import { fakeParts, settled, type FakeParts } from './fake-parts.js';

const basic = { url: 'fake://server', deviceId: 'd1', keepalive: 'none' } as const;

async function online(options: Partial<LineOptions> = {}, parts: FakeParts = fakeParts()) {
  const line = openLineWith({ ...basic, ...options }, parts);
  await settled();
  assert.equal(line.status.kind, 'online');
  return { line, ...parts };
}

describe('sleep', () => {
  async function asleep(options: Partial<LineOptions> = {}) {
    const parts = fakeParts();
    parts.platform.activity = 'asleep';
    return online(options, parts);
  }

  test('a launch is a window: the connection is marked, and the device may sleep as soon as all is answered', async () => {
    const { line, server, platform } = await asleep();
    assert.deepEqual(platform.marked, [server.last.localPort]);
    assert.equal(platform.done, 1);
    assert.equal(line.windowEnd, undefined);
    const state = server.last.packets.findLast((packet) => packet.type === 'publish');
    assert(state?.type === 'publish' && state.topic === '$line/state');
    assert.equal((JSON.parse(new TextDecoder().decode(state.payload)) as { state: string }).state, 'asleep');
    await line.close();
  });

  test('a message opens a window that the app can see, over when its end is stored and written', async () => {
    const { line, server, platform, storage } = await asleep();
    let release = (): void => undefined;
    let endMs = 0;
    line.onMessage(async () => {
      endMs = line.windowEnd!.getTime();
      await new Promise<void>((resolve) => (release = resolve));
    });
    storage.isHeld = true;
    server.deliver('a/b', 'x');
    await settled();
    assert.equal(endMs, platform.now().wall + platform.windowMs);
    assert.equal(platform.done, 1);
    release();
    await settled();
    assert.equal(platform.done, 1);
    storage.release();
    await settled();
    assert.equal(platform.done, 2);
    assert.equal(server.last.packets.at(-1)?.type, 'publish');
    await line.close();
  });

  test('a handler that takes longer loses the window, not the message', async () => {
    const { line, server, platform } = await asleep();
    let release = (): void => undefined;
    line.onMessage(() => new Promise<void>((resolve) => (release = resolve)));
    server.deliver('a/b', 'x');
    await settled();
    await platform.advance(platform.windowMs);
    assert.equal(line.windowEnd, undefined);
    assert.equal(platform.done, 1);
    release();
    await settled();
    assert.equal(server.last.count('puback'), 1);
    await line.close();
  });

  test('a wake of the platform is over at once, or when what it asked is answered', async () => {
    const parts = fakeParts();
    parts.platform.activity = 'asleep';
    parts.platform.wakeGapMsMin = 600_000;
    const { line, server, platform } = await online({ keepalive: { fixed: '20m' } }, parts);
    platform.freeze(300_000);
    platform.handler!.handleWake();
    await settled();
    assert.equal(platform.done, 2);
    assert.equal(server.last.count('pingreq'), 0);
    platform.freeze(400_000);
    platform.handler!.handleWake();
    await settled();
    assert.equal(server.last.count('pingreq'), 1);
    assert.equal(platform.done, 3);
    await line.close();
  });

  test('what the app does and where it is goes to the machine', async () => {
    const { line, server, platform } = await online();
    platform.handler!.handleActivity('background');
    await settled();
    assert.equal(server.last.count('publish'), 1);
    // The network that it is on already has got its name.
    platform.handler!.handleNetwork('home');
    await settled();
    assert.equal(server.connections.length, 1);
    assert.equal(server.last.count('publish'), 2);
    platform.handler!.handleNetwork('cafe');
    await settled();
    assert.equal(server.connections.length, 2);
    platform.handler!.handleNetwork(undefined);
    await settled();
    assert.equal(line.status.kind, 'offline');
    await line.close();
  });

  test('a reset where a sign of life was asked for is told the policy, an end in peace is not', async () => {
    for (const [cause, deaths] of [
      [Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }), [10_000]],
      [undefined, []],
    ] as const) {
      const told: number[] = [];
      const keepalive = {
        keepsAwake: false,
        warning: undefined,
        gapMs: () => 10_000,
        handleNetwork: () => undefined,
        handleDeath: (_now: unknown, gapMs: number) => void told.push(gapMs),
      };
      const parts = fakeParts();
      const { line, server, platform } = await online({ keepalive }, parts);
      server.isDeaf = true;
      await platform.advance(10_000);
      assert.equal(server.last.count('pingreq'), 1);
      server.isDeaf = false;
      server.last.break(cause);
      await platform.advance(6_000);
      assert.equal(line.status.kind, 'online');
      assert.deepEqual(told, deaths);
      await line.close();
    }
  });
});

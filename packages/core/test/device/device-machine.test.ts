import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8, NEVER, Prng } from '../../src/base/index.js';
import {
  deviceLimits,
  fixedKeepalive,
  keepAwake,
  type DeviceOptions,
  type KeepalivePolicy,
} from '../../src/device/index.js';
import { noBytes } from '../../src/domain/index.js';
import { encodeApplicationProperties } from '../../src/wire/mqtt/index.js';
import { TestServer, wrongPassword } from '../exchange/exchange.js';
import { TestDevice } from './device-world.js';

async function online(options: Partial<DeviceOptions> = {}, server = new TestServer()) {
  const device = new TestDevice(server, new Prng(7), options);
  await device.input({ kind: 'start' });
  assert.deepEqual(device.status, { kind: 'online', sessionPresent: false });
  return { server, device, sender: await server.resume(5, 'sender') };
}

async function subscribed(options: Partial<DeviceOptions> = {}) {
  const world = await online(options);
  await world.device.input({ kind: 'subscribe', ticket: 9, filter: 'a/#', qos: 1 });
  assert.deepEqual(world.device.take('subscribed'), [{ kind: 'subscribed', ticket: 9, outcome: 1 }]);
  world.device.take('status');
  return world;
}

const publication = { topic: 'up', body: encodeUtf8('x'), properties: noBytes, expirySeconds: undefined };

describe('messages', () => {
  test('[SD-1] nothing is acknowledged before its end is stored, and then it does not come again', async () => {
    const { server, device, sender } = await subscribed();
    device.hasDisk = false;
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    const [message] = device.given;
    assert.deepEqual(message!.place?.sequence, 1);
    await device.finish(message!);
    const acknowledged = async (): Promise<number> => {
      const reply = await server.request({ kind: 'get-device', deviceId: 'd1' });
      assert.ok(reply.kind === 'device');
      return reply.device.acknowledgedThrough;
    };
    assert.equal(await acknowledged(), 0);
    await device.store();
    assert.equal(await acknowledged(), 1);
    assert.deepEqual(device.cursor?.through, 1);
    await device.crash();
    await device.input({ kind: 'start' });
    assert.deepEqual(device.given, []);
  });

  test('[SD-1] a message that comes again while the app has it is not given twice', async () => {
    const { device, sender } = await subscribed();
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    await device.cut();
    await device.advance(10_000);
    assert.equal(device.status.kind, 'online');
    assert.equal(device.given.length, 1);
    await device.finish(device.given[0]!);
    await device.crash();
    await device.input({ kind: 'start' });
    assert.equal(device.given.length, 0);
  });

  test('[SD-2] what was not handled comes again with a later connection', async () => {
    const { device, sender } = await subscribed();
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    await device.finish(device.given[0]!, false);
    assert.equal(device.given.length, 1);
    await device.cut();
    await device.advance(10_000);
    assert.equal(device.given.length, 2);
  });

  test('[SD-1] a cursor that cannot be written is tried again, and nothing is acknowledged meanwhile', async () => {
    const { device, sender } = await subscribed();
    device.hasDisk = false;
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    await device.finish(device.given[0]!);
    await device.store(false);
    assert.equal(device.cursor, undefined);
    device.hasDisk = true;
    await device.advance(1_000);
    assert.equal(device.cursor!.through, 1);
  });

  test('[SD-3] a cursor of another epoch means nothing', async () => {
    const cursor = { epoch: 'ffffffffffffffff', through: 100, beyond: [] };
    const { device, sender } = await subscribed({ cursor });
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    assert.equal(device.given.length, 1);
    await device.finish(device.given[0]!);
    assert.notEqual(device.cursor!.epoch, cursor.epoch);
    assert.equal(device.cursor!.through, 1);
  });

  test('[SD-1] QoS 0 has no place, and what the app does not take is bounded', async () => {
    const { device, sender } = await subscribed();
    for (let index = 0; index < deviceLimits.unfinishedMax + 5; index += 1) await sender.publish('a/b', 'x');
    await device.settle();
    assert.equal(device.given.length, deviceLimits.unfinishedMax);
    assert.equal(device.given[0]!.place, undefined);
    await device.finish(device.given[0]!);
    await sender.publish('a/b', 'x');
    await device.settle();
    assert.equal(device.given.length, deviceLimits.unfinishedMax + 1);
    assert.equal(device.cursor, undefined);
  });

  test('[SD-1] no more than inflightMax wait for the app', async () => {
    const { device, sender } = await subscribed();
    for (let index = 0; index < deviceLimits.inflightMax + 5; index += 1) {
      await sender.publish('a/b', `${index}`, { qos: 1, packetId: 1 });
    }
    await device.settle();
    assert.equal(device.given.length, deviceLimits.inflightMax);
    for (const message of device.given) await device.finish(message);
    assert.equal(device.given.length, deviceLimits.inflightMax + 5);
  });
});

describe('connecting', () => {
  test('[SD-4] waits are random and grow; the first may be short', async () => {
    const { device } = await online();
    await device.advance(deviceLimits.stableMs);
    device.hasPath = false;
    await device.cut();
    const waits: number[] = [];
    for (let index = 0; index < 12; index += 1) {
      assert.ok(device.status.kind === 'waiting');
      waits.push(device.status.waitMs);
      await device.advance(device.status.waitMs);
    }
    for (const [index, waitMs] of waits.entries()) {
      const longestMs = deviceLimits.reconnectSpreadMs * 2 ** index;
      assert.ok(waitMs <= Math.min(deviceLimits.reconnectMsMax, longestMs), `${index}: ${waitMs}`);
      if (index > 0) assert.ok(waitMs >= 1_000);
    }
    device.hasPath = true;
    await device.advance(deviceLimits.reconnectMsMax);
    assert.deepEqual(device.status, { kind: 'online', sessionPresent: true });
  });

  test('[SD-4] devices of a server that restarts come back one after another', async () => {
    const server = new TestServer();
    const waits: number[] = [];
    for (let index = 0; index < 200; index += 1) {
      const device = new TestDevice(server, new Prng(index), { deviceId: `d${index}` });
      await device.input({ kind: 'start' });
      await device.cut();
      assert.ok(device.status.kind === 'waiting');
      waits.push(device.status.waitMs);
    }
    for (let second = 0; second < 4; second += 1) {
      const inIt = waits.filter((waitMs) => waitMs >= second * 1_000 && waitMs < (second + 1) * 1_000).length;
      assert.ok(inIt > 20 && inIt < 90, `${inIt} in second ${second}`);
    }
  });

  test('[SD-5] who is refused for good does not try again, and says why', async () => {
    const device = new TestDevice(new TestServer(), new Prng(1), { password: wrongPassword, username: 'u' });
    await device.input({ kind: 'start' });
    const reason = 'user name, password or token are not known: check the credentials of this device';
    assert.deepEqual(device.status, { kind: 'refused', end: { cause: 'refused', reasonCode: 0x86, reason } });
    assert.equal(device.machine.nextTimeoutMs(), NEVER);
    await device.input({ kind: 'publish', ticket: 1, publication: { ...publication, qos: 1 } });
    assert.deepEqual(device.take('published'), [{ kind: 'published', ticket: 1, outcome: 'stopped' }]);
    await device.input({ kind: 'start' });
    assert.equal(device.take('status').filter(({ status }) => status.kind === 'connecting').length, 2);
  });

  test('[SD-5] two apps under one id do not take each other\u2019s place for ever', async () => {
    const { server, device } = await online();
    const other = new TestDevice(server, new Prng(2));
    await other.input({ kind: 'start' });
    await device.settle();
    const reason = 'the same client id connected anew: give each device an id of its own';
    const end = { cause: 'disconnected', reasonCode: 0x8e, reason };
    assert.deepEqual(device.status, { kind: 'refused', end });
    assert.equal(other.status.kind, 'online');
  });

  test('[SD-4] without a network nothing is tried; on another one it is at once', async () => {
    const { device } = await online();
    await device.input({ kind: 'network', key: undefined });
    assert.deepEqual(device.status, { kind: 'offline' });
    assert.equal(device.machine.nextTimeoutMs(), NEVER);
    await device.input({ kind: 'network', key: 'wifi' });
    assert.deepEqual(device.status, { kind: 'online', sessionPresent: true });
  });

  test('[SD-4] a server that does not answer is given up', async () => {
    const { device } = await online();
    await device.input({ kind: 'stop' });
    assert.deepEqual(device.status, { kind: 'stopped' });
    device.machine.handleInput(device.server.now, { kind: 'start' });
    const [, connect] = [device.machine.pollOutput(), device.machine.pollOutput()];
    assert.deepEqual(connect, { kind: 'connect', connection: 2, role: 'main' });
    await device.advance(deviceLimits.connectTimeoutMs - 1);
    assert.deepEqual(device.status, { kind: 'connecting', attempt: 1 });
    await device.advance(1);
    const [waiting] = device.take('status').slice(-1);
    assert.ok(waiting?.status.kind === 'waiting' && waiting.status.end.cause === 'timeout');
  });
});

describe('requests', () => {
  test('[SD-6] a publication of QoS 1 waits for a connection, one of QoS 0 does not', async () => {
    const { server, device } = await online();
    const receiver = await server.resume(5, 'receiver', { keepAliveSeconds: 0 });
    await receiver.subscribe('up', 1);
    receiver.take();
    device.hasPath = false;
    await device.cut();
    await device.input({ kind: 'publish', ticket: 1, publication: { ...publication, qos: 1 } });
    await device.input({ kind: 'publish', ticket: 2, publication: { ...publication, qos: 0 } });
    assert.deepEqual(device.take('published'), [{ kind: 'published', ticket: 2, outcome: 'not-connected' }]);
    device.hasPath = true;
    await device.advance(deviceLimits.reconnectMsMax);
    assert.deepEqual(device.take('published'), [{ kind: 'published', ticket: 1, outcome: 0 }]);
    assert.equal((await receiver.messages()).length, 1);
  });

  test('[SD-6] a publication whose connection breaks before the answer is sent again', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { server, device } = await online({ seed: round });
      const receiver = await server.resume(5, 'receiver', { keepAliveSeconds: 0 });
      await receiver.subscribe('up', 1);
      receiver.take();
      device.breakShare = 1;
      await device.input({ kind: 'publish', ticket: 1, publication: { ...publication, qos: 1 } });
      assert.deepEqual(device.take('published'), []);
      device.breakShare = 0;
      await device.advance(deviceLimits.reconnectSpreadMs);
      assert.equal(device.take('published').length, 1);
      assert.ok((await receiver.messages()).length >= 1);
    }
  });

  test('[SD-6] more publications than may wait, and what waits when the line is stopped, are refused', async () => {
    const { device } = await online();
    device.hasPath = false;
    await device.cut();
    for (let ticket = 0; ticket <= deviceLimits.publicationsMax; ticket += 1) {
      await device.input({ kind: 'publish', ticket, publication: { ...publication, qos: 1 } });
    }
    const refused = device.take('published');
    assert.deepEqual(refused, [
      { kind: 'published', ticket: deviceLimits.publicationsMax, outcome: 'too-many' },
    ]);
    await device.input({ kind: 'stop' });
    const stopped = device.take('published');
    assert.equal(stopped.length, deviceLimits.publicationsMax);
    assert.ok(stopped.every(({ outcome }) => outcome === 'stopped'));
  });

  test('[SD-6] more are written than the server takes at once only when it has answered', async () => {
    const { device } = await online();
    for (let ticket = 0; ticket < 20; ticket += 1) {
      device.machine.handleInput(device.server.now, {
        kind: 'publish',
        ticket,
        publication: { ...publication, qos: 1 },
      });
    }
    await device.settle();
    assert.equal(device.take('published').length, 20);
    assert.equal(device.status.kind, 'online', 'the server allows three at once, and was not sent more');
  });

  test('[SD-6] subscriptions are said again to a server that has lost the session; a refused one is not', async () => {
    const { device, sender } = await subscribed();
    await device.input({ kind: 'subscribe', ticket: 2, filter: '$line/nothing', qos: 1 });
    const [answer] = device.take('subscribed');
    assert.equal(answer!.outcome, 0x87);
    const other = new TestServer();
    const moved = new TestDevice(other, new Prng(3));
    moved.machine = device.machine;
    device.machine.handleInput(other.now, { kind: 'network', key: '' });
    device.machine.handleInput(other.now, { kind: 'network', key: 'elsewhere' });
    await moved.settle();
    assert.equal(moved.status.kind, 'online');
    const there = await other.resume(5, 'sender');
    await there.publish('a/b', 'x', { qos: 1, packetId: 1 });
    await moved.settle();
    assert.equal(moved.given.length, 1);
    assert.deepEqual(moved.take('subscribed'), []);
    assert.ok(sender.closed === undefined);
  });
});

describe('keepalive', () => {
  /** As `fixed`, and remembers what it was told. */
  function watched(gapMs: number): KeepalivePolicy & { readonly deaths: number[] } {
    const deaths: number[] = [];
    return { ...fixedKeepalive(gapMs), deaths, handleDeath: (_now, ms) => void deaths.push(ms) };
  }

  test('[SD-7] a connection that answers is kept', async () => {
    const keepalive = watched(60_000);
    const { device } = await online({ keepalive });
    device.take('status');
    await device.advance(3_600_000);
    assert.deepEqual(device.take('status'), []);
    assert.deepEqual(keepalive.deaths, []);
  });

  test('[SD-7] one that does not is given up after the gap and the time for the answer, and the policy is told', async () => {
    const keepalive = watched(60_000);
    const { device } = await online({ keepalive });
    await device.cut(true);
    await device.advance(60_000 + deviceLimits.keepaliveAnswerMs - 1);
    assert.equal(device.status.kind, 'online');
    await device.advance(1);
    assert.deepEqual(device.status, { kind: 'online', sessionPresent: true });
    assert.deepEqual(keepalive.deaths, [60_000]);
  });

  test('[SD-7] a policy may have times of its own for the answer and for the other connection', async () => {
    const keepalive = { ...watched(6_000), answerMs: 1_000, pathMs: 3_000 };
    const { device } = await online({ keepalive });
    await device.cut(true);
    await device.advance(6_000 + 1_000 - 1);
    assert.deepEqual(keepalive.deaths, []);
    await device.advance(1);
    assert.deepEqual(keepalive.deaths, [6_000]);
    device.hasPath = false;
    await device.cut(true);
    await device.advance(6_000 + 1_000 + 3_001);
    device.hasPath = true;
    await device.advance(600_000);
    assert.equal(device.status.kind, 'online');
    assert.deepEqual(keepalive.deaths, [6_000]);
  });

  test('[SD-7] if no connection comes about soon, it was the network, and the policy is not told', async () => {
    const keepalive = watched(60_000);
    const { device } = await online({ keepalive });
    device.hasPath = false;
    await device.cut(true);
    await device.advance(60_000 + deviceLimits.keepaliveAnswerMs + deviceLimits.pathMs + 1);
    device.hasPath = true;
    await device.advance(600_000);
    assert.equal(device.status.kind, 'online');
    assert.deepEqual(keepalive.deaths, []);
  });
});

describe('sleep', () => {
  test('[SD-8] a sleeping device runs until what is begun is done, and says that it is asleep again', async () => {
    const { server, device, sender } = await subscribed();
    device.hasDisk = false;
    await device.input({ kind: 'activity', activity: 'asleep' });
    assert.deepEqual(
      device.take('window', 'window-over').map(({ kind }) => kind),
      ['window', 'window-over'],
    );
    await device.advance(60_000);
    assert.deepEqual(device.take('window', 'window-over'), []);
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    assert.deepEqual(device.take('window', 'window-over'), [
      { kind: 'window', deadlineMs: server.now.monotonic + 10_000 },
    ]);
    await device.finish(device.given[0]!);
    assert.deepEqual(device.take('window-over'), [], 'the cursor is not stored yet');
    await device.store();
    assert.deepEqual(device.take('window', 'window-over'), [{ kind: 'window-over', isDone: true }]);
    assert.equal(device.machine.nextTimeoutMs(), NEVER);
  });

  test('[SD-16] a wake of the platform asks for what would be due before the next one, and for nothing else', async () => {
    for (const [gapMs, wakesMs, asked] of [
      [230_000, [300_000, 600_000], [true, true]],
      [1_200_000, [300_000, 700_000, 1_000_000], [false, true, false]],
    ] as const) {
      const { device } = await subscribed({ keepalive: fixedKeepalive(gapMs), floorMs: 600_000 });
      await device.input({ kind: 'activity', activity: 'asleep' });
      device.take('window', 'window-over');
      let nowMs = 0;
      const windows: boolean[] = [];
      for (const wakeMs of wakesMs) {
        await device.advance(wakeMs - nowMs);
        nowMs = wakeMs;
        assert.deepEqual(device.take('window', 'window-over'), []);
        await device.input({ kind: 'wake' });
        windows.push(device.take('window', 'window-over').length === 2);
      }
      assert.deepEqual(windows, asked, `${gapMs}`);
    }
  });

  test('[SD-8] a handler that takes too long loses its window, not its message', async () => {
    const { device, sender } = await subscribed();
    await device.input({ kind: 'activity', activity: 'asleep' });
    await sender.publish('a/b', 'one', { qos: 1, packetId: 1 });
    await device.settle();
    device.take('window', 'window-over');
    await device.advance(9_999);
    assert.deepEqual(device.take('window-over'), []);
    await device.advance(1);
    assert.deepEqual(device.take('window-over'), [{ kind: 'window-over', isDone: false }]);
    await device.finish(device.given[0]!);
    assert.equal(device.cursor!.through, 1);
  });

  test('[SD-8] keepAwake ends no window before its time', async () => {
    const { device } = await online({ keepalive: keepAwake(10_000) });
    await device.input({ kind: 'activity', activity: 'asleep' });
    await device.advance(8_999);
    assert.deepEqual(
      device.take('window', 'window-over').map(({ kind }) => kind),
      ['window'],
    );
  });

  test('[SD-9] the server knows what the app does, on a new connection too', async () => {
    const { server, device, sender } = await subscribed();
    await device.input({ kind: 'activity', activity: 'asleep' });
    await device.cut();
    await device.advance(10_000);
    assert.equal(device.status.kind, 'online');
    const low = { userProperties: [['urgency', 'low'] as const] };
    const properties = encodeApplicationProperties(low);
    await sender.publish('a/b', 'later', { qos: 1, packetId: 1, properties });
    await device.settle();
    assert.deepEqual(device.given, [], 'what is not urgent waits for a device that is asleep');
    await device.input({ kind: 'activity', activity: 'active' });
    assert.equal(device.given.length, 1);
    assert.ok(server.now.monotonic > 0);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { World, publication } from './world.js';

describe('inbox', () => {
  test('[IN-1] an acknowledgement leaves only after its commit is synced', async () => {
    const world = new World();
    await world.subscriber('d', 'news/#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('news/a', 'one');
    assert.deepEqual(sender.all('accepted'), []);
    await world.syncOne();
    assert.deepEqual(sender.all('accepted'), [
      { kind: 'accepted', packetId: 1, qos: 1, reason: undefined, matched: true },
    ]);
  });

  test('[IN-2] nothing is delivered before its commit is synced', async () => {
    const world = new World();
    const device = await world.subscriber('d', 'news/#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('news/a', 'one');
    assert.deepEqual(device.bodies, []);
    await world.sync();
    assert.deepEqual(device.bodies, ['one']);
    assert.deepEqual(device.sequences, [1]);
  });

  test('[IN-3] sequence numbers are dense and ascend in order of acceptance', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 50; index++) sender.publish(`t/${index % 3}`, `${index}`, {}, index);
    await world.sync();
    assert.deepEqual(
      device.sequences,
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
    assert.deepEqual(
      device.bodies,
      Array.from({ length: 50 }, (_, index) => `${index + 1}`),
    );
  });

  test('[IN-4] a failed commit fails what was built on it, and its numbers are given out anew', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'first', {}, 1);
    sender.publish('t', 'second', {}, 2);
    world.failCommit();
    assert.deepEqual(
      sender.all('accepted').map(({ packetId, reason }) => [packetId, reason]),
      [
        [1, 'storage-failed'],
        [2, 'storage-failed'],
      ],
    );
    sender.publish('t', 'third', {}, 3);
    await world.sync();
    assert.deepEqual(device.bodies, ['third']);
    assert.deepEqual(device.sequences, [1]);
  });

  test('[IN-5] what waits outlives a crash, in order and with its numbers', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    device.close();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 20; index++) sender.publish('t', `${index}`, {}, index);
    await world.sync();
    await world.crash(false);
    const again = await world.connect('d');
    assert.equal(again.all('opened')[0].sessionPresent, true);
    assert.deepEqual(
      again.sequences,
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    assert.equal(
      again.deliveries.every(({ duplicate }) => duplicate),
      true,
    );
  });

  test('[IN-6] an acknowledged message is not sent again; one of the last interval may be, after a crash', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 4; index++) sender.publish('t', `${index}`, {}, index);
    await world.sync();
    device.acknowledge(1);
    device.acknowledge(2);
    await world.settle();
    device.acknowledge(3);
    await world.crash(false);
    const again = await world.connect('d');
    assert.deepEqual(again.sequences, [3, 4]);
  });

  test('[IN-7] acknowledgements may come out of order', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 5; index++) sender.publish('t', `${index}`, {}, index);
    await world.sync();
    device.acknowledge(4);
    device.acknowledge(2);
    await world.settle();
    await world.crash(false);
    const again = await world.connect('d');
    assert.deepEqual(again.sequences, [1, 3, 5]);
    assert.equal((await world.statistics()).waitingMessages, 3);
  });

  test('[IN-8] an expired message is never delivered and its sender is told', async () => {
    const world = new World();
    const device = await world.subscriber('d', '$line/inbox/#');
    device.close();
    const sent = await world.request(world.sendTo('d', 'stale', { expirySeconds: 5 }));
    assert(sent.kind === 'sent');
    world.advance(6_000);
    await world.settle();
    const again = await world.connect('d');
    assert.deepEqual(again.bodies, []);
    const status = await world.request({ kind: 'get-message', messageId: sent.messageId });
    assert(status.kind === 'message');
    assert.deepEqual(status.message.recipients, [
      { deviceId: 'd', sequence: 1, stage: 'expired', reason: 'time to live is over' },
    ]);
  });

  test('[IN-9] a newer message replaces the undelivered older one of the same key and channel', async () => {
    const world = new World();
    const device = await world.subscriber('d', '$line/inbox/#');
    device.close();
    const old = await world.request(world.sendTo('d', 'old', { replaceKey: 'k' }));
    await world.request(world.sendTo('d', 'other'));
    await world.request(world.sendTo('d', 'new', { replaceKey: 'k' }));
    assert(old.kind === 'sent');
    const status = await world.request({ kind: 'get-message', messageId: old.messageId });
    assert(status.kind === 'message');
    assert.equal(status.message.recipients[0].stage, 'replaced');
    await world.settle();
    await world.crash(false);
    const again = await world.connect('d');
    assert.deepEqual(again.bodies, ['other', 'new']);
    assert.deepEqual(again.sequences, [2, 3]);
  });

  test('[IN-9] what was replaced does not come back, however soon the server is killed', async () => {
    const world = new World();
    const device = await world.subscriber('d', '$line/inbox/#');
    device.close();
    const old = await world.request(world.sendTo('d', 'old', { replaceKey: 'k' }));
    await world.request(world.sendTo('d', 'new', { replaceKey: 'k' }));
    // Not settled: cursors of which nothing is said are not written yet.
    await world.crash(false);
    assert.deepEqual((await world.connect('d')).bodies, ['new']);
    assert(old.kind === 'sent');
    const status = await world.request({ kind: 'get-message', messageId: old.messageId });
    assert(status.kind === 'message');
    assert.equal(status.message.recipients[0].stage, 'replaced');
  });

  test('[IN-8] many messages that expire in one second cost one deadline', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 200; index++) sender.publish('t', '.', { expirySeconds: 3_600 }, index);
    await world.sync();
    for (const sequence of device.sequences) device.acknowledge(sequence);
    assert(world.hub.deadlineCount <= 1, `${world.hub.deadlineCount} deadlines`);
  });

  test('[IN-8] what was sent does not expire, be it over a restart', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'sent', { expirySeconds: 5 }, 1);
    await world.sync();
    device.close();
    sender.publish('t', 'not sent', { expirySeconds: 5 }, 2);
    await world.settle();
    await world.crash(false);
    world.advance(10_000);
    const again = await world.connect('d');
    assert.deepEqual(again.bodies, ['sent']);
  });

  test('[IN-9] what was sent is not replaced', async () => {
    const world = new World();
    const device = await world.subscriber('d', '$line/inbox/#');
    await world.request(world.sendTo('d', 'old', { replaceKey: 'k' }));
    await world.request(world.sendTo('d', 'new', { replaceKey: 'k' }));
    assert.deepEqual(device.bodies, ['old', 'new']);
  });

  test('[IN-10] one publication to many devices is stored once', async () => {
    const world = new World();
    for (let index = 0; index < 100; index++) (await world.subscriber(`d${index}`, '#')).close();
    await world.settle();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'x'.repeat(1_000));
    await world.sync();
    const { logBytes, waitingMessages } = await world.statistics();
    assert.equal(waitingMessages, 100);
    assert(logBytes < 3_000, `${logBytes} bytes for one body of 1,000 and 100 recipients`);
  });

  test('[IN-11] more recipients than one record takes are split over several, each numbered', async () => {
    const world = new World();
    const count = limits.recordRecipientsMax + 10;
    for (let index = 0; index < count; index++) {
      const flow = world.open(`d${index}`);
      flow.subscribe('#');
    }
    await world.sync();
    const sender = world.open('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'all');
    await world.sync();
    assert.equal((await world.statistics()).waitingMessages, count);
    await world.crash(false);
    const last = await world.connect(`d${count - 1}`);
    assert.deepEqual(last.bodies, ['all']);
  });

  test('[IN-12] a full inbox drops its oldest unsent message by topic, with a reason', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    device.close();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= limits.inboxMessagesMax + 5; index++) {
      sender.publish('t', `${index}`, {}, 1 + (index % 60_000));
      if (index % 5_000 === 0) await world.sync();
    }
    await world.sync();
    const { waitingMessages, endedDropped } = await world.statistics();
    assert.equal(waitingMessages, limits.inboxMessagesMax);
    assert.equal(endedDropped, 5);
  });

  test('[IN-12] where everything older is on its way, the new message goes, with a number and a reason', async () => {
    const world = new World(1, { limits: { inboxMessagesMax: 3 } });
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 3; index++) sender.publish('t', `${index}`, {}, index);
    await world.sync();
    const { body, ...message } = publication('t', 'too much');
    const request = { kind: 'send-to-topic', topic: 't', retain: false, idempotency: undefined } as const;
    const sent = await world.request({ ...request, message: { ...message, body, qos: 1 } });
    assert(sent.kind === 'sent');
    const status = await world.request({ kind: 'get-message', messageId: sent.messageId });
    assert(status.kind === 'message');
    assert.deepEqual(status.message.recipients, [
      { deviceId: 'd', sequence: 4, stage: 'dropped', reason: 'inbox full' },
    ]);
    for (const sequence of [1, 2, 3]) device.acknowledge(sequence);
    sender.publish('t', 'next', {}, 5);
    await world.sync();
    assert.deepEqual(device.bodies, ['1', '2', '3', 'next']);
    assert.equal(device.sequences.at(-1), 5);
  });

  test('[IN-12] of what a receipt says that it was dropped, nothing comes back after a kill', async () => {
    const world = new World(1, { limits: { inboxMessagesMax: 1 } });
    (await world.subscriber('d', '#')).close();
    const { body, ...message } = publication('t', 'old');
    const request = { kind: 'send-to-topic', topic: 't', retain: false, idempotency: undefined } as const;
    const sent = await world.request({ ...request, message: { ...message, body, qos: 1 } });
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'new');
    await world.sync();
    await world.crash(false);
    assert.deepEqual((await world.connect('d')).bodies, ['new']);
    assert(sent.kind === 'sent');
    const status = await world.request({ kind: 'get-message', messageId: sent.messageId });
    assert(status.kind === 'message');
    assert.equal(status.message.recipients[0].stage, 'dropped');
  });

  test('[IN-13] chunks that nobody waits for are deleted, and survivors are copied forward', async () => {
    const world = new World();
    const slow = await world.subscriber('slow', 'rare');
    slow.close();
    const fast = await world.subscriber('fast', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    let sequence = 0;
    for (let round = 0; round < 60; round++) {
      sender.publish('rare', `rare ${round}`);
      for (let index = 0; index < 10; index++) sender.publish('t', 'y'.repeat(100_000));
      await world.sync();
      for (let index = 0; index < 11; index++) fast.acknowledge(++sequence);
      world.advance(200);
      await world.sync();
    }
    await world.settle();
    const { logBytes } = await world.statistics();
    assert(logBytes < 2 * limits.logSlackBytes, `${logBytes} bytes of log for 60 short messages`);
    const stored = [...world.store.scan('log')].reduce((sum, { value }) => sum + value.length, 0);
    assert.equal(stored, logBytes);
    await world.crash(false);
    const again = await world.connect('slow');
    assert.deepEqual(
      again.bodies,
      Array.from({ length: 60 }, (_, round) => `rare ${round}`),
    );
  });

  test('[IN-14] a restored backup changes every epoch', async () => {
    const world = new World();
    await world.subscriber('d', '#');
    const before = await world.request({ kind: 'get-device', deviceId: 'd' });
    await world.store.commit([
      { table: 'meta', key: new TextEncoder().encode('restored'), value: new Uint8Array([1]) },
    ]);
    await world.crash(true);
    await world.sync();
    const after = await world.request({ kind: 'get-device', deviceId: 'd' });
    assert(before.kind === 'device' && after.kind === 'device');
    assert.notEqual(after.device.epoch, before.device.epoch);
    await world.crash(false);
    const later = await world.request({ kind: 'get-device', deviceId: 'd' });
    assert(later.kind === 'device');
    assert.equal(later.device.epoch, after.device.epoch);
  });

  test('[IN-15] below the floor of free space new messages are refused while acknowledging goes on', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'before');
    await world.sync();
    world.input({ kind: 'disk', appendsAllowed: false });
    sender.publish('t', 'during', {}, 2);
    assert.equal(sender.all('accepted')[1].reason, 'storage-full');
    device.acknowledge(1);
    await world.settle();
    assert.equal((await world.statistics()).waitingMessages, 0);
    world.input({ kind: 'disk', appendsAllowed: true });
    sender.publish('t', 'after', {}, 3);
    await world.sync();
    assert.deepEqual(device.bodies, ['before', 'after']);
  });
});

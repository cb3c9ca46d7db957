import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { World, publication, text } from './world.js';

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
        [2, 'storage-failed'],
        [1, 'storage-failed'],
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
    assert.equal((await statistics(world)).waitingMessages, 3);
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
    const { logBytes, waitingMessages } = await statistics(world);
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
    assert.equal((await statistics(world)).waitingMessages, count);
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
    const { waitingMessages, endedDropped } = await statistics(world);
    assert.equal(waitingMessages, limits.inboxMessagesMax);
    assert.equal(endedDropped, 5);
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
    const { logBytes } = await statistics(world);
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
    assert.equal((await statistics(world)).waitingMessages, 0);
    world.input({ kind: 'disk', appendsAllowed: true });
    sender.publish('t', 'after', {}, 3);
    await world.sync();
    assert.deepEqual(device.bodies, ['before', 'after']);
  });
});

describe('sessions', () => {
  test('[SE-1] a clean start ends subscriptions and what waits by topic; what is addressed stays', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    device.subscribe('$line/inbox/#');
    await world.sync();
    device.close();
    await world.request(world.sendTo('d', 'mine'));
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'by topic');
    await world.sync();
    const again = await world.connect('d', { clean: true });
    assert.equal(again.all('opened')[0].sessionPresent, false);
    assert.deepEqual(again.bodies, []);
    again.subscribe('$line/inbox/+');
    await world.sync();
    assert.deepEqual(again.bodies, ['mine']);
    await world.crash(false);
    const last = await world.connect('d');
    assert.deepEqual(last.bodies, ['mine']);
  });

  test('[SE-2] a session that expires is gone, with its device when nothing else is kept', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 1, { expirySeconds: 10 });
    device.close();
    world.advance(9_000);
    await world.sync();
    assert.equal((await world.request({ kind: 'get-device', deviceId: 'd' })).kind, 'device');
    world.advance(1_500);
    await world.sync();
    assert.deepEqual(await world.request({ kind: 'get-device', deviceId: 'd' }), {
      kind: 'refused',
      ticket: 2,
      reason: 'unknown-device',
    });
    assert.equal(
      world.store.size('device') + world.store.size('cursor') + world.store.size('subscription'),
      0,
    );
  });

  test('[SE-2] the time away before a crash counts', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 1, { expirySeconds: 10 });
    device.close();
    await world.settle();
    await world.crash(false);
    world.advance(7_000);
    await world.sync();
    assert.equal((await world.connect('d', { expirySeconds: 10 })).all('opened')[0].sessionPresent, false);
  });

  test('[SE-3] a second connection takes the session over', async () => {
    const world = new World();
    const first = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'one');
    await world.sync();
    const second = await world.connect('d');
    assert.deepEqual(first.all('end'), [{ kind: 'end', reason: 'session-taken-over' }]);
    assert.deepEqual(second.bodies, ['one']);
    assert.equal(second.deliveries[0].duplicate, true);
    first.acknowledge(1);
    assert.equal((await statistics(world)).waitingMessages, 1);
  });

  test('[SE-4] an empty client id is assigned one', async () => {
    const world = new World();
    const [opened] = (await world.connect('', { expirySeconds: 0, clean: true })).all('opened');
    assert.equal(opened.assigned, true);
    assert.match(opened.deviceId, /^auto-[0-9a-f]{24}$/);
  });

  test('[SE-5] ids that would break topics and rules are refused', async () => {
    const world = new World();
    for (const id of ['a/b', 'a+', '#', 'a\u0001', 'x'.repeat(300)]) {
      assert.deepEqual((await world.connect(id)).all('refused'), [
        { kind: 'refused', reason: 'bad-device-id' },
      ]);
    }
  });

  test('[SE-6] a will is published when the flow goes without a farewell, after its delay, unless back in time', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will/#');
    const will = (body: string, delaySeconds: number) => ({
      publication: publication('will/d', body),
      delaySeconds,
    });
    (await world.connect('d', { will: will('at once', 0) })).close(true);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['at once']);
    (await world.connect('d', { will: will('discarded', 0) })).close(false);
    (await world.connect('d', { will: will('taken back', 10) })).close(true);
    world.advance(5_000);
    const back = await world.connect('d', { will: will('late', 10) });
    world.advance(20_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['at once']);
    back.close(true);
    world.advance(11_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['at once', 'late']);
  });

  test('[SE-6] the will of a durable session outlives the server', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will/#');
    watcher.close();
    await world.connect('d', { will: { publication: publication('will/d', 'gone'), delaySeconds: 3 } });
    await world.crash(false);
    world.advance(limits.willGraceMs - 1_000);
    await world.sync();
    assert.equal((await statistics(world)).publicationsAccepted, 0);
    world.advance(2_000);
    await world.sync();
    assert.deepEqual((await world.connect('w')).bodies, ['gone']);
  });

  test('[SE-7] a device with a token is reached with it only', async () => {
    const world = new World();
    const access = { publish: ['up/%d/#'], subscribe: ['down/%d/#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access });
    assert.equal((await world.connect('d')).all('refused')[0].reason, 'bad-credentials');
    const wrong = await world.connect('d', { identity: { kind: 'token', sha256: 'bb' } });
    assert.equal(wrong.all('refused')[0].reason, 'bad-credentials');
    const other = await world.connect('e', { identity: { kind: 'token', sha256: 'aa' } });
    assert.equal(other.all('refused')[0].reason, 'device-id-taken');
    await world.crash(false);
    const device = await world.connect('d', { identity: { kind: 'token', sha256: 'aa' } });
    assert.equal(device.all('opened').length, 1);
    device.subscribe('down/#');
    device.subscribe('down/d/x');
    device.publish('up/d/x', 'allowed', {}, 1);
    device.publish('up/e/x', 'not allowed', {}, 2);
    await world.sync();
    assert.deepEqual(
      device.all('subscribed').map(({ results }) => results),
      [['not-authorized'], [1]],
    );
    assert.deepEqual(
      device.all('accepted').map(({ reason }) => reason),
      [undefined, 'not-authorized'],
    );
  });

  test('[SE-8] a new token ends the flow of the old one', async () => {
    const world = new World();
    const access = { publish: ['#'], subscribe: ['#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access });
    const device = await world.connect('d', { identity: { kind: 'token', sha256: 'aa' } });
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'bb', access });
    assert.deepEqual(device.all('end'), [{ kind: 'end', reason: 'bad-credentials' }]);
    const old = await world.connect('d', { identity: { kind: 'token', sha256: 'aa' } });
    assert.equal(old.all('refused')[0].reason, 'bad-credentials');
  });

  test('[SE-9] a removed device leaves nothing behind', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    await world.request(world.sendTo('d', 'lost'));
    assert.equal((await world.request({ kind: 'delete-device', deviceId: 'd' })).kind, 'done');
    assert.equal(device.all('end').length, 1);
    await world.settle();
    for (const table of ['device', 'cursor', 'subscription', 'log'] as const) {
      assert.equal(world.store.size(table), 0, table);
    }
    const anew = await world.connect('d');
    assert.equal(anew.all('opened')[0].sessionPresent, false);
  });
});

describe('delivery', () => {
  test('[DE-1] no more is in flight than the device takes', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 1, { receiveMaximum: 3 });
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 1; index <= 10; index++) sender.publish('t', `${index}`, {}, index);
    await world.sync();
    assert.deepEqual(device.sequences, [1, 2, 3]);
    device.acknowledge(2);
    assert.deepEqual(device.sequences, [1, 2, 3, 4]);
    device.acknowledge(1);
    device.acknowledge(3);
    assert.deepEqual(device.sequences, [1, 2, 3, 4, 5, 6]);
  });

  test('[DE-2] a flow that cannot take more gets nothing until it can', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    device.send({ kind: 'writable', writable: false });
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'one');
    sender.publish('t', 'volatile', { qos: 0 }, 0);
    await world.sync();
    assert.deepEqual(device.bodies, []);
    device.send({ kind: 'writable', writable: true });
    assert.deepEqual(device.bodies, ['one']);
    assert.equal((await statistics(world)).qos0Dropped, 1);
  });

  test('[DE-2] a turn hands out a bounded number of bytes, so that a full socket is noticed', async () => {
    const world = new World(1, { limits: { turnBytesMax: 10_000 } });
    const device = await world.subscriber('d', '#');
    device.close();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 0; index < 20; index++) sender.publish('t', 'x'.repeat(3_000), {}, index + 1);
    await world.sync();
    const again = world.open('d');
    await world.store.commit(world.changes!);
    world.changes = null;
    world.hub.handleInput(world.now, { kind: 'committed' });
    world.drainOneTurn();
    assert.equal(again.deliveries.length, 4);
    again.send({ kind: 'writable', writable: false });
    assert.equal(again.deliveries.length, 4);
    again.send({ kind: 'writable', writable: true });
    assert.equal(again.deliveries.length, 20);
  });

  test('[DE-3] QoS 2 to the device: released only once its receipt is synced, and again after a crash', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 2);
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'once', { qos: 2 }, 9);
    await world.sync();
    assert.equal(device.deliveries[0].qos, 2);
    device.send({ kind: 'received', sequence: 1 });
    assert.deepEqual(device.all('release'), []);
    await world.sync();
    assert.deepEqual(device.all('release'), [{ kind: 'release', sequence: 1 }]);
    await world.crash(false);
    const again = await world.connect('d');
    assert.deepEqual(again.all('opened')[0].released, [1]);
    assert.deepEqual(again.bodies, []);
    again.send({ kind: 'complete', sequence: 1 });
    await world.settle();
    await world.crash(false);
    assert.deepEqual((await world.connect('d')).all('opened')[0].released, []);
  });

  test('[DE-4] QoS 2 from the device: a repeat is answered and not stored again, also after a crash', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 2);
    const sender = await world.connect('s');
    sender.publish('t', 'once', { qos: 2 }, 9);
    sender.publish('t', 'once', { qos: 2 }, 9);
    await world.sync();
    assert.equal(sender.all('accepted').length, 2);
    await world.crash(false);
    const again = await world.connect('s');
    again.publish('t', 'once', { qos: 2 }, 9);
    await world.sync();
    again.send({ kind: 'release', packetId: 9 });
    await world.sync();
    assert.deepEqual(again.all('completed'), [{ kind: 'completed', packetId: 9, found: true }]);
    again.send({ kind: 'release', packetId: 9 });
    await world.sync();
    assert.equal(again.all('completed')[1].found, false);
    again.publish('t', 'twice', { qos: 2 }, 9);
    await world.sync();
    const receiver = await world.connect('d');
    assert.deepEqual(receiver.bodies, ['once', 'twice']);
    assert.equal(device.world, world);
  });

  test('[DE-5] retained messages go to new subscriptions and survive a crash; an empty one takes them away', async () => {
    const world = new World();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('state/a', 'A', { retain: true }, 1);
    sender.publish('state/b', 'B', { retain: true }, 2);
    await world.sync();
    await world.crash(false);
    const device = await world.subscriber('d', 'state/+');
    await world.sync();
    assert.deepEqual(device.bodies.toSorted(), ['A', 'B']);
    assert.equal(
      device.deliveries.every(({ retain }) => retain),
      true,
    );
    const again = await world.connect('s', { expirySeconds: 0, clean: true });
    again.publish('state/a', '', { retain: true }, 3);
    await world.sync();
    const late = await world.subscriber('e', 'state/#');
    await world.sync();
    assert.deepEqual(late.bodies, ['B']);
  });

  test('[DE-5] one that subscribes while a retained message commits misses nothing', async () => {
    for (const first of ['publish', 'subscribe']) {
      const world = new World();
      const device = await world.connect('d');
      const sender = await world.connect('s', { expirySeconds: 0, clean: true });
      if (first === 'publish') sender.publish('t', 'R', { retain: true });
      device.subscribe('t');
      if (first === 'subscribe') sender.publish('t', 'R', { retain: true });
      await world.sync();
      assert.deepEqual([...new Set(device.bodies)], ['R'], `${first} first`);
    }
  });

  test('[DE-6] retain handling, retain as published, no local and subscription ids', async () => {
    const world = new World();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'R', { retain: true });
    await world.sync();
    const device = await world.connect('d');
    device.subscribe('t', 1, { retainHandling: 1, subscriptionId: 5 });
    await world.sync();
    device.subscribe('t', 1, { retainHandling: 1, subscriptionId: 6 });
    await world.sync();
    device.subscribe('#', 1, { retainHandling: 2, retainAsPublished: true, subscriptionId: 7 });
    await world.sync();
    assert.deepEqual(device.bodies, ['R']);
    assert.deepEqual(device.deliveries[0].subscriptionIds, [5]);
    sender.publish('t', 'R2', { retain: true }, 2);
    await world.sync();
    assert.equal(device.deliveries[1].retain, true);
    assert.deepEqual(device.deliveries[1].subscriptionIds.toSorted(), [6, 7]);
    const own = await world.connect('o');
    own.subscribe('mine', 1, { noLocal: true });
    await world.sync();
    own.publish('mine', 'from me');
    await world.sync();
    assert.deepEqual(own.bodies, []);
  });

  test('[DE-7] an unsubscribed inbox channel waits, however much passes it by topic', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    await world.request(world.sendTo('d', 'waits'));
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (let index = 0; index < 70_000; index++) {
      sender.publish('t', '.', {}, 1 + (index % 65_535));
      if (index % 1_000 === 999) {
        await world.sync();
        for (let sequence = index - 997; sequence <= index + 2; sequence++) device.acknowledge(sequence);
      }
    }
    assert.equal(device.deliveries.length, 70_000);
    device.subscribe('$line/inbox/default');
    await world.sync();
    assert.equal(device.bodies.at(-1), 'waits');
    assert.equal(device.deliveries.at(-1)!.sequence, 1);
    assert.equal(text(device.deliveries.at(-1)!.topic), '$line/inbox/default');
  });

  test('[DE-7] subscribing anew to the inbox leaves alone what is in flight', async () => {
    const world = new World();
    const device = await world.subscriber('d', '$line/inbox/#');
    await world.request(world.sendTo('d', 'one'));
    device.subscribe('$line/inbox/#');
    await world.sync();
    assert.deepEqual(device.bodies, ['one']);
    device.acknowledge(1);
    assert.equal((await statistics(world)).waitingMessages, 0);
    await world.request(world.sendTo('d', 'two'));
    device.subscribe('$line/inbox/+');
    device.close();
    const again = await world.connect('d');
    assert.deepEqual(again.bodies, ['two']);
    assert.equal(again.deliveries[0].duplicate, true);
  });

  test('[DE-8] sequence numbers in flight never span more than packet ids can tell apart', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    let sent = 0;
    const publishMany = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) sender.publish('t', '.', {}, 1 + (sent++ % 65_535));
      await world.sync();
    };
    await publishMany(1);
    // The first is never acknowledged; all others are.
    for (let round = 0; round < 70; round++) {
      await publishMany(999);
      for (const sequence of device.sequences.slice(-999)) if (sequence > 1) device.acknowledge(sequence);
    }
    assert.equal(Math.max(...device.sequences), 65_535);
    device.acknowledge(1);
    assert(Math.max(...device.sequences) > 65_535);
  });

  test('[DE-9] an idempotency key gets its first answer again, and no other request', async () => {
    const world = new World();
    await world.subscriber('d', '$line/inbox/#');
    const idempotency = { owner: 'token', key: 'k1', requestSha256: 'x' };
    const first = await world.request({ ...world.sendTo('d', 'one'), idempotency } as never);
    const repeat = await world.request({ ...world.sendTo('d', 'one'), idempotency } as never);
    assert(first.kind === 'sent' && repeat.kind === 'sent');
    assert.equal(repeat.messageId, first.messageId);
    assert.equal(repeat.repeated, true);
    await world.crash(false);
    const later = await world.request({ ...world.sendTo('d', 'one'), idempotency } as never);
    assert(later.kind === 'sent' && later.repeated);
    const other = { ...idempotency, requestSha256: 'y' };
    const mismatch = await world.request({ ...world.sendTo('d', 'two'), idempotency: other } as never);
    assert(mismatch.kind === 'refused');
    assert.equal(mismatch.reason, 'idempotency-mismatch');
    assert.equal((await statistics(world)).waitingMessages, 1);
  });

  test('[DE-10] a message to a device goes to nobody else, and its stages are told', async () => {
    const world = new World();
    const device = await world.subscriber('d', '$line/inbox/#');
    const other = await world.subscriber('e', '#');
    other.subscribe('$line/inbox/#');
    await world.sync();
    const sent = await world.request(world.sendTo('d', 'private'));
    assert(sent.kind === 'sent');
    assert.deepEqual(other.bodies, []);
    assert.deepEqual(device.bodies, ['private']);
    const stage = async (): Promise<string> => {
      const reply = await world.request({ kind: 'get-message', messageId: sent.messageId });
      assert(reply.kind === 'message');
      return reply.message.recipients[0].stage;
    };
    assert.equal(await stage(), 'wake sent');
    device.acknowledge(1);
    assert.equal(await stage(), 'acknowledged');
    assert.deepEqual(
      world.timeline.map((event) => event.stage),
      ['stored', 'wake sent', 'acknowledged'],
    );
  });

  test('[DE-11] a session that ends with its connection gets QoS 1 from memory, and nothing is stored', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 1, { expirySeconds: 0, clean: true });
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'one');
    assert.deepEqual(device.bodies, ['one']);
    assert.equal(sender.all('accepted').length, 1);
    assert.equal(world.store.size('log') + world.store.size('device'), 0);
    device.close();
    assert.equal((await statistics(world)).devices, 1);
    assert.equal((await statistics(world)).waitingMessages, 0);
  });

  test('[DE-12] QoS 0 subscriptions to the inbox are refused: nothing is lost quietly', async () => {
    const world = new World();
    const device = await world.connect('d');
    device.subscribe('$line/inbox/#', 0);
    device.subscribe('$line/other', 1);
    device.subscribe('$share/g/t', 1);
    device.subscribe('a/#/b', 1);
    await world.sync();
    assert.deepEqual(
      device.all('subscribed').map(({ results }) => results[0]),
      ['qos-too-low', 'not-authorized', 'shared-unsupported', 'filter-invalid'],
    );
  });
});

describe('receipts', () => {
  test('[RE-1] beyond their number the oldest receipts and answers are forgotten first', async () => {
    const world = new World(1, { limits: { receiptsMax: 5, idempotencyKeysMax: 3 } });
    await world.subscriber('d', '$line/inbox/#');
    const ids: string[] = [];
    for (let index = 0; index < 8; index++) {
      world.advance(10);
      const idempotency = { owner: '', key: `k${index}`, requestSha256: 'x' };
      const sent = await world.request({ ...world.sendTo('d', `${index}`), idempotency } as never);
      assert(sent.kind === 'sent');
      ids.push(sent.messageId);
    }
    const isKept = async (messageId: string): Promise<boolean> =>
      (await world.request({ kind: 'get-message', messageId })).kind === 'message';
    assert.deepEqual(await Promise.all(ids.map(isKept)), [false, false, false, true, true, true, true, true]);
    assert.equal(world.store.size('receipt'), 5);
    assert.equal(world.store.size('idempotency'), 6);
    await world.crash(false);
    assert.equal(await isKept(ids[3]), true);
    await world.request(world.sendTo('d', 'one more'));
    await world.sync();
    assert.equal(await isKept(ids[3]), false);
  });

  test('[RE-2] receipts and answers older than their time are swept', async () => {
    const world = new World();
    await world.subscriber('d', '$line/inbox/#');
    const idempotency = { owner: '', key: 'k', requestSha256: 'x' };
    await world.request({ ...world.sendTo('d', 'old'), idempotency } as never);
    world.advance(limits.idempotencyMsMax + 1_000);
    await world.sync();
    assert.equal(world.store.size('idempotency'), 0);
    assert.equal(world.store.size('receipt'), 1);
    world.advance(limits.receiptMsMax);
    await world.sync();
    assert.equal(world.store.size('receipt'), 0);
  });
});

async function statistics(world: World) {
  const reply = await world.request({ kind: 'get-statistics' });
  assert(reply.kind === 'statistics');
  return reply.statistics;
}

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LinkEvent, Publication } from '../../src/domain/index.js';
import { World, publication, text } from './world.js';

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
    assert.equal((await world.statistics()).qos0Dropped, 1);
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

  test('[DE-5] a session that ends before its SUBACK gets no retained message, and nothing breaks', async () => {
    const world = new World();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('x', 'R', { retain: true });
    await world.sync();
    const hasty = world.open('hasty', { expirySeconds: 0, clean: true });
    const subscription = {
      filter: 'x',
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionId: 0,
    } as const;
    hasty.send(
      { kind: 'subscribe', ticket: 1, subscriptions: [subscription] },
      { kind: 'close', publishWill: false, sessionExpirySeconds: undefined },
    );
    await world.sync();
    const durable = world.open('d');
    durable.subscribe('x');
    const clean = world.open('d', { clean: true });
    await world.sync();
    assert.deepEqual([hasty.bodies, durable.bodies, clean.bodies], [[], [], []]);
    assert.equal((await world.statistics()).waitingMessages, 0);
  });

  test('[DE-5] a device that is removed while it subscribes gets nothing, and nothing breaks', async () => {
    for (const fails of [false, true]) {
      const world = new World();
      const sender = await world.connect('s', { expirySeconds: 0, clean: true });
      sender.publish('x', 'R', { retain: true });
      await world.sync();
      const device = await world.subscriber('d', 'y');
      device.subscribe('x');
      device.subscribe('y', 0);
      device.send({ kind: 'unsubscribe', ticket: 9, filters: ['y'] });
      world.ask({ kind: 'delete-device', deviceId: 'd' });
      if (fails) world.failCommit();
      await world.settle();
      sender.publish('x', 'to nobody', {}, 2);
      sender.publish('y', 'to nobody', {}, 3);
      await world.settle();
      assert.deepEqual(device.bodies, []);
      assert.equal((await world.statistics()).subscriptions, 0);
    }
  });

  test('[DE-5] one packet that names a filter many times gets its retained messages once', async () => {
    const world = new World();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('x', 'R', { retain: true });
    await world.sync();
    const device = await world.connect('d');
    const request = {
      filter: '#',
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionId: 0,
    } as const;
    device.send({ kind: 'subscribe', ticket: 1, subscriptions: Array.from({ length: 200 }, () => request) });
    await world.sync();
    assert.deepEqual(device.bodies, ['R']);
    assert.equal(device.all('subscribed')[0].results.length, 200);
  });

  test('[DE-2] QoS 0 of one turn is bounded for each flow, and the hub says when it has much to say', async () => {
    const world = new World(1, { limits: { turnFlowBytesMax: 5_000, turnBytesMax: 8_000 } });
    const device = await world.subscriber('d', '#', 0);
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    const commands = Array.from({ length: 20 }, () => ({
      kind: 'publish' as const,
      packetId: 0,
      publication: publication('t', 'x'.repeat(1_000), { qos: 0 }),
    }));
    world.hub.handleInput(world.now, { kind: 'link', flow: sender.id, commands });
    assert.equal(world.hub.hasMuchToSay, false);
    const other = await world.subscriber('e', '#', 0);
    world.hub.handleInput(world.now, { kind: 'link', flow: sender.id, commands });
    assert.equal(world.hub.hasMuchToSay, true);
    world.drain();
    assert.equal(world.hub.hasMuchToSay, false);
    assert.equal(device.deliveries.length, 10);
    assert.equal(other.deliveries.length, 5);
    assert.equal((await world.statistics()).qos0Dropped, 45);
  });

  /** What the hub says at once when this is published: flows and their first event, in its order. */
  function toldOf(world: World, from: number, sent: Publication): (readonly [number, LinkEvent])[] {
    const command = { kind: 'publish', publication: sent, packetId: 0 } as const;
    world.hub.handleInput(world.now, { kind: 'link', flow: from, commands: [command] });
    const told: (readonly [number, LinkEvent])[] = [];
    for (let output = world.hub.pollOutput(); output !== undefined; output = world.hub.pollOutput()) {
      if (output.kind === 'link') told.push([output.flow, output.events[0]]);
    }
    return told;
  }

  test('[DE-26] QoS 0 to many is one delivery, in the order of the flows; who is told more has another', async () => {
    const world = new World();
    const ids: number[] = [];
    for (let index = 0; index < 4; index++) ids.push((await world.subscriber(`d${index}`, 't', 0)).id);
    const other = await world.connect('other');
    other.subscribe('t', 0, { subscriptionId: 5 });
    await world.sync();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    for (const expirySeconds of [undefined, 3]) {
      const told = toldOf(world, sender.id, publication('t', 'x', { qos: 0, expirySeconds }));
      assert.deepEqual(
        told.map(([flow]) => flow),
        [...ids, other.id],
      );
      const deliveries = told.map(([, event]) => (event.kind === 'deliver' ? event.delivery : undefined));
      assert.equal(new Set(deliveries.slice(0, 4)).size, 1);
      assert.equal(deliveries[0]?.expirySeconds, expirySeconds);
      assert.deepEqual(deliveries[4], { ...deliveries[0], subscriptionIds: [5] });
    }
  });

  test('[DE-11] a session that never acknowledges leaves the others their share of memory', async () => {
    const world = new World(1, { limits: { volatileBytesMax: 400_000 } });
    const clean = { expirySeconds: 0, clean: true };
    await world.subscriber('stuck', '#', 1, { ...clean, receiveMaximum: 1 });
    const sender = await world.connect('s', clean);
    for (let index = 1; index <= 500; index++) sender.publish('t', 'x'.repeat(1_000), {}, index);
    await world.sync();
    const device = await world.subscriber('d', 'for/d', 1, clean);
    sender.publish('for/d', 'mine', {}, 501);
    await world.sync();
    assert.deepEqual(device.bodies, ['mine']);
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
    assert.equal((await world.statistics()).waitingMessages, 0);
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
    assert.equal((await world.statistics()).waitingMessages, 1);
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
    assert.equal((await world.statistics()).devices, 1);
    assert.equal((await world.statistics()).waitingMessages, 0);
  });

  test('[DE-7] an inbox of which little is asked for is looked through in several turns, and the order stays', async () => {
    const world = new World(1, { limits: { turnLooksMax: 10 } });
    const sendTo = (channel: string, body: string): number =>
      world.ask({ ...world.sendTo('d', body), channel } as ReturnType<World['sendTo']>);
    const device = await world.subscriber('d', 't');
    device.subscribe('$line/inbox/b');
    await world.sync();
    device.close();
    for (let index = 0; index < 95; index++) sendTo('a', `${index}`);
    sendTo('b', 'wanted');
    const sender = await world.connect('s');
    sender.publish('t', 'behind');
    await world.settle();
    const back = world.open('d');
    await world.store.commit(world.changes!);
    world.changes = null;
    world.hub.handleInput(world.now, { kind: 'committed' });
    let turns = 0;
    do {
      world.drainOneTurn();
      turns++;
    } while (world.hub.hasMore);
    assert(turns >= 95 / 10, `${turns} turns`);
    assert.deepEqual(back.bodies, ['wanted', 'behind']);
    // Passed over once, it is not looked at again for each message.
    sender.publish('t', 'last');
    await world.sync();
    assert.deepEqual(back.bodies, ['wanted', 'behind', 'last']);
  });

  test('[DE-7] filters below the inbox match channels as they do elsewhere, however many they are', async () => {
    const world = new World();
    const all = ['a', 'b', 'c', ''];
    const cases: [string, string[]][] = [
      ['b', ['b']],
      ['a/#', ['a']],
      ['a/b', []],
      ['+/deep', []],
      ['+', all],
      ['+/#', all],
      ['#', all],
    ];
    for (const [index, [filter, channels]] of cases.entries()) {
      const id = `d${index}`;
      const device = await world.connect(id);
      for (const other of ['x', filter, 'y/#']) device.subscribe(`$line/inbox/${other}`);
      await world.sync();
      for (const channel of all) {
        world.ask({ ...world.sendTo(id, channel), channel } as ReturnType<World['sendTo']>);
      }
      await world.sync();
      assert.deepEqual(device.bodies, channels, filter);
    }
  });

  test('[DE-5] retained messages go out in several turns, subscriptions in turn, and others are not held up', async () => {
    const world = new World(1, { limits: { turnRetainedMax: 10 } });
    const sender = await world.connect('s');
    for (let index = 0; index < 300; index++)
      sender.publish(`a/b/${index}`, `${index}`, { retain: true }, index + 1);
    await world.settle();
    const other = await world.subscriber('o', 'news', 0);
    const device = await world.connect('d');
    const defaults = {
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionId: 0,
    } as const;
    const filters = ['a/b/+', 'a/+/+', '+/b/+', '#', 'a/#', '+/b/#'];
    const subscriptions = filters.map((filter) => ({ filter, qos: 0, ...defaults }) as const);
    device.send({ kind: 'subscribe', ticket: 1, subscriptions });
    await world.store.commit(world.changes!);
    world.changes = null;
    world.hub.handleInput(world.now, { kind: 'committed' });
    world.drainOneTurn();
    assert.equal(device.all('subscribed').length, 1);
    assert(device.deliveries.length <= 10, `${device.deliveries.length} in one turn`);
    // While the rest waits: others are served, and what is given up or taken away is not sent any more.
    world.hub.handleInput(world.now, {
      kind: 'link',
      flow: device.id,
      commands: [{ kind: 'unsubscribe', ticket: 2, filters: ['#', 'a/#'] }],
    });
    world.hub.handleInput(world.now, {
      kind: 'link',
      flow: sender.id,
      commands: [{ kind: 'publish', packetId: 0, publication: publication('news', 'new', { qos: 0 }) }],
    });
    world.drainOneTurn();
    assert.deepEqual(other.bodies, ['new']);
    let turns = 2;
    for (; world.hub.hasMore; turns++) world.drainOneTurn();
    await world.settle();
    assert(turns > (4 * 300) / 10, `${turns} turns`);
    const counts = new Map<string, number>();
    for (const body of device.bodies) counts.set(body, (counts.get(body) ?? 0) + 1);
    assert.equal(counts.size, 300);
    assert.equal(counts.get('299'), 4, 'once for each subscription that is left');
  });

  test('[DE-12] QoS 0 subscriptions to the inbox are refused: nothing is lost quietly', async () => {
    const world = new World();
    const device = await world.connect('d');
    device.subscribe('$line/inbox/#', 0);
    device.subscribe('$line/other', 1);
    device.subscribe('a/#/b', 1);
    await world.sync();
    assert.deepEqual(
      device.all('subscribed').map(({ results }) => results[0]),
      ['qos-too-low', 'not-authorized', 'filter-invalid'],
    );
  });
});

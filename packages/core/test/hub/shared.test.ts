import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SubscriptionTree } from '../../src/hub/subscription-tree.js';
import type { Subscription } from '../../src/hub/subscription-tree.js';
import { World, publication } from './world.js';
import type { OpenOptions, TestFlow } from './world.js';

const volatile: OpenOptions = { expirySeconds: 0, clean: true };

async function group(
  world: World,
  size: number,
  filter = '$share/g/t/#',
  options: OpenOptions = {},
): Promise<TestFlow[]> {
  const members: TestFlow[] = [];
  for (let index = 0; index < size; index++)
    members.push(await world.subscriber(`m${index}`, filter, 1, options));
  return members;
}

async function publishAll(
  world: World,
  sender: TestFlow,
  count: number,
  options: object = {},
): Promise<void> {
  for (let index = 1; index <= count; index++) sender.publish('t/x', `${index}`, options, index);
  await world.sync();
}

describe('shared subscriptions', () => {
  test('[DE-19] each message goes to one member, in turn', async () => {
    const world = new World();
    const members = await group(world, 3);
    const sender = await world.connect('s', volatile);
    await publishAll(world, sender, 9);
    assert.deepEqual(
      members.map(({ bodies }) => bodies),
      [
        ['1', '4', '7'],
        ['2', '5', '8'],
        ['3', '6', '9'],
      ],
    );
    await publishAll(world, sender, 9, { qos: 0 });
    assert.deepEqual(
      members.map(({ bodies }) => bodies.length),
      [6, 6, 6],
    );
  });

  test('[DE-19] groups apart by name and by filter; an own subscription of a member gets its own copy', async () => {
    const world = new World();
    const a = await world.subscriber('a', '$share/one/t/#');
    const b = await world.subscriber('b', '$share/two/t/#', 2);
    const c = await world.subscriber('c', '$share/one/t/+');
    a.subscribe('t/x', 1, { subscriptionId: 5 });
    await world.sync();
    const reply = await world.request({
      ...(world.sendTo('', 'x') as object),
      kind: 'send-to-topic',
      topic: 't/x',
      retain: false,
    } as never);
    assert(reply.kind === 'sent');
    assert.equal(reply.recipientCount, 4);
    for (const flow of [b, c]) assert.deepEqual(flow.bodies, ['x']);
    assert.deepEqual(a.bodies, ['x', 'x']);
    assert.deepEqual(
      a.deliveries.map(({ subscriptionIds }) => subscriptionIds),
      [[5], []],
    );
    const status = await world.request({ kind: 'get-message', messageId: reply.messageId });
    assert(status.kind === 'message');
    const numbers = status.message.recipients.map(({ deviceId, sequence }) => `${deviceId}${sequence}`);
    assert.deepEqual(numbers.sort(), ['a1', 'a2', 'b1', 'c1']);
  });

  test('[DE-20] connected members first, those that are not full before those that are', async () => {
    const world = new World();
    const members = await group(world, 3, '$share/g/t/#', { receiveMaximum: 2 });
    members[0].close();
    members[1].send({ kind: 'writable', writable: false });
    const sender = await world.connect('s', volatile);
    await publishAll(world, sender, 2);
    assert.deepEqual(
      members.map(({ bodies }) => bodies),
      [[], [], ['1', '2']],
    );
    // All connected ones are full: in turn between them, not to the absent one.
    await publishAll(world, sender, 4);
    members[1].send({ kind: 'writable', writable: true });
    for (const member of members.slice(1)) for (let n = 1; n <= 4; n++) member.acknowledge(n);
    await world.sync();
    assert.deepEqual([members[1].bodies.length, members[2].bodies.length], [2, 4]);
    const back = await world.connect('m0');
    assert.deepEqual(back.bodies, []);
  });

  test('[DE-20] when none is connected, absent durable members keep what comes, in turn; after a crash, too', async () => {
    const world = new World();
    const members = await group(world, 2);
    for (const member of members) member.close();
    await world.settle();
    await world.crash(true);
    const sender = await world.connect('s', volatile);
    await publishAll(world, sender, 6);
    const back = [await world.connect('m0'), await world.connect('m1')];
    assert.deepEqual(
      back.map(({ bodies }) => bodies.length),
      [3, 3],
    );
    await publishAll(world, sender, 2);
    assert.deepEqual(
      back.map(({ bodies }) => bodies.length),
      [4, 4],
    );
  });

  test('[DE-21] retained messages are not sent; a filter below $ and a malformed one are refused', async () => {
    const world = new World();
    const sender = await world.connect('s', volatile);
    sender.publish('t/x', 'kept', { retain: true });
    await world.sync();
    const [member] = await group(world, 1);
    assert.deepEqual(member.bodies, []);
    for (const filter of [
      '$share/g/$line/inbox/#',
      '$share/g/$SYS/#',
      '$share/g',
      '$share//t',
      '$share/+/t',
      '$share/g/a#',
    ]) {
      member.subscribe(filter);
    }
    await world.sync();
    const results = member.all('subscribed').map((event) => event.results[0]);
    assert.deepEqual(results.slice(1), [
      'not-authorized',
      'not-authorized',
      ...Array(4).fill('filter-invalid'),
    ]);
  });

  test('[DE-21] access rules are about the filter that follows the name, and end it when they narrow', async () => {
    const world = new World(1, { defaultAccess: { publish: ['#'], subscribe: ['t/%d/#'] } });
    const device = await world.connect('d');
    device.subscribe('$share/g/t/d/x');
    device.subscribe('$share/t/d/x');
    device.subscribe('$share/g/t/e/x');
    await world.sync();
    assert.deepEqual(
      device.all('subscribed').map(({ results }) => results[0]),
      [1, 'not-authorized', 'not-authorized'],
    );
    await world.request({
      kind: 'put-device',
      deviceId: 'd',
      tokenSha256: 'aa',
      access: { publish: [], subscribe: ['u'] },
    });
    assert.equal((await world.statistics()).subscriptions, 0);
  });

  const ends: readonly (readonly [string, (world: World, flow: TestFlow) => Promise<unknown>])[] = [
    ['ends with a clean start', (world) => world.connect('m0', { clean: true })],
    [
      'expires',
      async (world, flow) => {
        flow.close();
        world.advance(3_600_001);
        await world.sync();
      },
    ],
    ['goes with its device', (world) => world.request({ kind: 'delete-device', deviceId: 'm0' })],
  ];
  for (const [name, end] of ends) {
    test(`[DE-22] a session that ${name}: what was not sent goes to another member, with its receipt`, async () => {
      const world = new World();
      const first = await world.subscriber('m0', '$share/g/t/#', 2, { receiveMaximum: 1 });
      const sent = (await world.request({
        ...(world.sendTo('', '1', { qos: 2 }) as object),
        kind: 'send-to-topic',
        topic: 't/x',
        retain: false,
      } as never)) as { messageId: string };
      const waits = (await world.request({
        ...(world.sendTo('', '2', { qos: 2, expirySeconds: 90_000 }) as object),
        kind: 'send-to-topic',
        topic: 't/x',
        retain: false,
      } as never)) as { messageId: string };
      const second = await world.subscriber('m1', '$share/g/t/#', 1, { expirySeconds: 100_000 });
      assert.deepEqual([first.bodies, second.bodies], [['1'], []]);
      await end(world, first);
      await world.settle();
      assert.deepEqual(second.bodies, ['2']);
      assert.equal(second.deliveries[0].qos, 1);
      assert.ok(second.deliveries[0].expirySeconds! > 80_000);
      second.acknowledge(1);
      await world.settle();
      const stage = async (messageId: string) => {
        const reply = await world.request({ kind: 'get-message', messageId });
        assert(reply.kind === 'message');
        const [{ deviceId, stage: reached }] = reply.message.recipients;
        return [deviceId, reached];
      };
      assert.deepEqual(await stage(sent.messageId), ['m0', 'dropped']);
      assert.deepEqual(await stage(waits.messageId), ['m1', 'acknowledged']);
    });
  }

  test('[DE-22] without another member it ends as dropped; a session in memory hands over to one on disk', async () => {
    const world = new World();
    const only = await world.subscriber('m0', '$share/g/t/#', 1, { ...volatile, receiveMaximum: 1 });
    const sender = await world.connect('s', volatile);
    await publishAll(world, sender, 3);
    assert.deepEqual(only.bodies, ['1']);
    const absent = await world.subscriber('m1', '$share/g/t/#');
    absent.close();
    only.close();
    await world.settle();
    await world.crash(true);
    const back = await world.connect('m1', {});
    assert.deepEqual(back.bodies, ['2', '3']);
    back.send({ kind: 'close', publishWill: false, sessionExpirySeconds: 0 });
    await world.sync();
    assert.equal((await world.statistics()).waitingMessages, 0);
  });

  test('[DE-19] unsubscribing leaves the group; what was accepted for the member before stays its own', async () => {
    const world = new World();
    const [a, b] = await group(world, 2);
    a.send({ kind: 'unsubscribe', ticket: 1, filters: ['$share/g/t/#'] });
    await world.sync();
    const sender = await world.connect('s', volatile);
    await publishAll(world, sender, 3);
    assert.deepEqual([a.bodies, b.bodies], [[], ['1', '2', '3']]);
  });

  test('[DE-19] members come and go without a new match; the answer of a topic stays known', () => {
    const tree = new SubscriptionTree<string>();
    const member = (holder: string): Subscription<string> => ({
      holder,
      filter: '$share/g/a/+',
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      subscriptionId: 0,
    });
    const members = Array.from({ length: 200 }, (_, index) => member(`m${index}`));
    tree.add(members[0], true);
    tree.match('a/b');
    // Kept from the second time on.
    const known = tree.match('a/b');
    assert.equal(known.targets.length, 0);
    const [shared] = known.groups;
    for (const one of members.slice(1)) tree.add(one);
    assert.equal(tree.match('a/b'), known);
    assert.equal(tree.count, 200);
    // Whoever is connected is found at once among many who are not, and the turn is fair.
    shared.setPresent(members[150], true);
    const counts = new Map<string, number>();
    for (let index = 0; index < 100; index++) {
      const { holder } = shared.pick(() => true);
      counts.set(holder, (counts.get(holder) ?? 0) + 1);
    }
    assert.deepEqual(Object.fromEntries(counts), { m0: 50, m150: 50 });
    shared.setPresent(members[0], false);
    assert.equal(shared.pick(() => true).holder, 'm150');
    shared.setPresent(members[150], false);
    const absent = new Set(Array.from({ length: 200 }, () => shared.pick(() => true).holder));
    assert.equal(absent.size, 200);
    for (const one of members) tree.remove(one);
    assert.equal(tree.count, 0);
    assert.deepEqual(tree.match('a/b').groups, []);
  });

  test('[DE-22] what came by a shared subscription keeps its group when the log copies it forward', async () => {
    const world = new World();
    const first = await world.subscriber('m0', '$share/g/t/#', 1);
    first.close();
    const sender = await world.connect('s', volatile);
    sender.publish('t/x', 'survivor');
    await world.sync();
    // Much else comes and goes, so that the oldest chunk is copied.
    const other = await world.subscriber('other', 'big');
    const big = 'x'.repeat(1_000_000);
    for (let index = 0; index < 40; index++) {
      sender.send({ kind: 'publish', publication: publication('big', big), packetId: index + 1 });
      await world.sync();
      if (index % 2 === 0) other.acknowledge(index + 1);
      await world.settle();
    }
    const second = await world.subscriber('m1', '$share/g/t/#');
    await world.connect('m0', { clean: true });
    await world.settle();
    assert.deepEqual(second.bodies, ['survivor']);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { systemTopics } from '../../src/hub/index.js';
import { World, text } from './world.js';
import type { TestFlow } from './world.js';

const options = { defaultAccess: { publish: ['#'], subscribe: ['#', '$SYS/#'] }, version: '9.8.7' };

/** Topic to text of what came, and whether it was marked as retained. */
function figures(flow: TestFlow): Record<string, string> {
  return Object.fromEntries(
    flow.deliveries.map(({ topic, body }) => [text(topic).replace('$SYS/broker/', ''), text(body)]),
  );
}

describe('$SYS', () => {
  test('[DE-23] a new subscription is told all figures that it matches, with QoS 0, like retained messages', async () => {
    const world = new World(1, options);
    const device = await world.connect('d');
    world.advance(5_000);
    device.subscribe('$SYS/#', 2, { subscriptionId: 3 });
    await world.sync();
    assert.deepEqual(device.deliveries.map(({ topic }) => text(topic)).sort(), systemTopics.toSorted());
    for (const { qos, retain, sequence, subscriptionIds } of device.deliveries) {
      assert.deepEqual([qos, retain, sequence, subscriptionIds], [0, true, 0, [3]]);
    }
    const { version, uptime, 'clients/connected': connected } = figures(device);
    assert.deepEqual([version, uptime, connected], ['wakeline 9.8.7', '5 seconds', '1']);
    const other = await world.connect('e');
    other.subscribe('$SYS/broker/clients/+');
    await world.sync();
    assert.deepEqual(figures(other), { 'clients/connected': '2', 'clients/total': '2' });
    other.subscribe('$SYS/broker/uptime', 0, { retainHandling: 2 });
    await world.sync();
    assert.equal(other.deliveries.length, 2);
  });

  test('[DE-24] what has changed is told every interval, and nothing is looked at while nobody subscribes', async () => {
    const world = new World(1, options);
    assert.ok(world.hub.nextTimeoutMs() >= world.now.monotonic + limits.sysIntervalMs);
    const device = await world.subscriber('d', '$SYS/broker/publish/#');
    device.events.length = 0;
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'x', { qos: 0 }, 0);
    world.advance(limits.sysIntervalMs - 1);
    assert.deepEqual(device.bodies, []);
    world.advance(1);
    assert.equal(figures(device)['publish/messages/received'], '1');
    assert.ok(device.deliveries.every(({ retain, qos }) => !retain && qos === 0));
    device.events.length = 0;
    world.advance(limits.sysIntervalMs);
    // Only what it was itself sent is new.
    assert.deepEqual(Object.keys(figures(device)), ['publish/messages/sent']);
    device.send({ kind: 'unsubscribe', ticket: 1, filters: ['$SYS/broker/publish/#'] });
    await world.sync();
    device.events.length = 0;
    for (let round = 0; round < 3; round++) world.advance(limits.sysIntervalMs);
    assert.deepEqual(device.deliveries, []);
  });

  test('[DE-24] a stored subscription is served again after a crash; a device asleep is not woken', async () => {
    const world = new World(1, options);
    const before = await world.subscriber('d', '$SYS/broker/uptime');
    before.close();
    await world.settle();
    await world.crash(true);
    const device = await world.connect('d');
    world.advance(limits.sysIntervalMs);
    assert.equal(device.deliveries.length, 1);
    device.send({
      kind: 'state',
      state: { activity: 'asleep', windowMs: 0, network: undefined },
      qos: 0,
      packetId: 0,
    });
    world.advance(limits.sysIntervalMs);
    assert.equal(device.deliveries.length, 1);
  });

  test('[DE-25] only by a rule that names it: # does not', async () => {
    for (const [subscribe, filter, expected] of [
      [['#'], '$SYS/#', 'not-authorized'],
      [['#', '+/#'], '$SYS/broker/uptime', 'not-authorized'],
      [['$SYS/broker/clients/#'], '$SYS/broker/clients/total', 0],
      [['$SYS/broker/clients/#'], '$SYS/#', 'not-authorized'],
      [['$SYS/#'], '$SYS/#', 0],
      [['$SYS/#', '$other/#'], '$other/x', 'not-authorized'],
    ] as const) {
      const world = new World(1, { defaultAccess: { publish: ['#'], subscribe } });
      const device = await world.connect('d');
      device.subscribe(filter, 0);
      await world.sync();
      assert.deepEqual(device.all('subscribed')[0].results, [expected], `${subscribe} ${filter}`);
    }
    const world = new World(1, options);
    const device = await world.subscriber('d', '#');
    world.advance(limits.sysIntervalMs);
    assert.deepEqual(device.deliveries, []);
    device.publish('$SYS/broker/uptime', 'mine');
    await world.sync();
    assert.deepEqual(
      device.all('accepted').map(({ reason }) => reason),
      ['not-authorized'],
    );
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { Urgency } from '../../src/domain/index.js';
import type { Activity, LinkCommand } from '../../src/domain/index.js';
import { World, publication } from './world.js';
import type { TestFlow } from './world.js';
import { firstSeed } from '../seed.js';

const { veryLow, low, normal, high } = Urgency;

function say(flow: TestFlow, activity: Activity, windowMs?: number): void {
  const state = { activity, windowMs, network: undefined };
  flow.send({ kind: 'state', state, qos: 0, packetId: 0 });
}

/** A device that is asleep, and somebody who publishes to it. */
async function asleep(world: World, windowMs?: number, options: { receiveMaximum?: number } = {}) {
  const device = await world.subscriber('d', '#', 2, options);
  const sender = await world.connect('s', { expirySeconds: 0, clean: true });
  say(device, 'asleep', windowMs);
  let packetId = 0;
  const publish = async (body: string, urgency: Urgency, more: object = {}): Promise<void> => {
    sender.publish('t', body, { urgency, ...more }, ++packetId);
    await world.sync();
  };
  return { device, sender, publish };
}

async function wakes(world: World): Promise<readonly number[]> {
  const { wakesSentNormal, wakesSentHigh, wakesNatural } = await world.statistics();
  return [wakesSentNormal, wakesSentHigh, wakesNatural];
}

describe('urgency', () => {
  test('[DE-15] low and very low wait for a device that is asleep, and for no other', async () => {
    for (const activity of ['active', 'background', 'asleep'] as const) {
      const world = new World();
      const { device, publish } = await asleep(world);
      say(device, activity);
      await publish('low', low);
      await publish('very low', veryLow);
      assert.deepEqual(device.bodies, activity === 'asleep' ? [] : ['low', 'very low'], activity);
      assert.deepEqual(await wakes(world), [0, 0, 0]);
    }
  });

  const naturalWakes: readonly (readonly [string, (flow: TestFlow) => void])[] = [
    ['a packet of its own', (flow) => flow.send({ kind: 'awake' })],
    ['saying that it is active', (flow) => say(flow, 'active')],
    ['saying that it is asleep once more', (flow) => say(flow, 'asleep')],
  ];
  for (const [name, wake] of naturalWakes) {
    test(`[DE-15] ${name} is a natural wake: what waits goes, in order`, async () => {
      const world = new World();
      const { device, publish } = await asleep(world);
      for (const body of ['1', '2', '3']) await publish(body, low);
      wake(device);
      assert.deepEqual(device.bodies, ['1', '2', '3']);
      assert.deepEqual(device.sequences, [1, 2, 3]);
      assert.deepEqual(await wakes(world), [0, 0, 1]);
    });
  }

  test('[DE-15] what waits goes even if the device says at once that it is asleep again', async () => {
    const world = new World();
    const { device, publish } = await asleep(world, undefined, { receiveMaximum: 2 });
    for (const body of ['1', '2', '3', '4']) await publish(body, low);
    device.send(
      { kind: 'awake' },
      { kind: 'state', state: { activity: 'asleep', windowMs: 0, network: 'x' }, qos: 0, packetId: 0 },
    );
    assert.deepEqual(device.bodies, ['1', '2']);
    await publish('5', low);
    device.acknowledge(1);
    device.acknowledge(2);
    assert.deepEqual(device.bodies, ['1', '2', '3', '4']);
  });

  test('[DE-15] a new connection is active until it says otherwise, also after a takeover and a crash', async () => {
    for (const way of ['reconnect', 'takeover', 'crash'] as const) {
      const world = new World();
      const { device, publish } = await asleep(world);
      await publish('waits', low);
      await world.settle();
      if (way === 'reconnect') device.close();
      if (way === 'crash') await world.crash(true);
      const again = await world.connect('d');
      assert.deepEqual(again.bodies, ['waits'], way);
      again.acknowledge(1);
      const sender = await world.connect('s2', { expirySeconds: 0, clean: true });
      sender.publish('t', 'at once', { urgency: low });
      await world.sync();
      assert.deepEqual(again.bodies, ['waits', 'at once'], way);
      say(again, 'asleep');
      sender.publish('t', 'waits again', { urgency: low }, 2);
      await world.sync();
      assert.deepEqual(again.bodies, ['waits', 'at once'], way);
    }
  });

  for (const urgency of [normal, high] as const) {
    test(`[DE-16] one of urgency ${urgency} wakes, and takes with it what waits, in order of numbers`, async () => {
      const world = new World();
      const { device, publish } = await asleep(world);
      await publish('1', low);
      await publish('2', veryLow);
      await publish('3', urgency);
      await world.sync();
      assert.deepEqual(device.bodies, ['1', '2', '3']);
      assert.deepEqual(device.sequences, [1, 2, 3]);
      assert.deepEqual(await wakes(world), urgency === high ? [0, 1, 0] : [1, 0, 0]);
      const stages = world.timeline.filter(({ stage }) => stage === 'wake sent');
      assert.deepEqual(
        stages.map(({ sequence }) => sequence),
        [1, 2, 3],
      );
    });
  }

  test('[DE-16] several that come together share one wake and one output', async () => {
    const world = new World();
    const { device, sender } = await asleep(world);
    const commands: LinkCommand[] = [];
    for (let packetId = 1; packetId <= 60; packetId++) {
      const urgency = packetId % 20 === 0 ? high : low;
      commands.push({ kind: 'publish', publication: publication('t', `${packetId}`, { urgency }), packetId });
    }
    sender.send(...commands);
    let outputs = 0;
    await world.store.commit(world.changes!);
    world.changes = null;
    world.hub.handleInput(world.now, { kind: 'committed' });
    for (let output = world.hub.pollOutput(); output !== undefined; output = world.hub.pollOutput()) {
      if (output.kind === 'link' && output.flow === device.id) {
        outputs++;
        device.events.push(...output.events);
      } else if (output.kind === 'commit') world.changes = output.changes;
    }
    await world.sync();
    assert.equal(device.deliveries.length, 60);
    assert.equal(outputs, 1);
    assert.deepEqual(await wakes(world), [0, 1, 0]);
  });

  test('[DE-16] after a wake the device is awake for its window: more is no wake, and low goes too', async () => {
    for (const [windowMs, lengthMs] of [
      [undefined, limits.wakeWindowMs],
      [2_500, 2_500],
    ] as const) {
      const world = new World();
      const { device, publish } = await asleep(world, windowMs);
      await publish('1', normal);
      world.advance(lengthMs - 1);
      await publish('2', low);
      await publish('3', high);
      assert.deepEqual(device.bodies, ['1', '2', '3']);
      // The window began with the wake; what was sent in it did not prolong it.
      world.advance(1);
      await publish('4', low);
      assert.deepEqual(device.bodies, ['1', '2', '3']);
      await publish('5', normal);
      assert.deepEqual(device.bodies, ['1', '2', '3', '4', '5']);
      assert.deepEqual(await wakes(world), [2, 0, 0]);
    }
  });

  test('[DE-16] an acknowledgement in the window does not prolong it, one after it is a natural wake', async () => {
    const world = new World();
    const { device, publish } = await asleep(world);
    await publish('1', normal);
    await publish('2', low);
    world.advance(limits.wakeWindowMs - 1);
    device.acknowledge(1);
    world.advance(1);
    await publish('3', low);
    assert.deepEqual(device.bodies, ['1', '2']);
    device.acknowledge(2);
    assert.deepEqual(device.bodies, ['1', '2', '3']);
    assert.deepEqual(await wakes(world), [1, 0, 1]);
  });

  test('[DE-16] saying asleep ends the window', async () => {
    const world = new World();
    const { device, publish } = await asleep(world);
    await publish('1', normal);
    device.acknowledge(1);
    say(device, 'asleep');
    await publish('2', low);
    assert.deepEqual(device.bodies, ['1']);
  });

  test('[DE-16] QoS 2: the same order and ids as awake, and the exchange ends normally', async () => {
    const world = new World();
    const { device, publish } = await asleep(world);
    await publish('1', low, { qos: 2 });
    await publish('2', low, { qos: 2 });
    await publish('3', high, { qos: 2 });
    assert.deepEqual(device.sequences, [1, 2, 3]);
    for (const sequence of [1, 2, 3]) device.send({ kind: 'received', sequence });
    await world.sync();
    assert.deepEqual(
      device.all('release').map(({ sequence }) => sequence),
      [1, 2, 3],
    );
    world.advance(limits.wakeWindowMs);
    await publish('4', low, { qos: 2 });
    assert.equal(device.deliveries.length, 3);
    // PUBCOMP after the window: the device is awake.
    device.send({ kind: 'complete', sequence: 1 });
    assert.deepEqual(device.sequences, [1, 2, 3, 4]);
  });

  test('[DE-16] numbers in flight ascend whatever the urgency, on every flow', async () => {
    const world = new World(firstSeed);
    const { prng } = world;
    const { sender, device } = await asleep(world, 3_000, { receiveMaximum: 5 });
    let flow = device;
    let id = 0;
    const done = new Set<number>();
    const seen = new Map<TestFlow, number>();
    for (let step = 0; step < 1_500; step++) {
      const dice = prng.nextInteger(0, 99);
      if (dice < 45) {
        sender.publish(
          't',
          `${step}`,
          { urgency: prng.nextInteger(0, 9) === 0 ? high : low },
          (id++ % 60_000) + 1,
        );
        await world.sync();
      } else if (dice < 75) {
        const open = flow.sequences.filter((sequence) => !done.has(sequence));
        if (open.length > 0) {
          const sequence = open[prng.nextInteger(0, open.length - 1)];
          done.add(sequence);
          flow.acknowledge(sequence);
        }
      } else if (dice < 85) world.advance(prng.nextInteger(1, 4_000));
      else if (dice < 92) say(flow, prng.nextInteger(0, 3) === 0 ? 'active' : 'asleep', 3_000);
      else if (dice < 96) flow.send({ kind: 'awake' });
      else {
        flow = await world.connect('d', { receiveMaximum: 5 });
        say(flow, 'asleep', 3_000);
      }
      const { sequences } = flow;
      for (let index = seen.get(flow) ?? 1; index < sequences.length; index++) {
        assert.ok(sequences[index] > sequences[index - 1], `seed ${firstSeed}, step ${step}: ${sequences}`);
      }
      seen.set(flow, Math.max(1, sequences.length));
    }
    // Nothing was lost on the way: awake, it gets all the rest.
    say(flow, 'active');
    for (let sequence = 1; sequence <= id; sequence++) {
      if (!done.has(sequence)) {
        assert.ok(flow.sequences.includes(sequence), `seed ${firstSeed}: ${sequence} of ${id} never came`);
        flow.acknowledge(sequence);
        done.add(sequence);
      }
    }
  });

  test('[DE-16] a message that expires or is replaced while it waits ends so, and wakes nobody', async () => {
    const world = new World();
    const { device, publish } = await asleep(world);
    await publish('expires', low, { expirySeconds: 5 });
    await publish('old', low, { replaceKey: 'k' });
    await publish('new', low, { replaceKey: 'k' });
    world.advance(6_000);
    await world.sync();
    assert.deepEqual(device.bodies, []);
    const { endedExpired, endedReplaced } = await world.statistics();
    assert.deepEqual([endedExpired, endedReplaced], [1, 1]);
    device.send({ kind: 'awake' });
    assert.deepEqual(device.bodies, ['new']);
  });

  test('[DE-16] an urgent message by the device inbox wakes if it is subscribed, and only then', async () => {
    const world = new World();
    const { device, publish } = await asleep(world);
    await publish('low', low);
    await world.request(world.sendTo('d', 'nobody reads this', { urgency: high }) as never);
    assert.deepEqual(device.bodies, []);
    device.subscribe('$line/inbox/#');
    await world.sync();
    say(device, 'active');
    for (const sequence of device.sequences) device.acknowledge(sequence);
    say(device, 'asleep');
    await publish('low 2', low);
    const before = device.deliveries.length;
    await world.request(world.sendTo('d', 'urgent', { urgency: high }) as never);
    assert.deepEqual(device.bodies.slice(before), ['low 2', 'urgent']);
  });

  test('[DE-17] QoS 0: low is dropped for a device asleep, the others wake it and take along what waits', async () => {
    const world = new World();
    const { device, sender, publish } = await asleep(world);
    await publish('waits', low);
    sender.publish('t', 'gone', { qos: 0, urgency: low }, 0);
    assert.deepEqual(device.bodies, []);
    assert.equal((await world.statistics()).qos0Dropped, 1);
    sender.publish('t', 'wakes', { qos: 0 }, 0);
    assert.deepEqual(device.bodies, ['wakes', 'waits']);
    assert.deepEqual(await wakes(world), [1, 0, 0]);
  });

  test('[DE-18] the state is answered by QoS, a QoS 2 id that is held changes nothing, and details show it', async () => {
    const world = new World();
    const { device } = await asleep(world, 4_000);
    const detail = async () => {
      const reply = await world.request({ kind: 'get-device', deviceId: 'd' });
      assert(reply.kind === 'device');
      const { activity, windowMs, network } = reply.device;
      return [activity, windowMs, network];
    };
    assert.deepEqual(await detail(), ['asleep', 4_000, undefined]);
    const state = { activity: 'background', windowMs: undefined, network: 'wifi' } as const;
    device.send({ kind: 'state', state, qos: 1, packetId: 5 }, { kind: 'state', state, qos: 2, packetId: 6 });
    await world.sync();
    assert.deepEqual(
      device.all('accepted').map(({ packetId, qos, reason, matched }) => [packetId, qos, reason, matched]),
      [
        [5, 1, undefined, true],
        [6, 2, undefined, true],
      ],
    );
    assert.deepEqual(await detail(), ['background', undefined, 'wifi']);
    say(device, 'active');
    device.send({ kind: 'state', state, qos: 2, packetId: 6 });
    await world.sync();
    assert.deepEqual(await detail(), ['active', undefined, undefined]);
    device.send({ kind: 'release', packetId: 6 });
    await world.sync();
    assert.deepEqual(
      device.all('completed').map(({ found }) => found),
      [true],
    );
    device.close();
    assert.deepEqual(await detail(), [undefined, undefined, undefined]);
  });
});

describe('a full inbox', () => {
  const full = { limits: { inboxMessagesMax: 4 } };

  test('[IN-18] the oldest unsent of the lowest urgency makes way, with its reason', async () => {
    const world = new World(1, full);
    const device = await world.subscriber('d', '#');
    device.close();
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    let id = 0;
    const publish = async (body: string, urgency: Urgency): Promise<void> => {
      sender.publish('t', body, { urgency }, ++id);
      await world.sync();
    };
    await publish('n1', normal);
    await publish('l1', low);
    await publish('v1', veryLow);
    await publish('l2', low);
    await publish('h1', high); // v1 goes
    await publish('n2', normal); // l1 goes
    await publish('v2', veryLow); // is itself the lowest
    await publish('h2', high); // l2 goes
    await publish('h3', high); // n1 goes, being older than n2
    const dropped = world.timeline.filter(({ stage }) => stage === 'dropped');
    assert.deepEqual(
      dropped.map(({ sequence, reason }) => [sequence, reason]),
      [
        [3, 'inbox full'],
        [2, 'inbox full'],
        [7, 'inbox full'],
        [4, 'inbox full'],
        [1, 'inbox full'],
      ],
    );
    const again = await world.connect('d');
    assert.deepEqual(again.bodies, ['h1', 'n2', 'h2', 'h3']);
  });

  test('[IN-18] is found the same way as by looking at everything, whatever comes and goes', async () => {
    const world = new World(firstSeed, { limits: { inboxMessagesMax: 12 } });
    const { prng } = world;
    let device = await world.subscriber('d', '#', 1, { receiveMaximum: 3 });
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    interface Waiting {
      readonly sequence: number;
      readonly urgency: number;
      isSent: boolean;
    }
    let model: Waiting[] = [];
    const dropped: number[] = [];
    let isOpen = true;
    let sequence = 0;
    for (let step = 0; step < 2_000; step++) {
      const dice = prng.nextInteger(0, 99);
      if (dice < 70) {
        const urgency = prng.nextInteger(0, 3) as Urgency;
        sequence++;
        model.push({ sequence, urgency, isSent: false });
        if (model.length > 12) {
          const unsent = model.filter(({ isSent }) => !isSent);
          const lowest = Math.min(...unsent.map((one) => one.urgency));
          const victim = unsent.find((one) => one.urgency === lowest)!;
          dropped.push(victim.sequence);
          model = model.filter((one) => one !== victim);
        }
        sender.publish('t', `${step}`, { urgency }, (sequence % 60_000) + 1);
        await world.sync();
      } else if (dice < 90) {
        const sent = model.filter((one) => isOpen && device.sequences.includes(one.sequence));
        if (sent.length > 0) {
          const one = sent[prng.nextInteger(0, sent.length - 1)];
          model = model.filter((other) => other !== one);
          device.acknowledge(one.sequence);
        }
      } else if (dice < 95) {
        device.close();
        isOpen = false;
      } else {
        device = await world.connect('d', { receiveMaximum: 3 });
        isOpen = true;
      }
      const sentNow = new Set(device.sequences);
      for (const one of model) if (sentNow.has(one.sequence)) one.isSent = true;
      const told = world.timeline.filter(({ stage }) => stage === 'dropped').map((event) => event.sequence);
      assert.deepEqual(told, dropped, `seed ${firstSeed}, step ${step}`);
    }
    assert.ok(dropped.length > 100);
  });
});

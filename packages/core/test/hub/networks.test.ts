import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Answer } from '../../src/domain/index.js';
import { World, type OpenOptions, type TestFlow } from './world.js';

const HOME = 'ab'.repeat(32);
const CAFE = 'cd'.repeat(32);
const DAY_MS = 24 * 3_600_000;

const hashOf = (number: number): string => number.toString(16).padStart(64, '0');

let lastTicket = 0;

/** Asks, and says something if there is something to say; the hint, once what was said is synced. */
async function ask(
  world: World,
  flow: TestFlow,
  network: string,
  lowMs?: number,
): Promise<number | undefined> {
  const ticket = ++lastTicket;
  flow.send({
    kind: 'ask',
    ticket,
    question: { about: 'network', networkSha256: network, lowMs },
    qos: 0,
    packetId: 0,
  });
  await world.sync();
  const answer: Answer | undefined = flow.all('answered').find((event) => event.ticket === ticket)?.answer;
  assert(answer?.about === 'network');
  return answer.hintMs;
}

async function devices(world: World, count: number, options: OpenOptions = {}): Promise<TestFlow[]> {
  const flows: TestFlow[] = [];
  for (let number = 1; number <= count; number += 1) flows.push(await world.connect(`d${number}`, options));
  return flows;
}

describe('hints of networks', () => {
  test('[KA-22] three others have to have said something, and a device is no other', async () => {
    const world = new World();
    const [first, second, third, fourth] = (await devices(world, 4)) as [
      TestFlow,
      TestFlow,
      TestFlow,
      TestFlow,
    ];
    assert.equal(await ask(world, first, HOME, 300_000), undefined);
    assert.equal(await ask(world, second, HOME, 400_000), undefined);
    assert.equal(await ask(world, third, HOME, 500_000), undefined, 'two others');
    assert.equal(await ask(world, fourth, HOME), 300_000, 'three others');
    assert.equal(await ask(world, fourth, HOME, 200_000), 300_000, 'not its own');
    assert.equal(await ask(world, first, HOME), 200_000);
    assert.equal(await ask(world, fourth, CAFE), undefined, 'of another network nothing is known');
    // One value for each: the newer one counts.
    assert.equal(await ask(world, fourth, HOME, 900_000), 300_000);
    assert.equal(await ask(world, first, HOME), 400_000);
  });

  test('[KA-22] the hint is the 5th percentile', async () => {
    const world = new World(1, { limits: { networkDevicesMax: 60 } });
    const flows = await devices(world, 42);
    for (const [index, flow] of flows.slice(0, 41).entries())
      await ask(world, flow, HOME, 1_000 * (index + 1));
    // Of 41 others the third least: 2.05 of them are at most 5 in a hundred.
    assert.equal(await ask(world, flows[41]!, HOME), 3_000);
  });

  test('[KA-22] it is on disk before it is answered, and there after a crash', async () => {
    const world = new World();
    const flows = await devices(world, 3);
    for (const flow of flows) {
      flow.send({
        kind: 'ask',
        ticket: 900,
        question: { about: 'network', networkSha256: HOME, lowMs: 300_000 },
        qos: 1,
        packetId: 1,
      });
      assert.equal(flow.all('answered').length, 0);
      assert.equal(flow.all('accepted').length, 0);
      await world.sync();
      assert.equal(flow.all('answered').length, 1);
      assert.equal(flow.all('accepted')[0]?.reason, undefined);
    }
    assert.equal(world.store.size('network'), 1);
    await world.crash(false);
    const asker = await world.connect('asker');
    assert.equal(await ask(world, asker, HOME), 300_000);
    assert.equal((await world.statistics()).networks, 1);
  });

  test('[KA-22] what could not be written was not said', async () => {
    const world = new World();
    const flows = await devices(world, 5);
    for (const flow of flows.slice(0, 3)) await ask(world, flow, HOME, 300_000);
    const [, , , fourth, asker] = flows as [TestFlow, TestFlow, TestFlow, TestFlow, TestFlow];
    fourth.send({
      kind: 'ask',
      ticket: 901,
      question: { about: 'network', networkSha256: HOME, lowMs: 60_000 },
      qos: 0,
      packetId: 0,
    });
    world.failCommit();
    assert.deepEqual(fourth.all('answered').at(-1)?.answer, { about: 'refused', reason: 'storage-failed' });
    assert.equal(await ask(world, asker, HOME), 300_000);
  });

  test('[KA-22] the same word again is not written again within a day', async () => {
    const world = new World();
    const [flow] = await devices(world, 1);
    await ask(world, flow!, HOME, 300_000);
    await world.settle();
    const said = (lowMs: number): boolean => {
      flow!.send({
        kind: 'ask',
        ticket: ++lastTicket,
        question: { about: 'network', networkSha256: HOME, lowMs },
        qos: 0,
        packetId: 0,
      });
      return world.changes?.some(({ table }) => table === 'network') === true;
    };
    assert.equal(said(300_000), false);
    assert.equal(said(310_000), true);
    await world.sync();
    world.advance(DAY_MS);
    await world.settle();
    assert.equal(said(310_000), true);
  });

  test('[KA-22] after seven days it counts no more, and is forgotten', async () => {
    const world = new World();
    const flows = await devices(world, 4, { expirySeconds: 0xffff_ffff });
    for (const flow of flows) await ask(world, flow, HOME, 300_000);
    world.advance(6 * DAY_MS);
    await ask(world, flows[0]!, HOME, 310_000);
    assert.equal(await ask(world, flows[0]!, HOME), 300_000);
    world.advance(DAY_MS);
    assert.equal(await ask(world, flows[3]!, HOME), undefined, 'one is fresh');
    await world.settle();
    assert.equal(world.store.size('network'), 1);
    world.advance(6 * DAY_MS);
    await world.settle();
    assert.equal(world.store.size('network'), 0);
    assert.equal((await world.statistics()).networks, 0);
  });

  test('[KA-22] a device that keeps nothing is told, and not remembered', async () => {
    const world = new World();
    for (const flow of await devices(world, 4, { expirySeconds: 0 })) {
      assert.equal(await ask(world, flow, HOME, 1_000), undefined);
    }
    assert.equal(world.store.size('network'), 0);
    for (let number = 11; number <= 13; number += 1) {
      await ask(world, await world.connect(`kept${number}`), HOME, 300_000);
    }
    assert.equal(await ask(world, await world.connect('guest', { expirySeconds: 0 }), HOME, 1_000), 300_000);
    assert.equal(await ask(world, await world.connect('asker'), HOME), 300_000);
  });

  test('[KA-22] networks, their devices, and networks of one device are bounded', async () => {
    const world = new World(1, { limits: { networksMax: 5, networkDevicesMax: 4, networksPerDeviceMax: 3 } });
    const flows = await devices(world, 6);
    for (const [index, flow] of flows.entries()) await ask(world, flow, HOME, 100_000 * (index + 1));
    // The words of the first two have made room.
    assert.equal(await ask(world, flows[0]!, HOME), 300_000);
    const [first, second] = flows as [TestFlow, TestFlow];
    for (let number = 1; number <= 10; number += 1) await ask(world, first, hashOf(number), 60_000);
    assert.equal(
      (await world.statistics()).networks,
      4,
      'three of the first device, and the one of the others',
    );
    for (let number = 20; number <= 22; number += 1) await ask(world, second, hashOf(number), 60_000);
    assert.equal((await world.statistics()).networks, 5);
    assert.equal(world.store.size('network'), 5);
    await world.crash(true);
    assert.equal((await world.statistics()).networks, 5);
  });
});

/** What a commit would have ended and then fails: it waits again, in its place, and nobody is told otherwise. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Urgency } from '../../src/domain/index.js';
import { agent, push, pushTo, register, statusOf } from './push-world.js';
import { World } from './world.js';
import type { TestFlow } from './world.js';

const failed = async (world: World, flow: TestFlow): Promise<void> => {
  const { ended, dropped } = { ended: world.timeline.length, dropped: flow.events.length };
  world.failCommit();
  assert.equal(flow.all('accepted').at(-1)?.reason, 'storage-failed');
  assert(flow.events.length > dropped);
  assert.equal(world.timeline.length, ended, 'of what failed nothing is told');
  await world.sync();
};

async function away(limits: object = {}): Promise<{ world: World; sender: TestFlow }> {
  const world = new World(1, { limits });
  (await world.subscriber('d', 't/#')).close();
  return { world, sender: await world.connect('s') };
}

describe('[IN-19] when the commit of a message fails, what it would have ended waits again', () => {
  test('a message that it would have replaced, which can then be replaced', async () => {
    const { world, sender } = await away();
    sender.publish('t/1', 'old', { replaceKey: 'k' });
    sender.publish('t/2', 'between');
    await world.sync();
    sender.publish('t/1', 'lost', { replaceKey: 'k' });
    await failed(world, sender);
    assert.equal((await world.statistics()).endedReplaced, 0);
    const device = await world.connect('d', { receiveMaximum: 1 });
    assert.deepEqual(device.bodies, ['old']);
    device.close();
    // It was sent: it is not replaced any more. Another one is.
    sender.publish('t/3', 'older', { replaceKey: 'k' });
    await world.sync();
    sender.publish('t/3', 'lost', { replaceKey: 'k' });
    await failed(world, sender);
    sender.publish('t/3', 'newer', { replaceKey: 'k' });
    await world.sync();
    assert.equal((await world.statistics()).endedReplaced, 1);
    assert.deepEqual((await world.connect('d')).bodies, ['old', 'between', 'newer']);
  });

  test('also when it was in the batch behind the one that failed', async () => {
    const { world, sender } = await away();
    sender.publish('t/1', 'old', { replaceKey: 'k' });
    await world.sync();
    sender.publish('t/2', 'fails');
    sender.publish('t/1', 'behind', { replaceKey: 'k' });
    await failed(world, sender);
    assert.deepEqual((await world.connect('d')).bodies, ['old']);
  });

  test('the oldest of a full inbox, of whatever urgency, in their order', async () => {
    const { world, sender } = await away({ inboxMessagesMax: 4 });
    for (const [body, urgency] of [
      ['a', Urgency.normal],
      ['b', Urgency.low],
      ['c', Urgency.normal],
      ['d', Urgency.low],
    ] as const)
      sender.publish('t/1', body, { urgency });
    await world.sync();
    for (const body of ['e', 'f', 'g']) sender.publish('t/1', body);
    await failed(world, sender);
    assert.equal((await world.statistics()).endedDropped, 0);
    sender.publish('t/1', 'h');
    await world.sync();
    assert.deepEqual(
      (await world.connect('d')).bodies,
      ['a', 'c', 'd', 'h'],
      'b was the oldest of the lowest',
    );
  });

  test('a message that is to expire, at its time', async () => {
    const { world, sender } = await away();
    sender.publish('t/1', 'old', { replaceKey: 'k', expirySeconds: 5 });
    await world.sync();
    sender.publish('t/1', 'lost', { replaceKey: 'k', expirySeconds: 50 });
    world.advance(5_000);
    await failed(world, sender);
    world.advance(1_000);
    assert.equal((await world.statistics()).endedExpired, 1);
    assert.deepEqual((await world.connect('d')).bodies, []);
  });

  test('over a kill: what is on disk is what was in memory', async () => {
    const { world, sender } = await away();
    sender.publish('t/1', 'old', { replaceKey: 'k' });
    sender.publish('t/2', 'other');
    await world.sync();
    sender.publish('t/1', 'lost', { replaceKey: 'k' });
    await failed(world, sender);
    await world.settle();
    await world.crash(false);
    assert.deepEqual((await world.connect('d')).bodies, ['old', 'other']);
  });

  test('but not in a session that has ended since, nor of a device that was removed', async () => {
    for (const end of ['session', 'device'] as const) {
      const { world, sender } = await away();
      sender.publish('t/1', 'old', { replaceKey: 'k' });
      await world.sync();
      sender.publish('t/1', 'lost', { replaceKey: 'k' });
      if (end === 'device') world.ask({ kind: 'delete-device', deviceId: 'd' });
      else world.open('d', { clean: true });
      await failed(world, sender);
      const device = await world.subscriber('d', 't/#');
      assert.deepEqual(device.bodies, []);
      await world.settle();
      assert.equal(world.store.size('log'), 0, 'nobody waits for anything');
    }
  });

  test('a push that its sender takes back, and those of a channel that is unregistered', async () => {
    const world = new World();
    const device = await agent(world, 'a');
    await register(world, device, 'c', '1');
    device.close();
    const { place, messageId } = await push(world, '1', 'one', { wantsReceipt: true });
    await push(world, '1', 'two', { replaceKey: 'k' });
    const tickets = [
      world.ask({ kind: 'delete-push', place }),
      world.ask({ ...pushTo('1', 'lost', { replaceKey: 'k' }) }),
    ];
    world.failCommit();
    for (const ticket of tickets) {
      const reply = world.replies.get(ticket);
      assert(reply?.kind === 'refused' && reply.reason === 'storage-failed');
    }
    assert.equal((await statusOf(world, messageId)).recipients[0]?.stage, 'stored');
    const again = await agent(world, 'b', 'a');
    assert.deepEqual(again.bodies, ['one', 'two']);
    again.close();
    const third = await agent(world, 'b', 'a');
    await push(world, '1', 'three');
    third.close();
    world.input({ kind: 'disk', appendsAllowed: true });
    assert.deepEqual(third.bodies, ['one', 'two', 'three']);
  });
});

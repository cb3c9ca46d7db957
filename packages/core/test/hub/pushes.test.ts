import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Identity } from '../../src/domain/index.js';
import { limits } from '../../src/base/index.js';
import { MessageWatchers } from '../../src/hub/message-watchers.js';
import { agent, hashOf, newId, push, pushTo, refusalOf, register, statusOf, watchOf } from './push-world.js';
import { World } from './world.js';

describe('pushes', () => {
  async function offline(): Promise<World> {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    flow.close();
    await world.settle();
    return world;
  }

  test('[PU-11] are answered when they are synced, and refused when they could not be', async () => {
    const world = await offline();
    const ticket = world.ask(pushTo('a', 'x'));
    assert.equal(world.replies.get(ticket), undefined);
    await world.sync();
    assert.equal(world.replies.get(ticket)?.kind, 'pushed');
    const failing = world.ask(pushTo('a', 'y'));
    world.failCommit();
    assert.deepEqual(world.replies.get(failing), {
      kind: 'refused',
      ticket: failing,
      reason: 'storage-failed',
    });
    await world.sync();
    assert.deepEqual((await agent(world, '2', '1')).bodies, ['x']);
  });

  test('[PU-12] one with a Topic replaces the undelivered one of its topic and channel', async () => {
    const world = await offline();
    await push(world, 'a', 'old', { replaceKey: 't' });
    await push(world, 'a', 'other', { replaceKey: 'u' });
    await push(world, 'a', 'new', { replaceKey: 't' });
    assert.deepEqual((await agent(world, '2', '1')).bodies, ['other', 'new']);
  });

  test('[PU-13] one that has expired is never delivered', async () => {
    const world = await offline();
    await push(world, 'a', 'short', { expirySeconds: 5 });
    await push(world, 'a', 'long', { expirySeconds: 500 });
    world.advance(6_000);
    assert.deepEqual((await agent(world, '2', '1')).bodies, ['long']);
  });

  test('[PU-14] TTL 0: to a device that is there, without a number, or to nobody', async () => {
    const world = await offline();
    const missed = await push(world, 'a', 'missed', { expirySeconds: 0, wantsReceipt: true });
    assert.equal(missed.place.sequence, 0);
    const flow = await agent(world, '2', '1');
    const there = await push(world, 'a', 'there', { expirySeconds: 0, wantsReceipt: true });
    assert.deepEqual([flow.bodies, flow.sequences], [['there'], [0]]);
    const stageOf = async (messageId: string | undefined): Promise<unknown> => {
      const [{ stage, reason }] = (await statusOf(world, messageId)).recipients;
      return [stage, reason];
    };
    assert.deepEqual(await stageOf(missed.messageId), [
      'expired',
      'the device was not there to take it at once',
    ]);
    assert.deepEqual(await stageOf(there.messageId), ['delivered', undefined]);
    const device = await world.connect('d');
    await register(world, device, 'news', 'b');
    await push(world, 'b', 'not subscribed', { expirySeconds: 0 });
    assert.deepEqual(device.bodies, []);
    await world.crash(false);
    assert.deepEqual((await agent(world, '3', '1')).bodies, []);
  });

  test('[PU-14] one with TTL 0 needs no room on a full disk, but its receipt does', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    world.input({ kind: 'disk', appendsAllowed: false });
    await push(world, 'a', 'now', { expirySeconds: 0 });
    assert.equal(await refusalOf(world, 'a', { expirySeconds: 0, wantsReceipt: true }), 'storage-full');
    assert.deepEqual(flow.bodies, ['now']);
  });

  test('[PU-15] are refused when the inbox is full', async () => {
    const world = new World(1, { limits: { inboxMessagesMax: 1 } });
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    flow.close();
    await push(world, 'a', 'x');
    assert.equal(await refusalOf(world, 'a'), 'inbox-full');
    world.input({ kind: 'drain' });
    assert.equal(await refusalOf(world, 'a'), 'draining');
  });

  test('[PU-16] may be taken back until they are acknowledged, by who knows their place', async () => {
    const world = await offline();
    const remove = async (place: object): Promise<string> => {
      const reply = await world.request({ kind: 'delete-push', place: { ...one.place, ...place } });
      return reply.kind === 'refused' ? reply.reason : reply.kind;
    };
    const one = await push(world, 'a', 'one', { wantsReceipt: true });
    const two = await push(world, 'a', 'two');
    assert.equal(await remove({ epoch: '0'.repeat(16) }), 'unknown-message');
    assert.equal(await remove({ deviceNumber: 99 }), 'unknown-message');
    assert.equal(await remove({ sequence: 99 }), 'unknown-message');
    assert.equal(await remove({}), 'done');
    assert.equal(await remove({}), 'unknown-message');
    const [{ stage, reason }] = (await statusOf(world, one.messageId)).recipients;
    assert.deepEqual([stage, reason], ['dropped', 'deleted by its sender']);
    await world.crash(false);
    const flow = await agent(world, '2', '1');
    assert.deepEqual(flow.bodies, ['two']);
    // Sent already: it is not sent again.
    assert.equal(await remove(two.place), 'done');
    flow.acknowledge(2);
    flow.close();
    assert.deepEqual((await agent(world, '3', '1')).bodies, []);
  });

  test('[PU-16] one that could not be taken back for good is told so', async () => {
    const world = await offline();
    const { place } = await push(world, 'a', 'one');
    const ticket = world.ask({ kind: 'delete-push', place });
    world.failCommit();
    assert.equal((world.replies.get(ticket) as { reason?: string }).reason, 'storage-failed');
  });

  test('[PU-16] that it has ended is told when that is on disk', async () => {
    const world = await offline();
    const { place } = await push(world, 'a', 'one');
    const tickets = [1, 2].map(() => world.ask({ kind: 'delete-push', place }));
    assert.deepEqual(
      tickets.map((ticket) => world.replies.get(ticket)),
      [undefined, undefined],
    );
    await world.sync();
    assert.deepEqual(
      tickets.map((ticket) => world.replies.get(ticket)?.kind),
      ['done', 'refused'],
    );
  });

  test('[PU-17] no receipt tells a stage that a crash would take back', async () => {
    const world = await offline();
    const { messageId } = await push(world, 'a', 'x', { wantsReceipt: true });
    const flow = await agent(world, '2', '1');
    await world.settle();
    flow.acknowledge(1);
    const tickets = [
      world.ask({ kind: 'get-message', messageId: messageId! }),
      world.ask(watchOf(messageId, { waitMs: 1_000 })),
    ];
    const stages = (): unknown[] =>
      tickets.map((ticket) => {
        const reply = world.replies.get(ticket);
        return reply?.kind === 'message' ? reply.message.recipients[0].stage : reply?.kind;
      });
    assert.deepEqual(stages(), [undefined, undefined]);
    await world.sync();
    assert.deepEqual(stages(), ['acknowledged', 'acknowledged']);
    await world.crash(false);
    assert.equal((await statusOf(world, messageId)).recipients[0].stage, 'acknowledged');
  });

  test('[PU-17] a receipt is told when its stage has changed and that is on disk', async () => {
    const world = await offline();
    const { messageId } = await push(world, 'a', 'x', { wantsReceipt: true });
    const watch = (knownStage: 'stored' | 'wake sent', waitMs = 20_000): number =>
      world.ask(watchOf(messageId, { knownStage, waitMs }));
    const stageOf = (ticket: number): unknown => {
      const reply = world.replies.get(ticket);
      return reply?.kind === 'message' ? reply.message.recipients[0].stage : reply?.kind;
    };
    const stored = watch('stored');
    await world.settle();
    assert.equal(stageOf(stored), undefined);
    const flow = await agent(world, '2', '1');
    await world.settle();
    assert.equal(stageOf(stored), 'wake sent');
    assert.equal(stageOf(watch('stored')), 'wake sent');
    const sent = watch('wake sent');
    flow.acknowledge(1);
    assert.equal(stageOf(sent), undefined);
    await world.settle();
    assert.equal(stageOf(sent), 'acknowledged');
  });

  test('[PU-17] who waits in vain is told the stage as it is, at the end of the wait or when the server leaves', async () => {
    const world = await offline();
    const { messageId } = await push(world, 'a', 'x', { wantsReceipt: true });
    const watch = (waitMs: number): number => world.ask(watchOf(messageId, { waitMs }));
    const short = watch(5_000);
    const long = watch(50_000);
    world.advance(6_000);
    assert.equal(world.replies.get(short)?.kind, 'message');
    assert.equal(world.replies.get(long), undefined);
    world.input({ kind: 'drain' });
    assert.equal(world.replies.get(long)?.kind, 'message');
    const unknown = await world.request(watchOf('0'.repeat(32)));
    assert.equal(unknown.kind, 'refused');
  });

  test('[PU-17] beyond their number, of all and of one address, who would wait is refused', async () => {
    const world = new World(1, { limits: { messageWatchersMax: 3, messageWatchersPerAddressMax: 2 } });
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    flow.close();
    const { messageId } = await push(world, 'a', 'x', { wantsReceipt: true });
    const watch = (addressKey: string, watchId = newId()): { watchId: string; ticket: number } => ({
      watchId,
      ticket: world.ask(watchOf(messageId, { addressKey, watchId })),
    });
    const isRefused = ({ ticket }: { ticket: number }): boolean => {
      const reply = world.replies.get(ticket);
      return reply?.kind === 'refused' && reply.reason === 'quota-exceeded';
    };
    const [first, second, third] = [watch('a'), watch('a'), watch('a')];
    assert.deepEqual([first, second, third].map(isRefused), [false, false, true]);
    assert.deepEqual([watch('b'), watch('c')].map(isRefused), [false, true], 'and of all');
    // Who leaves is answered, and makes room.
    assert.equal((await world.request({ kind: 'end-watch', watchId: first.watchId })).kind, 'done');
    assert.equal(world.replies.get(first.ticket)?.kind, 'message');
    assert.equal((await world.request({ kind: 'end-watch', watchId: first.watchId })).kind, 'done');
    assert.equal(isRefused(watch('a', second.watchId)), true, 'a name is used once');
    assert.equal(isRefused(watch('a')), false);
    assert.equal(isRefused(watch('c')), true);
    world.advance(9_000);
    await world.sync();
    assert.equal(world.replies.get(second.ticket)?.kind, 'message');
    assert.deepEqual([watch('a'), watch('a'), watch('a')].map(isRefused), [false, false, true]);
  });

  test('[PU-17] of those who come and leave nothing stays behind', () => {
    const watchers = new MessageWatchers({ ...limits, messageWatchersPerAddressMax: 5_000 });
    const ended: string[] = [];
    const add = (watchId: string): void => {
      const answer = (): void => void ended.push(watchId);
      assert(watchers.add({ messageId: 'm', watchId, addressKey: 'a', dueMs: 1_000, answer }));
    };
    for (let index = 0; index < 3_000; index++) add(`stays ${index}`);
    for (let index = 0; index < 20_000; index++) {
      add(`leaves ${index}`);
      watchers.end(`leaves ${index}`);
    }
    assert.equal(ended.length, 20_000);
    assert(watchers.deadlineCount <= 2 * 3_000 + 1, `${watchers.deadlineCount} deadlines for 3,000`);
    watchers.handleTimeout({ monotonic: 1_000, wall: 0 });
    assert.equal(ended.length, 23_000);
    assert.deepEqual([watchers.isEmpty, watchers.deadlineCount, watchers.nextMs], [true, 0, Infinity]);
  });

  test('[PU-18] one that the device can do nothing with has failed, and does not come again', async () => {
    const world = await offline();
    const { messageId } = await push(world, 'a', 'x', { wantsReceipt: true });
    const flow = await agent(world, '2', '1');
    flow.send({ kind: 'fail', sequence: 1, reason: 'could not be decrypted' });
    await world.settle();
    const [{ stage, reason }] = (await statusOf(world, messageId)).recipients;
    assert.deepEqual([stage, reason], ['failed', 'could not be decrypted']);
    assert.equal((await world.statistics()).endedFailed, 1);
    flow.close();
    assert.deepEqual((await agent(world, '3', '1')).bodies, []);
  });

  test('[PU-19] the key that seals URLs is made once for each store', async () => {
    const world = new World();
    const keyOf = async (): Promise<Uint8Array> => {
      const reply = await world.request({ kind: 'get-seal-key' });
      assert(reply.kind === 'seal-key');
      return new Uint8Array(reply.key);
    };
    const tickets = [world.ask({ kind: 'get-seal-key' }), world.ask({ kind: 'get-seal-key' })];
    await world.sync();
    const [one, two] = tickets.map((ticket) => world.replies.get(ticket) as { key: Uint8Array });
    assert.equal(one.key.length, 32);
    assert.deepEqual(one.key, two.key);
    await world.crash(false);
    assert.deepEqual(await keyOf(), one.key);
  });

  test('[PU-20] what is pushed waits behind a hub that went, and the line tells the next one', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    await push(world, 'a', 'one');
    const [{ deviceId, epoch }] = flow.all('opened');
    await world.crash(true);
    const identity: Identity = { kind: 'agent', sha256: undefined, freshSha256: hashOf('1') };
    world.resume(flow, { link: 'webpush', deviceId, epoch, identity, sent: [1] });
    await push(world, 'a', 'two');
    assert.deepEqual(flow.bodies, ['one', 'two']);
    await world.crash(true);
    const stranger: Identity = { kind: 'agent', sha256: undefined, freshSha256: hashOf('2') };
    world.resume(flow, { link: 'webpush', deviceId, epoch, identity: stranger });
    assert.deepEqual(flow.events.at(-1), { kind: 'end', reason: 'bad-credentials' });
  });
});

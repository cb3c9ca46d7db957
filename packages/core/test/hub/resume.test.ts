/** Connections that outlive their hub: taken up again without a word to the device. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { restoredKey } from '../../src/hub/hub-core.js';
import { World, publication } from './world.js';
import type { ResumeOptions, TestFlow } from './world.js';

/** What a line knows of a flow: from here on its events are those of the new hub. */
function keep(flow: TestFlow): { readonly deviceId: string; readonly epoch: Uint8Array } {
  const [opened] = flow.all('opened');
  assert(opened !== undefined);
  flow.events.length = 0;
  return { deviceId: opened.deviceId, epoch: opened.epoch };
}

/** The hub dies with everything synced; the connection is taken up at the next one. */
async function crashAndResume(
  world: World,
  flow: TestFlow,
  more: Partial<ResumeOptions> = {},
): Promise<void> {
  const kept = keep(flow);
  await world.sync();
  await world.crash(true);
  world.resume(flow, { ...kept, ...more });
}

describe('flows that outlive their hub', () => {
  test('[LI-1] an idle connection is taken up in silence, and gets what comes after', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    await crashAndResume(world, flow);
    await world.settle();
    assert.deepEqual(flow.events, []);
    const sender = await world.connect('s');
    sender.publish('t/x', 'after');
    await world.sync();
    assert.deepEqual(flow.bodies, ['after']);
    assert.equal(flow.deliveries[0]!.duplicate, false);
    const reply = await world.request({ kind: 'get-device', deviceId: 'd' });
    assert(reply.kind === 'device');
    assert.equal(reply.device.connected, true);
  });

  test('[LI-1] what came while the hub was away waits and is sent, once', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const kept = keep(flow);
    await world.crash(true);
    const sender = await world.connect('s');
    sender.publish('t/x', 'meanwhile');
    await world.sync();
    world.resume(flow, kept);
    await world.settle();
    assert.deepEqual(flow.bodies, ['meanwhile']);
  });

  test('[LI-2] what was sent and not acknowledged is not sent again, and its acknowledgement counts', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const sender = await world.connect('s');
    for (const body of ['one', 'two', 'three']) sender.publish('t/x', body);
    await world.sync();
    assert.deepEqual(flow.sequences, [1, 2, 3]);
    flow.acknowledge(2);
    await world.settle();
    await crashAndResume(world, flow, { sent: [1, 3], lastSequence: 3 });
    await world.settle();
    assert.deepEqual(flow.events, []);
    flow.acknowledge(3);
    flow.acknowledge(1);
    assert.equal((await world.statistics()).waitingMessages, 0);
    const next = await world.connect('s');
    next.publish('t/x', 'four');
    await world.sync();
    assert.deepEqual(flow.sequences, [4]);
  });

  test('[LI-2] what was sent counts against the window', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1, { receiveMaximum: 2 });
    const sender = await world.connect('s');
    for (const body of ['one', 'two', 'three']) sender.publish('t/x', body);
    await world.sync();
    assert.deepEqual(flow.sequences, [1, 2]);
    await crashAndResume(world, flow, { sent: [1, 2], lastSequence: 2, receiveMaximum: 2 });
    await world.settle();
    assert.deepEqual(flow.events, []);
    flow.acknowledge(1);
    assert.deepEqual(flow.sequences, [3]);
    assert.equal(flow.deliveries[0]!.duplicate, false);
  });

  test('[LI-2] a message to the device itself is under way as before, too', async () => {
    const world = new World();
    const flow = await world.subscriber('d', '$line/inbox/#', 1);
    await world.request(world.sendTo('d', 'hello'));
    assert.deepEqual(flow.sequences, [1]);
    await crashAndResume(world, flow, { sent: [1], lastSequence: 1 });
    await world.settle();
    assert.deepEqual(flow.events, []);
    flow.acknowledge(1);
    assert.equal((await world.statistics()).waitingMessages, 0);
  });

  test('[LI-2] an older message waits until what is under way has come to an end, for the sake of packet ids', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    await world.request(world.sendTo('d', 'older'));
    const sender = await world.connect('s');
    sender.publish('t/x', 'newer');
    await world.sync();
    assert.deepEqual(flow.sequences, [2]);
    await crashAndResume(world, flow, { sent: [2], lastSequence: 2 });
    flow.subscribe('$line/inbox/#', 1);
    await world.sync();
    assert.deepEqual(flow.sequences, []);
    flow.acknowledge(2);
    assert.deepEqual(flow.sequences, [1]);
  });

  test('[LI-3] an acknowledgement that the old hub had not written is told again, and its message stays away', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const sender = await world.connect('s');
    sender.publish('t/x', 'one');
    sender.publish('t/x', 'two');
    await world.sync();
    flow.acknowledge(1);
    await crashAndResume(world, flow, { sent: [2], acknowledged: [1], lastSequence: 2 });
    await world.settle();
    assert.deepEqual(flow.events, []);
    assert.equal((await world.statistics()).waitingMessages, 1);
    await world.settle();
    await world.crash(true);
    assert.equal((await world.statistics()).waitingMessages, 1, 'the acknowledgement is on disk now');
  });

  test('[LI-3] QoS 2: a PUBREL that is out is not repeated, a completion is not forgotten', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 2);
    const sender = await world.connect('s');
    for (const id of [1, 2, 3]) sender.publish('t/x', `${id}`, { qos: 2 }, id);
    await world.sync();
    for (const sequence of [1, 2, 3]) flow.send({ kind: 'received', sequence });
    await world.sync();
    assert.equal(flow.all('release').length, 3);
    flow.send({ kind: 'complete', sequence: 1 });
    // The third `release` never reached the line.
    await crashAndResume(world, flow, { released: [2], completed: [1], lastSequence: 3 });
    assert.deepEqual(flow.events, [{ kind: 'release', sequence: 3 }]);
    flow.send({ kind: 'complete', sequence: 2 }, { kind: 'complete', sequence: 3 });
    await world.settle();
    await world.crash(true);
    const again = await world.connect('d');
    assert.deepEqual(again.all('opened')[0]!.released, []);
  });

  test('[LI-4] a session that lived in memory is gone, and its connection is ended', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1, { expirySeconds: 0 });
    await crashAndResume(world, flow);
    assert.deepEqual(flow.events, [{ kind: 'end', reason: 'session-lost' }]);
    flow.publish('t/x', 'crossed the end');
    assert.equal(flow.events.length, 1);
  });

  test('[LI-4] under another epoch the connection is ended: a backup was restored', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const kept = keep(flow);
    await world.settle();
    await world.store.commit([{ table: 'meta', key: restoredKey, value: new Uint8Array(1) }]);
    await world.crash(true);
    world.resume(flow, kept);
    assert.deepEqual(flow.events, [{ kind: 'end', reason: 'session-lost' }]);
  });

  test('[LI-4] a device that is back by another connection, or has another credential, keeps that', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const kept = keep(flow);
    await world.sync();
    await world.crash(true);
    const newer = await world.connect('d');
    world.resume(flow, kept);
    assert.deepEqual(flow.events, [{ kind: 'end', reason: 'session-taken-over' }]);
    assert.deepEqual(newer.all('end'), []);
    newer.close();
    const tokenSha256 = 'ab'.repeat(32);
    await world.request({
      kind: 'put-device',
      deviceId: 'd',
      tokenSha256,
      access: { publish: ['#'], subscribe: ['#'] },
    });
    flow.events.length = 0;
    world.resume(flow, kept);
    assert.deepEqual(flow.events, [{ kind: 'end', reason: 'bad-credentials' }]);
    flow.events.length = 0;
    world.resume(flow, { ...kept, identity: { kind: 'token', sha256: tokenSha256 } });
    assert.deepEqual(flow.events, []);
  });

  test('[LI-4] a hub that leaves takes nobody up', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const kept = keep(flow);
    await world.crash(true);
    world.input({ kind: 'drain' });
    world.resume(flow, kept);
    assert.deepEqual(flow.events, [{ kind: 'end', reason: 'draining' }]);
  });

  test('[LI-5] the will of a connection that was taken up is not published, then or later', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will', 1);
    const will = { publication: publication('will', 'gone'), delaySeconds: 0 };
    const flow = await world.connect('d', { will });
    const kept = keep(flow);
    const watching = keep(watcher);
    await world.sync();
    await world.crash(true);
    world.resume(watcher, watching);
    world.resume(flow, kept);
    world.advance(60_000);
    await world.settle();
    assert.deepEqual(watcher.events, []);
    flow.close(true);
    await world.settle();
    assert.deepEqual(watcher.bodies, ['gone']);
  });

  test('[LI-5] a connection that the server lost leaves the device time before its will', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will', 1);
    const will = { publication: publication('will', 'gone'), delaySeconds: 0 };
    const flow = await world.connect('d', { will });
    flow.send({ kind: 'close', publishWill: 'after-grace', sessionExpirySeconds: undefined });
    world.advance(29_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, []);
    await world.connect('d', { will });
    world.advance(31_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, [], 'it came back in time');
  });

  test('[LI-5] … and publishes it when the device does not come', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will', 1);
    const will = { publication: publication('will', 'gone'), delaySeconds: 0 };
    const flow = await world.connect('d', { will });
    flow.send({ kind: 'close', publishWill: 'after-grace', sessionExpirySeconds: undefined });
    world.advance(30_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['gone']);
  });

  test('[LI-1] a device that said it is asleep is still asleep', async () => {
    const world = new World();
    const flow = await world.subscriber('d', 't/#', 1);
    const state = { activity: 'asleep', windowMs: undefined, network: 'home' } as const;
    flow.send({ kind: 'state', state, qos: 0, packetId: 0 });
    await crashAndResume(world, flow, { state });
    const sender = await world.connect('s');
    sender.publish('t/x', 'low', { urgency: 1 }, 1);
    await world.sync();
    assert.deepEqual(flow.bodies, []);
    sender.publish('t/x', 'normal', {}, 2);
    await world.sync();
    assert.deepEqual(flow.bodies, ['low', 'normal']);
  });
});

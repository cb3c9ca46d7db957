import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { decodePushHeaders, openAccess } from '../../src/domain/index.js';
import type { Identity } from '../../src/domain/index.js';
import {
  KEY,
  OTHER_KEY,
  agent,
  hashOf,
  push,
  pushTo,
  refusalOf,
  register,
  registeredReasons,
  statusOf,
  topics,
  unregister,
} from './push-world.js';
import { World, publication } from './world.js';

describe('user agents', () => {
  test('[PU-1] one without a channel is not kept, and one with a channel is', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    const [opened] = flow.all('opened');
    assert.equal(opened.deviceId, `agent-${'1'.repeat(32)}`);
    assert.equal(opened.sessionPresent, false);
    assert.equal(world.store.size('device') + world.store.size('cursor'), 0);
    flow.close();
    await world.settle();
    const again = await agent(world, '2', '1');
    assert.equal(again.all('opened')[0].deviceId, `agent-${'2'.repeat(32)}`);
    await register(world, again, 'news', 'a');
    assert.deepEqual(registeredReasons(again), [undefined]);
    assert.equal(world.store.size('device'), 1);
    again.close();
    await world.settle();
    const back = await agent(world, '3', '2');
    assert.deepEqual(back.all('opened')[0].epoch, again.all('opened')[0].epoch);
    assert.equal(back.all('opened')[0].sessionPresent, true);
  });

  test('[PU-1] one that comes back by two connections at once has the newer one, with or without channels', async () => {
    const world = new World();
    const bare = await agent(world, '1');
    const second = await agent(world, '2', '1');
    assert.deepEqual(bare.events.at(-1), { kind: 'end', reason: 'session-taken-over' });
    assert.equal(second.all('opened')[0].deviceId, `agent-${'2'.repeat(32)}`);
    await register(world, second, 'news', 'a');
    const third = await agent(world, '3', '2');
    assert.deepEqual(second.events.at(-1), { kind: 'end', reason: 'session-taken-over' });
    assert.equal(third.all('opened')[0].sessionPresent, true);
  });

  test('[PU-1] its last channel takes it along, at once or when it leaves', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    await unregister(world, flow, 'news');
    assert.equal(world.store.size('device'), 1);
    flow.close();
    await world.settle();
    assert.equal(world.store.size('device') + world.store.size('cursor'), 0);
    const other = await agent(world, '2');
    await register(world, other, 'news', 'b');
    other.close();
    await world.settle();
    const ended = await world.request({
      kind: 'end-endpoint',
      deviceId: `agent-${'2'.repeat(32)}`,
      endpointId: 'b'.repeat(16),
    });
    assert.equal(ended.kind, 'done');
    await world.settle();
    assert.equal(world.store.size('device'), 0);
    assert.equal(await refusalOf(world, 'b'), 'endpoint-ended');
  });

  test('[PU-1] a commit that fails leaves nothing of the first channel, and the agent has to come again', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    flow.send({
      kind: 'register',
      ticket: 1,
      channel: 'news',
      tokenSha256: hashOf('a'),
      vapidKey: undefined,
      qos: 0,
      packetId: 0,
    });
    world.failCommit();
    assert.deepEqual(flow.events.at(-1), { kind: 'end', reason: 'storage-failed' });
    await world.settle();
    assert.equal(await refusalOf(world, 'a'), 'unknown-endpoint');
    assert.equal((await agent(world, '2', '1')).all('opened')[0].sessionPresent, false);
    assert.equal(world.store.size('endpoint'), 0);
  });

  test('[PU-1] one that was away too long is forgotten, and its senders hear so', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    flow.close();
    await world.settle();
    world.advance(limits.agentExpirySeconds * 1000 + 60_000);
    await world.settle();
    assert.equal(world.store.size('device'), 0);
    assert.equal(await refusalOf(world, 'a'), 'endpoint-ended');
  });

  test('[PU-2] nobody comes in under the id of another', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    const id = flow.all('opened')[0].deviceId;
    const thief = await world.connect(id);
    assert.deepEqual(thief.events, [{ kind: 'refused', reason: 'bad-credentials' }]);
    const bare = await agent(world, '2');
    const other = await world.connect(bare.all('opened')[0].deviceId);
    assert.deepEqual(other.events, [{ kind: 'refused', reason: 'bad-credentials' }]);
    // A device's token is no secret of a user agent.
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: hashOf('9'), access: openAccess });
    assert.equal((await agent(world, '3', '9')).all('opened')[0].deviceId, `agent-${'3'.repeat(32)}`);
  });

  test('[PU-3] the same inbox over MQTT: same epoch, same numbers, nothing lost', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    await push(world, 'a', 'one');
    assert.deepEqual(flow.sequences, [1]);
    const identity: Identity = { kind: 'token', sha256: hashOf('1') };
    const byMqtt = await world.subscriber('', '$line/inbox/#', 1, { identity, expirySeconds: 0 });
    assert.deepEqual(byMqtt.all('opened')[0].epoch, flow.all('opened')[0].epoch);
    assert.deepEqual(byMqtt.sequences, [1]);
    assert.equal(byMqtt.deliveries[0].duplicate, true);
    byMqtt.acknowledge(1);
    byMqtt.close(false, 0);
    await push(world, 'a', 'two');
    const back = await agent(world, '2', '1');
    assert.equal(back.all('opened')[0].sessionPresent, true);
    assert.deepEqual(back.sequences, [2]);
  });

  test('[PU-4] it gets its channels and nothing else', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    const id = flow.all('opened')[0].deviceId;
    await world.request(world.sendTo(id, 'not a channel of it'));
    const identity: Identity = { kind: 'token', sha256: hashOf('1') };
    await world.subscriber('', 'topic', 1, { identity });
    const back = await agent(world, '2', '1');
    const sender = await world.connect('sender');
    sender.publish('topic', 'by topic');
    sender.publish('topic', 'at once', { qos: 0 });
    await world.sync();
    await push(world, 'a', 'for it');
    assert.deepEqual(back.bodies, ['for it']);
    assert.deepEqual(topics(back), ['$line/inbox/news']);
    assert.deepEqual(decodePushHeaders(back.deliveries[0].properties), {
      encoding: 'aes128gcm',
      encryption: undefined,
      cryptoKey: undefined,
    });
  });

  test('[PU-4] one agent gets and acknowledges nothing of another', async () => {
    const world = new World();
    const one = await agent(world, '1');
    const two = await agent(world, '2');
    await register(world, one, 'same', 'a');
    await register(world, two, 'same', 'b');
    const pushed = await push(world, 'a', 'for one', { wantsReceipt: true });
    two.acknowledge(1);
    two.send({ kind: 'fail', sequence: 1, reason: 'x' });
    await unregister(world, two, 'same');
    await world.settle();
    assert.deepEqual(two.bodies, []);
    assert.equal((await statusOf(world, pushed.messageId)).recipients[0].stage, 'wake sent');
    assert.equal(await refusalOf(world, 'a'), 'pushed');
    assert.equal(await refusalOf(world, 'b'), 'endpoint-ended');
  });

  test('[PU-5] a channel that is unregistered ends with what waits in it', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    await register(world, flow, 'mail', 'b');
    flow.send({ kind: 'writable', writable: false });
    const { messageId } = await push(world, 'a', 'gone', { wantsReceipt: true });
    await push(world, 'b', 'stays');
    await unregister(world, flow, 'news');
    assert.deepEqual(flow.all('unregistered').at(-1), {
      kind: 'unregistered',
      ticket: 2,
      reason: undefined,
      found: true,
    });
    flow.send({ kind: 'writable', writable: true });
    assert.deepEqual(flow.bodies, ['stays']);
    const [recipient] = (await statusOf(world, messageId)).recipients;
    assert.deepEqual([recipient.stage, recipient.reason], ['dropped', 'channel was unregistered']);
    await unregister(world, flow, 'news');
    assert.equal(flow.all('unregistered').at(-1)!.found, false);
  });

  test('[PU-5] a channel that is registered again has a new endpoint, and what waits stays', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    flow.close();
    await push(world, 'a', 'waits');
    const back = await agent(world, '2', '1');
    await register(world, back, 'news', 'b');
    assert.deepEqual(back.bodies, ['waits']);
    assert.deepEqual(
      [await refusalOf(world, 'a'), await refusalOf(world, 'b')],
      ['endpoint-ended', 'pushed'],
    );
  });
});

describe('endpoints', () => {
  test('[PU-6] outlive the server, and so does what is known of ended ones', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a', { vapidKey: KEY });
    await register(world, flow, 'mail', 'b');
    await unregister(world, flow, 'mail');
    await push(world, 'a', 'waits', { vapidKey: KEY });
    await world.crash(false);
    assert.deepEqual(
      [await refusalOf(world, 'a'), await refusalOf(world, 'a', { vapidKey: OTHER_KEY })],
      ['vapid-required', 'vapid-key-wrong'],
    );
    assert.equal(await refusalOf(world, 'b'), 'endpoint-ended');
    assert.equal(await refusalOf(world, 'c'), 'unknown-endpoint');
    const back = await agent(world, '2', '1');
    assert.deepEqual(back.bodies, ['waits']);
    assert.equal((await world.statistics()).endpoints, 1);
  });

  test('[PU-6] a sender is told that one has ended when that is on disk, and not when it could not be stored', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    const end = { kind: 'unregister', ticket: 2, channel: 'news', qos: 0, packetId: 0 } as const;
    flow.send(end);
    const failing = world.ask(pushTo('a', 'x'));
    assert.equal(world.replies.get(failing), undefined);
    world.failCommit();
    assert.equal((world.replies.get(failing) as { reason?: string }).reason, 'storage-failed');
    assert.equal(await refusalOf(world, 'a'), 'pushed');
    flow.send(end);
    assert.equal(await refusalOf(world, 'a'), 'endpoint-ended');
  });

  test('[PU-6] an agent that had no channel when the server died is not there after it', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    await unregister(world, flow, 'news');
    await world.crash(false);
    await world.settle();
    assert.equal(world.store.size('device'), 0);
    assert.equal((await agent(world, '2', '1')).all('opened')[0].sessionPresent, false);
  });

  test('[PU-7] an ended one is remembered for its time and number', async () => {
    const world = new World(1, { limits: { endedEndpointsMax: 2 } });
    const flow = await agent(world, '1');
    for (const token of ['a', 'b', 'c', 'd']) await register(world, flow, 'news', token);
    const answers = async (): Promise<string[]> => {
      const all: string[] = [];
      for (const token of ['a', 'b', 'c', 'd']) all.push(await refusalOf(world, token));
      return all;
    };
    const expected = ['unknown-endpoint', 'endpoint-ended', 'endpoint-ended', 'pushed'];
    assert.deepEqual(await answers(), expected);
    await world.crash(false);
    assert.deepEqual(await answers(), expected);
    world.advance(limits.endedEndpointMsMax + 60_000);
    await world.settle();
    assert.deepEqual(await answers(), ['unknown-endpoint', 'unknown-endpoint', 'unknown-endpoint', 'pushed']);
    assert.equal(world.store.size('endpoint'), 1);
  });

  test('[PU-7] those of a removed device have ended', async () => {
    const world = new World();
    const flow = await world.connect('d');
    await register(world, flow, 'news', 'a');
    await world.request({ kind: 'delete-device', deviceId: 'd' });
    assert.equal(await refusalOf(world, 'a'), 'endpoint-ended');
    await world.crash(false);
    assert.equal(await refusalOf(world, 'a'), 'endpoint-ended');
  });

  test('[PU-8] of any device that is kept: its channel is a channel of its inbox', async () => {
    const world = new World();
    const flow = await world.subscriber('d', '$line/inbox/#');
    await register(world, flow, 'news', 'a', { qos: 1, packetId: 9 });
    assert.deepEqual(registeredReasons(flow), [undefined]);
    assert.equal(flow.all('accepted')[0].reason, undefined);
    await push(world, 'a', 'hello');
    assert.deepEqual(topics(flow), ['$line/inbox/news']);
    await unregister(world, flow, 'news');
    await world.request(world.sendTo('d', 'still a channel', {}));
    assert.deepEqual(flow.bodies, ['hello', 'still a channel']);
    const brief = await world.connect('brief', { expirySeconds: 0, clean: true });
    await register(world, brief, 'news', 'b', { qos: 2, packetId: 9 });
    assert.deepEqual(registeredReasons(brief), ['device-not-durable']);
    assert.equal(brief.all('accepted')[0].reason, undefined);
  });

  test('[PU-8] one asked for twice with the same QoS 2 id is made anew: who asks has no answer', async () => {
    const world = new World();
    const flow = await world.connect('d');
    await register(world, flow, 'news', 'a', { qos: 2, packetId: 9 });
    await register(world, flow, 'news', 'b', { qos: 2, packetId: 9, ticket: 5 });
    assert.deepEqual(registeredReasons(flow), [undefined, undefined]);
    assert.equal(flow.all('accepted').length, 2);
    assert.deepEqual(
      [await refusalOf(world, 'a'), await refusalOf(world, 'b')],
      ['endpoint-ended', 'pushed'],
    );
  });

  test('[PU-28] whether there is an endpoint is told by its token alone, and an end when it is on disk', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a', { vapidKey: KEY });
    const find = (token: string): number => world.ask({ kind: 'find-endpoint', tokenSha256: hashOf(token) });
    const answerOf = (ticket: number): string | undefined => {
      const reply = world.replies.get(ticket);
      return reply?.kind === 'refused' ? reply.reason : reply?.kind;
    };
    assert.deepEqual([answerOf(find('a')), answerOf(find('b'))], ['done', 'unknown-endpoint']);
    flow.send({ kind: 'unregister', ticket: 2, channel: 'news', qos: 0, packetId: 0 });
    const early = find('a');
    assert.equal(answerOf(early), undefined);
    await world.sync();
    assert.equal(answerOf(early), 'endpoint-ended');
    world.input({ kind: 'drain' });
    assert.equal(answerOf(find('a')), 'draining');
  });

  test('[PU-9] the addresses of one /64 share what one address has', async () => {
    const world = new World(1, { limits: { registersPerAddressMax: 2 } });
    const reasonOf = async (number: string, peer: string): Promise<string | undefined> => {
      const flow = await agent(world, number, undefined, peer);
      await register(world, flow, 'x', number);
      return registeredReasons(flow).at(-1);
    };
    assert.equal(await reasonOf('1', '[2001:db8::1]:1'), undefined);
    assert.equal(await reasonOf('2', '[2001:db8:0:0:2::2]:1'), undefined);
    assert.equal(await reasonOf('3', '[2001:db8:0:0:3::]:1'), 'quota-exceeded');
    assert.equal(await reasonOf('4', '[2001:db8:0:1::1]:1'), undefined, 'another host');
  });

  test('[PU-9] bounds: channels of a device, endpoints of all, registers of an address', async () => {
    const world = new World(1, {
      limits: { channelsPerDeviceMax: 2, endpointsMax: 3, registersPerAddressMax: 5 },
    });
    const one = await agent(world, '1', undefined, '192.0.2.1:1');
    for (const [channel, token] of [
      ['a', '4'],
      ['b', '5'],
      ['c', '6'],
      ['b', '7'],
    ])
      await register(world, one, channel, token);
    assert.deepEqual(registeredReasons(one), [undefined, undefined, 'channels-full', undefined]);
    const two = await agent(world, '2', undefined, '192.0.2.1:2');
    for (const [channel, token] of [
      ['a', '8'],
      ['b', '9'],
    ])
      await register(world, two, channel, token);
    assert.deepEqual(registeredReasons(two), [undefined, 'quota-exceeded']);
    await unregister(world, one, 'a');
    await register(world, two, 'b', 'd');
    await register(world, two, 'b', 'e');
    assert.deepEqual(registeredReasons(two).slice(2), [undefined, 'quota-exceeded']);
    const elsewhere = await agent(world, '3', undefined, '[2001:db8::1]:1');
    await unregister(world, one, 'b');
    await register(world, elsewhere, 'a', 'f');
    assert.deepEqual(registeredReasons(elsewhere), [undefined]);
    world.advance(61_000);
    await register(world, two, 'b', 'c');
    assert.equal(registeredReasons(two).at(-1), undefined);
  });

  test('[PU-9] what is no channel and no key is refused', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    for (const channel of ['', 'a/b', '+', '#', 'a\u0000', 'x'.repeat(129)])
      await register(world, flow, channel, 'a');
    await register(world, flow, 'news', 'a', { vapidKey: 'BAAA' });
    assert.deepEqual(registeredReasons(flow), [...Array<string>(6).fill('channel-invalid'), 'key-invalid']);
  });

  test('[PU-9] on a full disk no channel is registered, and one may be given up', async () => {
    const world = new World();
    const flow = await agent(world, '1');
    await register(world, flow, 'news', 'a');
    world.input({ kind: 'disk', appendsAllowed: false });
    await register(world, flow, 'mail', 'b');
    assert.deepEqual(registeredReasons(flow), [undefined, 'storage-full']);
    assert.equal(await refusalOf(world, 'a'), 'storage-full');
    await unregister(world, flow, 'news');
    assert.equal(flow.all('unregistered')[0].reason, undefined);
  });

  test('[PU-10] are listed and ended by their ids, which are no capabilities', async () => {
    const world = new World();
    const flow = await world.connect('d');
    await register(world, flow, 'news', 'a', { vapidKey: KEY });
    const listed = await world.request({ kind: 'list-endpoints', deviceId: 'd' });
    assert(listed.kind === 'endpoints');
    const [endpoint] = listed.endpoints;
    assert.deepEqual(endpoint, {
      endpointId: 'a'.repeat(16),
      channel: 'news',
      vapidKey: KEY,
      createdMs: world.now.wall,
    });
    const end = async (deviceId: string, endpointId: string): Promise<string> => {
      const reply = await world.request({ kind: 'end-endpoint', deviceId, endpointId });
      return reply.kind === 'refused' ? reply.reason : reply.kind;
    };
    await world.connect('e');
    assert.equal(await end('x', 'a'.repeat(16)), 'unknown-device');
    assert.equal(await end('e', 'a'.repeat(16)), 'unknown-endpoint');
    assert.equal(await end('d', 'a'), 'unknown-endpoint');
    assert.equal(await end('d', 'a'.repeat(16)), 'done');
    assert.equal(await refusalOf(world, 'a'), 'endpoint-ended');
  });
});

test('what a device publishes below $line is never for others', async () => {
  const world = new World();
  const other = await world.subscriber('other', '#');
  const flow = await world.connect('d');
  flow.publish('$line/endpoint/news', 'x');
  flow.send({ kind: 'publish', publication: publication('$line/inbox/news', 'x'), packetId: 2 });
  await world.sync();
  assert.deepEqual(
    flow.all('accepted').map(({ reason }) => reason),
    ['not-authorized', 'not-authorized'],
  );
  assert.deepEqual(other.bodies, []);
});

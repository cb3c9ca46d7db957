import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { Urgency } from '../../src/domain/index.js';
import { webPushLimits } from '../../src/session/webpush/index.js';
import { Agent, push, stageOf, textOf } from './agent.js';
import { TestServer } from './exchange.js';

const channel = '11111111-1111-4111-8111-111111111111';
const otherChannel = '22222222-2222-4222-8222-222222222222';

/** Names of the devices that the hub knows. */
async function deviceIds(server: TestServer): Promise<string[]> {
  const reply = await server.request({ kind: 'list-devices', after: undefined, count: 100 });
  assert(reply.kind === 'devices');
  return reply.devices.map(({ deviceId }) => deviceId);
}

function rowsOf(server: TestServer, table: 'device' | 'cursor'): number {
  return [...server.store.scan(table)].length;
}

describe('a user agent', () => {
  test('[WP-1] an unknown uaid gets a new one, whatever it is; a known one is taken up', async () => {
    const server = new TestServer();
    const first = await Agent.connect(server, 'f'.repeat(32));
    assert.match(first.uaid, /^[0-9a-f]{32}$/);
    assert.notEqual(first.uaid, 'f'.repeat(32));
    await first.register(channel);
    await first.vanish();
    assert.equal((await Agent.connect(server, first.uaid)).uaid, first.uaid);
    await server.restart();
    assert.equal((await Agent.connect(server, first.uaid)).uaid, first.uaid);
  });

  test('[WP-18] without a channel nothing of it is stored, and its uaid ends with the connection', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    assert.equal((await deviceIds(server)).length, 1);
    assert.equal(rowsOf(server, 'device'), 0);
    await agent.vanish();
    assert.deepEqual(await deviceIds(server), []);
    assert.notEqual((await Agent.connect(server, agent.uaid)).uaid, agent.uaid);
  });

  test('[WP-18] the first channel stores it; the last one that is ended takes it away with the connection', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    await agent.register(channel);
    assert.deepEqual([rowsOf(server, 'device'), rowsOf(server, 'cursor')], [1, 1]);
    await agent.send({ messageType: 'unregister', channelID: channel, code: 200 });
    await agent.vanish();
    await server.run();
    assert.deepEqual([rowsOf(server, 'device'), rowsOf(server, 'cursor')], [0, 0]);
    assert.deepEqual(await deviceIds(server), []);
  });

  test('[WP-18] nor is one found that had no channel when the server died', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    await agent.register(channel);
    await agent.send({ messageType: 'unregister', channelID: channel, code: 200 });
    await server.restart();
    assert.deepEqual(await deviceIds(server), []);
    assert.notEqual((await Agent.connect(server, agent.uaid)).uaid, agent.uaid);
  });

  test('[WP-18] one that stays away is forgotten with its channels', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    await agent.vanish();
    await server.advance(limits.agentExpirySeconds * 1000 + 1);
    assert.deepEqual(await deviceIds(server), []);
    assert.match(await push(server, endpoint, 'a'), /^(endpoint-ended|unknown-endpoint)$/);
  });

  test('[WP-4] a second connection with the same uaid takes over the first, with a channel or without', async () => {
    for (const hasChannel of [true, false]) {
      const server = new TestServer();
      const first = await Agent.connect(server);
      if (hasChannel) {
        const endpoint = await first.register(channel);
        await push(server, endpoint, 'unacknowledged');
        assert.equal(first.take().length, 1);
      }
      const second = await Agent.connect(server, first.uaid);
      assert.equal(first.closed, 'session-taken-over');
      assert.equal(second.closed, undefined);
      if (!hasChannel) continue;
      assert.equal(second.uaid, first.uaid);
      assert.deepEqual(second.take().map(textOf), ['unacknowledged']);
    }
  });
});

describe('notifications', () => {
  test('[WP-9] what is not acknowledged comes again with the same version, after a crash too, until it is', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    const id = await push(server, endpoint, 'hello');
    const [first] = agent.take();
    assert.equal(textOf(first!), 'hello');
    await agent.vanish();
    const again = await Agent.connect(server, agent.uaid);
    const [second] = again.take();
    assert.deepEqual(second, first);
    await server.restart();
    const third = await Agent.connect(server, agent.uaid);
    const [repeat] = third.take();
    assert.deepEqual(repeat, first);
    assert.deepEqual(await stageOf(server, id), ['wake sent', undefined]);
    await third.ack(channel, repeat!.version);
    assert.deepEqual(await stageOf(server, id), ['acknowledged', undefined]);
    await third.vanish();
    assert.deepEqual((await Agent.connect(server, agent.uaid)).take(), []);
  });

  test('[WP-9] until their time to live is over', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    await agent.vanish();
    const id = await push(server, endpoint, 'short', { expirySeconds: 10 });
    await server.advance(12_000);
    assert.deepEqual((await Agent.connect(server, agent.uaid)).take(), []);
    assert.equal((await stageOf(server, id))[0], 'expired');
  });

  test('[WP-10] no more are under way than a connection may have; each ack brings the next', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    await agent.vanish();
    const count = webPushLimits.notificationsInflightMax + 2;
    for (let index = 0; index < count; index += 1) await push(server, endpoint, `${index}`);
    const back = await Agent.connect(server, agent.uaid);
    const batch = back.take();
    assert.equal(batch.length, webPushLimits.notificationsInflightMax);
    const next = await back.ack(channel, batch.at(-1)!.version);
    assert.deepEqual(next.map(textOf), [`${count - 2}`]);
    const updates = batch.slice(0, -1).map(({ version }) => ({ channelID: channel, version }));
    assert.deepEqual((await back.send({ messageType: 'ack', updates })).map(textOf), [`${count - 1}`]);
  });

  test('[WP-11] acks and nacks with a reason are told to the sender as failed', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    const ids: string[] = [];
    for (const body of ['a', 'b', 'c', 'd']) ids.push(await push(server, endpoint, body));
    const [a, b, c, d] = agent.take().map(({ version }) => version);
    await agent.ack(channel, a, 101);
    await agent.ack(channel, b, 102);
    // Firefox acknowledges what it hands to the application, and complains when that fails.
    await agent.ack(channel, c, 100);
    await agent.send({ messageType: 'nack', version: c, code: 301 });
    await agent.send({ messageType: 'nack', version: d, code: 302 });
    const stages = [];
    for (const id of ids) stages.push(await stageOf(server, id));
    assert.deepEqual(stages, [
      ['failed', 'the device could not decrypt it'],
      ['failed', 'the device could not hand it to the application'],
      ['failed', 'the application threw an exception'],
      ['failed', 'the application rejected it'],
    ]);
    await agent.vanish();
    assert.deepEqual((await Agent.connect(server, agent.uaid)).take(), []);
  });

  test('[WP-11] a repeat that the device had before counts as acknowledged', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const id = await push(server, await agent.register(channel), 'a');
    await agent.vanish();
    const again = await Agent.connect(server, agent.uaid);
    await again.ack(channel, again.take()[0]!.version, 102);
    assert.deepEqual(await stageOf(server, id), ['acknowledged', undefined]);
  });

  test('[WP-7] what waits in a channel ends with it, and nothing comes from it', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const [endpoint, other] = [await agent.register(channel), await agent.register(otherChannel)];
    await agent.vanish();
    const id = await push(server, endpoint, 'a');
    await push(server, other, 'b');
    const back = await Agent.connect(server, agent.uaid);
    assert.deepEqual(back.take().map(textOf), ['a', 'b']);
    const [answer] = await back.send({ messageType: 'unregister', channelID: channel, code: 200 });
    assert.equal(answer?.status, 200);
    assert.deepEqual(await stageOf(server, id), ['dropped', 'channel was unregistered']);
    assert.match(await push(server, endpoint, 'c'), /^endpoint-ended$/);
    await back.vanish();
    assert.deepEqual((await Agent.connect(server, agent.uaid)).take().map(textOf), ['b']);
  });

  test('[WP-6] more channels than a device may have: status 400', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const idOf = (index: number): string => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
    for (let index = 0; index < limits.channelsPerDeviceMax; index += 1) await agent.register(idOf(index));
    const [answer] = await agent.send({ messageType: 'register', channelID: otherChannel });
    assert.deepEqual([answer?.status, answer?.pushEndpoint], [400, '']);
    assert.equal(agent.closed, undefined);
  });

  test('[WP-17] what is less urgent than the device wants waits for what is not, or for its own word', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    await agent.send({ messageType: 'urgency', min: 'high' });
    await push(server, endpoint, 'low', { urgency: Urgency.low });
    await push(server, endpoint, 'normal');
    assert.deepEqual(agent.take(), []);
    await push(server, endpoint, 'high', { urgency: Urgency.high });
    assert.deepEqual(agent.take().map(textOf), ['low', 'normal', 'high']);
    await push(server, endpoint, 'normal again');
    assert.deepEqual(agent.take(), []);
    const [answer, ...rest] = await agent.send({ messageType: 'urgency', min: 'very-low' });
    assert.deepEqual([answer?.messageType, answer?.status], ['urgency', 200]);
    assert.deepEqual(rest.map(textOf), ['normal again']);
    await push(server, endpoint, 'low again', { urgency: Urgency.low });
    assert.deepEqual(agent.take().map(textOf), ['low again']);
  });
});

describe('[WP-19] a device on both links', () => {
  test('from the push WebSocket to MQTT and back it loses nothing, and repeats keep their numbers', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    const endpoint = await agent.register(channel);
    const [id] = await deviceIds(server);
    for (const body of ['1', '2', '3', '4', '5']) await push(server, endpoint, body);
    const [one, two] = agent.take();
    await agent.ack(channel, one!.version);
    await agent.vanish();

    const password = new TextEncoder().encode(agent.uaid);
    const client = await server.resume(4, id!, { username: id, password });
    const answers = await client.subscribe('$line/inbox/#');
    const publications = answers.filter((packet) => packet.type === 'publish');
    assert.deepEqual(
      publications.map(({ payload, packetId, dup }) => [Buffer.from(payload).toString(), packetId, dup]),
      [
        ['2', 2, true],
        ['3', 3, true],
        ['4', 4, true],
        ['5', 5, true],
      ],
    );
    assert.equal(Buffer.from(publications[0]!.topic).toString(), `$line/inbox/${channel}`);
    await client.send({ type: 'puback', packetId: 3, reasonCode: 0, properties: {} });
    await server.request({
      kind: 'send-to-device',
      deviceId: id!,
      channel: 'of-its-own',
      idempotency: undefined,
      message: {
        body: new Uint8Array(1),
        properties: new Uint8Array(0),
        qos: 1,
        expirySeconds: undefined,
        urgency: Urgency.normal,
        replaceKey: undefined,
      },
    });
    await push(server, endpoint, '7');
    await client.vanish();

    const back = await Agent.connect(server, agent.uaid);
    const frames = back.take();
    assert.deepEqual(frames.map(textOf), ['2', '4', '5', '7'], 'other channels are not for this link');
    assert.equal(frames[0]!.version, two!.version);
    assert.deepEqual(
      frames.map(({ version }) => version!.split('.')[1]),
      ['2', '4', '5', '7'],
    );
    await back.vanish();
    const last = await server.resume(4, id!, { username: id, password });
    const left = (await last.messages()).map(({ payload }) => Buffer.from(payload).toString());
    assert.deepEqual(left, ['2', '4', '5', '\0', '7']);
  });

  test('what it subscribes to by MQTT waits while it is on the other link', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    await agent.register(channel);
    const [id] = await deviceIds(server);
    await agent.vanish();
    const password = new TextEncoder().encode(agent.uaid);
    const client = await server.resume(4, id!, { username: id, password });
    await client.subscribe('news/#');
    await client.vanish();
    const back = await Agent.connect(server, agent.uaid);
    const sender = await server.connect(4, 'sender');
    await sender.publish('news/today', 'a', { qos: 1, packetId: 1 });
    await sender.publish('news/today', 'b', { qos: 0 });
    assert.deepEqual(back.take(), []);
    await back.vanish();
    const again = await server.resume(4, id!, { username: id, password });
    assert.deepEqual(
      (await again.messages()).map(({ payload }) => Buffer.from(payload).toString()),
      ['a'],
    );
  });

  test('the id alone opens nothing: neither by MQTT without the secret nor as a uaid', async () => {
    const server = new TestServer();
    const agent = await Agent.connect(server);
    await agent.register(channel);
    const [id] = await deviceIds(server);
    const client = server.accept(4);
    const { connectPacket } = await import('../session/mqtt/harness.js');
    const [connack] = await client.send(connectPacket(4, { clientId: id! }));
    assert.deepEqual([connack?.type, connack?.type === 'connack' && connack.reasonCode], ['connack', 4]);
    const other = await Agent.connect(server, id);
    assert.notEqual(other.uaid, id);
    assert.equal(agent.closed, undefined);
  });
});

describe('[WP-12] one device can never read, acknowledge or learn of the messages of another', () => {
  test("another's version, channel and uaid do nothing", async () => {
    const server = new TestServer();
    const victim = await Agent.connect(server);
    const endpoint = await victim.register(channel);
    const id = await push(server, endpoint, 'secret');
    const [notification] = victim.take();
    const thief = await Agent.connect(server);
    // The same channel id is another channel.
    const own = await thief.register(channel);
    assert.notEqual(own, endpoint);
    for (const code of [100, 101, 102])
      assert.deepEqual(await thief.ack(channel, notification!.version, code), []);
    assert.deepEqual(
      await thief.send({ messageType: 'nack', version: notification!.version, code: 301 }),
      [],
    );
    // The number alone, under the thief's own epoch.
    await push(server, own, 'own');
    const [ownNotification] = thief.take();
    assert.equal(textOf(ownNotification!), 'own');
    assert.notEqual(ownNotification!.version!.split('.')[0], notification!.version!.split('.')[0]);
    await thief.send({ messageType: 'unregister', channelID: channel, code: 200 });
    assert.deepEqual(await stageOf(server, id), ['wake sent', undefined]);
    assert.match(await push(server, endpoint, 'still'), /^[0-9a-f]{32}$/);
    assert.deepEqual(victim.take().map(textOf), ['still']);
    assert.deepEqual(thief.take(), []);
    await victim.vanish();
    const back = await Agent.connect(server, victim.uaid);
    assert.deepEqual(back.take().map(textOf), ['secret', 'still']);
  });

  test('the answer to another uaid tells nothing of whether there is such a device', async () => {
    const server = new TestServer();
    const victim = await Agent.connect(server);
    await victim.register(channel);
    const guess = victim.uaid.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    const near = await Agent.connect(server, guess);
    const far = await Agent.connect(server, 'x');
    for (const agent of [near, far]) {
      assert.match(agent.uaid, /^[0-9a-f]{32}$/);
      assert.notEqual(agent.uaid, victim.uaid);
      assert.deepEqual(agent.take(), []);
    }
    assert.equal(victim.closed, undefined);
  });
});

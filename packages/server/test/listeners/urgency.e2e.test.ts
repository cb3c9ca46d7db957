import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import {
  connackBytes,
  connectClient,
  connectPacket,
  encode,
  Inbox,
  listener,
  RawClient,
  startTestServer,
} from './harness.js';

const listeners = [listener('mqtt'), listener('http')];

describe('a device that says it is asleep', () => {
  for (const protocolVersion of [4, 5] as const) {
    it(`[DE-15] MQTT version ${protocolVersion}: low urgency comes with its own ping, and is shown meanwhile`, async (t) => {
      const server = await startTestServer(t, { listeners });
      const device = await connectClient(t, server.url('mqtt'), {
        clientId: 'phone',
        protocolVersion,
        keepalive: 0,
      });
      const inbox = new Inbox(device);
      await device.subscribeAsync('news/#', { qos: 1 });
      for (const qos of [0, 1, 2] as const) {
        await device.publishAsync('$line/state', '{"state":"asleep","window":0,"network":"home"}', { qos });
      }
      const sender = await connectClient(t, server.url('mqtt'), { protocolVersion: 5 });
      const properties = { userProperties: { urgency: 'low' } };
      await sender.publishAsync('news/low', 'later', { qos: 1, properties });
      const shown = (await (await fetch(`${server.url('http')}/v1/devices/phone`)).json()) as object;
      const { activity, windowMs, network, waitingMessages, inflightMessages } = shown as Record<
        string,
        unknown
      >;
      assert.deepEqual(
        [activity, windowMs, network, waitingMessages, inflightMessages],
        ['asleep', 0, 'home', 1, 0],
      );
      assert.deepEqual(inbox.messages, []);
      device.sendPing();
      assert.deepEqual(await inbox.take(1), [{ topic: 'news/low', text: 'later', qos: 1 }]);
      await sender.publishAsync('news/low', 'later still', { qos: 1, properties });
      await sender.publishAsync('news/now', 'now', { qos: 1 });
      assert.deepEqual(
        (await inbox.take(2)).map(({ text }) => text),
        ['later still', 'now'],
      );
      const metrics = await (await fetch(`${server.url('http')}/metrics`)).text();
      assert.match(metrics, /^wakeline_wakes_sent_normal_total 1$/m);
      assert.match(metrics, /^wakeline_wakes_natural_total 1$/m);
    });
  }

  it('[DE-16] what waits comes with the wake in one write', async (t) => {
    const server = await startTestServer(t, { listeners });
    const device = await RawClient.connect(t, server.port('mqtt'));
    device.socket.write(connectPacket('phone'));
    assert.deepEqual(await device.take(4), connackBytes);
    const subscriptions = [{ topic: 'news/#', qos: 1 as const }];
    device.socket.write(encode({ cmd: 'subscribe', messageId: 1, subscriptions } as never));
    await device.take(5);
    const state = {
      cmd: 'publish',
      topic: '$line/state',
      payload: '{"state":"asleep"}',
      qos: 1,
      messageId: 2,
    };
    device.socket.write(encode({ ...state, dup: false, retain: false } as never));
    assert.equal((await device.take(4)).toString('hex'), '40020002');
    const sender = await connectClient(t, server.url('mqtt'), { protocolVersion: 5 });
    const properties = { userProperties: { urgency: 'low' } };
    for (let index = 0; index < 20; index += 1)
      await sender.publishAsync('news/a', 'low', { qos: 1, properties });
    const chunks: Buffer[] = [];
    device.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const first = once(device.socket, 'data');
    await sender.publishAsync('news/b', 'now', { qos: 1 });
    await first;
    assert.equal(chunks.length, 1);
    assert.equal(chunks[0]!.toString('latin1').split('news/a').length - 1, 20);
    assert.ok(chunks[0]!.toString('latin1').endsWith('now'));
  });
});

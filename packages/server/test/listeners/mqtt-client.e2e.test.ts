import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openAccess } from '@wakeline/core/domain';
import mqtt from 'mqtt';
import type { ListenerProtocol } from '../../src/config/config.js';
import { hashPassword } from '../../src/config/password.js';
import { connectClient, Inbox, listener, startTestServer } from './harness.js';
import type { TestServer } from './harness.js';

const all = (['mqtt', 'mqtts', 'http', 'https'] as const).map((protocol) => listener(protocol));

/** The URL an MQTT client uses: WebSockets where the listener is HTTP. */
function clientUrl(server: TestServer, protocol: ListenerProtocol): string {
  const url = server.url(protocol);
  return protocol.startsWith('http') ? `${url.replace('http', 'ws')}/mqtt` : url;
}

describe('the mqtt client over every listener', () => {
  for (const protocol of ['mqtt', 'mqtts', 'http', 'https'] as const) {
    for (const protocolVersion of [4, 5] as const) {
      it(`[MQTT5 4.2.0-1] [MQTT3 7.1.1-1] ${protocol}, MQTT version ${protocolVersion}: QoS 0, 1 and 2, a large message, ping`, async (t) => {
        const server = await startTestServer(t, { listeners: all });
        const options = { protocolVersion, rejectUnauthorized: false };
        const url = clientUrl(server, protocol);
        const receiver = await connectClient(t, url, { ...options, clientId: 'receiver' });
        const sender = await connectClient(t, url, { ...options, clientId: 'sender' });
        const inbox = new Inbox(receiver);
        await receiver.subscribeAsync('news/#', { qos: 2 });
        for (const qos of [0, 1, 2] as const) {
          await sender.publishAsync(`news/${qos}`, `with ${qos}`, { qos });
          assert.deepEqual(await inbox.take(1), [{ topic: `news/${qos}`, text: `with ${qos}`, qos }]);
        }
        const large = 'x'.repeat(600_000);
        await sender.publishAsync('news/large', large, { qos: 1 });
        assert.equal((await inbox.take(1))[0]!.text, large);
        const pong = new Promise((resolve) =>
          receiver.on('packetreceive', ({ cmd }) => cmd === 'pingresp' && resolve(0)),
        );
        receiver.sendPing();
        await pong;
      });
    }
  }

  it('a device that was away gets what was sent meanwhile, in order, also after a restart', async (t) => {
    const first = await startTestServer(t);
    const device = { clientId: 'sleeper', clean: false, protocolVersion: 4 } as const;
    const awake = await connectClient(t, first.url('mqtt'), device);
    await awake.subscribeAsync('orders', { qos: 1 });
    await awake.endAsync();
    const sender = await connectClient(t, first.url('mqtt'));
    for (let index = 0; index < 50; index += 1) await sender.publishAsync('orders', `${index}`, { qos: 1 });
    await sender.endAsync();
    await first.server.stop();
    const second = await startTestServer(t, { dataDirectory: first.dataDirectory });
    const client = mqtt.connect(second.url('mqtt'), {
      ...device,
      reconnectPeriod: 0,
    });
    t.after(() => client.endAsync(true));
    const texts = (await new Inbox(client).take(50)).map(({ text }) => text);
    assert.deepEqual(
      texts,
      Array.from({ length: 50 }, (_, index) => `${index}`),
    );
  });

  it('a backlog of large messages is delivered, though it is more than a socket takes', async (t) => {
    const server = await startTestServer(t);
    const device = { clientId: 'sleeper', clean: false, protocolVersion: 4 } as const;
    const awake = await connectClient(t, server.url('mqtt'), device);
    await awake.subscribeAsync('large', { qos: 1 });
    await awake.endAsync();
    const sender = await connectClient(t, server.url('mqtt'));
    for (let index = 0; index < 40; index += 1) {
      await sender.publishAsync('large', Buffer.alloc(1_000_000, index), { qos: 1 });
    }
    const client = mqtt.connect(server.url('mqtt'), { ...device, reconnectPeriod: 0 });
    t.after(() => client.endAsync(true));
    const messages = await new Inbox(client).take(40);
    assert.equal(
      messages.every(({ text }, index) => text.length === 1_000_000 && text.charCodeAt(0) === index),
      true,
    );
  });

  it('a message over HTTP reaches a device on MQTT, and its peer is shown', async (t) => {
    const server = await startTestServer(t, { listeners: all });
    const device = await connectClient(t, server.url('mqtt'), { clientId: 'phone', clean: false });
    const inbox = new Inbox(device);
    await device.subscribeAsync('$line/inbox/#', { qos: 1 });
    const sent = await fetch(`${server.url('http')}/v1/devices/phone/messages`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'over HTTP',
    });
    assert.equal(sent.status, 201);
    assert.equal((await inbox.take(1))[0]!.text, 'over HTTP');
    const detail = await fetch(`${server.url('http')}/v1/devices/phone`);
    const { connected, peer } = (await detail.json()) as { connected: boolean; peer: string };
    assert.equal(connected, true);
    assert.match(peer, /^127\.0\.0\.1:\d+$/);
  });

  it('a new connection of the same device takes over', async (t) => {
    const server = await startTestServer(t);
    const first = await connectClient(t, server.url('mqtt'), { clientId: 'one', protocolVersion: 5 });
    const taken = new Promise<number | undefined>((resolve) =>
      first.on('disconnect', ({ reasonCode }) => resolve(reasonCode)),
    );
    await connectClient(t, server.url('mqtt'), { clientId: 'one', protocolVersion: 5 });
    assert.equal(await taken, 0x8e);
  });

  it('devices with tokens and users with passwords are let in, and nobody else', async (t) => {
    const passwordScrypt = await hashPassword('correct horse');
    const users = [{ name: 'ann', passwordScrypt, access: openAccess }];
    const server = await startTestServer(t, { listeners: all, anonymousDevices: false, users });
    const url = server.url('mqtt');
    const put = await fetch(`${server.url('http')}/v1/devices/phone`, { method: 'PUT' });
    const { token } = (await put.json()) as { token: string };
    const phone = { clientId: 'phone', username: 'phone', password: token };
    await connectClient(t, url, phone);
    const ann = { clientId: 'ann-laptop', username: 'ann', password: 'correct horse' };
    await connectClient(t, url, ann);
    for (const options of [
      { clientId: 'phone' },
      { ...phone, password: `${token.slice(0, -1)}_` },
      { ...phone, clientId: 'other' },
      { ...ann, password: 'wrong' },
      { ...ann, clientId: 'phone' },
      { ...ann, username: 'bob', clientId: 'bob' },
    ]) {
      for (const protocolVersion of [4, 5] as const) {
        await assert.rejects(connectClient(t, url, { ...options, protocolVersion }), JSON.stringify(options));
      }
    }
  });
});

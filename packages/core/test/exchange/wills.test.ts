/** Wills: when they are published, and how. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../src/base/index.js';
import { encodeApplicationProperties, type WillFields } from '../../src/wire/mqtt/index.js';
import { summary } from '../session/mqtt/harness.js';
import { lasting, publishesIn, TestServer, textsOf, type Client } from './exchange.js';

const versions = [4, 5] as const;

function will(fields: Partial<WillFields> = {}): WillFields {
  return {
    topic: 'will/d',
    payload: encodeUtf8('gone'),
    qos: 1,
    retain: false,
    delaySeconds: 0,
    messageExpirySeconds: undefined,
    properties: new Uint8Array(0),
    ...fields,
  };
}

async function watcherOf(server: TestServer, version: 4 | 5): Promise<Client> {
  const watcher = await server.connect(version, 'watcher', { keepAliveSeconds: 0 });
  await watcher.subscribe('will/#', 2);
  return watcher;
}

describe('a will is published', () => {
  const ends: readonly (readonly [string, (server: TestServer, client: Client) => Promise<unknown>])[] = [
    ['when the network fails', (_, client) => client.vanish()],
    ['when nothing comes in time', (server) => server.advance(90_000)],
    ['when a packet is malformed', (_, client) => client.sendBytes(Uint8Array.of(0, 0))],
    ['when another connection takes over', (server, { version }) => server.connect(version, 'd')],
  ];
  for (const [title, end] of ends) {
    test(`[MQTT5 3.1.2-7, 3.1.2-8] [MQTT3 3.1.2-8] ${title}`, async () => {
      for (const version of versions) {
        const server = new TestServer();
        const watcher = await watcherOf(server, version);
        const client = await server.connect(version, 'd', { will: will() });
        assert.deepEqual(watcher.take(), []);
        await end(server, client);
        const [message, ...more] = await watcher.messages();
        assert.deepEqual(
          [message?.topic, textsOf([message!]), message?.qos, more],
          ['will/d', ['gone'], 1, []],
        );
      }
    });
  }

  test('[MQTT5 3.1.2-10] [MQTT3 3.1.2-10] once: it is gone with the connection it came with', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const watcher = await watcherOf(server, version);
      const first = await server.resume(version, 'd', { will: will() });
      await first.vanish();
      assert.equal((await watcher.messages()).length, 1);
      await (await server.resume(version, 'd')).vanish();
      await server.advance(10_000);
      assert.deepEqual(watcher.take(), []);
    }
  });

  test('[MQTT3 3.1.2-12] but not where CONNECT had none', async () => {
    const server = new TestServer();
    const watcher = await watcherOf(server, 4);
    await (await server.connect(4, 'd')).vanish();
    assert.deepEqual(watcher.take(), []);
  });

  test('[MQTT5 3.1.2-8, 3.1.2-10, 3.14.4-3] [MQTT3 3.1.2-8, 3.1.2-10, 3.14.4-3] but not after a normal DISCONNECT, now or later', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const watcher = await watcherOf(server, version);
      await (await server.resume(version, 'd', { will: will() })).leave();
      await (await server.resume(version, 'd')).vanish();
      await server.advance(10_000);
      assert.deepEqual(watcher.take(), []);
    }
  });

  test('[MQTT5 3.1.2-8] after DISCONNECT with another reason', async () => {
    const server = new TestServer();
    const watcher = await watcherOf(server, 5);
    await (await server.connect(5, 'd', { will: will() })).leave(0x04);
    assert.deepEqual(textsOf(await watcher.messages()), ['gone']);
  });

  test('[MQTT5 3.1.2-8] when its delay is over, or the session if that is sooner', async () => {
    for (const [delaySeconds, sessionExpirySeconds, dueMs] of [
      [20, 3_600, 20_000],
      [3_600, 20, 20_000],
      [3_600, 0, 0],
    ] as const) {
      const server = new TestServer();
      const watcher = await watcherOf(server, 5);
      const fields = lasting(5, { will: will({ delaySeconds }), properties: { sessionExpirySeconds } });
      await (await server.connect(5, 'd', fields)).vanish();
      if (dueMs > 0) {
        await server.advance(dueMs - 1);
        assert.deepEqual(watcher.take(), []);
        await server.advance(1);
      }
      assert.deepEqual(textsOf(await watcher.messages()), ['gone']);
    }
  });

  test('[MQTT5 3.1.2-8] at once when a clean start ends the session before the delay does', async () => {
    const server = new TestServer();
    const watcher = await watcherOf(server, 5);
    await (await server.resume(5, 'd', { will: will({ delaySeconds: 20 }) })).vanish();
    await server.connect(5, 'd', { clean: true });
    assert.deepEqual(textsOf(await watcher.messages()), ['gone']);
  });

  test('[MQTT5 3.1.2-8, 3.1.2-10] over a restart of the server, once', async () => {
    const server = new TestServer();
    const before = await server.resume(5, 'watcher', { keepAliveSeconds: 0 });
    await before.subscribe('will/#');
    await server.resume(5, 'd', { will: will({ delaySeconds: 20 }) });
    await server.restart();
    const watcher = await server.resume(5, 'watcher', { keepAliveSeconds: 0 });
    for (let minute = 0; minute < 10; minute += 1) await server.advance(60_000);
    assert.deepEqual(textsOf(await watcher.messages()), ['gone']);
  });

  test('[MQTT5 3.1.2-8, 3.1.3-9] not when another connection takes over, and the will has a delay', async () => {
    const server = new TestServer();
    const watcher = await watcherOf(server, 5);
    await server.resume(5, 'd', { will: will({ delaySeconds: 20 }) });
    const second = await server.resume(5, 'd', { keepAliveSeconds: 0 });
    await server.advance(60_000);
    assert.deepEqual([watcher.take(), second.closed], [[], undefined]);
  });

  test('[MQTT5 3.1.2-8, 3.1.3-9] not when the client is back before the delay is over', async () => {
    const server = new TestServer();
    const watcher = await watcherOf(server, 5);
    await (await server.resume(5, 'd', { will: will({ delaySeconds: 20 }) })).vanish();
    await server.advance(19_000);
    const back = await server.resume(5, 'd', { keepAliveSeconds: 0 });
    await server.advance(60_000);
    await back.leave();
    assert.deepEqual(watcher.take(), []);
  });
});

test('[MQTT5 3.1.2-14] [MQTT3 3.1.2-16] without will retain it is not retained', async () => {
  for (const version of versions) {
    const server = new TestServer();
    await (await server.connect(version, 'd', { will: will({ retain: false }) })).vanish();
    const packets = await (await server.connect(version, 'late')).subscribe('will/#');
    assert.deepEqual(summary({ packets }), [['suback', [1]]]);
  }
});

test('[MQTT5 3.1.2-15] [MQTT3 3.1.2-9, 3.1.2-17] with will retain it is retained, with its QoS', async () => {
  for (const version of versions) {
    for (const qos of [0, 1, 2] as const) {
      const server = new TestServer();
      await (await server.connect(version, 'd', { will: will({ retain: true, qos }) })).vanish();
      const late = await server.connect(version, 'late');
      const [message] = publishesIn(await late.subscribe('will/#', 2));
      assert.deepEqual([message?.retain, message?.qos, textsOf([message!])], [true, qos, ['gone']]);
    }
  }
});

test('[MQTT5 3.1.3-10] the user properties of a will keep their order', async () => {
  const properties = encodeApplicationProperties({
    userProperties: [
      ['b', '1'],
      ['a', '2'],
      ['b', '1'],
      ['', '3'],
    ],
  });
  const server = new TestServer();
  const watcher = await watcherOf(server, 5);
  await (await server.connect(5, 'd', { will: will({ properties }) })).vanish();
  assert.deepEqual((await watcher.messages())[0]?.properties, properties);
});

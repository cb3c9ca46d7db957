/** CONNECT, CONNACK and the life of sessions, in packets. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ConnectPacket, Packet, ProtocolVersion } from '../../src/wire/mqtt/index.js';
import { connectPacket, encode, publishPacket, summary } from '../session/mqtt/harness.js';
import { lasting, publishesIn, TestServer, textsOf, wrongPassword } from './exchange.js';

const versions = [4, 5] as const;

/** CONNACK of a connect, whatever it says. */
async function connackOf(
  server: TestServer,
  version: ProtocolVersion,
  fields: Partial<ConnectPacket>,
): Promise<Packet & { type: 'connack' }> {
  const [connack] = await server.accept(version).send(connectPacket(version, fields));
  assert(connack?.type === 'connack');
  return connack;
}

describe('sessions', () => {
  test('[MQTT5 3.1.2-4, 3.1.4-4, 3.2.2-2] [MQTT3 3.1.2-6, 3.1.4-3, 3.2.2-1] a clean start ends the session that was there', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const first = await server.resume(version, 'd');
      await first.subscribe('t');
      await first.leave();
      const sender = await server.connect(version, 's');
      await sender.publish('t', 'while away', { qos: 1, packetId: 1 });
      const connack = await connackOf(server, version, { clientId: 'd', clean: true });
      assert.deepEqual([connack.sessionPresent, connack.reasonCode], [false, 0]);
      const later = await server.resume(version, 'd');
      await sender.publish('t', 'to nobody', { qos: 1, packetId: 2 });
      assert.deepEqual(later.take(), []);
    }
  });

  test('[MQTT5 3.1.2-5, 3.2.2-3] [MQTT3 3.1.2-4, 3.1.2-5, 3.2.2-2] without it the session goes on, with what came meanwhile', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const first = await server.resume(version, 'd');
      await first.subscribe('t', 2);
      await first.vanish();
      const sender = await server.connect(version, 's');
      await sender.publish('t', 'one', { qos: 1, packetId: 1 });
      await sender.publish('t', 'two', { qos: 2, packetId: 2 });
      const back = server.accept(version);
      const [connack, ...messages] = await back.send(
        connectPacket(version, lasting(version, { clientId: 'd' })),
      );
      assert(connack?.type === 'connack');
      assert.deepEqual([connack.sessionPresent, connack.reasonCode], [true, 0]);
      assert.deepEqual(textsOf(publishesIn(messages)), ['one', 'two']);
    }
  });

  test('[MQTT5 3.1.2-6, 3.2.2-3] [MQTT3 3.1.2-4, 3.2.2-3] without one there is a new session, and it is kept', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const made = await connackOf(server, version, lasting(version, { clientId: 'd' }));
      assert.deepEqual([made.sessionPresent, made.reasonCode], [false, 0]);
      assert.equal(
        (await connackOf(server, version, lasting(version, { clientId: 'd' }))).sessionPresent,
        true,
      );
    }
  });

  test('[MQTT5 3.1.2-23] [MQTT3 3.1.2-4, 4.1.0-1] the session is kept without a connection, over a restart too', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const first = await server.resume(version, 'd');
      await first.subscribe('t');
      await first.vanish();
      await server.restart();
      await (await server.connect(version, 's')).publish('t', 'kept', { qos: 1, packetId: 1 });
      await server.advance(3_000_000);
      assert.deepEqual(textsOf(await (await server.resume(version, 'd')).messages()), ['kept']);
    }
  });

  test('[MQTT5 3.1.2-5, 3.1.2-23] the options of its subscriptions are kept with it, over a restart too', async () => {
    const server = new TestServer();
    const first = await server.resume(5, 'd');
    await first.subscribe('t', 2, { noLocal: true, retainAsPublished: true }, { subscriptionId: 77 });
    await first.vanish();
    await server.restart();
    const back = await server.resume(5, 'd');
    await back.publish('t', 'mine', { qos: 1, packetId: 1 });
    assert.deepEqual(back.take(), []);
    await (await server.connect(5, 's')).publish('t', 'x', { qos: 2, packetId: 1, retain: true });
    const [message] = await back.messages();
    assert.deepEqual([message?.qos, message?.retain, message?.subscriptionIds], [2, true, [77]]);
  });

  test('[MQTT5 4.1.0-2] it is discarded when its expiry is over, with all it held', async () => {
    const server = new TestServer();
    const first = await server.resume(5, 'd', { properties: { sessionExpirySeconds: 10 } });
    await first.subscribe('t');
    await first.leave();
    await server.advance(10_001);
    const sender = await server.connect(5, 's');
    const [puback] = await sender.publish('t', 'late', { qos: 1, packetId: 1 });
    assert(puback?.type === 'puback' && puback.reasonCode === 0x10, 'nobody subscribes any more');
    const connack = await connackOf(server, 5, lasting(5, { clientId: 'd' }));
    assert.equal(connack.sessionPresent, false);
  });

  test('[MQTT5 4.1.0-1] [MQTT3 4.1.0-1, 4.1.0-2] it is never discarded while the connection is open', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const expiry = { sessionExpirySeconds: 1 };
      for (const clean of [false, true]) {
        const id = clean ? 'c' : 'd';
        const fields = { clean, keepAliveSeconds: 0, ...(version === 5 && { properties: expiry }) };
        const device = await server.connect(version, id, fields);
        await device.subscribe('t');
        await server.advance(100_000);
        await (await server.connect(version, 's')).publish('t', 'still there', { qos: 1, packetId: 1 });
        assert.deepEqual(textsOf(await device.messages()), ['still there']);
        await device.leave();
      }
    }
  });

  test('[MQTT5 4.1.0-2] an expiry of 0 in DISCONNECT discards it at once', async () => {
    const server = new TestServer();
    await (await server.resume(5, 'd')).leave(0, { sessionExpirySeconds: 0 });
    assert.equal((await connackOf(server, 5, lasting(5, { clientId: 'd' }))).sessionPresent, false);
  });

  test('[MQTT3 3.1.2-6] a clean session ends with its connection', async () => {
    const server = new TestServer();
    const first = await server.connect(4, 'd', { clean: true });
    await first.subscribe('t');
    await first.vanish();
    await (await server.connect(4, 's')).publish('t', 'missed', { qos: 1, packetId: 1 });
    const back = server.accept(4);
    const packets = await back.send(connectPacket(4, { clientId: 'd', clean: false }));
    assert.deepEqual(packets, [{ type: 'connack', sessionPresent: false, reasonCode: 0, properties: {} }]);
  });

  test('[MQTT3 3.1.2-7] retained messages stay when the session of who sent them ends', async () => {
    const server = new TestServer();
    const sender = await server.connect(4, 's', { clean: true });
    await sender.publish('t', 'kept', { qos: 1, packetId: 1, retain: true });
    await sender.leave();
    const reader = await server.connect(4, 'd');
    assert.deepEqual(textsOf(publishesIn(await reader.subscribe('t'))), ['kept']);
  });

  test('[MQTT5 3.1.3-2] [MQTT3 3.1.3-2] sessions are told apart by their client ids, letter by letter', async () => {
    for (const version of versions) {
      const server = new TestServer();
      for (const id of ['d', 'D', 'd ', 'dd']) {
        const device = await server.resume(version, id);
        await device.subscribe(`for/${id}`);
        await device.leave();
      }
      const sender = await server.connect(version, 's');
      for (const id of ['d', 'D', 'd ', 'dd'])
        await sender.publish(`for/${id}`, `to ${id}`, { qos: 1, packetId: 1 });
      for (const id of ['d', 'D', 'd ', 'dd']) {
        assert.deepEqual(textsOf(await (await server.resume(version, id)).messages()), [`to ${id}`]);
      }
    }
  });

  test('[MQTT5 3.1.4-3] [MQTT3 3.1.4-2] a second connection of a client ends the first', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const first = await server.resume(version, 'd');
      await server.resume(version, 'd');
      assert.deepEqual(summary({ packets: first.take() }), version === 5 ? [['disconnect', 0x8e]] : []);
      assert.equal(first.closed, 'session-taken-over');
    }
  });
});

describe('client ids', () => {
  test('[MQTT5 3.1.3-5, 3.1.4-5] [MQTT3 3.1.3-5, 3.1.4-4] 1 to 23 letters and digits are accepted', async () => {
    const letters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
    for (const version of versions) {
      const server = new TestServer();
      for (const clientId of [...letters, letters.slice(0, 23), letters.slice(20, 43), letters.slice(-23)]) {
        const connack = await connackOf(server, version, { clientId });
        assert.deepEqual([connack.reasonCode, connack.properties.assignedClientId], [0, undefined]);
      }
    }
  });

  test('[MQTT5 3.1.3-6, 3.1.3-7, 3.2.2-16] an empty one gets one of its own, which works like any other', async () => {
    const server = new TestServer();
    const ids = new Set<string>();
    for (let index = 0; index < 5; index += 1) {
      const { reasonCode, properties } = await connackOf(server, 5, lasting(5, { clientId: '' }));
      assert.equal(reasonCode, 0);
      assert(properties.assignedClientId !== undefined && !ids.has(properties.assignedClientId));
      ids.add(properties.assignedClientId);
    }
    for (const clientId of ids) {
      assert.equal((await connackOf(server, 5, lasting(5, { clientId }))).sessionPresent, true);
    }
  });

  test('[MQTT3 3.1.3-6] an empty one with clean session is let in, each on its own', async () => {
    const server = new TestServer();
    const first = await server.connect(4, '', { clean: true });
    const second = await server.connect(4, '', { clean: true });
    await first.subscribe('t');
    await second.publish('t', 'across', { qos: 1, packetId: 1 });
    assert.deepEqual(textsOf(await first.messages()), ['across']);
    assert.deepEqual([first.closed, second.closed], [undefined, undefined]);
  });

  test('[MQTT5 3.1.3-8, 3.2.2-6, 3.2.2-7] [MQTT3 3.1.3-8, 3.1.3-9, 3.2.2-4, 3.2.2-5] one that is refused is told so, and closed', async () => {
    const rows = [
      [5, { clientId: 'a/b' }, 0x85],
      [4, { clientId: 'a/b' }, 2],
      [4, { clientId: '', clean: false }, 2],
    ] as const;
    for (const [version, fields, code] of rows) {
      const client = new TestServer().accept(version);
      const [connack, ...more] = await client.send(connectPacket(version, fields));
      assert(connack?.type === 'connack');
      assert.deepEqual([connack.reasonCode, connack.sessionPresent, more], [code, false, []]);
      assert.equal(client.closed, 'bad-device-id');
    }
  });
});

describe('CONNECT and CONNACK', () => {
  test('[MQTT5 3.1.4-2, 3.1.4-6, 3.2.2-7] [MQTT3 3.1.4-5, 3.2.2-5] behind a CONNECT that is refused nothing is looked at', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const reader = await server.connect(version, 'r');
      await reader.subscribe('#');
      const client = server.accept(version);
      const refused = connectPacket(version, { username: 'u', password: wrongPassword });
      const packets = await client.send(refused, publishPacket({ qos: 1, packetId: 1 }), { type: 'pingreq' });
      assert.deepEqual(summary({ packets }), [['connack', version === 5 ? 0x86 : 4]]);
      assert.equal(client.closed, 'bad-credentials');
      assert.deepEqual(await client.send(publishPacket({ qos: 1, packetId: 2 })), []);
      assert.deepEqual(reader.take(), []);
    }
  });

  test('[MQTT5 3.2.2-1] the acknowledge flags of CONNACK are session present, and 0 else', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const flags: number[] = [];
      for (let round = 0; round < 2; round += 1) {
        const client = server.accept(version);
        client.hear = (bytes) => void flags.push(bytes.at(0) === 0x20 ? bytes[2]! : -1);
        await client.send(connectPacket(version, lasting(version, { clientId: 'd' })));
        await client.vanish();
      }
      assert.deepEqual(flags, [0, 1]);
    }
  });

  test('[MQTT5 3.1.2-28, 3.2.2-20, 4.12.0-6] CONNACK has no response information, no user property and no authentication method', async () => {
    for (const requestResponseInformation of [undefined, 0, 1]) {
      const asked = requestResponseInformation === undefined ? {} : { requestResponseInformation };
      const { properties } = await connackOf(new TestServer(), 5, { properties: asked });
      const { responseInformation, userProperties, authenticationMethod, authenticationData } = properties;
      assert.deepEqual(
        [responseInformation, userProperties, authenticationMethod, authenticationData],
        [undefined, undefined, undefined, undefined],
      );
    }
  });

  test('[MQTT5 3.2.2-9, 3.2.2-10] [MQTT3 3.8.3-2] every QoS is spoken: no maximum is told, and each subscription is granted, with wildcards', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const { properties } = await connackOf(server, version, { clientId: 'x' });
      assert.deepEqual(
        [properties.maximumQos, properties.retainAvailable],
        [undefined, version === 5 ? 1 : undefined],
      );
      const reader = await server.connect(version, 'r');
      for (const qos of [0, 1, 2] as const) {
        for (const filter of [`q/${qos}`, `+/q/${qos}/#`]) {
          assert.deepEqual(summary({ packets: await reader.subscribe(filter, qos) }), [['suback', [qos]]]);
        }
      }
    }
  });

  test('[MQTT5 3.1.2-22, 3.2.2-22] [MQTT3 3.1.2-24] the keep alive of the client counts where it is told no other', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = server.accept(version);
      const [connack] = await client.send(connectPacket(version, { keepAliveSeconds: 7 }));
      assert(connack?.type === 'connack' && connack.properties.serverKeepAliveSeconds === undefined);
      await server.advance(10_499);
      assert.equal(client.closed, undefined);
      await server.advance(1);
      assert.deepEqual(summary({ packets: client.take() }), version === 5 ? [['disconnect', 0x8d]] : []);
      assert.equal(client.closed, null);
    }
  });

  test('[MQTT5 3.12.4-1] [MQTT3 3.12.4-1] PINGREQ is answered by PINGRESP', async () => {
    for (const version of versions) {
      const client = await new TestServer().connect(version, 'd');
      assert.deepEqual(await client.send({ type: 'pingreq' }), [{ type: 'pingresp' }]);
    }
  });

  test('[MQTT3 7.0.0-2] a client with nothing but the standard connects, subscribes, publishes and leaves', async () => {
    const server = new TestServer();
    const client = server.accept(4);
    // Written by hand, from the standard alone.
    const hex = '100d00044d51545404 02003c000161 8206000100017401 3208 0001740002 686921 c000';
    const packets = await client.sendBytes(Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')));
    assert.deepEqual(packets.map(({ type }) => type).sort(), [
      'connack',
      'pingresp',
      'puback',
      'publish',
      'suback',
    ]);
    assert.deepEqual(textsOf(publishesIn(packets)), ['hi!']);
    await client.sendBytes(encode(4, { type: 'disconnect', reasonCode: 0, properties: {} }));
    assert.equal(client.closed, null);
  });
});

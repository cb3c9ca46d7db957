/** Receive maximum and maximum packet size: what the server holds back, and what it leaves out. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Packet, Properties } from '../../src/wire/mqtt/index.js';
import { ackPacket, connectPacket, encode, publishPacket, summary } from '../session/mqtt/harness.js';
import { publishesIn, subscription, TestServer, textsOf, wrongPassword, type Client } from './exchange.js';

async function publishMany(sender: Client, count: number, qos: 0 | 1): Promise<void> {
  for (let index = 1; index <= count; index += 1)
    await sender.publish('t', `${index}`, { qos, packetId: qos });
}

describe('receive maximum', () => {
  test('[MQTT5 3.3.4-9, 4.9.0-1, 4.9.0-2] no more messages are under way than the client said; each answer lets one more go', async () => {
    for (const receiveMaximum of [1, 2, 7]) {
      const server = new TestServer();
      const client = await server.connect(5, 'd', { properties: { receiveMaximum } });
      await client.subscribe('t', 2);
      const sender = await server.connect(5, 's');
      await publishMany(sender, 20, 1);
      const first = publishesIn(client.take());
      assert.equal(first.length, receiveMaximum);
      const next = await client.send(ackPacket('puback', first[0]!.packetId));
      assert.deepEqual(textsOf(publishesIn(next)), [`${receiveMaximum + 1}`]);
    }
  });

  test('[MQTT5 3.3.4-9, 4.9.0-2] a QoS 2 message counts until PUBCOMP, or a PUBREC that refuses it', async () => {
    const server = new TestServer();
    const client = await server.connect(5, 'd', { properties: { receiveMaximum: 1 } });
    await client.subscribe('t', 2);
    const sender = await server.connect(5, 's');
    for (const packetId of [1, 2, 3]) await sender.publish('t', `${packetId}`, { qos: 2, packetId });
    const [one, ...none] = publishesIn(client.take());
    assert.deepEqual(none, []);
    const released = await client.send(ackPacket('pubrec', one!.packetId));
    assert.deepEqual(released, [ackPacket('pubrel', one!.packetId)]);
    const [two] = publishesIn(await client.send(ackPacket('pubcomp', one!.packetId)));
    assert.deepEqual(textsOf([two!]), ['2']);
    const refused = await client.send(ackPacket('pubrec', two!.packetId, 0x97));
    assert.deepEqual(textsOf(publishesIn(refused)), ['3']);
  });

  test('[MQTT5 3.3.4-9, 4.9.0-1] a resumed session counts anew, what is sent again too', async () => {
    const server = new TestServer();
    const first = await server.resume(5, 'd');
    await first.subscribe('t', 1);
    await publishMany(await server.connect(5, 's'), 4, 1);
    assert.equal(publishesIn(first.take()).length, 4);
    await first.vanish();
    const second = await server.resume(5, 'd', {
      properties: { receiveMaximum: 2, sessionExpirySeconds: 60 },
    });
    const again = publishesIn(second.take());
    assert.deepEqual(textsOf(again), ['1', '2']);
    const next = await second.send(ackPacket('puback', again[1]!.packetId));
    assert.deepEqual(textsOf(publishesIn(next)), ['3']);
  });

  test('[MQTT5 3.3.4-10, 4.9.0-3] whoever is at the maximum gets every other packet, QoS 0 too', async () => {
    const server = new TestServer();
    const client = await server.connect(5, 'd', { properties: { receiveMaximum: 1 } });
    await client.subscribe('t');
    const sender = await server.connect(5, 's');
    await publishMany(sender, 3, 1);
    assert.equal(publishesIn(client.take()).length, 1);
    await sender.publish('t', 'at once');
    assert.deepEqual(textsOf(publishesIn(client.take())), ['at once']);
    assert.deepEqual(await client.send({ type: 'pingreq' }), [{ type: 'pingresp' }]);
    assert.deepEqual(summary({ packets: await client.subscribe('u', 0) }), [['suback', [0]]]);
    const packets = await client.send(publishPacket({ topic: 'v', qos: 2, packetId: 9 }));
    assert.deepEqual(summary({ packets }), [['pubrec', 0x10]]);
    assert.deepEqual(summary({ packets: await client.send(ackPacket('pubrel', 9)) }), [['pubcomp', 0]]);
  });
});

/** Everything that a server may have to say, to a client that takes little. */
async function conversation(properties: Properties): Promise<Packet[]> {
  const server = new TestServer({}, { publish: ['t'], subscribe: ['t'] });
  const client = server.accept(5);
  const said: Packet[] = [];
  const say = async (...packets: Packet[]): Promise<void> =>
    void said.push(...(await client.send(...packets)));
  await say(connectPacket(5, { clientId: 'd', properties }));
  const subscriptions = [
    subscription('t', 2),
    ...Array.from({ length: 30 }, (_, each) => subscription(`no/${each}`)),
  ];
  await say({ type: 'subscribe', packetId: 1, subscriptions, properties: {} });
  await say(
    publishPacket({ topic: 't', qos: 1, packetId: 1 }),
    publishPacket({ topic: 'no', qos: 1, packetId: 2 }),
  );
  await say(
    publishPacket({ topic: 't', qos: 2, packetId: 3 }),
    publishPacket({ topic: 'no', qos: 2, packetId: 4 }),
  );
  await say(ackPacket('pubrel', 3), ackPacket('pubrel', 5), ackPacket('pubrec', 7));
  for (const { packetId, qos } of publishesIn(said)) {
    if (qos > 0) await say(ackPacket(qos === 1 ? 'puback' : 'pubrec', packetId));
  }
  const filters = ['t', ...Array.from({ length: 30 }, (_, each) => `no#/${each}`)];
  await say({ type: 'unsubscribe', packetId: 2, filters, properties: {} });
  await say({ type: 'pingreq' }, connectPacket(5, {}));
  const refused = server.accept(5);
  const fields = { username: 'u', password: wrongPassword, properties };
  return [...said, ...(await refused.send(connectPacket(5, fields)))];
}

describe('maximum packet size', () => {
  test('[MQTT5 3.1.2-24, 3.2.2-19, 3.4.2-2, 3.5.2-2, 3.6.2-2, 3.7.2-2, 3.9.2-1, 3.11.2-1, 3.14.2-3] no packet is larger than the client takes, with a reason string or without', async () => {
    const types = new Set<string>();
    for (const maximumPacketBytes of [1, 4, 5, 6, 10, 20, 30, 35, 40, 50, 100, 300, 600, 10_000]) {
      for (const packet of await conversation({ maximumPacketBytes })) {
        types.add(packet.type);
        const { length } = encode(5, packet);
        assert(length <= maximumPacketBytes, `${packet.type} of ${length} bytes for ${maximumPacketBytes}`);
      }
    }
    const expected = 'connack disconnect pingresp puback pubcomp publish pubrec pubrel suback unsuback';
    assert.equal([...types].sort().join(' '), expected);
  });

  test('[MQTT5 3.1.2-24, 3.2.0-1, 3.14.0-1] whoever cannot take its CONNACK is refused, without a word if that does not fit either', async () => {
    for (const [maximumPacketBytes, expected] of [
      [10, [['connack', 0x95]]],
      [4, []],
    ] as const) {
      const server = new TestServer();
      const watcher = await server.connect(5, 'watcher');
      await watcher.subscribe('t');
      const client = server.accept(5);
      const will = { ...publishPacket(), topic: 't', delaySeconds: 0 };
      const connect = connectPacket(5, { will, properties: { maximumPacketBytes } });
      const packets = await client.send(connect, publishPacket({ topic: 't', qos: 1, packetId: 1 }));
      assert.deepEqual(summary({ packets }), expected);
      assert.equal(client.closed, 'packet-too-large');
      assert.deepEqual(watcher.take(), [], 'neither what it sent nor its will');
    }
  });

  test('[MQTT5 3.2.2-20, 3.4.2-3, 3.5.2-3, 3.6.2-3, 3.7.2-3, 3.9.2-2, 3.11.2-2, 3.14.2-4] no packet but PUBLISH has a user property', async () => {
    for (const packet of await conversation({})) {
      if (packet.type === 'publish' || !('properties' in packet)) continue;
      assert.equal(packet.properties.userProperties, undefined, packet.type);
    }
  });

  test('[MQTT5 3.1.2-29] who wants no problem information gets reason strings in CONNACK and DISCONNECT only; others get them', async () => {
    for (const [requestProblemInformation, expected] of [
      [0, 'connack disconnect'],
      [1, 'connack disconnect puback pubrec suback unsuback'],
    ] as const) {
      const types = (await conversation({ requestProblemInformation }))
        .filter((packet) => packet.type !== 'publish' && 'properties' in packet)
        .filter(({ properties }) => properties.reasonString !== undefined)
        .map(({ type }) => type);
      assert.equal([...new Set(types)].sort().join(' '), expected);
    }
  });

  test('[MQTT5 3.1.2-25] a message that is too large counts as done: the next one goes, and it does not come back', async () => {
    const server = new TestServer();
    const properties = { maximumPacketBytes: 60, receiveMaximum: 1, sessionExpirySeconds: 3_600 };
    const client = await server.resume(5, 'd', { properties });
    await client.subscribe('t', 2);
    const sender = await server.connect(5, 's');
    await sender.publish('t', 'x'.repeat(100), { qos: 1, packetId: 1 });
    await sender.publish('t', 'y'.repeat(100), { qos: 2, packetId: 2 });
    await sender.publish('t', 'z'.repeat(100));
    await sender.publish('t', 'small', { qos: 1, packetId: 3 });
    assert.deepEqual(textsOf(await client.messages()), ['small']);
    await client.vanish();
    assert.deepEqual((await server.resume(5, 'd')).take(), []);
  });
});

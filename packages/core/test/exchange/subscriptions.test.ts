/** SUBSCRIBE and UNSUBSCRIBE, what they grant, and what is delivered because of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { noProperties, type Packet, type SubscribeEntry } from '../../src/wire/mqtt/index.js';
import { ackPacket, encode, summary } from '../session/mqtt/harness.js';
import { publishesIn, subscription, TestServer, textsOf, type Client } from './exchange.js';

const versions = [4, 5] as const;

function subscribe(client: Client, packetId: number, ...subscriptions: SubscribeEntry[]): Promise<Packet[]> {
  return client.send({ type: 'subscribe', packetId, subscriptions, properties: noProperties });
}

function unsubscribe(client: Client, packetId: number, ...filters: string[]): Promise<Packet[]> {
  return client.send({ type: 'unsubscribe', packetId, filters, properties: noProperties });
}

/** Rules under which `secret` is neither read nor written. */
const rules = { publish: ['t/#'], subscribe: ['t/#', '+/x'] };

describe('SUBSCRIBE', () => {
  test('[MQTT5 2.2.1-6, 3.8.4-1, 3.8.4-2, 3.8.4-5, 3.8.4-6, 3.8.4-7, 3.9.3-1, 3.9.3-2] [MQTT3 2.3.1-7, 3.8.4-1, 3.8.4-2, 3.8.4-4, 3.8.4-5, 3.9.3-1, 3.9.3-2] one SUBACK with the id of the packet and a code for each filter, in their order', async () => {
    for (const version of versions) {
      const client = await new TestServer({}, rules).connect(version, 'd');
      const packets = await subscribe(
        client,
        4_711,
        subscription('t/0', 0),
        subscription('secret', 2),
        subscription('t/2', 2),
        subscription('t#', 1),
        subscription('t/1', 1),
      );
      const codes = version === 5 ? [0, 0x87, 2, 0x8f, 1] : [0, 0x80, 2, 0x80, 1];
      assert.deepEqual(summary({ packets }), [['suback', codes]]);
      assert(packets[0]?.type === 'suback' && packets[0].packetId === 4_711);
    }
  });

  test('[MQTT5 3.8.4-5] [MQTT3 3.8.4-4] many filters in one packet are what they are in many: the last of two the same counts', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = await server.connect(version, 'd');
      await subscribe(client, 1, subscription('t', 2), subscription('u', 0), subscription('t', 0));
      const sender = await server.connect(version, 's');
      await sender.publish('t', 'x', { qos: 1, packetId: 1 });
      await sender.publish('u', 'y', { qos: 1, packetId: 2 });
      assert.deepEqual(
        (await client.messages()).map(({ topic, qos }) => [topic, qos]),
        [
          ['t', 0],
          ['u', 0],
        ],
      );
    }
  });

  test('[MQTT5 3.8.4-8] [MQTT3 3.8.4-6] a delivery has the lower of both QoS', async () => {
    for (const version of versions) {
      for (const granted of [0, 1, 2] as const) {
        const server = new TestServer();
        const client = await server.connect(version, 'd');
        await client.subscribe('t', granted);
        const sender = await server.connect(version, 's');
        for (const qos of [0, 1, 2] as const) await sender.publish('t', `${qos}`, { qos, packetId: qos });
        assert.deepEqual(
          (await client.messages()).map(({ qos }) => qos),
          [0, Math.min(1, granted), granted],
        );
      }
    }
  });

  test('[MQTT5 3.8.4-3, 3.8.4-4] [MQTT3 3.8.4-3] the same filter again replaces the subscription, sends what is retained again, and loses nothing', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const sender = await server.connect(version, 's');
      await sender.publish('t', 'retained', { qos: 1, packetId: 1, retain: true });
      const client = await server.connect(version, 'd');
      assert.deepEqual(textsOf(publishesIn(await client.subscribe('t', 1))), ['retained']);
      await sender.publish('t', 'before', { qos: 1, packetId: 2 });
      assert.deepEqual(textsOf(publishesIn(await client.subscribe('t', 0))), ['before', 'retained']);
      await sender.publish('t', 'after', { qos: 1, packetId: 3 });
      const [after, ...more] = await client.messages();
      assert.deepEqual([textsOf([after!]), after!.qos, more], [['after'], 0, []]);
    }
  });

  test('[MQTT5 3.8.4-4] [MQTT3 3.8.4-3] who subscribes again and again while messages come gets each of them once', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const sender = await server.connect(version, 's');
      const client = await server.connect(version, 'd');
      await client.subscribe('t', 1);
      const texts: string[] = [];
      for (let index = 0; index < 30; index += 1) {
        // Both are read before either is answered.
        const again = [subscription('t', index % 2 === 0 ? 2 : 1)];
        const request = {
          type: 'subscribe',
          packetId: 1,
          subscriptions: again,
          properties: noProperties,
        } as const;
        client.session.handleInput(server.now, { kind: 'bytes', chunk: encode(version, request) });
        await sender.publish('t', `${index}`, { qos: 1, packetId: 1 });
        const packets = client.take();
        texts.push(...textsOf(publishesIn(packets)));
        for (const { packetId } of publishesIn(packets)) await client.send(ackPacket('puback', packetId));
      }
      assert.deepEqual(
        texts,
        Array.from({ length: 30 }, (_, index) => `${index}`),
      );
    }
  });

  test('[MQTT5 3.3.4-2] [MQTT3 3.3.5-1] overlapping subscriptions: one copy, with the highest QoS of them', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = await server.connect(version, 'd');
      await subscribe(client, 1, subscription('t/#', 0), subscription('t/+', 2), subscription('t/a', 1));
      const sender = await server.connect(version, 's');
      await sender.publish('t/a', 'x', { qos: 2, packetId: 1 });
      await sender.publish('t/a/b', 'y', { qos: 2, packetId: 2 });
      assert.deepEqual((await client.messages()).map(({ topic, qos }) => [topic, qos]).toSorted(), [
        ['t/a', 2],
        ['t/a/b', 0],
      ]);
    }
  });

  test('[MQTT5 3.3.4-3, 3.3.4-4] and it carries the subscription ids of all of them that have one', async () => {
    for (const qos of [0, 1] as const) {
      const server = new TestServer();
      const client = await server.connect(5, 'd');
      await client.subscribe('t/#', qos, {}, { subscriptionId: 268_435_455 });
      await client.subscribe('t/+', qos);
      await client.subscribe('+/a', qos, {}, { subscriptionId: 1 });
      await client.subscribe('u', qos, {}, { subscriptionId: 3 });
      await client.subscribe('t/a', qos, {}, { subscriptionId: 1 });
      await (await server.connect(5, 's')).publish('t/a', 'x', { qos, packetId: qos });
      const [message, ...more] = await client.messages();
      assert.deepEqual([message!.subscriptionIds.toSorted(), more], [[1, 1, 268_435_455], []]);
    }
  });

  test('[MQTT5 3.8.3-3] with no local nothing comes back to who published it, and all of it to others', async () => {
    const server = new TestServer();
    const client = await server.connect(5, 'd');
    await client.subscribe('t', 1, { noLocal: true });
    const other = await server.connect(5, 'e');
    await other.subscribe('t', 1, { noLocal: true });
    for (const qos of [0, 1] as const) await client.publish('t', `mine ${qos}`, { qos, packetId: qos });
    assert.deepEqual(textsOf(await other.messages()), ['mine 0', 'mine 1']);
    for (const qos of [0, 1] as const) await other.publish('t', `yours ${qos}`, { qos, packetId: qos });
    assert.deepEqual(textsOf(await client.messages()), ['yours 0', 'yours 1']);
    assert.deepEqual(other.take(), []);
  });
});

describe('UNSUBSCRIBE', () => {
  test('[MQTT5 2.2.1-6, 3.10.4-1, 3.10.4-4, 3.10.4-5, 3.10.4-6, 3.11.3-1, 3.11.3-2] [MQTT3 2.3.1-7, 3.10.4-1, 3.10.4-4, 3.10.4-5, 3.10.4-6] one UNSUBACK with its id, and a code for each filter as it is written, in their order', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = await server.connect(version, 'd');
      await subscribe(client, 1, subscription('t/a'), subscription('t/+'), subscription('u/a'));
      const nothing = await unsubscribe(client, 2, 't/b');
      assert.deepEqual(summary({ packets: nothing }), [['unsuback', version === 5 ? [0x11] : []]]);
      const packets = await unsubscribe(client, 4_711, 't/#', 't/+', 'T/a', 'u#', 'u/a');
      const codes = version === 5 ? [0x11, 0, 0x11, 0x8f, 0] : [];
      assert.deepEqual(summary({ packets }), [['unsuback', codes]]);
      assert(packets[0]?.type === 'unsuback' && packets[0].packetId === 4_711);
      const sender = await server.connect(version, 's');
      for (const topic of ['t/a', 't/b', 'u/a']) await sender.publish(topic, topic, { qos: 0 });
      assert.deepEqual(textsOf(await client.messages()), ['t/a']);
    }
  });

  test('[MQTT5 3.10.4-2] [MQTT3 3.10.4-2] nothing new is added', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = await server.connect(version, 'd');
      await client.subscribe('t');
      await unsubscribe(client, 2, 't');
      await (await server.connect(version, 's')).publish('t', 'x', { qos: 1, packetId: 1 });
      await server.advance(1_000);
      assert.deepEqual(client.take(), []);
    }
  });

  test('[MQTT5 3.10.4-3] [MQTT3 3.10.4-3] what was begun is brought to its end', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = await server.resume(version, 'd');
      await client.subscribe('t', 2);
      const sender = await server.connect(version, 's');
      await sender.publish('t', 'one', { qos: 1, packetId: 1 });
      await sender.publish('t', 'two', { qos: 2, packetId: 2 });
      const [, two] = publishesIn(client.take());
      await unsubscribe(client, 2, 't');
      assert.deepEqual(await client.send(ackPacket('pubrec', two!.packetId)), [
        ackPacket('pubrel', two!.packetId),
      ]);
      await client.send(ackPacket('pubcomp', two!.packetId));
      await client.vanish();
      assert.deepEqual(textsOf(await (await server.resume(version, 'd')).messages()), ['one']);
    }
  });
});

describe('retained messages', () => {
  test('[MQTT5 3.3.1-5] [MQTT3 3.3.1-5, 3.3.1-6, 3.3.1-7, 3.3.1-8] the last of each topic is kept with its QoS, and comes with the retain flag', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const sender = await server.connect(version, 's');
      await sender.publish('t/a', 'old', { qos: 2, packetId: 1, retain: true });
      await sender.send(ackPacket('pubrel', 1));
      await sender.publish('t/a', 'new', { qos: 0, retain: true });
      await sender.publish('t/b', 'other', { qos: 1, packetId: 2, retain: true });
      await server.restart();
      const client = await server.connect(version, 'd');
      const found = publishesIn(await client.subscribe('t/+', 2));
      assert.deepEqual(
        found
          .map((message) => [message.topic, ...textsOf([message]), message.qos, message.retain])
          .toSorted(),
        [
          ['t/a', 'new', 0, true],
          ['t/b', 'other', 1, true],
        ],
      );
    }
  });

  test('[MQTT5 3.3.1-6, 3.3.1-7] [MQTT3 3.3.1-10, 3.3.1-11] an empty one is delivered as any other, takes the retained one away, and is not kept', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const sender = await server.connect(version, 's');
      const there = await server.connect(version, 'there');
      await there.subscribe('t');
      await sender.publish('t', 'kept', { qos: 1, packetId: 1, retain: true });
      await sender.publish('t', '', { qos: 1, packetId: 2, retain: true });
      await sender.publish('u', '', { qos: 1, packetId: 3, retain: true });
      assert.deepEqual(
        (await there.messages()).map(({ payload, retain }) => [payload.length, retain]),
        [
          [4, false],
          [0, false],
        ],
      );
      const late = await server.connect(version, 'late');
      assert.deepEqual(publishesIn(await late.subscribe('#')), []);
    }
  });

  test('[MQTT5 3.3.1-8] [MQTT3 3.3.1-12] a message without the flag changes nothing that is retained', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const sender = await server.connect(version, 's');
      await sender.publish('t', 'kept', { qos: 1, packetId: 1, retain: true });
      await sender.publish('t', 'passing', { qos: 1, packetId: 2 });
      await sender.publish('t', '', { qos: 1, packetId: 3 });
      await sender.publish('u', 'passing', { qos: 1, packetId: 4 });
      const late = await server.connect(version, 'late');
      assert.deepEqual(textsOf(publishesIn(await late.subscribe('#'))), ['kept']);
    }
  });

  test('[MQTT5 3.3.1-9, 3.3.1-10, 3.3.1-11] retain handling 0 always sends them, 1 to a new subscription only, 2 never', async () => {
    for (const [retainHandling, atFirst, again] of [
      [0, ['kept'], ['kept']],
      [1, ['kept'], []],
      [2, [], []],
    ] as const) {
      const server = new TestServer();
      await (await server.connect(5, 's')).publish('t', 'kept', { qos: 1, packetId: 1, retain: true });
      const client = await server.resume(5, 'd');
      assert.deepEqual(textsOf(publishesIn(await client.subscribe('t', 1, { retainHandling }))), atFirst);
      await client.messages();
      assert.deepEqual(textsOf(publishesIn(await client.subscribe('t', 1, { retainHandling }))), again);
    }
  });

  test('[MQTT5 3.3.1-12, 3.3.1-13] [MQTT3 3.3.1-9] to a subscription that is there the flag is 0, or as it came with retain as published', async () => {
    for (const version of versions) {
      for (const retainAsPublished of version === 5 ? [false, true] : [false]) {
        const server = new TestServer();
        const client = await server.connect(version, 'd');
        await client.subscribe('t', 1, { retainAsPublished });
        const sender = await server.connect(version, 's');
        for (const retain of [true, false]) {
          for (const qos of [0, 1] as const) await sender.publish('t', 'x', { qos, packetId: qos, retain });
        }
        assert.deepEqual(
          (await client.messages()).map(({ retain }) => retain),
          retainAsPublished ? [true, true, false, false] : [false, false, false, false],
        );
      }
    }
  });
});

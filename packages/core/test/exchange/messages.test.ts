/** Messages from client to client: QoS, DUP, expiry, order, and what is forwarded as it came. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeApplicationProperties, type Packet } from '../../src/wire/mqtt/index.js';
import { ackPacket, connectPacket, publishPacket, summary } from '../session/mqtt/harness.js';
import { lasting, publishesIn, TestServer, textsOf, type Client } from './exchange.js';

const versions = [4, 5] as const;

/** Type and packet id of each. */
const idsOf = (packets: readonly Packet[]): (readonly [string, number])[] =>
  packets.map((packet) => [packet.type, 'packetId' in packet ? packet.packetId : 0]);

async function pair(version: 4 | 5, qos: 0 | 1 | 2): Promise<[TestServer, Client, Client]> {
  const server = new TestServer();
  const reader = await server.resume(version, 'reader', { keepAliveSeconds: 0 });
  await reader.subscribe('t/#', qos);
  return [server, reader, await server.resume(version, 'sender', { keepAliveSeconds: 0 })];
}

describe('from the client', () => {
  test('[MQTT5 2.2.1-5, 3.3.4-1, 4.3.2-4, 4.3.3-8, 4.3.3-11] [MQTT3 2.3.1-6, 3.3.4-1, 4.3.2-2, 4.3.3-2] QoS 0 has no answer, QoS 1 PUBACK, QoS 2 PUBREC and then PUBCOMP, with the same id', async () => {
    for (const version of versions) {
      const [, reader, sender] = await pair(version, 2);
      assert.deepEqual(await sender.publish('t', '0'), []);
      assert.deepEqual(idsOf(await sender.publish('t', '1', { qos: 1, packetId: 7 })), [['puback', 7]]);
      assert.deepEqual(idsOf(await sender.publish('t', '2', { qos: 2, packetId: 65_535 })), [
        ['pubrec', 65_535],
      ]);
      assert.deepEqual(await sender.send(ackPacket('pubrel', 65_535)), [ackPacket('pubcomp', 65_535)]);
      assert.deepEqual(textsOf(await reader.messages()), ['0', '1', '2']);
    }
  });

  test('[MQTT5 4.3.2-5] [MQTT3 4.3.2-2] after PUBACK the same id is another message, with DUP or without', async () => {
    for (const version of versions) {
      const [, reader, sender] = await pair(version, 1);
      await sender.publish('t', 'one', { qos: 1, packetId: 1 });
      await sender.publish('t', 'two', { qos: 1, packetId: 1 });
      await sender.publish('t', 'three', { qos: 1, packetId: 1, dup: true });
      assert.deepEqual(textsOf(await reader.messages()), ['one', 'two', 'three']);
    }
  });

  test('[MQTT5 4.3.3-10] [MQTT3 4.3.3-2] until PUBREL the same id is the same message: answered again, delivered once, over a break too', async () => {
    for (const version of versions) {
      const [server, reader, sender] = await pair(version, 2);
      const again = { qos: 2, packetId: 9, dup: true } as const;
      assert.deepEqual(idsOf(await sender.publish('t', 'one', { qos: 2, packetId: 9 })), [['pubrec', 9]]);
      assert.deepEqual(idsOf(await sender.publish('t', 'one', again)), [['pubrec', 9]]);
      await sender.vanish();
      const back = await server.resume(version, 'sender');
      assert.deepEqual(idsOf(await back.publish('t', 'one', again)), [['pubrec', 9]]);
      assert.deepEqual(idsOf(await back.send(ackPacket('pubrel', 9))), [['pubcomp', 9]]);
      assert.deepEqual(textsOf(await reader.messages()), ['one']);
    }
  });

  test('[MQTT5 4.3.3-12] [MQTT3 4.3.3-2] after PUBCOMP the same id is another message', async () => {
    for (const version of versions) {
      const [, reader, sender] = await pair(version, 2);
      for (const body of ['one', 'two']) {
        await sender.publish('t', body, { qos: 2, packetId: 9 });
        await sender.send(ackPacket('pubrel', 9));
      }
      assert.deepEqual(textsOf(await reader.messages()), ['one', 'two']);
    }
  });

  test('[MQTT5 4.3.3-9] after a PUBREC that refuses the same id is another message', async () => {
    const server = new TestServer({}, { publish: ['t'], subscribe: ['#'] });
    const reader = await server.connect(5, 'reader');
    await reader.subscribe('t', 2);
    const sender = await server.connect(5, 'sender');
    const refused = await sender.publish('secret', 'no', { qos: 2, packetId: 9 });
    assert.deepEqual(summary({ packets: refused }), [['pubrec', 0x87]]);
    const taken = await sender.publish('t', 'yes', { qos: 2, packetId: 9, dup: true });
    assert.deepEqual(summary({ packets: taken }), [['pubrec', 0]]);
    assert.deepEqual(textsOf(await reader.messages()), ['yes']);
  });

  test('[MQTT5 4.3.3-13] the exchange goes on to its end when the message has expired meanwhile', async () => {
    const [server, reader, sender] = await pair(5, 2);
    await reader.vanish();
    const fields = { qos: 2, packetId: 3, messageExpirySeconds: 1 } as const;
    assert.deepEqual(idsOf(await sender.publish('t', 'short', fields)), [['pubrec', 3]]);
    await server.advance(5_000);
    assert.deepEqual(await sender.send(ackPacket('pubrel', 3)), [ackPacket('pubcomp', 3)]);
    assert.deepEqual(await (await server.resume(5, 'reader')).messages(), []);
  });

  test('[MQTT3 3.3.5-2] a PUBLISH that is not allowed is acknowledged and goes nowhere', async () => {
    const server = new TestServer({}, { publish: [], subscribe: ['#'] });
    const reader = await server.connect(4, 'reader');
    await reader.subscribe('#', 2);
    const sender = await server.connect(4, 'sender');
    assert.deepEqual(idsOf(await sender.publish('t', 'no', { qos: 1, packetId: 1 })), [['puback', 1]]);
    assert.deepEqual(idsOf(await sender.publish('t', 'no', { qos: 2, packetId: 2 })), [['pubrec', 2]]);
    assert.deepEqual(idsOf(await sender.send(ackPacket('pubrel', 2))), [['pubcomp', 2]]);
    assert.deepEqual(reader.take(), []);
  });

  test('[MQTT3 4.6.0-2, 4.6.0-3, 4.6.0-4, 4.6.0-6] answers leave in the order of what they answer', async () => {
    const [, reader, sender] = await pair(4, 2);
    const packets = await sender.send(
      ...[5, 3, 4].map((packetId) => publishPacket({ topic: 't', qos: 1, packetId })),
      ...[9, 7, 8].map((packetId) => publishPacket({ topic: 't', qos: 2, packetId })),
    );
    const ids = (type: string) => idsOf(packets).flatMap(([found, id]) => (found === type ? [id] : []));
    assert.deepEqual(ids('puback'), [5, 3, 4]);
    assert.deepEqual(ids('pubrec'), [9, 7, 8]);
    const qos2 = publishesIn(reader.take()).filter(({ qos }) => qos === 2);
    const order = qos2.map(({ packetId }) => packetId);
    const backwards = order.toReversed();
    const released = await reader.send(...backwards.map((packetId) => ackPacket('pubrec', packetId)));
    assert.deepEqual(
      idsOf(released),
      backwards.map((packetId) => ['pubrel', packetId]),
    );
  });
});

describe('to the client', () => {
  test('[MQTT5 3.3.1-3, 4.3.1-1, 4.3.2-2, 4.3.3-2] [MQTT3 3.3.1-3, 4.3.1-1, 4.3.2-1, 4.3.3-1] the first time a message has its QoS and no DUP, whatever it came with', async () => {
    for (const version of versions) {
      const [, reader, sender] = await pair(version, 2);
      await sender.publish('t', '0');
      await sender.publish('t', '1', { qos: 1, packetId: 1, dup: true });
      await sender.publish('t', '2', { qos: 2, packetId: 2, dup: true });
      assert.deepEqual(
        (await reader.messages()).map(({ qos, dup }) => [qos, dup]),
        [
          [0, false],
          [1, false],
          [2, false],
        ],
      );
    }
  });

  test('[MQTT5 2.2.1-4, 4.3.2-1, 4.3.3-1] [MQTT3 2.3.1-4, 4.3.2-1, 4.3.3-1] what is under way has ids that differ, and never 0', async () => {
    for (const version of versions) {
      const [, reader, sender] = await pair(version, 2);
      const ids = new Set<number>();
      for (let index = 0; index < 300; index += 1) {
        const qos = index % 2 === 0 ? 1 : 2;
        await sender.publish('t', '.', { qos, packetId: 1 });
        await sender.send(ackPacket('pubrel', 1));
      }
      for (const { packetId } of publishesIn(reader.take())) {
        assert(packetId > 0 && !ids.has(packetId));
        ids.add(packetId);
      }
      assert.equal(ids.size, 300);
    }
  });

  test('[MQTT5 3.3.1-1, 4.3.2-3, 4.4.0-1] [MQTT3 2.3.1-4, 3.3.1-1, 4.3.2-1, 4.4.0-1, 4.6.0-1] QoS 1: until its PUBACK it is sent again when the session resumes, in order, with its id and DUP, and at no other time', async () => {
    for (const version of versions) {
      const [server, first, sender] = await pair(version, 1);
      for (const body of ['one', 'two', 'three']) await sender.publish('t', body, { qos: 1, packetId: 1 });
      const sent = publishesIn(first.take());
      await server.advance(600_000);
      assert.deepEqual(first.take(), [], 'time alone sends nothing again');
      await first.send(ackPacket('puback', sent[1]!.packetId));
      await first.vanish();
      const second = await server.resume(version, 'reader');
      const again = publishesIn(second.take());
      assert.deepEqual(
        again.map(({ packetId, dup }) => [packetId, dup]),
        [
          [sent[0]!.packetId, true],
          [sent[2]!.packetId, true],
        ],
      );
      assert.deepEqual(textsOf(again), ['one', 'three']);
      await second.send(...again.map(({ packetId }) => ackPacket('puback', packetId)));
      await second.vanish();
      assert.deepEqual((await server.resume(version, 'reader')).take(), []);
    }
  });

  test('[MQTT5 2.2.1-5, 4.3.3-3, 4.3.3-4, 4.3.3-5, 4.3.3-6, 4.4.0-1] [MQTT3 2.3.1-4, 2.3.1-6, 4.3.3-1, 4.4.0-1] QoS 2: PUBLISH is repeated until PUBREC, then PUBREL and never PUBLISH until PUBCOMP', async () => {
    for (const version of versions) {
      const [server, first, sender] = await pair(version, 2);
      await sender.publish('t', 'once', { qos: 2, packetId: 1 });
      const [{ packetId }] = publishesIn(first.take());
      await first.vanish();
      const second = await server.resume(version, 'reader');
      assert.deepEqual(idsOf(second.take()), [['publish', packetId]]);
      assert.deepEqual(await second.send(ackPacket('pubrec', packetId)), [ackPacket('pubrel', packetId)]);
      for (let round = 0; round < 2; round += 1) {
        const third = server.accept(version);
        const connect = connectPacket(version, lasting(version, { clientId: 'reader' }));
        assert.deepEqual(idsOf(await third.send(connect)).slice(1), [['pubrel', packetId]]);
      }
      const last = await server.resume(version, 'reader');
      assert.deepEqual(last.take(), [ackPacket('pubrel', packetId)]);
      assert.deepEqual(await last.send(ackPacket('pubcomp', packetId)), []);
      await last.vanish();
      assert.deepEqual((await server.resume(version, 'reader')).take(), []);
    }
  });

  test('[MQTT5 4.4.0-2] what the client refuses with PUBACK or PUBREC is not sent again', async () => {
    const [server, first, sender] = await pair(5, 2);
    await sender.publish('t', 'one', { qos: 1, packetId: 1 });
    await sender.publish('t', 'two', { qos: 2, packetId: 2 });
    const [one, two] = publishesIn(first.take());
    assert.deepEqual(await first.send(ackPacket('puback', one!.packetId, 0x97)), []);
    assert.deepEqual(await first.send(ackPacket('pubrec', two!.packetId, 0x83)), []);
    await first.vanish();
    assert.deepEqual((await server.resume(5, 'reader')).take(), []);
  });

  test('[MQTT5 4.5.0-1] [MQTT3 4.5.0-1] it is added to every session that subscribes, with a connection or without', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const readers = ['a', 'b', 'c'];
      for (const id of readers) await (await server.resume(version, id)).subscribe('t');
      await (await server.resume(version, 'b')).vanish();
      const sender = await server.connect(version, 'sender');
      await sender.publish('t', 'to all', { qos: 1, packetId: 1 });
      for (const id of readers) {
        assert.deepEqual(textsOf(await (await server.resume(version, id)).messages()), ['to all']);
      }
    }
  });

  test('[MQTT5 4.6.0-5, 4.6.0-6] [MQTT3 4.6.0-5, 4.6.0-6] each topic keeps the order of each sender', async () => {
    for (const version of versions) {
      for (const qos of [0, 1, 2] as const) {
        const [server, reader, one] = await pair(version, qos);
        const two = await server.resume(version, 'other');
        for (let index = 0; index < 40; index += 1) {
          const [sender, name] = index % 3 === 0 ? [two, 'two'] : [one, 'one'];
          const packetId = qos === 0 ? 0 : 1 + index;
          await sender.publish(`t/${index % 2}`, `${name} ${100 + index}`, { qos, packetId });
          if (qos === 2) await sender.send(ackPacket('pubrel', packetId));
        }
        const messages = await reader.messages();
        assert.equal(messages.length, 40);
        for (const topic of ['t/0', 't/1']) {
          for (const name of ['one', 'two']) {
            const texts = textsOf(messages.filter((message) => message.topic === topic));
            const own = texts.filter((text) => text.startsWith(name));
            assert.deepEqual(own, own.toSorted(), `${topic} from ${name}`);
          }
        }
      }
    }
  });
});

describe('what is forwarded', () => {
  test('[MQTT5 3.3.2-4, 3.3.2-15, 3.3.2-16, 3.3.2-17, 3.3.2-18, 3.3.2-20] the properties of the application are forwarded as they came, in their order', async () => {
    const block = encodeApplicationProperties({
      payloadFormat: 1,
      contentType: 'text/plain; charset=utf-8',
      responseTopic: 'answers/ünï',
      correlationData: Uint8Array.of(0, 255, 0, 1),
      userProperties: [
        ['b', '2'],
        ['a', '1'],
        ['b', '2'],
        ['', ''],
        ['urgency', 'low'],
      ],
    });
    for (const qos of [0, 1, 2] as const) {
      const [, reader, sender] = await pair(5, qos);
      await sender.publish('t', 'x', { qos: 2, packetId: 1, properties: block, retain: true });
      const late = await sender.subscribe('t', qos);
      const messages = [...(await reader.messages()), ...publishesIn(late)];
      assert.equal(messages.length, 2);
      for (const { properties } of messages) assert.deepEqual(properties, block);
    }
    const plain = encodeApplicationProperties({ payloadFormat: 0 });
    const [, reader, sender] = await pair(5, 1);
    await sender.publish('t', 'x', { properties: plain });
    assert.deepEqual((await reader.messages())[0]?.properties, plain);
  });

  test('[MQTT5 3.3.2-5] what expires before it is sent is deleted: for one that is away, and where it is retained', async () => {
    const [server, reader, sender] = await pair(5, 1);
    await reader.vanish();
    await sender.publish('t/a', 'short', { qos: 1, packetId: 1, messageExpirySeconds: 10, retain: true });
    await sender.publish('t/b', 'long', { qos: 1, packetId: 2, messageExpirySeconds: 1_000 });
    await server.advance(10_500);
    const back = await server.resume(5, 'reader');
    assert.deepEqual(textsOf(await back.messages()), ['long']);
    assert.deepEqual(publishesIn(await back.subscribe('t/a')), []);
  });

  test('[MQTT5 3.3.2-6] what is left of its time is told: what came, less the wait', async () => {
    const [server, reader, sender] = await pair(5, 1);
    await reader.vanish();
    await sender.publish('t', 'x', { qos: 1, packetId: 1, messageExpirySeconds: 100, retain: true });
    await server.advance(30_000);
    const back = await server.resume(5, 'reader');
    assert.deepEqual(
      (await back.messages()).map(({ messageExpirySeconds }) => messageExpirySeconds),
      [70],
    );
    await server.advance(20_000);
    for (const qos of [0, 1] as const) {
      const packets = await back.subscribe('t', qos);
      assert.deepEqual(
        publishesIn(packets).map(({ messageExpirySeconds }) => messageExpirySeconds),
        [50],
      );
    }
  });

  test('[MQTT5 4.3.3-7] what was sent does not expire: it is sent again until it is received', async () => {
    const [server, reader, sender] = await pair(5, 2);
    await sender.publish('t', 'sent', { qos: 2, packetId: 1, messageExpirySeconds: 10 });
    assert.equal(publishesIn(reader.take()).length, 1);
    await reader.vanish();
    await server.advance(60_000);
    assert.deepEqual(textsOf(await (await server.resume(5, 'reader')).messages()), ['sent']);
  });
});

/** Shared subscriptions of MQTT 5.0, as clients see them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ackPacket, summary } from '../session/mqtt/harness.js';
import { publishesIn, TestServer, textsOf, type Client } from './exchange.js';

const FILTER = '$share/g/t/#';

/** Publishes with the given QoS, in turn with others of the sender. */
async function publish(sender: Client, qos: 0 | 1 | 2, ...bodies: readonly string[]): Promise<void> {
  for (const [index, body] of bodies.entries()) {
    const packetId = qos === 0 ? 0 : index + 1;
    const [answer] = await sender.publish('t/x', body, { qos, packetId });
    if (answer?.type === 'pubrec') await sender.send(ackPacket('pubrel', packetId));
  }
}

describe('shared subscriptions', () => {
  test('[MQTT5 4.8.2-1, 4.8.2-2] a name of at least one character without / + #, and a filter behind it', async () => {
    const server = new TestServer();
    for (const [version, code] of [
      [5, 0x8f],
      [4, 0x80],
    ] as const) {
      const client = await server.connect(version, `d${version}`);
      for (const filter of [
        '$share',
        '$share/',
        '$share/g',
        '$share/g/',
        '$share//t',
        '$share/+/t',
        '$share/#/t',
        '$share/a+/t',
        '$share/g/a#',
      ]) {
        const expected = filter === '$share' ? (version === 5 ? 0x87 : 0x80) : code;
        assert.deepEqual(
          summary({ packets: await client.subscribe(filter) } as never),
          [['suback', [expected]]],
          filter,
        );
      }
      for (const filter of ['$share/g/t', '$share/g/#', '$share/g//', '$share/a b/+/t']) {
        assert.deepEqual(
          summary({ packets: await client.subscribe(filter) } as never),
          [['suback', [1]]],
          filter,
        );
      }
    }
  });

  test('[MQTT5 4.8.2-3] each message comes with the QoS granted to the one that gets it', async () => {
    const server = new TestServer();
    const members: Client[] = [];
    for (const qos of [0, 1, 2] as const) {
      const member = await server.connect(5, `m${qos}`);
      await member.subscribe(FILTER, qos);
      members.push(member);
    }
    const sender = await server.connect(5, 's');
    for (const qos of [0, 1, 2] as const) {
      await publish(sender, qos, '1', '2', '3');
      for (const [granted, member] of members.entries()) {
        const [message, ...more] = await member.messages();
        assert.deepEqual([message?.qos, more.length], [Math.min(qos, granted), 0]);
      }
    }
  });

  test('[MQTT5 4.8.2-4] a QoS 2 message that was begun with one client waits for it, and is finished with it', async () => {
    const server = new TestServer();
    const first = await server.resume(5, 'first');
    await first.subscribe(FILTER, 2);
    const sender = await server.connect(5, 's');
    await publish(sender, 2, 'begun');
    const [begun] = publishesIn(first.take());
    const second = await server.resume(5, 'second');
    await second.subscribe(FILTER, 2);
    await first.vanish();
    await publish(sender, 2, 'next');
    assert.deepEqual(textsOf(await second.messages()), ['next']);
    const back = await server.resume(5, 'first');
    const [again] = publishesIn(back.take());
    assert.deepEqual([again?.packetId, again?.dup], [begun?.packetId, true]);
    assert.deepEqual(await back.send(ackPacket('pubrec', again!.packetId)), [
      ackPacket('pubrel', again!.packetId),
    ]);
    await back.send(ackPacket('pubcomp', again!.packetId));
    assert.deepEqual(await second.messages(), []);
  });

  test('[MQTT5 4.8.2-5] and goes to nobody else when the session of that client ends; what was not sent does', async () => {
    const server = new TestServer();
    const first = await server.connect(5, 'first', { properties: { receiveMaximum: 1 } });
    await first.subscribe(FILTER, 2);
    const sender = await server.connect(5, 's');
    await publish(sender, 2, 'begun', 'not sent');
    assert.deepEqual(textsOf(publishesIn(first.take())), ['begun']);
    const second = await server.connect(5, 'second');
    await second.subscribe(FILTER, 2);
    await first.leave();
    assert.deepEqual(textsOf(await second.messages()), ['not sent']);
  });

  test('[MQTT5 4.8.2-6] a message that one client refuses goes to nobody else', async () => {
    const server = new TestServer();
    const first = await server.connect(5, 'first');
    await first.subscribe(FILTER, 2);
    const sender = await server.connect(5, 's');
    for (const qos of [1, 2] as const) {
      await publish(sender, qos, 'refused');
      const [message] = publishesIn(first.take());
      const second = await server.connect(5, 'second');
      await second.subscribe(FILTER, 2);
      await first.send(ackPacket(qos === 1 ? 'puback' : 'pubrec', message!.packetId, 0x83));
      assert.deepEqual(await second.messages(), []);
      await second.leave();
    }
    assert.deepEqual(await first.messages(), []);
  });
});

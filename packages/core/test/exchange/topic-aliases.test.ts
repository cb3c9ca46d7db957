/** Topic aliases of MQTT 5.0 in both directions, as a client sees them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mqttLimits } from '../../src/session/mqtt/index.js';
import { connectPacket, publishPacket, summary } from '../session/mqtt/harness.js';
import { publishesIn, TestServer } from './exchange.js';

test('[MQTT5 3.3.2-12] every alias up to the maximum that CONNACK told is accepted, and may be set anew', async () => {
  const server = new TestServer();
  const reader = await server.connect(5, 'reader');
  await reader.subscribe('#', 0);
  const sender = server.accept(5);
  const [connack] = await sender.send(connectPacket(5, { clientId: 'sender' }));
  assert(connack?.type === 'connack');
  const maximum: number = mqttLimits.topicAliasesInMax;
  assert.equal(connack.properties.topicAliasMaximum, maximum);
  for (const round of ['first', 'second']) {
    for (let topicAlias = 1; topicAlias <= maximum; topicAlias += 1) {
      await sender.publish(`${round}/${topicAlias}`, '', { topicAlias });
      await sender.publish('', '', { topicAlias });
    }
    const told = (await reader.messages()).map(({ topic }) => topic);
    const set = Array.from({ length: maximum }, (_, index) => `${round}/${index + 1}`);
    assert.deepEqual(
      told,
      set.flatMap((topic) => [topic, topic]),
    );
  }
});

test('[MQTT5 3.2.2-17, 3.3.2-9, 4.13.1-1] one beyond it ends the connection', async () => {
  for (const topicAlias of [mqttLimits.topicAliasesInMax + 1, 65_535]) {
    const sender = await new TestServer().connect(5, 'sender');
    const packets = await sender.send(publishPacket({ topic: 't', topicAlias }), { type: 'pingreq' });
    assert.deepEqual(summary({ packets }), [['disconnect', 0x94]]);
    assert.equal(sender.closed, 'protocol-error');
  }
});

test('[MQTT5 3.3.2-7] what was set on one connection means nothing on the next, in either direction', async () => {
  const server = new TestServer();
  const properties = { topicAliasMaximum: 5, sessionExpirySeconds: 3_600 };
  const first = await server.resume(5, 'd', { properties });
  await first.subscribe('a/long/topic', 0);
  await first.publish('a/long/topic', '', { topicAlias: 1 });
  await first.publish('a/long/topic', '', { topicAlias: 1 });
  await first.vanish();
  const second = await server.resume(5, 'd', { properties });
  await (await server.connect(5, 's')).publish('a/long/topic', 'x');
  const [message] = publishesIn(second.take());
  assert.equal(message?.topic, 'a/long/topic');
  const packets = await second.send(publishPacket({ topic: '', topicAlias: 1 }));
  assert.deepEqual(summary({ packets }), [['disconnect', 0x82]]);
});

test("[MQTT5 3.1.2-26, 3.1.2-27, 3.3.2-8, 3.3.2-11] the server's aliases are from 1 to the client's maximum, and without one there are none", async () => {
  for (const topicAliasMaximum of [undefined, 0, 1, 3, 65_535]) {
    const server = new TestServer();
    const properties = topicAliasMaximum === undefined ? {} : { topicAliasMaximum };
    const client = await server.connect(5, 'd', { properties });
    await client.subscribe('#', 1);
    const sender = await server.connect(5, 's');
    const known = new Map<number, string>();
    const used = new Set<number>();
    for (let index = 0; index < 200; index += 1) {
      const sent = `a/long/topic/${index % 50}`;
      await sender.publish(sent, '', { qos: index % 2 === 0 ? 0 : 1, packetId: index % 2 });
      const [message] = await client.messages();
      assert(message !== undefined);
      const { topic, topicAlias } = message;
      if (topicAlias > 0) {
        used.add(topicAlias);
        if (topic !== '') known.set(topicAlias, topic);
      }
      assert.equal(topic === '' ? known.get(topicAlias) : topic, sent);
    }
    const most = Math.min(topicAliasMaximum ?? 0, mqttLimits.topicAliasesOutMax);
    assert.deepEqual(
      [...used].toSorted((a, b) => a - b),
      Array.from({ length: most }, (_, index) => index + 1),
    );
  }
});

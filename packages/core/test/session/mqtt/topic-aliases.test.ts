import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteWriter, encodeUtf8 } from '../../../src/base/index.js';
import { mqttLimits } from '../../../src/session/mqtt/index.js';
import { encodePublish, knownTopic, publishPacketBytes } from '../../../src/wire/mqtt/index.js';
import { delivery, openSession, publication, publishPacket, summary, type Turn } from './harness.js';

const { topicAliasesInMax, topicAliasesOutMax } = mqttLimits;

/** Topic and alias of each PUBLISH that was written. */
function told(turn: Turn): readonly (readonly [string, number])[] {
  return turn.packets.map((packet) => {
    assert.equal(packet.type, 'publish');
    return [packet.topic, packet.topicAlias];
  });
}

function to(topic: string, sequence = 0): ReturnType<typeof delivery> {
  return delivery(sequence, { topic: encodeUtf8(topic) });
}

describe('topic aliases from the client', () => {
  test('[MQ-1] an alias stands for the topic it was last sent with, in this connection only', () => {
    const harness = openSession(5);
    const { commands } = harness.send(
      publishPacket({ topic: 'a/long/topic', topicAlias: 1 }),
      publishPacket({ topic: '', topicAlias: 1 }),
      publishPacket({ topic: 'another', topicAlias: topicAliasesInMax, qos: 1, packetId: 3 }),
      publishPacket({ topic: '', topicAlias: topicAliasesInMax }),
      publishPacket({ topic: 'third', topicAlias: 1 }),
      publishPacket({ topic: '', topicAlias: 1 }),
    );
    assert.deepEqual(
      commands.map((command) => (command.kind === 'publish' ? command.publication.topic : command.kind)),
      ['a/long/topic', 'a/long/topic', 'another', 'another', 'third', 'third'],
    );
    assert.deepEqual(commands[1], {
      kind: 'publish',
      packetId: 0,
      publication: publication({ topic: 'a/long/topic' }),
    });
    const next = openSession(5).send(publishPacket({ topic: '', topicAlias: 1 }));
    assert.deepEqual(summary(next), [['disconnect', 0x82]]);
  });

  const bad = [
    ['0', publishPacket({ topic: 'a', topicAlias: 0 }), 0x94],
    ['beyond the maximum', publishPacket({ topic: 'a', topicAlias: topicAliasesInMax + 1 }), 0x94],
    ['65,535, without a topic', publishPacket({ topic: '', topicAlias: 65_535 }), 0x94],
    ['never set', publishPacket({ topic: '', topicAlias: topicAliasesInMax }), 0x82],
  ] as const;
  for (const [name, packet, code] of bad) {
    test(`[MQ-1] an alias that is ${name} ends the connection with 0x${code.toString(16)}`, () => {
      const harness = openSession(5);
      const turn =
        packet.topicAlias === 0
          ? harness.bytes(Uint8Array.of(0x30, 7, 0, 1, 0x61, 3, 0x23, 0, 0))
          : harness.send(packet);
      assert.deepEqual(summary(turn), [['disconnect', code]]);
      assert.deepEqual(turn.close, { reason: 'protocol-error' });
    });
  }

  test('[MQ-1] a topic that is refused is refused by its alias, too', () => {
    const harness = openSession(5);
    const turn = harness.send(
      publishPacket({ topic: '$SYS/x', topicAlias: 1, qos: 1, packetId: 1 }),
      publishPacket({ topic: '', topicAlias: 1, qos: 1, packetId: 2 }),
    );
    assert.deepEqual(turn.commands, []);
    assert.deepEqual(summary(turn), [
      ['puback', 0x87],
      ['puback', 0x87],
    ]);
  });
});

describe('topic aliases to the client', () => {
  const takes = (topicAliasMaximum: number, maximumPacketBytes?: number) => ({
    properties: { topicAliasMaximum, ...(maximumPacketBytes !== undefined && { maximumPacketBytes }) },
  });

  test('[MQ-2] only for a client that asks; first with the topic, then without', () => {
    const harness = openSession(5, takes(10));
    const first = harness.events(
      to('up/dev/1'),
      to('up/dev/1'),
      to('up/dev/2', 1),
      to('abc'),
      to('up/dev/1'),
    );
    assert.deepEqual(told(first), [
      ['up/dev/1', 1],
      ['', 1],
      ['up/dev/2', 2],
      ['abc', 0],
      ['', 1],
    ]);
    assert.deepEqual(told(harness.events(to('up/dev/2', 2))), [['', 2]]);
    for (const plain of [openSession(5), openSession(5, takes(0)), openSession(4)]) {
      assert.deepEqual(told(plain.events(to('up/dev/1'), to('up/dev/1'))), [
        ['up/dev/1', 0],
        ['up/dev/1', 0],
      ]);
    }
  });

  test("[MQ-2] never beyond the client's maximum, nor beyond ours", () => {
    for (const [maximum, count] of [
      [1, 1],
      [5, 5],
      [65_535, topicAliasesOutMax],
    ] as const) {
      const harness = openSession(5, takes(maximum));
      const aliases = new Set<number>();
      for (let round = 0; round < 3; round += 1) {
        for (let index = 0; index < count * 3; index += 1) {
          for (const [, alias] of told(harness.events(to(`topic/${index}`)))) aliases.add(alias);
        }
      }
      aliases.delete(0);
      assert.equal(Math.max(...aliases), count);
      assert.equal(aliases.size, count);
    }
  });

  test('[MQ-2] a topic in use keeps its alias while others come and go, and one out of use gives it up', () => {
    const harness = openSession(5, takes(2));
    harness.events(to('busy/topic'), to('idle/topic'));
    let written = 0;
    for (let index = 0; index < 20; index += 1) {
      const [[busy], [other]] = told(harness.events(to('busy/topic'), to(`other/${index}`))) as [
        readonly [string, number],
        readonly [string, number],
      ];
      assert.equal(other, `other/${index}`);
      if (busy !== '') written += 1;
    }
    assert.equal(written, 0);
    // Nothing of what it is told ever names another topic: replayed as a client would.
    const known = new Map<number, string>();
    const replay = openSession(5, takes(3));
    for (let index = 0; index < 200; index += 1) {
      const topic = `topic/${(index * index) % 7}`;
      for (const [name, alias] of told(replay.events(to(topic)))) {
        if (name !== '' && alias !== 0) known.set(alias, name);
        assert.equal(name === '' ? known.get(alias) : name, topic);
      }
    }
  });

  test('[MQ-3] the maximum packet size is kept with aliases: without one where that is shorter', () => {
    // Long enough for a maximum into which CONNACK fits.
    const topic = `a/topic/${'x'.repeat(32)}`;
    const fields = (
      delivery(0, { topic: encodeUtf8(topic) }) as { delivery: Parameters<typeof publishPacketBytes>[1] }
    ).delivery;
    const plain = publishPacketBytes(5, fields);
    assert.equal(publishPacketBytes(5, fields, 1), plain + 3);
    assert.equal(publishPacketBytes(5, fields, 1, knownTopic), plain + 3 - topic.length);
    for (const [alias, written] of [
      [0, fields.topic],
      [1, fields.topic],
      [1, knownTopic],
    ] as const) {
      const writer = new ByteWriter();
      encodePublish(writer, 5, 0, fields, alias, written);
      assert.equal(writer.take().length, publishPacketBytes(5, fields, alias, written));
    }
    // Just enough without an alias: none is set. Three bytes more: it is, and what is longer then fits without topic.
    const tight = openSession(5, takes(5, plain));
    assert.deepEqual(told(tight.events(to(topic), to(topic))), [
      [topic, 0],
      [topic, 0],
    ]);
    const roomy = openSession(5, takes(5, plain + 3));
    const long = delivery(7, { topic: encodeUtf8(topic), body: new Uint8Array(topic.length - 1) });
    const longer = delivery(8, { topic: encodeUtf8(topic), body: new Uint8Array(topic.length) });
    assert.deepEqual(told(roomy.events(to(topic), long)), [
      [topic, 1],
      ['', 1],
    ]);
    const refused = roomy.events(longer);
    assert.deepEqual(refused.packets, []);
    assert.deepEqual(refused.commands, [{ kind: 'acknowledge', sequence: 8 }]);
    // One that was too large from the start must not leave an alias behind that the client never heard of.
    const big = openSession(5, takes(5, plain + 3));
    big.events(delivery(1, { topic: encodeUtf8(topic), body: new Uint8Array(99) }));
    assert.deepEqual(told(big.events(to(topic))), [[topic, 1]]);
  });
});

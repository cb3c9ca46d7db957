import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8, limits } from '../../../src/base/index.js';
import { noProperties, type Packet } from '../../../src/wire/mqtt/index.js';
import { ackPacket, delivery, openSession, publishPacket, summary, type Harness } from './harness.js';

function report(harness: Harness, text: string | Uint8Array, fields: object = {}) {
  const payload = typeof text === 'string' ? encodeUtf8(text) : text;
  return harness.send(publishPacket({ topic: '$line/state', payload, ...fields }));
}

const asleep = '{"state":"asleep"}';

describe('$line/state', () => {
  const good = [
    ['{"state":"active"}', { activity: 'active', windowMs: undefined, network: undefined }],
    ['{"state":"background","window":0}', { activity: 'background', windowMs: 0, network: undefined }],
    [
      '{"state":"asleep","window":10000,"network":"wifi Zuhause","more":[1]}',
      { activity: 'asleep', windowMs: 10_000, network: 'wifi Zuhause' },
    ],
  ] as const;
  for (const [text, state] of good) {
    for (const version of [4, 5] as const) {
      test(`[DE-18] version ${version}: ${text}`, () => {
        const harness = openSession(version);
        assert.deepEqual(report(harness, text).commands, [{ kind: 'state', state, qos: 0, packetId: 0 }]);
        for (const qos of [1, 2] as const) {
          const turn = report(harness, text, { qos, packetId: 9 });
          assert.deepEqual(turn.commands, [{ kind: 'state', state, qos, packetId: 9 }]);
          const answer = harness.events({
            kind: 'accepted',
            packetId: 9,
            qos,
            reason: undefined,
            matched: true,
          });
          assert.deepEqual(summary(answer), [[qos === 1 ? 'puback' : 'pubrec', 0]]);
        }
      });
    }
  }

  const bad: readonly (readonly [string, string | Uint8Array])[] = [
    ['nothing', ''],
    ['no JSON', 'asleep'],
    ['cut short', '{"state":"asleep"'],
    ['no object', '["asleep"]'],
    ['null', 'null'],
    ['no state', '{"window":5}'],
    ['an unknown state', '{"state":"dozing"}'],
    ['a state of another kind', '{"state":["asleep"]}'],
    ['a window that is no number', '{"state":"asleep","window":"5"}'],
    ['a negative window', '{"state":"asleep","window":-1}'],
    ['a fraction', '{"state":"asleep","window":1.5}'],
    ['too long a window', `{"state":"asleep","window":${limits.wakeWindowMsMax + 1}}`],
    ['an empty network', '{"state":"asleep","network":""}'],
    ['a long network', `{"state":"asleep","network":"${'ü'.repeat(65)}"}`],
    ['a gap that is no number', '{"state":"asleep","gap":"170000"}'],
    ['a gap of no time', '{"state":"asleep","gap":0}'],
    ['too short a gap', '{"state":"asleep","gap":999}'],
    ['too long a gap', '{"state":"asleep","gap":7200001}'],
    ['half a gap', '{"state":"asleep","gap":1000.5}'],
    ['too large', `{"state":"asleep","x":"${'x'.repeat(500)}"}`],
    ['no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d)],
  ];
  for (const [name, text] of bad) {
    test(`[DE-18] ${name} is refused, and the connection stays`, () => {
      const five = openSession(5);
      assert.deepEqual(summary(report(five, text, { qos: 1, packetId: 1 })), [['puback', 0x99]]);
      assert.deepEqual(summary(report(five, text, { qos: 2, packetId: 2 })), [['pubrec', 0x99]]);
      // 3.1.1 cannot be told no, and would send it again after a close: acknowledged, and without effect.
      const four = openSession(4);
      assert.deepEqual(summary(report(four, text, { qos: 1, packetId: 1 })), [['puback', 0]]);
      for (const harness of [five, four]) {
        const turn = report(harness, text);
        assert.deepEqual([turn.commands, turn.packets, turn.close], [[], [], undefined]);
        assert.deepEqual(summary(harness.send({ type: 'pingreq' })), [['pingresp', undefined]]);
      }
    });
  }

  test('[DE-15] asleep, each packet of its own but acknowledgements is told to the hub; otherwise none is', () => {
    const packets = [
      [{ type: 'pingreq' }, []],
      [publishPacket(), ['publish']],
      [ackPacket('pubrel', 3), ['release']],
      [
        {
          type: 'subscribe',
          packetId: 4,
          subscriptions: [
            { filter: 'a', qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 },
          ],
          properties: noProperties,
        },
        ['subscribe'],
      ],
      [{ type: 'unsubscribe', packetId: 5, filters: ['a'], properties: noProperties }, ['unsubscribe']],
    ] as const;
    const acknowledgements = [
      [ackPacket('puback', 1), ['acknowledge']],
      [ackPacket('pubrec', 1), ['received']],
      [ackPacket('pubcomp', 1), ['complete']],
    ] as const;
    for (const version of [4, 5] as const) {
      const harness = openSession(version);
      harness.events(delivery(1));
      const kinds = (packet: Packet): string[] => harness.send(packet).commands.map(({ kind }) => kind);
      for (const [packet, expected] of [...packets, ...acknowledgements])
        assert.deepEqual(kinds(packet), expected);
      report(harness, asleep);
      for (const [packet, expected] of packets) assert.deepEqual(kinds(packet), ['awake', ...expected]);
      for (const [packet, expected] of acknowledgements) assert.deepEqual(kinds(packet), expected);
      report(harness, asleep);
      assert.deepEqual(kinds({ type: 'pingreq' }), ['awake']);
      report(harness, '{"state":"background"}');
      assert.deepEqual(kinds({ type: 'pingreq' }), []);
    }
  });

  for (const version of [4, 5] as const) {
    test(`[KA-23] version ${version}: a gap is for the transport, until a state comes without one`, () => {
      const harness = openSession(version);
      const probing = (text: string): unknown => {
        const { commands, ...turn } = report(harness, text);
        assert.equal(commands.length, 1);
        assert.deepEqual(Object.keys((commands[0] as { state: object }).state), [
          'activity',
          'windowMs',
          'network',
        ]);
        return turn.probing;
      };
      assert.equal(probing(asleep), undefined);
      assert.equal(probing('{"state":"asleep","gap":170000}'), 170_000);
      assert.equal(probing('{"state":"background","gap":1000}'), 1_000);
      assert.equal(probing('{"state":"active"}'), 'usual');
      assert.equal(probing('{"state":"active"}'), undefined);
      assert.equal(probing('{"state":"asleep","gap":7200000}'), 7_200_000);
    });
  }

  test('[KA-23] a state that is none changes nothing of it', () => {
    const harness = openSession(5);
    report(harness, '{"state":"asleep","gap":170000}');
    assert.equal(report(harness, '{"state":"dozing"}').probing, undefined);
  });
});

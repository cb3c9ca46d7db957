import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8, encodeUtf8 } from '../../../src/base/index.js';
import type { LinkEvent, MintEndpoint, Refusal } from '../../../src/domain/index.js';
import {
  decodeApplicationProperties,
  encodeApplicationProperties,
  type PublishPacket,
} from '../../../src/wire/mqtt/index.js';
import { openSession, publishPacket, summary, type Harness, type Turn } from './harness.js';

const KEY = `BP${'A'.repeat(85)}`;
const URL_TEXT = 'https://push.example.org/push/secret';
const mintEndpoint: MintEndpoint = () => ({ url: URL_TEXT, tokenSha256: 'ab'.repeat(32) });

function ask(harness: Harness, text: string | Uint8Array, fields: Partial<PublishPacket> = {}): Turn {
  const payload = typeof text === 'string' ? encodeUtf8(text) : text;
  return harness.send(publishPacket({ topic: '$line/endpoint', payload, ...fields }));
}

const open = (version: 4 | 5): Harness => openSession(version, {}, { mintEndpoint });

/** Publications among the packets: topic, JSON and correlation data. */
function answers(turn: Turn): unknown[] {
  const found: unknown[] = [];
  for (const packet of turn.packets) {
    if (packet.type !== 'publish') continue;
    assert.deepEqual([packet.qos, packet.retain, packet.dup], [0, false, false]);
    const { correlationData } = decodeApplicationProperties(packet.properties) ?? {};
    const json: unknown = JSON.parse(decodeUtf8(packet.payload, 0, packet.payload.length)!);
    found.push(
      correlationData === undefined ? [packet.topic, json] : [packet.topic, json, [...correlationData]],
    );
  }
  return found;
}

const accepted = (qos: 1 | 2, packetId: number, reason?: Refusal): LinkEvent => {
  return { kind: 'accepted', qos, packetId, reason, matched: reason === undefined };
};

describe('$line/endpoint', () => {
  for (const version of [4, 5] as const) {
    test(`[PU-26] version ${version}: an endpoint is asked for and told, with any QoS`, () => {
      const harness = open(version);
      for (const qos of [0, 1, 2] as const) {
        const packetId = qos === 0 ? 0 : 9;
        const ticket = qos + 1;
        const turn = ask(harness, `{"channel":"news","key":"${KEY}","more":1}`, { qos, packetId });
        assert.deepEqual(turn.packets, []);
        assert.deepEqual(turn.commands, [
          {
            kind: 'register',
            ticket,
            channel: 'news',
            tokenSha256: 'ab'.repeat(32),
            vapidKey: KEY,
            qos,
            packetId,
          },
        ]);
        const told: LinkEvent = { kind: 'registered', ticket, reason: undefined };
        const answer = qos === 0 ? harness.events(told) : harness.events(told, accepted(qos, packetId));
        assert.deepEqual(answers(answer), [['$line/endpoint/news', { channel: 'news', endpoint: URL_TEXT }]]);
        if (qos > 0) assert.deepEqual(summary(answer).at(-1), [qos === 1 ? 'puback' : 'pubrec', 0]);
      }
    });

    test(`[PU-26] version ${version}: it is ended`, () => {
      const harness = open(version);
      assert.deepEqual(ask(harness, '{"channel":"news","end":true}').commands, [
        { kind: 'unregister', ticket: 1, channel: 'news', qos: 0, packetId: 0 },
      ]);
      const turn = harness.events({ kind: 'unregistered', ticket: 1, reason: undefined, found: false });
      assert.deepEqual(answers(turn), [['$line/endpoint/news', { channel: 'news', ended: true }]]);
    });

    test(`[PU-26] version ${version}: what the hub refuses is told, and acknowledged`, () => {
      const harness = open(version);
      ask(harness, '{"channel":"news"}', { qos: 1, packetId: 9 });
      const turn = harness.events({ kind: 'registered', ticket: 1, reason: 'channels-full' }, accepted(1, 9));
      const [[topic, answer]] = answers(turn) as [[string, { error: { code: string } }]];
      assert.deepEqual([topic, answer.error.code], ['$line/endpoint/news', 'channels-full']);
      assert.deepEqual(summary(turn).at(-1), ['puback', 0]);
    });

    test(`[PU-26] version ${version}: a key that is none is told, and the connection stays`, () => {
      const harness = open(version);
      const turn = ask(harness, '{"channel":"news","key":"BAAA"}', { qos: 1, packetId: 9 });
      assert.deepEqual(turn.commands, []);
      const [[, answer]] = answers(turn) as [[string, { error: { code: string } }]];
      assert.equal(answer.error.code, 'key-invalid');
      assert.deepEqual(summary(turn).at(-1), ['puback', version === 4 ? 0 : 0x99]);
      assert.equal(turn.close, undefined);
    });

    test(`[PU-26] version ${version}: a server without a URL says so`, () => {
      for (const options of [{}, { mintEndpoint: () => undefined }]) {
        const harness = openSession(version, {}, options);
        const turn = ask(harness, '{"channel":"news"}');
        const [[, answer]] = answers(turn) as [[string, { error: { code: string } }]];
        assert.equal(answer.error.code, 'endpoints-off');
        // To end one none is needed.
        assert.equal(ask(harness, '{"channel":"news","end":true}').commands[0]!.kind, 'unregister');
      }
    });

    test(`[PU-26] version ${version}: more requests than may wait are refused`, () => {
      const harness = open(version);
      for (let count = 0; count < 100; count += 1) {
        assert.equal(ask(harness, '{"channel":"news"}').commands.length, 1);
      }
      const turn = ask(harness, '{"channel":"news"}');
      const [[, answer]] = answers(turn) as [[string, { error: { code: string } }]];
      assert.equal(answer.error.code, 'quota-exceeded');
      harness.events({ kind: 'registered', ticket: 1, reason: undefined });
      assert.equal(ask(harness, '{"channel":"news"}').commands.length, 1);
    });
  }

  test('[PU-26] MQTT 5: the answer goes to the response topic, with the correlation data', () => {
    const harness = open(5);
    const properties = encodeApplicationProperties({
      responseTopic: 'my/answers',
      correlationData: Uint8Array.of(7, 8),
    });
    ask(harness, '{"channel":"news"}', { properties });
    const turn = harness.events({ kind: 'registered', ticket: 1, reason: undefined });
    assert.deepEqual(answers(turn), [['my/answers', { channel: 'news', endpoint: URL_TEXT }, [7, 8]]]);
    // Only there can a channel be answered that is no level of a topic.
    const refused = ask(harness, '{"channel":"a/b"}', { properties });
    const [[topic, answer]] = answers(refused) as [[string, { error: { code: string } }]];
    assert.deepEqual([topic, answer.error.code], ['my/answers', 'channel-invalid']);
  });

  const bad: readonly (readonly [string, string | Uint8Array])[] = [
    ['nothing', ''],
    ['no JSON', 'news'],
    ['no object', '["news"]'],
    ['null', 'null'],
    ['no channel', '{"key":"x"}'],
    ['a channel of another kind', '{"channel":5}'],
    ['a key of another kind', '{"channel":"news","key":5}'],
    ['an end of another kind', '{"channel":"news","end":"yes"}'],
    ['too large', `{"channel":"news","x":"${'x'.repeat(1_100)}"}`],
    ['no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d)],
    ['a channel of two levels', '{"channel":"a/b"}'],
    ['a wildcard', '{"channel":"#"}'],
    ['an empty channel', '{"channel":""}'],
  ];
  for (const [name, text] of bad) {
    test(`[PU-26] ${name} is refused, and the connection stays`, () => {
      const five = open(5);
      assert.deepEqual(summary(ask(five, text, { qos: 1, packetId: 1 })), [['puback', 0x99]]);
      const four = open(4);
      assert.deepEqual(summary(ask(four, text, { qos: 1, packetId: 1 })), [['puback', 0]]);
      for (const harness of [five, four]) {
        const turn = ask(harness, text);
        assert.deepEqual([turn.commands, turn.packets, turn.close], [[], [], undefined]);
      }
    });
  }
});

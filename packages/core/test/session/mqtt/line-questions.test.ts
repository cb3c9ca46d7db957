import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8, encodeUtf8, limits } from '../../../src/base/index.js';
import type { Answer, LinkEvent, Question } from '../../../src/domain/index.js';
import { mqttLimits } from '../../../src/session/mqtt/index.js';
import {
  decodeApplicationProperties,
  encodeApplicationProperties,
  ReasonCode,
  type PublishPacket,
} from '../../../src/wire/mqtt/index.js';
import { openSession, publishPacket, summary, type Harness, type Turn } from './harness.js';

/** As the harness hashes `home`. */
const HOME = '686f6d65';

function ask(harness: Harness, topic: string, text: string, fields: Partial<PublishPacket> = {}): Turn {
  return harness.send(publishPacket({ topic, payload: encodeUtf8(text), ...fields }));
}

/** Topic and JSON of the only publication, with its correlation data. */
function answerOf(turn: Turn): readonly [string, unknown, Uint8Array | undefined] {
  const publications = turn.packets.filter((packet) => packet.type === 'publish');
  assert.equal(publications.length, 1);
  const [{ topic, payload, properties, qos, retain }] = publications as [PublishPacket];
  assert.deepEqual([qos, retain], [0, false]);
  const json: unknown = JSON.parse(decodeUtf8(payload, 0, payload.length)!);
  const { correlationData } = decodeApplicationProperties(properties) ?? {};
  return [topic, json, correlationData];
}

interface Row {
  readonly topic: string;
  readonly text: string;
  readonly question: Question;
  readonly answer: Answer;
  readonly told: object;
}

const rows: readonly Row[] = [
  {
    topic: '$line/alive',
    text: '',
    question: { about: 'alive' },
    answer: { about: 'alive', canary: { silenceMs: 340_000, isSent: true, isOpen: false } },
    told: { canary: { silence: 340_000, sent: true, open: false } },
  },
  {
    topic: '$line/alive',
    text: '{"more":1}',
    question: { about: 'alive' },
    answer: { about: 'alive', canary: undefined },
    told: {},
  },
  {
    topic: '$line/network',
    text: '{"network":"home","low":240000,"high":300000}',
    question: { about: 'network', networkSha256: HOME, lowMs: 240_000 },
    answer: { about: 'network', hintMs: 250_000 },
    told: { network: 'home', hint: 250_000 },
  },
  {
    topic: '$line/network',
    text: '{"network":"home"}',
    question: { about: 'network', networkSha256: HOME, lowMs: undefined },
    answer: { about: 'network', hintMs: undefined },
    told: { network: 'home' },
  },
  {
    topic: '$line/call',
    text: '{"call":"7a42","intent":"decline"}',
    question: { about: 'call', call: '7a42', intent: 'decline' },
    answer: { about: 'call', outcome: 'done' },
    told: { call: '7a42', outcome: 'done' },
  },
  {
    topic: '$line/call',
    text: '{"call":"7a42","intent":"answer"}',
    question: { about: 'call', call: '7a42', intent: 'answer' },
    answer: { about: 'call', outcome: 'over' },
    told: { call: '7a42', outcome: 'over' },
  },
];

const bad: readonly (readonly [topic: string, text: string])[] = [
  ['$line/alive', 'who?'],
  ['$line/alive', '[]'],
  ['$line/network', ''],
  ['$line/network', '{}'],
  ['$line/network', '{"network":""}'],
  ['$line/network', '{"network":5}'],
  ['$line/network', `{"network":"${'ü'.repeat(129)}"}`],
  ['$line/network', '{"network":"home","low":0}'],
  ['$line/network', '{"network":"home","low":"240000"}'],
  ['$line/network', '{"network":"home","low":1.5}'],
  ['$line/network', `{"network":"home","low":${limits.networkSilenceMsMax + 1}}`],
  ['$line/network', '{"network":"home","low":240000,"high":240000}'],
  ['$line/network', '{"network":"home","high":240000}'],
  ['$line/call', ''],
  ['$line/call', '{"call":"7a42"}'],
  ['$line/call', '{"call":"7a42","intent":"ignore"}'],
  ['$line/call', '{"call":"","intent":"decline"}'],
  ['$line/call', '{"call":7,"intent":"decline"}'],
  ['$line/call', `{"call":"${'7'.repeat(129)}","intent":"decline"}`],
  ['$line/call', `{"call":"7a42","intent":"decline","x":"${'x'.repeat(1_000)}"}`],
];

describe('what a device asks', () => {
  for (const version of [4, 5] as const) {
    for (const { topic, text, question, answer, told } of rows) {
      test(`[MQ-9] version ${version}: ${topic} ${text}`, () => {
        const harness = openSession(version);
        for (const qos of [0, 1, 2] as const) {
          const packetId = qos === 0 ? 0 : 9;
          const ticket = qos + 1;
          const turn = ask(harness, topic, text, { qos, packetId });
          assert.deepEqual(turn.packets, []);
          assert.deepEqual(turn.commands, [{ kind: 'ask', ticket, question, qos, packetId }]);
          const accepted: LinkEvent = { kind: 'accepted', qos, packetId, reason: undefined, matched: true };
          const said = harness.events({ kind: 'answered', ticket, answer }, accepted);
          assert.deepEqual(answerOf(said), [topic, told, undefined]);
          if (qos > 0) assert.deepEqual(summary(said).at(-1), [qos === 1 ? 'puback' : 'pubrec', 0]);
        }
      });
    }

    for (const [topic, text] of bad) {
      const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
      test(`[MQ-9] version ${version}: ${topic} ${shown} is refused`, () => {
        const harness = openSession(version);
        assert.deepEqual(ask(harness, topic, text).commands, []);
        const turn = ask(harness, topic, text, { qos: 1, packetId: 9 });
        assert.deepEqual(turn.commands, []);
        assert.deepEqual(summary(turn), [['puback', version === 5 ? ReasonCode.payloadFormatInvalid : 0]]);
      });
    }
  }

  test('[MQ-9] what the hub refuses is told in the place of the rest', () => {
    const harness = openSession(5);
    ask(harness, '$line/network', '{"network":"home"}');
    const answer: Answer = { about: 'refused', reason: 'quota-exceeded' };
    const [, json] = answerOf(harness.events({ kind: 'answered', ticket: 1, answer }));
    const { network, error } = json as { network: string; error: { code: string; message: string } };
    assert.deepEqual([network, error.code], ['home', 'quota-exceeded']);
    assert.match(error.message, /limit/);
  });

  test('[MQ-9] answers go to the Response Topic, with the Correlation Data', () => {
    const harness = openSession(5);
    const correlationData = Uint8Array.of(1, 2, 3);
    const properties = encodeApplicationProperties({ responseTopic: 'my/answers', correlationData });
    ask(harness, '$line/alive', '', { properties });
    const turn = harness.events({
      kind: 'answered',
      ticket: 1,
      answer: { about: 'alive', canary: undefined },
    });
    const [topic, json, data] = answerOf(turn);
    assert.deepEqual([topic, json, [...data!]], ['my/answers', {}, [1, 2, 3]]);
  });

  test('[MQ-9] a question by alias is one, too', () => {
    const harness = openSession(5);
    ask(harness, '$line/alive', '', { topicAlias: 3 });
    const { commands } = ask(harness, '', '', { topicAlias: 3 });
    assert.deepEqual(commands, [
      { kind: 'ask', ticket: 2, question: { about: 'alive' }, qos: 0, packetId: 0 },
    ]);
  });

  test('[MQ-9] no more than questionsMax wait, and an answer makes room', () => {
    const harness = openSession(5);
    for (let count = 0; count < mqttLimits.questionsMax; count += 1) ask(harness, '$line/alive', '');
    const beyond = ask(harness, '$line/alive', '', { qos: 1, packetId: 9 });
    assert.deepEqual(beyond.commands, []);
    assert.deepEqual(summary(beyond), [['puback', ReasonCode.quotaExceeded]]);
    harness.events({ kind: 'answered', ticket: 50, answer: { about: 'alive', canary: undefined } });
    assert.equal(ask(harness, '$line/alive', '').commands.length, 1);
  });

  test('[MQ-9] a sleeping device that asks is awake', () => {
    const harness = openSession(5);
    ask(harness, '$line/state', '{"state":"asleep"}');
    const { commands } = ask(harness, '$line/alive', '');
    assert.deepEqual(
      commands.map(({ kind }) => kind),
      ['awake', 'ask'],
    );
  });

  for (const topic of ['$line/canary', '$line/alive/x', '$line/other']) {
    test(`[MQ-9] ${topic} is none to ask on`, () => {
      const { commands } = ask(openSession(5), topic, '');
      // The hub refuses it, as all below $line/ that is not for devices.
      assert.deepEqual(
        commands.map(({ kind }) => kind),
        ['publish'],
      );
    });
  }
});

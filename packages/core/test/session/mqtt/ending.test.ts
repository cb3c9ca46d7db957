import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { refusals, type Refusal } from '../../../src/domain/index.js';
import { reasonCodeIn, reasons } from '../../../src/session/mqtt/index.js';
import { noProperties, type Packet, type Properties } from '../../../src/wire/mqtt/index.js';
import {
  connectPacket,
  delivery,
  encode,
  Harness,
  opened,
  openSession,
  publishPacket,
  summary,
} from './harness.js';

const anonymous = { kind: 'authenticated', identity: { kind: 'anonymous' } } as const;
const withWill = { kind: 'close', publishWill: true, sessionExpirySeconds: undefined } as const;
const withoutWill = { ...withWill, publishWill: false } as const;

function disconnect(reasonCode = 0, properties: Properties = noProperties): Packet {
  return { type: 'disconnect', reasonCode, properties };
}

describe('DISCONNECT from the client', () => {
  test('[MQTT5 3.14.4-3] [MQTT3 3.14.4-2, 3.14.4-3] discards the will, unless 5.0 asks to keep it', () => {
    for (const [version, code, command] of [
      [4, 0x00, withoutWill],
      [5, 0x00, withoutWill],
      [5, 0x04, withWill],
      [5, 0x81, withWill],
    ] as const) {
      const harness = openSession(version);
      const turn = harness.send(disconnect(code), publishPacket({ qos: 1, packetId: 1 }));
      assert.deepEqual([turn.commands, turn.packets, turn.close], [[command], [], { reason: undefined }]);
      // [MQTT-3.14.4-2] nothing after it is read; the socket's own end is no news.
      assert.deepEqual(harness.input({ kind: 'socket-closed' }).commands, []);
    }
  });

  test('a new session expiry is passed on within the limit, from 0 it is a protocol error', () => {
    const properties = { sessionExpirySeconds: 500 };
    const harness = openSession(
      5,
      { properties: { sessionExpirySeconds: 10 } },
      { sessionExpirySecondsMax: 100 },
    );
    assert.deepEqual(harness.send(disconnect(0, properties)).commands, [
      { ...withoutWill, sessionExpirySeconds: 100 },
    ]);
    const ended = openSession(5).send(disconnect(0, properties));
    assert.deepEqual([summary(ended), ended.commands], [[['disconnect', 0x82]], [withWill]]);
    const same = openSession(5).send(disconnect(0, { sessionExpirySeconds: 0 }));
    assert.deepEqual(same.commands, [{ ...withoutWill, sessionExpirySeconds: 0 }]);
  });
});

describe('the connection breaks', () => {
  test('at each stage: the hub is told once, if it knew of the flow', () => {
    const stages: readonly (readonly [string, (harness: Harness) => void, boolean])[] = [
      ['before CONNECT', () => {}, false],
      ['while authenticating', (harness) => harness.send(connectPacket(4)), false],
      [
        'while opening',
        (harness) => {
          harness.send(connectPacket(4));
          harness.input(anonymous);
        },
        true,
      ],
      [
        'open',
        (harness) => {
          harness.send(connectPacket(4));
          harness.input(anonymous);
          harness.events(opened);
        },
        true,
      ],
    ];
    for (const [title, prepare, isKnown] of stages) {
      const harness = new Harness(4);
      prepare(harness);
      const turn = harness.input({ kind: 'socket-closed' });
      assert.deepEqual([turn.commands, turn.packets], [isKnown ? [withWill] : [], []], title);
      // What comes late finds nobody.
      for (const late of [anonymous, { kind: 'events', events: [opened, delivery(1)] }] as const) {
        assert.deepEqual(harness.input(late), {
          authenticate: undefined,
          commands: [],
          packets: [],
          close: undefined,
        });
      }
      assert.equal(harness.session.nextTimeoutMs(), Infinity);
    }
  });
});

describe('the server ends it', () => {
  test('[MQTT5 3.14.2-2, 3.14.4-1, 3.14.4-2, 4.13.2-1] the hub gives any reason: 5.0 is told, no `close` is owed', () => {
    for (const reason of Object.keys(refusals) as Refusal[]) {
      const turn = openSession(5).events({ kind: 'end', reason }, delivery(1));
      const properties = { reasonString: reasons[reason].text };
      assert.deepEqual(turn.packets, [disconnect(reasonCodeIn('disconnect', reason), properties)]);
      assert.deepEqual([turn.commands, turn.close], [[], { reason }]);
      const old = openSession(4).events({ kind: 'end', reason });
      assert.deepEqual([old.packets, old.commands, old.close], [[], [], { reason }]);
    }
    assert.equal(reasonCodeIn('disconnect', 'session-taken-over'), 0x8e);
  });

  test('taken over before it was opened', () => {
    const harness = new Harness(5);
    harness.send(connectPacket(5));
    harness.input(anonymous);
    const turn = harness.events({ kind: 'end', reason: 'session-taken-over' });
    assert.deepEqual([summary(turn), turn.commands], [[['connack', 0x83]], []]);
  });

  test('[MQTT5 3.14.0-1] shutdown at each stage', () => {
    const fresh = new Harness(5).input({ kind: 'shutdown' });
    assert.deepEqual([fresh.packets, fresh.close], [[], { reason: 'draining' }]);
    const connecting = new Harness(5);
    connecting.send(connectPacket(5));
    assert.deepEqual(summary(connecting.input({ kind: 'shutdown' })), [['connack', 0x88]]);
    const opening = new Harness(4);
    opening.send(connectPacket(4));
    opening.input(anonymous);
    const turn = opening.input({ kind: 'shutdown' });
    assert.deepEqual([summary(turn), turn.commands], [[['connack', 3]], [withoutWill]]);
    const open = openSession(5).input({ kind: 'shutdown' });
    assert.deepEqual([summary(open), open.commands], [[['disconnect', 0x8b]], [withWill]]);
    const old = openSession(4).input({ kind: 'shutdown' });
    assert.deepEqual([old.packets, old.commands, old.close], [[], [withWill], { reason: 'draining' }]);
  });

  const errors: readonly (readonly [string, Packet | string, number, Refusal])[] = [
    ['[MQTT5 3.1.0-2] a second CONNECT', connectPacket(5), 0x82, 'already-connecting'],
    [
      'CONNACK',
      { type: 'connack', sessionPresent: false, reasonCode: 0, properties: {} },
      0x82,
      'protocol-error',
    ],
    ['SUBACK', { type: 'suback', packetId: 1, reasonCodes: [0], properties: {} }, 0x82, 'protocol-error'],
    ['PINGRESP', { type: 'pingresp' }, 0x82, 'protocol-error'],
    ['[MQTT5 4.12.0-7] AUTH', { type: 'auth', reasonCode: 0x19, properties: {} }, 0x82, 'protocol-error'],
    ['a topic alias beyond the maximum', publishPacket({ topicAlias: 33 }), 0x94, 'protocol-error'],
    ['a subscription identifier', publishPacket({ subscriptionIds: [1] }), 0x82, 'protocol-error'],
    ['a wildcard in a topic', publishPacket({ topic: 'a/#' }), 0x90, 'topic-invalid'],
    ['[MQTT5 3.2.2-15] a packet that is too large', '30ffffff7f', 0x95, 'packet-too-large'],
    ['malformed', '00', 0x81, 'packet-malformed'],
  ];
  for (const [title, packet, code, reason] of errors) {
    test(`${title}: DISCONNECT with a reason, and what was sent before it is kept`, () => {
      const harness = openSession(5);
      const bad = typeof packet === 'string' ? Buffer.from(packet, 'hex') : undefined;
      const before = harness.send(publishPacket({ topic: 'before' }), { type: 'pingreq' });
      assert.equal(before.commands.length, 1);
      const turn = bad === undefined ? harness.send(packet as Packet) : harness.bytes(bad);
      assert.deepEqual(summary(turn), [['disconnect', code]]);
      const [last] = turn.packets;
      assert.ok(last?.type === 'disconnect' && last.properties.reasonString !== undefined);
      assert.deepEqual([turn.commands, turn.close], [[withWill], { reason }]);
      assert.equal(harness.session.isClosed, true);
    });
  }

  test('[MQTT5 3.1.0-2] [MQTT3 3.1.0-2] a second CONNECT of another version is answered in the first one', () => {
    const old = openSession(4).bytes(encode(5, connectPacket(5)));
    assert.deepEqual([old.packets, old.close], [[], { reason: 'already-connecting' }]);
    const unknown = Buffer.from('100d00044d51545406 02003c000161'.replace(' ', ''), 'hex');
    assert.deepEqual(summary(openSession(5).bytes(unknown)), [['disconnect', 0x83]]);
    assert.deepEqual(openSession(4).bytes(unknown).packets, []);
  });

  test('3.1.1 is closed without a word', () => {
    const turn = openSession(4).bytes(Uint8Array.of(0xc0, 0, 0, 0));
    assert.deepEqual(summary(turn), [['pingresp', undefined]]);
    assert.deepEqual([turn.commands, turn.close], [[withWill], { reason: 'packet-malformed' }]);
  });

  test('no reason string for a client without room for it', () => {
    const turn = openSession(5, { properties: { maximumPacketBytes: 40 } }).input({ kind: 'shutdown' });
    assert.deepEqual(turn.packets, [disconnect(0x8b)]);
    const refused = new Harness(5);
    refused.send(connectPacket(5, { properties: { maximumPacketBytes: 40 } }));
    assert.deepEqual(refused.input({ kind: 'denied', reason: 'bad-credentials' }).packets, [
      { type: 'connack', sessionPresent: false, reasonCode: 0x86, properties: noProperties },
    ]);
  });
});

test('back pressure is passed on, once each way', () => {
  const harness = openSession(4);
  assert.deepEqual(harness.input({ kind: 'socket-full' }).commands, [{ kind: 'writable', writable: false }]);
  assert.deepEqual(harness.input({ kind: 'socket-full' }).commands, []);
  assert.equal(harness.session.wantsInput, false);
  assert.deepEqual(harness.input({ kind: 'socket-drained' }).commands, [
    { kind: 'writable', writable: true },
  ]);
  assert.equal(harness.session.wantsInput, true);
});

test('a socket that is full before the flow is open is told with it', () => {
  const harness = new Harness(4);
  harness.send(connectPacket(4));
  assert.deepEqual(harness.input({ kind: 'socket-full' }).commands, []);
  assert.deepEqual(harness.input(anonymous).commands.slice(1), [{ kind: 'writable', writable: false }]);
});

test('several inputs before a poll: one batch, one write', () => {
  const { session, now } = openSession(4);
  const ping = { kind: 'bytes', chunk: Uint8Array.of(0xc0, 0) } as const;
  session.handleInput(now, ping);
  session.handleInput(now, ping);
  assert.deepEqual(session.pollOutput(), { kind: 'write', bytes: Uint8Array.of(0xd0, 0, 0xd0, 0) });
  assert.equal(session.pollOutput(), undefined);
});

test('credentials that were not asked for yet are not asked for after the end', () => {
  const { session, now } = new Harness(4);
  session.handleInput(now, { kind: 'bytes', chunk: encode(4, connectPacket(4)) });
  session.handleInput(now, { kind: 'socket-closed' });
  assert.equal(session.pollOutput(), undefined);
});

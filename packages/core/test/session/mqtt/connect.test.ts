import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import { refusals, SESSION_NEVER_EXPIRES, Urgency, type Refusal } from '../../../src/domain/index.js';
import { mqttLimits, reasonCodeIn, reasons } from '../../../src/session/mqtt/index.js';
import {
  encodeApplicationProperties,
  isReasonCodeAllowed,
  noProperties,
  type Packet,
  type WillFields,
} from '../../../src/wire/mqtt/index.js';
import { connectPacket, encode, Harness, opened, openSession, publishPacket, summary } from './harness.js';

const anonymous = { kind: 'authenticated', identity: { kind: 'anonymous' } } as const;

function will(fields: Partial<WillFields> = {}): WillFields {
  return {
    topic: 'last/words',
    payload: encodeUtf8('bye'),
    qos: 1,
    retain: true,
    delaySeconds: 0,
    messageExpirySeconds: undefined,
    properties: new Uint8Array(0),
    ...fields,
  };
}

describe('CONNECT to CONNACK', () => {
  test('3.1.1: credentials are asked, the hub is asked, then CONNACK', () => {
    const harness = new Harness(4);
    const password = encodeUtf8('secret');
    const asked = harness.send(connectPacket(4, { username: 'u', password, clean: false }));
    assert.deepEqual(asked.authenticate, { kind: 'authenticate', clientId: 'd1', username: 'u', password });
    assert.deepEqual([asked.commands, asked.packets, asked.close], [[], [], undefined]);
    assert.equal(harness.session.wantsInput, false);
    const opening = harness.input(anonymous);
    assert.deepEqual(opening.commands, [
      {
        kind: 'open',
        link: 'mqtt',
        peer: '127.0.0.1:50000',
        identity: { kind: 'anonymous' },
        clientId: 'd1',
        clean: false,
        sessionExpirySeconds: SESSION_NEVER_EXPIRES,
        receiveMaximum: 65_535,
        will: undefined,
      },
    ]);
    const answered = harness.events({ ...opened, sessionPresent: true });
    assert.deepEqual(answered.packets, [
      { type: 'connack', sessionPresent: true, reasonCode: 0, properties: noProperties },
    ]);
    assert.equal(harness.session.wantsInput, true);
  });

  test('5.0: what is granted is advertised', () => {
    const harness = new Harness(5, { keepAliveMsMax: 30_000, sessionExpirySecondsMax: 100 });
    harness.send(
      connectPacket(5, { clientId: '', properties: { sessionExpirySeconds: 200, receiveMaximum: 7 } }),
    );
    const { commands } = harness.input(anonymous);
    assert.ok(commands[0]?.kind === 'open');
    assert.deepEqual([commands[0].sessionExpirySeconds, commands[0].receiveMaximum], [100, 7]);
    const { packets } = harness.events({ ...opened, deviceId: 'made-up', assigned: true });
    assert.deepEqual(packets, [
      {
        type: 'connack',
        sessionPresent: false,
        reasonCode: 0,
        properties: {
          sessionExpirySeconds: 100,
          receiveMaximum: 3,
          retainAvailable: 1,
          maximumPacketBytes: 1024 * 1024 + 64 * 1024,
          assignedClientId: 'made-up',
          topicAliasMaximum: mqttLimits.topicAliasesInMax,
          wildcardSubscriptionAvailable: 1,
          subscriptionIdentifierAvailable: 1,
          sharedSubscriptionAvailable: 1,
          serverKeepAliveSeconds: 30,
        },
      },
    ]);
  });

  test('what was granted as asked is not repeated', () => {
    const harness = new Harness(5);
    harness.send(connectPacket(5, { properties: { sessionExpirySeconds: 200 } }));
    harness.input(anonymous);
    const [connack] = harness.events(opened).packets;
    assert.ok(connack?.type === 'connack');
    assert.equal(connack.properties.sessionExpirySeconds, undefined);
    assert.equal(connack.properties.serverKeepAliveSeconds, undefined);
    assert.equal(connack.properties.assignedClientId, undefined);
  });

  test('session expiry: Clean Session of 3.1.1 ends it with the connection, 5.0 says it', () => {
    for (const [version, clean, asked, expected] of [
      [4, true, undefined, 0],
      [4, false, undefined, SESSION_NEVER_EXPIRES],
      [5, true, undefined, 0],
      [5, false, undefined, 0],
      [5, true, 77, 77],
    ] as const) {
      const harness = new Harness(version);
      const properties = asked === undefined ? noProperties : { sessionExpirySeconds: asked };
      harness.send(connectPacket(version, { clean, properties }));
      const [open] = harness.input(anonymous).commands;
      assert.ok(open?.kind === 'open');
      assert.deepEqual([open.clean, open.sessionExpirySeconds], [clean, expected]);
    }
  });

  test('the will is handed over whole, and copied', () => {
    const properties = encodeApplicationProperties({
      contentType: 'text/plain',
      userProperties: [
        ['urgency', 'high'],
        ['replace', 'status'],
      ],
    });
    const harness = new Harness(5);
    const chunk = encode(
      5,
      connectPacket(5, { will: will({ delaySeconds: 9, messageExpirySeconds: 60, properties }) }),
    );
    harness.input({ kind: 'bytes', chunk });
    chunk.fill(0xee);
    const [open] = harness.input(anonymous).commands;
    assert.ok(open?.kind === 'open');
    assert.deepEqual(open.will, {
      publication: {
        topic: 'last/words',
        body: encodeUtf8('bye'),
        properties,
        qos: 1,
        retain: true,
        expirySeconds: 60,
        urgency: Urgency.high,
        replaceKey: 'status',
      },
      delaySeconds: 9,
    });
  });

  test('[MQTT3 3.2.0-1] packets sent ahead of CONNACK wait for it, however they were cut', () => {
    const harness = new Harness(4);
    const stream = encode(
      4,
      connectPacket(4),
      publishPacket({ qos: 1, packetId: 5 }),
      { type: 'pingreq' },
      publishPacket({ qos: 1, packetId: 6 }),
    );
    harness.bytes(stream.subarray(0, stream.length - 10));
    assert.deepEqual(harness.bytes(stream.subarray(stream.length - 10)).commands, []);
    const opening = harness.input(anonymous);
    assert.deepEqual([opening.commands.map(({ kind }) => kind), opening.packets], [['open'], []]);
    const turn = harness.events(opened);
    assert.deepEqual(summary(turn), [
      ['connack', 0],
      ['pingresp', undefined],
    ]);
    assert.deepEqual(
      turn.commands.map((command) => command.kind === 'publish' && command.packetId),
      [5, 6],
    );
  });

  test('what is sent ahead is bounded', () => {
    const harness = new Harness(5);
    harness.send(connectPacket(5));
    harness.input(anonymous);
    harness.bytes(new Uint8Array(mqttLimits.earlyBytesMax));
    const turn = harness.bytes(Uint8Array.of(0));
    assert.deepEqual(summary(turn), [['connack', 0x97]]);
    assert.deepEqual(
      turn.commands.map(({ kind }) => kind),
      ['close'],
    );
    assert.deepEqual(turn.close, { reason: 'quota-exceeded' });
  });

  test('[MQTT3 4.4.0-1] after CONNACK the PUBRELs that are owed', () => {
    const harness = new Harness(4);
    harness.send(connectPacket(4, { clean: false }));
    harness.input(anonymous);
    const { packets } = harness.events(
      { ...opened, sessionPresent: true, released: [3, 65_537] },
      // The hub goes on with a lower number than the highest released.
    );
    assert.deepEqual(
      packets.slice(1).map((packet) => packet.type === 'pubrel' && packet.packetId),
      [3, 2],
    );
    assert.deepEqual(harness.send({ type: 'pubcomp', packetId: 3, reasonCode: 0, properties: {} }).commands, [
      { kind: 'complete', sequence: 3 },
    ]);
  });
});

describe('CONNECT refused', () => {
  type Row = readonly [
    title: string,
    version: 4 | 5,
    first: Packet | string,
    connack: number | undefined,
    reason: Refusal,
  ];
  const rows: readonly Row[] = [
    ['[MQTT3 3.1.0-1] another packet first', 4, { type: 'pingreq' }, undefined, 'protocol-error'],
    ['[MQTT5 3.1.0-1] another packet first, 5.0', 5, { type: 'pingreq' }, undefined, 'protocol-error'],
    [
      '[MQTT3 3.1.3-8] no client id and no clean session',
      4,
      connectPacket(4, { clientId: '', clean: false }),
      2,
      'bad-device-id',
    ],
    [
      '[MQTT5 4.12.0-1] enhanced authentication',
      5,
      connectPacket(5, { properties: { authenticationMethod: 'SCRAM' } }),
      0x8c,
      'bad-credentials',
    ],
    [
      'will to a topic of the server, 5.0',
      5,
      connectPacket(5, { will: will({ topic: '$SYS/x' }) }),
      0x87,
      'not-authorized',
    ],
    [
      'will to a topic of the server, 3.1.1',
      4,
      connectPacket(4, { will: will({ topic: '$SYS/x' }) }),
      5,
      'not-authorized',
    ],
    [
      'will topic too long',
      5,
      connectPacket(5, { will: will({ topic: 'x'.repeat(1_025) }) }),
      0x90,
      'topic-invalid',
    ],
    [
      'will topic with wildcards',
      5,
      connectPacket(5, { will: will({ topic: 'a/#' }) }),
      0x90,
      'topic-invalid',
    ],
    [
      '[MQTT3 3.2.2-6] will topic with wildcards, 3.1.1',
      4,
      connectPacket(4, { will: will({ topic: 'a/#' }) }),
      undefined,
      'topic-invalid',
    ],
    ['[MQTT3 3.1.2-2] MQTT 3.1', 4, '100f00064d514973647003 02003c000161', 1, 'unsupported-version'],
    ['[MQTT5 3.1.2-2] MQTT 6', 5, '100d00044d51545406 02003c000161', 0x84, 'unsupported-version'],
    [
      '[MQTT5 3.1.2-1] [MQTT3 3.1.2-1] not MQTT',
      4,
      '100d00044854545004 02003c000161',
      undefined,
      'packet-malformed',
    ],
    ['malformed CONNECT of 5.0', 5, '100d00044d51545405 03003c000161', 0x81, 'packet-malformed'],
    ['malformed CONNECT of 3.1.1', 4, '100d00044d51545404 03003c000161', undefined, 'packet-malformed'],
    ['HTTP', 4, Buffer.from('GET / HTTP/1.1\r\n').toString('hex'), undefined, 'packet-malformed'],
    ['CONNECT larger than is taken before the credentials', 4, '10 ffff7f', undefined, 'packet-too-large'],
  ];
  for (const [title, version, first, code, reason] of rows) {
    test(title, () => {
      const harness = new Harness(version);
      const turn =
        typeof first === 'string'
          ? harness.bytes(Buffer.from(first.replaceAll(' ', ''), 'hex'))
          : harness.send(first);
      assert.deepEqual(summary(turn), code === undefined ? [] : [['connack', code]]);
      assert.deepEqual([turn.close?.reason, turn.commands, turn.authenticate], [reason, [], undefined]);
      assert.equal(harness.session.isClosed, true);
      assert.deepEqual(harness.send({ type: 'pingreq' }).packets, []);
    });
  }

  test('[MQTT5 3.1.4-2, 3.2.2-6, 3.2.2-7, 4.13.2-1] [MQTT3 3.2.2-4, 3.2.2-5, 3.2.2-6] every refusal of driver and hub has its answer in both versions, and no `close` is owed', () => {
    for (const reason of Object.keys(refusals) as Refusal[]) {
      for (const version of [4, 5] as const) {
        for (const isHub of [false, true]) {
          const harness = new Harness(version);
          harness.send(connectPacket(version));
          if (isHub) harness.input(anonymous);
          const turn = isHub
            ? harness.events({ kind: 'refused', reason })
            : harness.input({ kind: 'denied', reason });
          const code = version === 5 ? reasonCodeIn('connack', reason) : reasons[reason].returnCode;
          assert.deepEqual(summary(turn), code === undefined ? [] : [['connack', code]], reason);
          assert.deepEqual([turn.commands, turn.close], [[], { reason }]);
        }
      }
    }
  });

  test('[MQTT5 3.2.2-8, 3.4.2-1, 3.5.2-1, 3.9.3-2, 3.11.3-2, 3.14.2-1] every refusal has a code that each packet may carry, and a reason string that fits', () => {
    for (const reason of Object.keys(refusals) as Refusal[]) {
      for (const type of ['connack', 'puback', 'pubrec', 'suback', 'unsuback', 'disconnect'] as const) {
        const code = reasonCodeIn(type, reason);
        assert.ok(code >= 0x80 && isReasonCodeAllowed(type, code), `${reason} in ${type}`);
      }
      assert.ok(encodeUtf8(reasons[reason].text).length < mqttLimits.reasonStringPacketBytesMin / 2);
    }
    assert.equal(reasonCodeIn('disconnect', 'message-too-large'), 0x97);
    assert.equal(reasonCodeIn('disconnect', 'packet-too-large'), 0x95);
    assert.equal(reasonCodeIn('connack', 'draining'), 0x88);
    assert.equal(reasonCodeIn('disconnect', 'draining'), 0x8b);
  });
});

describe('time', () => {
  test('the whole CONNECT must come in time, however slowly it drips', () => {
    const harness = new Harness(4);
    const bytes = encode(4, connectPacket(4));
    assert.equal(harness.session.nextTimeoutMs(), 1_000 + mqttLimits.connectTimeoutMsMax);
    for (let at = 0; at < 9; at += 1) {
      assert.equal(harness.bytes(bytes.subarray(at, at + 1)).close, undefined);
      assert.equal(harness.wait(1_000).close, undefined);
    }
    assert.deepEqual(harness.wait(1_000), {
      authenticate: undefined,
      commands: [],
      packets: [],
      close: { reason: undefined },
    });
    assert.equal(harness.session.nextTimeoutMs(), Infinity);
  });

  test('nothing is awaited from the client while it awaits an answer', () => {
    const harness = new Harness(4);
    harness.send(connectPacket(4));
    assert.equal(harness.session.nextTimeoutMs(), Infinity);
    harness.input(anonymous);
    assert.equal(harness.wait(1_000_000).close, undefined);
    harness.events(opened);
    assert.equal(harness.session.nextTimeoutMs(), harness.nowMs + 90_000);
  });

  test('[MQTT5 3.1.2-22] [MQTT3 3.1.2-24] keep alive: one and a half times, and any packet prolongs it', () => {
    for (const version of [4, 5] as const) {
      const harness = openSession(version, { keepAliveSeconds: 10 });
      harness.wait(14_999);
      harness.send({ type: 'pingreq' });
      assert.equal(harness.wait(14_999).close, undefined);
      const turn = harness.wait(1);
      assert.deepEqual(summary(turn), version === 5 ? [['disconnect', 0x8d]] : []);
      assert.deepEqual(turn.commands, [
        { kind: 'close', publishWill: true, sessionExpirySeconds: undefined },
      ]);
      assert.ok(turn.close);
    }
  });

  test('a dripping packet is no sign of life, a large one on a slow line is', () => {
    const harness = openSession(4, { keepAliveSeconds: 10 });
    const packet = encode(4, publishPacket({ payload: new Uint8Array(5_000) }));
    harness.wait(10_000);
    harness.bytes(packet.subarray(0, 1_500));
    assert.equal(harness.wait(10_000).close, undefined);
    harness.bytes(packet.subarray(1_500, 1_501));
    assert.ok(harness.wait(5_000).close);
  });

  test('keep alive 0 never ends, unless the server sets one', () => {
    assert.equal(openSession(4, { keepAliveSeconds: 0 }).session.nextTimeoutMs(), Infinity);
    const capped = openSession(5, { keepAliveSeconds: 0 }, { keepAliveMsMax: 60_000 });
    assert.equal(capped.session.nextTimeoutMs(), Infinity);
    const required = { keepAliveMsMax: 60_000, keepAliveRequired: true };
    const forced = openSession(5, { keepAliveSeconds: 0 }, required);
    assert.equal(forced.session.nextTimeoutMs(), 1_000 + 90_000);
    assert.equal(openSession(4, { keepAliveSeconds: 0 }, required).session.nextTimeoutMs(), Infinity);
    const set = openSession(5, { keepAliveSeconds: 5 }, { serverKeepAliveSeconds: 100 });
    assert.equal(set.session.nextTimeoutMs(), 1_000 + 150_000);
    const old = openSession(
      4,
      { keepAliveSeconds: 5 },
      { serverKeepAliveSeconds: 100, keepAliveMsMax: 1_000 },
    );
    assert.equal(old.session.nextTimeoutMs(), 1_000 + 7_500);
  });

  test('[MQ-5] a keep alive over the maximum is cut, and the client is told the one in force', () => {
    for (const [asked, required, told] of [
      [10, false, undefined],
      [60, true, undefined],
      [61, false, 60],
      [0, false, undefined],
      [0, true, 60],
    ] as const) {
      const harness = new Harness(5, { keepAliveMsMax: 60_000, keepAliveRequired: required });
      harness.send(connectPacket(5, { keepAliveSeconds: asked }));
      harness.input({ kind: 'authenticated', identity: { kind: 'anonymous' } });
      const [connack] = harness.events(opened).packets;
      assert.equal(connack?.type === 'connack' && connack.properties.serverKeepAliveSeconds, told);
    }
  });

  test('[MQ-6] where the path is watched, 3.1.1 may be silent for longer, and only 3.1.1 with a keep alive', () => {
    const options = { silenceMsMax: 1_800_000 };
    const silenceMs = (version: 4 | 5, keepAliveSeconds: number): number =>
      openSession(version, { keepAliveSeconds }, options).session.nextTimeoutMs() - 1_000;
    assert.equal(silenceMs(4, 60), 1_800_000);
    assert.equal(silenceMs(4, 3_600), 5_400_000);
    assert.equal(silenceMs(4, 0), Infinity);
    assert.equal(silenceMs(5, 60), 90_000);
  });
});

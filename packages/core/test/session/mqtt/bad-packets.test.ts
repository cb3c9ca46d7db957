/** Bytes that break the format: what an open connection, or one that has said nothing yet, does about them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ProtocolVersion } from '../../../src/wire/mqtt/index.js';
import { delivery, Harness, openSession, publishPacket, summary } from './harness.js';

const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** One packet, in 3.1.1 and in 5.0 where each has it, and the reason code with which 5.0 ends. */
type Row = readonly [title: string, old: string | undefined, now: string | undefined, code?: number];

const open: readonly Row[] = [
  ['[MQTT5 1.5.4-1] [MQTT3 1.5.3-1] a surrogate in a topic', '3005 0003eda080', '3006 0003eda080 00'],
  ['[MQTT5 1.5.4-1] [MQTT3 1.5.3-1] a topic cut inside a character', '3004 0002c361', '3005 0002c361 00'],
  ['[MQTT5 3.3.2-1] [MQTT3 3.3.2-1] an overlong topic', '3004 0002c0af', '3005 0002c0af 00'],
  ['[MQTT5 3.3.2-1] [MQTT3 3.3.2-1] a topic longer than the packet', '3003 000461', '3004 000461 00'],
  [
    '[MQTT5 1.5.4-2, 4.7.3-2] [MQTT3 1.5.3-2, 4.7.3-2] U+0000 in a topic',
    '3005 0003610062',
    '3006 0003610062 00',
  ],
  [
    '[MQTT5 1.5.4-2, 4.7.3-2] [MQTT3 1.5.3-2, 4.7.3-2] U+0000 in a filter',
    '8206 0001 000100 00',
    '8207 0001 00 000100 00',
  ],
  [
    '[MQTT5 3.8.3-1] [MQTT3 3.8.3-1] a filter that is not UTF-8',
    '8206 0001 0001ff 00',
    '8207 0001 00 0001ff 00',
  ],
  [
    '[MQTT5 3.10.3-1] [MQTT3 3.10.3-1] a filter to end that is not UTF-8',
    'a205 0001 0001ff',
    'a206 0001 00 0001ff',
  ],
  ['[MQTT5 1.5.5-1] a padded remaining length', undefined, 'c08000'],
  ['[MQTT5 1.5.5-1] a padded property length', undefined, '3005 000161 8000'],
  ['[MQTT5 1.5.7-1] a user property with a bad name', undefined, '300a 000161 06 26 0001ff 0000'],
  ['[MQTT5 1.5.7-1] a user property with a bad value', undefined, '300a 000161 06 26 0000 000100'],
  ['[MQTT5 2.1.3-1] [MQTT3 2.2.2-1, 2.2.2-2] flags of PUBACK', '4102 0001', '4102 0001'],
  ['[MQTT5 2.1.3-1] [MQTT3 2.2.2-1, 2.2.2-2] flags of PUBREC', '5202 0001', '5202 0001'],
  ['[MQTT5 2.1.3-1] [MQTT3 2.2.2-1, 2.2.2-2] flags of PUBCOMP', '7802 0001', '7802 0001'],
  ['[MQTT5 2.1.3-1] [MQTT3 2.2.2-1, 2.2.2-2] flags of PINGREQ', 'c400', 'c400'],
  ['[MQTT5 3.6.1-1] [MQTT3 3.6.1-1] flags of PUBREL', '6002 0001', '6002 0001'],
  ['[MQTT5 3.8.1-1] [MQTT3 3.8.1-1] flags of SUBSCRIBE', '8006 0001 000161 00', '8007 0001 00 000161 00'],
  ['[MQTT5 3.10.1-1] [MQTT3 3.10.1-1] flags of UNSUBSCRIBE', 'a005 0001 000161', 'a006 0001 00 000161'],
  ['[MQTT5 3.14.1-1] [MQTT3 3.14.1-1] flags of DISCONNECT', 'e100', 'e100'],
  ['[MQTT5 3.15.1-1] flags of AUTH', undefined, 'f100'],
  ['[MQTT5 3.15.2-1] a reason code that is not one of AUTH', undefined, 'f00104'],
  ['[MQTT5 3.4.2-1] a reason code that is not one of PUBACK', undefined, '4003 0001 92'],
  ['[MQTT5 3.5.2-1] a reason code that is not one of PUBREC', undefined, '5003 0001 01'],
  ['[MQTT5 3.6.2-1] a reason code that is not one of PUBREL', undefined, '6203 0001 10'],
  ['[MQTT5 3.7.2-1] a reason code that is not one of PUBCOMP', undefined, '7003 0001 10'],
  ['[MQTT5 3.14.2-1] a reason code that is not one of DISCONNECT', undefined, 'e00103'],
  ['[MQTT5 2.2.2-1] PUBLISH without a property length', undefined, '3003 000161'],
  ['[MQTT5 3.3.1-2] [MQTT3 3.3.1-2] DUP with QoS 0', '3803 000161', '3804 000161 00'],
  ['[MQTT5 3.3.1-4] [MQTT3 3.3.1-4] QoS 3', '3605 000161 0001', '3606 000161 0001 00'],
  ['[MQTT5 2.2.1-3] [MQTT3 2.3.1-1] packet id 0 in PUBLISH', '3205 000161 0000', '3206 000161 0000 00', 0x82],
  [
    '[MQTT5 2.2.1-3] [MQTT3 2.3.1-1] packet id 0 in SUBSCRIBE',
    '8206 0000 000161 00',
    '8207 0000 00 000161 00',
    0x82,
  ],
  [
    '[MQTT5 2.2.1-3] [MQTT3 2.3.1-1] packet id 0 in UNSUBSCRIBE',
    'a205 0000 000161',
    'a206 0000 00 000161',
    0x82,
  ],
  [
    '[MQTT5 3.3.2-2, 4.7.0-1] [MQTT3 3.3.2-2, 4.7.1-1] # in a topic',
    '3005 0003612f23',
    '3006 0003612f23 00',
    0x90,
  ],
  [
    '[MQTT5 3.3.2-2, 4.7.0-1] [MQTT3 3.3.2-2, 4.7.1-1] + in a topic',
    '3005 00032b2f61',
    '3006 00032b2f61 00',
    0x90,
  ],
  ['[MQTT5 4.7.3-1] [MQTT3 4.7.3-1] an empty topic', '3002 0000', '3003 0000 00', 0x82],
  ['[MQTT5 4.7.3-1] [MQTT3 4.7.3-1] an empty filter', '8205 0001 0000 00', '8206 0001 00 0000 00', 0x82],
  ['[MQTT5 4.7.3-1] [MQTT3 4.7.3-1] an empty filter to end', 'a204 0001 0000', 'a205 0001 00 0000', 0x82],
  ['[MQTT5 3.3.2-8] topic alias 0', undefined, '3007 000161 03 230000', 0x94],
  ['[MQTT5 3.3.2-13] a response topic that is not UTF-8', undefined, '3008 000161 04 080001ff'],
  ['[MQTT5 3.3.2-14] a response topic with a wildcard', undefined, '3008 000161 04 08000123'],
  ['[MQTT5 3.3.2-19] a content type that is not UTF-8', undefined, '3008 000161 04 030001ff'],
  ['[MQTT5 3.3.4-6] a subscription id from a client', undefined, '3006 000161 02 0b07', 0x82],
  ['[MQTT5 3.8.3-2] [MQTT3 3.8.3-3] SUBSCRIBE without a filter', '8202 0001', '8203 0001 00', 0x82],
  ['[MQTT5 3.8.3-5] reserved bits of the options', undefined, '8207 0001 00 000161 40'],
  ['[MQTT3 3.8.3-4] reserved bits beside the QoS', '8206 0001 000161 04', undefined],
  [
    '[MQTT5 3.8.3-5] [MQTT3 3.8.3-4] a subscription with QoS 3',
    '8206 0001 000161 03',
    '8207 0001 00 000161 03',
  ],
  ['[MQTT5 3.10.3-2] [MQTT3 3.10.3-2] UNSUBSCRIBE without a filter', 'a202 0001', 'a203 0001 00', 0x82],
];

/** In 3.1.1 and 5.0, on a connection that is open: its packets before stay, those behind are not looked at. */
describe('[MQTT5 4.13.1-1, 4.13.2-1] [MQTT3 4.8.0-1] an open connection ends at a bad packet', () => {
  for (const [title, old, now, code = 0x81] of open) {
    for (const [version, hex] of [
      [4, old],
      [5, now],
    ] as const) {
      if (hex === undefined) continue;
      test(`${title}, ${version === 4 ? '3.1.1' : '5.0'}`, () => {
        const harness = openSession(version);
        harness.events(delivery(1));
        const turn = harness.bytes(Uint8Array.of(0xc0, 0, ...fromHex(hex), 0xc0, 0));
        const answers = version === 4 ? [] : [['disconnect', code]];
        assert.deepEqual(summary(turn), [['pingresp', undefined], ...answers]);
        assert.deepEqual(
          turn.commands.map((command) => command.kind === 'close' && command.publishWill),
          [true],
        );
        assert.notEqual(turn.close, undefined);
        assert.equal(harness.session.isClosed, true);
      });
    }
  }
});

/** Protocol level, flags and the rest of a CONNECT; `name` of another length is given with its bytes. */
function connectHex(
  version: ProtocolVersion,
  flags: string,
  rest: string,
  protocol = '00044d515454',
): Uint8Array {
  const properties = version === 5 ? '00' : '';
  const body = fromHex(`${protocol} 0${version} ${flags} 003c ${properties} ${rest}`);
  return Uint8Array.of(0x10, body.length, ...body);
}

/** Flags and payload; `will` stands for the will's properties in 5.0, and nothing in 3.1.1. */
type ConnectRow = readonly [
  title: string,
  flags: string,
  payload: string,
  code?: number,
  only?: ProtocolVersion,
];

const connects: readonly ConnectRow[] = [
  ['[MQTT5 3.1.2-3] [MQTT3 3.1.2-3] the reserved flag', '03', '000161'],
  ['[MQTT5 3.1.3-3] [MQTT3 3.1.3-3] no client id', '02', ''],
  ['[MQTT5 3.1.3-4] [MQTT3 3.1.3-4] a client id that is not UTF-8', '02', '0001ff'],
  ['[MQTT5 1.5.4-2] [MQTT3 1.5.3-2] U+0000 in a client id', '02', '000100'],
  ['[MQTT5 3.1.2-9] [MQTT3 3.1.2-9] a will flag and no will', '06', '000161'],
  ['[MQTT5 3.1.2-9] [MQTT3 3.1.2-9] a will without a payload', '06', '000161 will 000174'],
  ['[MQTT5 3.1.2-12] [MQTT3 3.1.2-14] will QoS 3', '1e', '000161 will 000174 000170'],
  ['[MQTT5 3.1.2-11] [MQTT3 3.1.2-11, 3.1.2-13] will QoS 1 without a will', '0a', '000161'],
  ['[MQTT5 3.1.2-11] [MQTT3 3.1.2-11, 3.1.2-13] will QoS 2 without a will', '12', '000161'],
  ['[MQTT5 3.1.2-13] [MQTT3 3.1.2-11, 3.1.2-15] will retain without a will', '22', '000161'],
  ['[MQTT3 3.1.2-11] a will without its flag', '02', '000161 000174 000170', undefined, 4],
  ['[MQTT5 3.1.3-11] [MQTT3 3.1.3-10] a will topic that is not UTF-8', '06', '000161 will 0001ff 000170'],
  ['[MQTT5 3.1.2-16] [MQTT3 3.1.2-18] a user name without its flag', '02', '000161 000175'],
  ['[MQTT5 3.1.2-17] [MQTT3 3.1.2-19] a flag without its user name', '82', '000161'],
  ['[MQTT5 3.1.3-12] [MQTT3 3.1.3-11] a user name that is not UTF-8', '82', '000161 0001ff'],
  ['[MQTT5 3.1.2-18] [MQTT3 3.1.2-20] a password without its flag', '82', '000161 000175 000170'],
  ['[MQTT5 3.1.2-19] [MQTT3 3.1.2-21] a flag without its password', 'c2', '000161 000175'],
  ['[MQTT3 3.1.2-22] a password without a user name', '42', '000161 000170', undefined, 4],
];

describe('[MQTT5 3.1.4-1] [MQTT3 3.1.4-1] a CONNECT that breaks the format: 5.0 is told, 3.1.1 is not, both are closed', () => {
  for (const [title, flags, payload, code = 0x81, only] of connects) {
    for (const version of [4, 5] as const) {
      if (only !== undefined && only !== version) continue;
      test(`${title}, ${version === 4 ? '3.1.1' : '5.0'}`, () => {
        const harness = new Harness(version);
        const bytes = connectHex(version, flags, payload.replaceAll('will', version === 5 ? '00' : ''));
        const turn = harness.bytes(Uint8Array.of(...bytes, 0xc0, 0));
        assert.deepEqual(summary(turn), version === 4 ? [] : [['connack', code]]);
        assert.deepEqual([turn.authenticate, turn.commands], [undefined, []]);
        assert.notEqual(turn.close, undefined);
        assert.equal(harness.session.isClosed, true);
      });
    }
  }
});

test('[MQTT5 3.1.3-1] [MQTT3 3.1.3-1] the fields of CONNECT are read in their order: id, will, user name, password', () => {
  for (const version of [4, 5] as const) {
    const harness = new Harness(version);
    const will = version === 5 ? '05 1800000009' : '';
    const asked = harness.bytes(
      connectHex(version, 'f6', `00026964 ${will} 0002746f 00027061 00027573 00027077`),
    );
    assert.deepEqual(asked.authenticate, {
      kind: 'authenticate',
      clientId: 'id',
      username: 'us',
      password: fromHex('7077'),
    });
    const [open] = harness.input({ kind: 'authenticated', identity: { kind: 'anonymous' } }).commands;
    assert(open?.kind === 'open' && open.will !== undefined);
    assert.deepEqual(
      [open.clientId, open.will.publication.topic, open.will.publication.body, open.will.publication.qos],
      ['id', 'to', fromHex('7061'), 2],
    );
    assert.deepEqual([open.will.publication.retain, open.will.delaySeconds], [true, version === 5 ? 9 : 0]);
  }
});

describe('what is allowed, though it looks odd', () => {
  test('[MQTT5 1.5.4-3] [MQTT3 1.5.3-3] a byte order mark is a part of its topic', () => {
    for (const [version, hex] of [
      [4, '3006 0004efbbbf61'],
      [5, '3007 0004efbbbf61 00'],
    ] as const) {
      const [command] = openSession(version).bytes(fromHex(hex)).commands;
      assert(command?.kind === 'publish');
      assert.equal(command.publication.topic, '\ufeffa');
    }
  });

  test('[MQTT5 2.2.1-2] [MQTT3 2.3.1-5] with QoS 0 what follows the topic is no packet id, in either direction', () => {
    for (const [version, hex] of [
      [4, '3005 000161 0007'],
      [5, '3006 000161 00 0007'],
    ] as const) {
      const harness = openSession(version);
      const [command] = harness.bytes(fromHex(hex)).commands;
      assert(command?.kind === 'publish');
      assert.deepEqual([command.packetId, command.publication.body], [0, Uint8Array.of(0, 7)]);
      const { session, now } = harness;
      session.handleInput(now, { kind: 'events', events: [delivery(0)] });
      const written = fromHex(version === 4 ? '3004 000161 09' : '3005 000161 00 09');
      assert.deepEqual(session.pollOutput(), { kind: 'write', bytes: written });
    }
  });

  test('[MQTT5 2.2.2-1] what the server sends without properties has a property length of 0', () => {
    const { session, now } = openSession(5);
    session.handleInput(now, {
      kind: 'events',
      events: [
        { kind: 'subscribed', ticket: 2, results: [1] },
        { kind: 'unsubscribed', ticket: 3, results: [true] },
        delivery(1),
      ],
    });
    const bytes = fromHex('9004 0002 00 01  b004 0003 00 00  3207 000161 0001 00 09');
    assert.deepEqual(session.pollOutput(), { kind: 'write', bytes });
  });

  test('a DUP flag on a first PUBLISH is no error', () => {
    const turn = openSession(4).send(publishPacket({ qos: 1, packetId: 1, dup: true }));
    assert.deepEqual([turn.commands.length, turn.close], [1, undefined]);
  });
});

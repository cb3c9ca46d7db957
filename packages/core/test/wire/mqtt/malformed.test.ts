import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MqttDecoder, type MalformedReason, type ProtocolVersion } from '../../../src/wire/mqtt/index.js';
import { decodeAll, fromHex } from './helpers.js';

type Row = readonly [
  title: string,
  version: ProtocolVersion,
  hex: string,
  code: number,
  reason?: MalformedReason,
];

/** CONNECT of MQTT 5.0 up to its flags, and the rest with client id `a`. */
const connect5 = '0004 4d515454 05';

const rows: readonly Row[] = [
  ['packet type 0', 4, '00 00', 0x81],
  ['flags of PINGREQ', 5, 'c1 00', 0x81],
  ['flags of PUBREL', 5, '60 02 0001', 0x81],
  ['flags of SUBSCRIBE', 4, '80 06 0001 0001 61 00', 0x81],
  ['remaining length of five bytes', 4, '30 80808080 01', 0x81],
  ['remaining length of five bytes, seen at the fourth', 4, '30 ffffffff', 0x81],
  ['padded remaining length', 5, 'c0 80 00', 0x81],
  ['PINGREQ with a body', 4, 'c0 01 00', 0x81],
  ['AUTH in 3.1.1', 4, 'f0 00', 0x81],
  ['QoS 3', 4, '36 05 0001 61 0001', 0x81],
  ['DUP with QoS 0', 4, '38 03 0001 61', 0x81],
  ['wildcard in a topic', 4, '30 03 0001 23', 0x90, 'topic-invalid'],
  ['empty topic', 4, '30 02 0000', 0x82, 'protocol-error'],
  ['empty topic without an alias', 5, '30 03 0000 00', 0x82, 'protocol-error'],
  ['packet id 0', 4, '32 05 0001 61 0000', 0x82, 'protocol-error'],
  ['topic longer than the packet', 4, '30 03 0004 61', 0x81],
  ['PUBLISH without properties', 5, '30 03 0001 61', 0x81],
  ['surrogate in a topic', 4, '30 05 0003 eda080', 0x81],
  ['U+0000 in a topic', 4, '30 03 0001 00', 0x81],
  ['overlong topic', 4, '30 04 0002 c0af', 0x81],
  ['topic alias 0', 5, '30 07 0001 61 03 230000', 0x94, 'protocol-error'],
  ['topic alias twice', 5, '30 0a 0001 61 06 230001 230001', 0x82, 'protocol-error'],
  ['content type twice', 5, '30 0c 0001 61 08 03000161 03000161', 0x82, 'protocol-error'],
  ['payload format 2', 5, '30 06 0001 61 02 0102', 0x82, 'protocol-error'],
  ['subscription identifier 0', 5, '30 06 0001 61 02 0b00', 0x82, 'protocol-error'],
  ['wildcard in a response topic', 5, '30 08 0001 61 04 0800012b', 0x81],
  ['a property of CONNECT in PUBLISH', 5, '30 07 0001 61 03 210001', 0x81],
  ['an unknown property', 5, '30 06 0001 61 02 7f00', 0x81],
  ['properties longer than the packet', 5, '30 05 0001 61 05 01', 0x81],
  ['padded property length', 5, '30 05 0001 61 8000', 0x81],
  ['PUBACK of one byte', 5, '40 01 00', 0x81],
  ['PUBACK with packet id 0', 4, '40 02 0000', 0x82, 'protocol-error'],
  ['PUBACK with a reason code in 3.1.1', 4, '40 03 0001 10', 0x81],
  ['PUBACK with an unknown reason code', 5, '40 03 0001 55', 0x81],
  ['PUBREL with a reason code of PUBACK', 5, '62 03 0001 97', 0x81],
  ['PUBACK with bytes behind', 5, '40 05 0001 00 00 00', 0x81],
  ['SUBSCRIBE without a filter', 5, '82 03 0001 00', 0x82, 'protocol-error'],
  ['SUBSCRIBE with an empty filter', 4, '82 05 0001 0000 00', 0x82, 'protocol-error'],
  ['reserved option bits', 5, '82 07 0001 00 0001 61 40', 0x81],
  ['options of 5.0 in 3.1.1', 4, '82 06 0001 0001 61 04', 0x81],
  ['SUBSCRIBE with QoS 3', 4, '82 06 0001 0001 61 03', 0x81],
  ['retain handling 3', 5, '82 07 0001 00 0001 61 30', 0x82, 'protocol-error'],
  ['UNSUBSCRIBE without a filter', 4, 'a2 02 0001', 0x82, 'protocol-error'],
  ['SUBACK without codes', 4, '90 02 0001', 0x81],
  ['SUBACK with an unknown code', 4, '90 03 0001 03', 0x81],
  ['UNSUBACK with codes in 3.1.1', 4, 'b0 03 0001 00', 0x81],
  ['CONNACK with reserved flags', 4, '20 02 02 00', 0x81],
  ['CONNACK with an unknown code', 4, '20 02 00 06', 0x81],
  ['session present in a refusal', 4, '20 02 01 05', 0x82, 'protocol-error'],
  ['DISCONNECT with a body in 3.1.1', 4, 'e0 01 00', 0x81],
  ['DISCONNECT with an unknown code', 5, 'e0 01 01', 0x81],
  ['another protocol', 4, '10 0d 0004 48545450 04 02 003c 0001 61', 0x81],
  ['level 3', 4, '10 0f 0006 4d5149736470 03 02 003c 0001 61', 0x84, 'unsupported-version'],
  ['level 6', 4, '10 0d 0004 4d515454 06 02 003c 0001 61', 0x84, 'unsupported-version'],
  ['reserved connect flag', 4, '10 0d 0004 4d515454 04 03 003c 0001 61', 0x81],
  ['will QoS 3', 4, `10 0e ${connect5} 1c 003c 00 0001 61`, 0x81],
  ['will QoS without a will', 4, `10 0e ${connect5} 0a 003c 00 0001 61`, 0x81],
  ['password alone in 3.1.1', 4, '10 10 0004 4d515454 04 42 003c 0001 61 0001 62', 0x81],
  ['bytes behind CONNECT', 4, '10 0e 0004 4d515454 04 02 003c 0001 61 00', 0x81],
  ['CONNECT cut short', 4, '10 0c 0004 4d515454 04 02 003c 0001', 0x81],
  ['receive maximum 0', 4, `10 11 ${connect5} 02 003c 03 210000 0001 61`, 0x82, 'protocol-error'],
  ['maximum packet size 0', 4, `10 13 ${connect5} 02 003c 05 2700000000 0001 61`, 0x82, 'protocol-error'],
  ['request problem information 2', 4, `10 10 ${connect5} 02 003c 02 1702 0001 61`, 0x82, 'protocol-error'],
  [
    'session expiry twice',
    4,
    `10 18 ${connect5} 02 003c 0a 1100000001 1100000001 0001 61`,
    0x82,
    'protocol-error',
  ],
  [
    'authentication data without a method',
    4,
    `10 12 ${connect5} 02 003c 04 16000100 0001 61`,
    0x82,
    'protocol-error',
  ],
  ['a property of CONNACK in CONNECT', 4, `10 11 ${connect5} 02 003c 03 130001 0001 61`, 0x81],
  [
    'wildcard in the will topic',
    4,
    '10 12 0004 4d515454 04 06 003c 0001 61 0001 23 0000',
    0x90,
    'topic-invalid',
  ],
];

describe('malformed packets are values with the right reason code', () => {
  for (const [title, version, hex, code, reason = 'packet-malformed'] of rows) {
    test(title, () => {
      const bytes = fromHex(hex);
      // A packet behind it must not be read: the framing is lost.
      const stream = Uint8Array.of(...bytes, 0xc0, 0);
      for (const chunks of [[stream], Array.from(stream, (byte) => Uint8Array.of(byte))]) {
        const found = decodeAll(version, chunks);
        assert.equal(found.length, 1);
        const [bad] = found;
        assert.equal(bad!.type, 'malformed');
        if (bad!.type !== 'malformed') return;
        assert.deepEqual([bad.reason, bad.reasonCode], [reason, code], bad.detail);
      }
    });
  }
});

describe('accepted where others refuse', () => {
  const accepted: readonly (readonly [string, ProtocolVersion, string])[] = [
    ['a remaining length padded to four bytes in 3.1.1', 4, 'c0 80808000'],
    ['control and non-characters in a topic', 4, '30 06 0004 01 efbfbf'],
    ['a byte order mark is part of the topic', 4, '30 05 0003 efbbbf'],
    ['PUBACK with a reason code and no properties', 5, '40 03 0001 10'],
    ['password without a user name in 5.0', 4, `10 11 ${connect5} 42 003c 00 0001 61 0001 62`],
    ['DISCONNECT without a reason code', 5, 'e0 00'],
    ['AUTH without a reason code', 5, 'f0 00'],
  ];
  for (const [title, version, hex] of accepted) {
    test(title, () => {
      const found = decodeAll(version, [fromHex(hex)]);
      assert.equal(found.length, 1);
      assert.notEqual(found[0]!.type, 'malformed', JSON.stringify(found[0]));
    });
  }
});

test('the version in which to answer is known as soon as it was read', () => {
  const versionAfter = (hex: string): ProtocolVersion => {
    const decoder = new MqttDecoder({ maxPacketBytes: 1_000 });
    decoder.push(fromHex(hex));
    decoder.next();
    return decoder.protocolVersion;
  };
  assert.equal(versionAfter(`10 0d ${connect5} 03 003c 0001 61`), 5);
  assert.equal(versionAfter('10 0d 0004 4d515454 06 02 003c 0001 61'), 5);
  assert.equal(versionAfter('10 0f 0006 4d5149736470 03 02 003c 0001 61'), 4);
  assert.equal(versionAfter('c0 00'), 4);
});

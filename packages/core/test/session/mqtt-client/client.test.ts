import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NEVER } from '../../../src/base/index.js';
import {
  isLastingEnd,
  MqttClient,
  mqttClientLimits,
  type ClientInput,
  type ClientOutput,
} from '../../../src/session/mqtt-client/index.js';
import { MqttDecoder, noProperties, type Packet } from '../../../src/wire/mqtt/index.js';
import { ackPacket, encode, publishPacket } from '../mqtt/harness.js';

const now = { monotonic: 0, wall: 0 };
const connack: Packet = { type: 'connack', sessionPresent: false, reasonCode: 0, properties: noProperties };

class Peer {
  readonly client = new MqttClient(now, {
    clientId: 'd1',
    sessionExpirySeconds: 60,
    receiveMaximum: 5,
    packetBytesMax: 1_000,
    connectTimeoutMs: 30_000,
  });
  readonly #decoder = new MqttDecoder({ maxPacketBytes: 10_000 });

  input(input: ClientInput): readonly (ClientOutput | Packet)[] {
    this.client.handleInput(now, input);
    return this.drain();
  }

  send(...packets: readonly Packet[]): readonly (ClientOutput | Packet)[] {
    return this.input({ kind: 'bytes', chunk: encode(5, ...packets) });
  }

  drain(): readonly (ClientOutput | Packet)[] {
    const found: (ClientOutput | Packet)[] = [];
    for (let output = this.client.pollOutput(); output !== undefined; output = this.client.pollOutput()) {
      if (output.kind !== 'write') found.push(output);
      else {
        this.#decoder.push(output.bytes);
        for (let packet = this.#decoder.next(); packet !== undefined; packet = this.#decoder.next()) {
          assert.ok(packet.type !== 'malformed');
          found.push(packet);
        }
      }
    }
    return found;
  }
}

function open(): Peer {
  const peer = new Peer();
  peer.input({ kind: 'transport-open' });
  assert.equal(peer.send(connack).length, 1);
  return peer;
}

function kinds(found: readonly (ClientOutput | Packet)[]): readonly string[] {
  return found.map((one) => ('type' in one ? one.type : one.kind));
}

describe('an MQTT connection, device side', () => {
  test('[SD-10] CONNECT asks for a lasting session, the cursor and no keep alive', () => {
    const [packet] = new Peer().input({ kind: 'transport-open' });
    assert.ok(packet !== undefined && 'type' in packet && packet.type === 'connect');
    assert.equal(packet.keepAliveSeconds, 0);
    assert.equal(packet.clean, false);
    assert.deepEqual(packet.properties, {
      sessionExpirySeconds: 60,
      receiveMaximum: 5,
      maximumPacketBytes: 1_000,
      userProperties: [['wakeline', 'cursor']],
    });
  });

  test('[SD-10] every split of what the server says means the same', () => {
    const bytes = encode(
      5,
      { ...connack, properties: { userProperties: [['epoch', '00112233445566ff']] } },
      publishPacket({ qos: 1, packetId: 7 }),
      ackPacket('puback', 3, 0x10),
      { type: 'suback', packetId: 4, reasonCodes: [1, 0x87], properties: noProperties },
      { type: 'disconnect', reasonCode: 0x8b, properties: noProperties },
    );
    for (let at = 0; at <= bytes.length; at += 1) {
      const peer = new Peer();
      peer.input({ kind: 'transport-open' });
      const found = [
        ...peer.input({ kind: 'bytes', chunk: bytes.slice(0, at) }),
        ...peer.input({ kind: 'bytes', chunk: bytes.slice(at) }),
      ];
      assert.deepEqual(
        kinds(found),
        ['opened', 'message', 'published', 'subscribed', 'ended'],
        `split at ${at}`,
      );
      assert.ok('kind' in found[0]! && found[0].kind === 'opened' && found[0].epoch === '00112233445566ff');
      assert.deepEqual(found.at(-1), {
        kind: 'ended',
        end: { cause: 'disconnected', reasonCode: 0x8b },
      });
    }
  });

  const bad: readonly (readonly [string, Packet])[] = [
    ['a second CONNACK', connack],
    ['a message of QoS 2', publishPacket({ qos: 2, packetId: 1 })],
    ['a topic alias', publishPacket({ topicAlias: 1 })],
    ['PINGREQ', { type: 'pingreq' }],
    ['PUBREL', ackPacket('pubrel', 1)],
    ['a packet that is too large', publishPacket({ payload: new Uint8Array(1_000) })],
  ];
  for (const [name, packet] of bad) {
    test(`[SD-10] a server that sends ${name} is left with a reason`, () => {
      const peer = open();
      assert.deepEqual(kinds(peer.send(packet)), ['disconnect', 'ended']);
      assert.deepEqual(peer.send(packet), []);
    });
  }

  test('[SD-10] what is no CONNACK, no MQTT, or late ends the attempt', () => {
    const first = new Peer();
    first.input({ kind: 'transport-open' });
    assert.deepEqual(kinds(first.send({ type: 'pingresp' })), ['ended']);
    const third = new Peer();
    third.client.handleTimeout({ monotonic: 29_999, wall: 0 });
    assert.deepEqual(third.drain(), []);
    third.client.handleTimeout({ monotonic: 30_000, wall: 0 });
    assert.deepEqual(third.drain(), [{ kind: 'ended', end: { cause: 'timeout' } }]);
    assert.equal(third.client.nextTimeoutMs(), NEVER);
  });

  const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
  const strangers = [
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'HTTP/1.1 400 Bad Request'],
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 'SSH-2.0-OpenSSH_9.2'],
    ['TLS', '\x15\x03\x01\x00\x02\x02\x46', undefined],
    ['TLS', '\x16\x03\x03\x00\x7a\x02\x00\x00\x76', undefined],
    [undefined, '220 mail.example.org \x1b[2JESMTP\r\n', '220 mail.example.org [2JESMTP'],
    [undefined, '-ERR unknown command\r\n', '-ERR unknown command'],
    [undefined, '+OK\r\n', '+OK'],
  ] as const;
  for (const [looksLike, text, said] of strangers) {
    test(`[SD-10] what answers by ${JSON.stringify(text)} is told to be no MQTT, however it is split`, () => {
      const bytes = bytesOf(text);
      for (let at = 0; at <= bytes.length; at += 1) {
        const peer = new Peer();
        if (at % 2 === 0) peer.input({ kind: 'transport-open' });
        const found = [
          ...peer.input({ kind: 'bytes', chunk: bytes.slice(0, at) }),
          ...peer.input({ kind: 'bytes', chunk: bytes.slice(at) }),
          ...peer.input({ kind: 'transport-closed' }),
        ].filter((one) => 'kind' in one);
        assert.equal(found.length, 1, `split at ${at}`);
        const [ended] = found;
        assert.ok(ended?.kind === 'ended' && ended.end.cause === 'not-mqtt', `split at ${at}`);
        assert.equal(ended.end.looksLike, looksLike);
        if (said !== undefined) assert.ok(said.startsWith(ended.end.said), ended.end.said);
        assert.ok(ended.end.said.length <= mqttClientLimits.strangeBytesMax);
      }
    });
  }

  test('[SD-10] a few bytes that may be another protocol are waited upon, and told of in time', () => {
    const peer = new Peer();
    peer.input({ kind: 'transport-open' });
    assert.deepEqual(peer.input({ kind: 'bytes', chunk: bytesOf('HT') }), []);
    peer.client.handleTimeout({ monotonic: 30_000, wall: 0 });
    assert.deepEqual(peer.drain(), [
      { kind: 'ended', end: { cause: 'not-mqtt', looksLike: undefined, said: 'HT' } },
    ]);
  });

  test('[SD-10] MQTT that is broken is not taken for something else', () => {
    for (const text of ['\x20\x03HTTP/', '\xd0\x00', '\x00\x01\x02\x03\x04\x05\x06\x07\x08']) {
      const peer = new Peer();
      peer.input({ kind: 'transport-open' });
      const [ended] = peer.input({ kind: 'bytes', chunk: bytesOf(text) });
      assert.ok(ended !== undefined && 'kind' in ended && ended.kind === 'ended');
      assert.equal(ended.end.cause, 'protocol', JSON.stringify(text));
    }
  });

  test('[SD-10] the words of the server come along, bounded and fit to be shown', () => {
    const long = 'x'.repeat(400);
    for (const [reasonString, reason] of [
      ['no\u0007 such\r\n\u202euser\u2069', 'no such user'],
      [long, `${long.slice(0, mqttClientLimits.reasonCharsMax - 1)}…`],
      ['😀'.repeat(200) + long.slice(0, 100), `${'😀'.repeat(200)}${long.slice(0, 55)}…`],
      ['\u0001', undefined],
    ] as const) {
      const properties = { reasonString };
      const more = reason === undefined ? {} : { reason };
      const refused = new Peer();
      refused.input({ kind: 'transport-open' });
      assert.deepEqual(refused.send({ ...connack, reasonCode: 0x87, properties }), [
        { kind: 'ended', end: { cause: 'refused', reasonCode: 0x87, ...more } },
      ]);
      assert.deepEqual(
        open().send(
          { type: 'puback', packetId: 3, reasonCode: 0x97, properties },
          { type: 'suback', packetId: 4, reasonCodes: [0x87], properties },
          { type: 'disconnect', reasonCode: 0x8b, properties },
        ),
        [
          { kind: 'published', packetId: 3, reasonCode: 0x97, ...more },
          { kind: 'subscribed', packetId: 4, reasonCodes: [0x87], ...more },
          { kind: 'ended', end: { cause: 'disconnected', reasonCode: 0x8b, ...more } },
        ],
      );
    }
  });

  test('[SD-5] only ends that somebody must mend are lasting', () => {
    for (const reasonCode of [0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x8e]) {
      assert.equal(isLastingEnd({ cause: 'refused', reasonCode }), true);
    }
    for (const reasonCode of [0x80, 0x88, 0x89, 0x8b, 0x8d, 0x97, 0x9f]) {
      assert.equal(isLastingEnd({ cause: 'disconnected', reasonCode }), false);
    }
    assert.equal(isLastingEnd({ cause: 'network' }), false);
    assert.equal(isLastingEnd({ cause: 'protocol', detail: '' }), false);
  });
});

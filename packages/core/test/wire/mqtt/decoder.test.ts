import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteWriter, encodeUtf8 } from '../../../src/base/index.js';
import {
  encodeApplicationProperties,
  encodePublish,
  findUserProperty,
  MqttDecoder,
  TopicInterner,
  type PublishPacket,
} from '../../../src/wire/mqtt/index.js';
import { decodeAll, encode, fromHex } from './helpers.js';

const none = new Uint8Array(0);

function publishOf(bodyBytes: number): Uint8Array {
  const writer = new ByteWriter();
  encodePublish(writer, 4, 1, {
    topic: encodeUtf8('a/b'),
    qos: 1,
    retain: false,
    duplicate: false,
    properties: none,
    body: new Uint8Array(bodyBytes).fill(7),
    expirySeconds: undefined,
    subscriptionIds: [],
  });
  return writer.take();
}

describe('bounds', () => {
  test('an oversize packet is reported from its fixed header, before anything is kept', () => {
    const decoder = new MqttDecoder({ maxPacketBytes: 100 });
    decoder.push(fromHex('30 62'));
    assert.equal(decoder.next(), undefined, '100 bytes are allowed');
    const other = new MqttDecoder({ maxPacketBytes: 100 });
    other.push(fromHex('30 63'));
    const bad = other.next();
    assert.ok(bad?.type === 'malformed' && bad.reason === 'packet-too-large' && bad.reasonCode === 0x95);
    assert.equal(other.heldBytes, 0);
  });

  test('a promised length takes no memory', () => {
    const decoder = new MqttDecoder({ maxPacketBytes: 1 << 21 });
    decoder.push(fromHex('30 ffff3f 0001'));
    assert.equal(decoder.next(), undefined);
    assert.ok(decoder.heldBytes <= 64);
  });

  test('one byte at a time costs time linear in the packet', () => {
    const packet = publishOf(1_000_000);
    const decoder = new MqttDecoder({ maxPacketBytes: 1 << 21 });
    let decoded: PublishPacket | undefined;
    const before = process.cpuUsage();
    for (let at = 0; at < packet.length; at += 1) {
      decoder.push(packet.subarray(at, at + 1));
      const next = decoder.next();
      if (next?.type === 'publish') decoded = next;
    }
    assert.equal(decoded?.payload.length, 1_000_000);
    // Quadratic copying would move 500 GB; linear is a fraction of a second.
    const { user, system } = process.cpuUsage(before);
    assert.ok((user + system) / 1_000 < 5_000, `it took ${user + system} µs of the processor`);
  });

  test('what comes after the end is ignored', () => {
    const decoder = new MqttDecoder({ maxPacketBytes: 100 });
    decoder.push(fromHex('00 00 c0 00'));
    assert.equal(decoder.next()?.type, 'malformed');
    decoder.push(fromHex('c0 00'));
    assert.equal(decoder.next(), undefined);
    const stopped = new MqttDecoder({ maxPacketBytes: 100 });
    stopped.push(fromHex('c0 00 c0 00'));
    assert.equal(stopped.next()?.type, 'pingreq');
    stopped.stop();
    assert.equal(stopped.next(), undefined);
  });

  test('what was not read yet can be taken back', () => {
    const decoder = new MqttDecoder({ maxPacketBytes: 100 });
    decoder.push(Buffer.from('c000c00030', 'hex'));
    assert.equal(decoder.next()?.type, 'pingreq');
    assert.deepEqual(decoder.takeRest(), fromHex('c000 30'));
    assert.equal(decoder.next(), undefined);
  });
});

describe('publish', () => {
  test('payload and properties are views into the chunk', () => {
    const chunk = publishOf(10);
    const decoder = new MqttDecoder({ maxPacketBytes: 100 });
    decoder.push(chunk);
    const packet = decoder.next();
    assert.ok(packet?.type === 'publish' && packet.payload.buffer === chunk.buffer);
  });

  test('what is not forwarded is left out, and the order of the rest is kept', () => {
    const user = (name: string, value: string): Uint8Array =>
      encodeApplicationProperties({ userProperties: [[name, value]] });
    const block = Uint8Array.of(
      ...fromHex('02 0000003c'),
      ...user('b', '1'),
      ...fromHex('0b 07'),
      ...user('a', '2'),
      ...fromHex('01 01'),
      ...fromHex('0b 8001'),
      ...user('b', '3'),
      ...fromHex('23 0005'),
    );
    const packet = Uint8Array.of(0x30, 4 + block.length, 0, 1, 0x61, block.length, ...block);
    const [found] = decodeAll(5, [packet]);
    assert.ok(found?.type === 'publish');
    assert.deepEqual(
      found.properties,
      Uint8Array.of(...user('b', '1'), ...user('a', '2'), ...fromHex('01 01'), ...user('b', '3')),
    );
    assert.equal(found.messageExpirySeconds, 60);
    assert.equal(found.topicAlias, 5);
    assert.deepEqual(found.subscriptionIds, [7, 128]);
  });

  test('user properties are found by name', () => {
    const block = encodeApplicationProperties({
      payloadFormat: 1,
      contentType: 'urgency',
      correlationData: encodeUtf8('&urgency'),
      userProperties: [
        ['urgenc', 'x'],
        ['urgency', 'hïgh'],
        ['urgency', 'low'],
      ],
    });
    assert.equal(findUserProperty(block, encodeUtf8('urgency')), 'hïgh');
    assert.equal(findUserProperty(block, encodeUtf8('replace')), undefined);
    assert.equal(findUserProperty(none, encodeUtf8('replace')), undefined);
  });

  test('an acknowledgement takes four bytes in both versions', () => {
    for (const version of [4, 5] as const) {
      const ack = { type: 'puback', packetId: 258, reasonCode: 0, properties: {} } as const;
      const [found] = decodeAll(version, [encode(version, ack)]);
      assert.deepEqual(found, ack);
    }
    assert.deepEqual(decodeAll(5, [fromHex('40 02 0102')])[0]?.type, 'puback');
  });
});

describe('topic interner', () => {
  test('the same bytes give the same string, other bytes never do', () => {
    const interner = new TopicInterner();
    for (let index = 0; index < 20_000; index += 1) {
      // The one before and the one before that come once more: remembered, displaced or new.
      for (const number of [index, index, Math.max(0, index - 1), Math.max(0, index - 2)]) {
        const topic = `line/${number}/température`;
        const bytes = Uint8Array.from([0, ...encodeUtf8(topic), 0]);
        assert.equal(interner.intern(bytes, 1, bytes.length - 1), topic);
        bytes.fill(0);
      }
    }
    const long = 'x'.repeat(500);
    assert.equal(interner.intern(encodeUtf8(long), 0, 500), long);
    assert.equal(interner.intern(fromHex('c0af'), 0, 2), undefined);
    assert.equal(interner.intern(none, 0, 0), '');
  });
});

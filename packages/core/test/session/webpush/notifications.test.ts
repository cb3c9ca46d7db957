import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import { encodePushHeaders } from '../../../src/domain/index.js';
import { channelId, delivery, epochHex, Harness } from './harness.js';

function ack(version: string, code?: number): object {
  return { messageType: 'ack', updates: [{ channelID: channelId, version, code }] };
}

function opened(): Harness {
  const harness = new Harness();
  harness.open();
  return harness;
}

describe('[WP-8] notification', () => {
  test('without content it has neither data nor headers', () => {
    const properties = encodePushHeaders({
      encoding: 'aes128gcm',
      encryption: undefined,
      cryptoKey: undefined,
    });
    assert.deepEqual(opened().events(delivery(7, { properties })).frames, [
      { messageType: 'notification', channelID: channelId, version: `${epochHex}.7` },
    ]);
  });

  test('the content comes as base64url, with the encryption headers of its sender', () => {
    const body = Uint8Array.of(0xfb, 0xff, 0, 1);
    const properties = encodePushHeaders({ encoding: 'aesgcm', encryption: 'salt=a', cryptoKey: 'dh=b' });
    assert.deepEqual(opened().events(delivery(1, { body, properties })).frames, [
      {
        messageType: 'notification',
        channelID: channelId,
        version: `${epochHex}.1`,
        data: '-_8AAQ',
        headers: { encoding: 'aesgcm', encryption: 'salt=a', crypto_key: 'dh=b' },
      },
    ]);
  });

  test('[WP-9] a repeat has the same version, on another connection too', () => {
    const first = opened().events(delivery(7)).frames;
    const second = opened().events(delivery(7, { duplicate: true })).frames;
    assert.deepEqual(first, second);
  });

  test('what has no place in the inbox has a version of its own, which nobody need acknowledge', () => {
    const harness = opened();
    const versions = harness
      .events(delivery(0), delivery(0))
      .frames.map((frame) => (frame as { version: string }).version);
    assert.equal(new Set(versions).size, 2);
    for (const version of versions) {
      assert.deepEqual(harness.send(ack(version, 100)).commands, []);
      assert.deepEqual(harness.send({ messageType: 'nack', version, code: 301 }).commands, []);
    }
  });

  test('a channel that only MQTT could have made is told as it is', () => {
    const topic = encodeUtf8('$line/inbox/a"b\\');
    const [frame] = opened().events(delivery(1, { topic })).frames;
    assert.equal((frame as { channelID: string }).channelID, 'a"b\\');
  });
});

describe('[WP-10] ack', () => {
  for (const [what, code] of [
    ['delivered', 100],
    ['without a code, as KUnifiedPush has it', undefined],
    ['with a code that is not known', 199],
  ] as const) {
    test(`${what}: acknowledged`, () => {
      const harness = opened();
      harness.events(delivery(7));
      assert.deepEqual(harness.send(ack(`${epochHex}.7`, code)).commands, [
        { kind: 'acknowledge', sequence: 7 },
      ]);
    });
  }

  test('[WP-11] not decrypted: failed, with a reason, even if it came before', () => {
    for (const duplicate of [false, true]) {
      const harness = opened();
      harness.events(delivery(7, { duplicate }));
      assert.deepEqual(harness.send(ack(`${epochHex}.7`, 101)).commands, [
        { kind: 'fail', sequence: 7, reason: 'the device could not decrypt it' },
      ]);
    }
  });

  test('[WP-11] not delivered: failed, with a reason', () => {
    const harness = opened();
    harness.events(delivery(7));
    assert.deepEqual(harness.send(ack(`${epochHex}.7`, 102)).commands, [
      { kind: 'fail', sequence: 7, reason: 'the device could not hand it to the application' },
    ]);
  });

  test('[WP-11] not delivered, of a repeat: the device had it before, and it counts as acknowledged', () => {
    const harness = opened();
    harness.events(delivery(7, { duplicate: true }));
    assert.deepEqual(harness.send(ack(`${epochHex}.7`, 102)).commands, [
      { kind: 'acknowledge', sequence: 7 },
    ]);
    assert.equal(harness.send(ack(`${epochHex}.7`, 102)).commands[0]?.kind, 'fail', 'once');
  });

  test('several at once become commands in their order', () => {
    const harness = opened();
    harness.events(delivery(1), delivery(2), delivery(3));
    const updates = [3, 1, 2].map((sequence) => ({
      channelID: channelId,
      version: `${epochHex}.${sequence}`,
    }));
    assert.deepEqual(harness.send({ messageType: 'ack', updates }).commands, [
      { kind: 'acknowledge', sequence: 3 },
      { kind: 'acknowledge', sequence: 1 },
      { kind: 'acknowledge', sequence: 2 },
    ]);
  });

  for (const [what, version] of [
    ["another device's inbox", 'ffffffffffffffff.7'],
    ['the number zero', `${epochHex}.0`],
    ['a number with a zero in front', `${epochHex}.07`],
    ['a number beyond any', `${epochHex}.4294967296`],
    ['a number below zero', `${epochHex}.-7`],
    ['a number alone', '7'],
    ['nothing', ''],
    ['an epoch in capitals', `${epochHex.replaceAll('0', 'A')}.7`],
  ] as const) {
    test(`[WP-12] a version of ${what} is left alone, without an answer`, () => {
      const harness = opened();
      harness.events(delivery(7));
      for (const frame of [
        ack(version, 100),
        ack(version, 101),
        { messageType: 'nack', version, code: 301 },
      ]) {
        const turn = harness.send(frame);
        assert.deepEqual([turn.commands, turn.frames, turn.close], [[], [], undefined]);
      }
    });
  }
});

describe('[WP-11] nack', () => {
  for (const [code, reason] of [
    [301, 'the application threw an exception'],
    [302, 'the application rejected it'],
    [303, 'the device failed to run the application'],
    [undefined, 'the device failed to run the application'],
  ] as const) {
    test(`${code}: failed, with a reason`, () => {
      const harness = opened();
      harness.events(delivery(7));
      const turn = harness.send({ messageType: 'nack', version: `${epochHex}.7`, code });
      assert.deepEqual(turn.commands, [{ kind: 'fail', sequence: 7, reason }]);
    });
  }
});

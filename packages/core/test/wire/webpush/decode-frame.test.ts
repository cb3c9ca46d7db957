import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import { decodeFrame, isChannelId, webPushFrameLimits as limits } from '../../../src/wire/webpush/index.js';

const channelId = '5b29b6f5-9a4c-4d3a-8f0e-0d4c6a1b2c3d';
const key = 'B'.padEnd(87, 'A');

function decode(value: unknown): unknown {
  return decodeFrame(encodeUtf8(JSON.stringify(value)));
}

describe('what clients send', () => {
  const messages: readonly (readonly [what: string, frame: unknown, message: unknown])[] = [
    [
      'Firefox without a subscription',
      { messageType: 'hello', broadcasts: { 'remote-settings/monitor_changes': '"1"' }, use_webpush: true },
      { type: 'hello', uaid: undefined, broadcasts: [['remote-settings/monitor_changes', '"1"']] },
    ],
    [
      'Firefox before it has read its listeners',
      { messageType: 'hello', broadcasts: null, use_webpush: true, uaid: 'a'.repeat(32) },
      { type: 'hello', uaid: 'a'.repeat(32), broadcasts: [] },
    ],
    [
      'KUnifiedPush, without use_webpush',
      { messageType: 'hello', uaid: 'a'.repeat(32) },
      { type: 'hello', uaid: 'a'.repeat(32), broadcasts: [] },
    ],
    [
      'an older client with its channels',
      { messageType: 'hello', uaid: '', channelIDs: [channelId], wakeup_hostport: {} },
      { type: 'hello', uaid: undefined, broadcasts: [] },
    ],
    [
      'a hello without anything',
      { messageType: 'hello' },
      { type: 'hello', uaid: undefined, broadcasts: [] },
    ],
    [
      'register',
      { messageType: 'register', channelID: channelId },
      { type: 'register', channelId, key: undefined },
    ],
    [
      'register with a padded key',
      { messageType: 'register', channelID: channelId, key: `${key}=` },
      { type: 'register', channelId, key: `${key}=` },
    ],
    [
      'unregister',
      { messageType: 'unregister', channelID: channelId, code: 201 },
      { type: 'unregister', channelId, code: 201 },
    ],
    [
      'unregister of KUnifiedPush',
      { messageType: 'unregister', channelID: channelId },
      { type: 'unregister', channelId, code: undefined },
    ],
    [
      'ack',
      {
        messageType: 'ack',
        updates: [
          { channelID: channelId, version: 'a.1', code: 100 },
          { channelID: channelId, version: 'a.2', code: 101 },
          { channelID: channelId, version: 'a.3', code: 102 },
          { channelID: channelId, version: 'a.4' },
          { channelID: channelId, version: 'a.5', code: 7 },
        ],
      },
      {
        type: 'ack',
        updates: [
          { channelId, version: 'a.1', code: 100 },
          { channelId, version: 'a.2', code: 101 },
          { channelId, version: 'a.3', code: 102 },
          { channelId, version: 'a.4', code: 100 },
          { channelId, version: 'a.5', code: 100 },
        ],
      },
    ],
    ['nack', { messageType: 'nack', version: 'a.1', code: 301 }, { type: 'nack', version: 'a.1', code: 301 }],
    [
      'nack of a code that is not known',
      { messageType: 'nack', version: 'a.1' },
      { type: 'nack', version: 'a.1', code: 303 },
    ],
    [
      'broadcast_subscribe',
      { messageType: 'broadcast_subscribe', broadcasts: { a: '1' } },
      { type: 'broadcast-subscribe', broadcasts: [['a', '1']] },
    ],
    ['urgency', { messageType: 'urgency', min: 'high' }, { type: 'urgency', min: 'high' }],
    ['ping', {}, { type: 'ping' }],
    ['ping with a name', { messageType: 'ping' }, { type: 'ping' }],
  ];
  for (const [what, frame, message] of messages) {
    test(what, () => assert.deepEqual(decode(frame), message));
  }

  test('a member named __proto__ is one like any other', () => {
    const frame = '{"messageType":"broadcast_subscribe","broadcasts":{"__proto__":"2"}}';
    assert.deepEqual(decodeFrame(encodeUtf8(frame)), {
      type: 'broadcast-subscribe',
      broadcasts: [['__proto__', '2']],
    });
  });
});

describe('[WP-3] what is no message is a value with a reason', () => {
  const many = Object.fromEntries(Array.from({ length: limits.broadcastsMax + 1 }, (_, id) => [id, '1']));
  const long = 'x'.repeat(limits.broadcastTextMax + 1);
  const frames: readonly (readonly [what: string, frame: Uint8Array | string | object, reason: string])[] = [
    ['nothing', '', 'packet-malformed'],
    ['no JSON', '{"messageType":"hello"', 'packet-malformed'],
    ['two values', '{}{}', 'packet-malformed'],
    ['a list', '[]', 'packet-malformed'],
    ['a text', '"hello"', 'packet-malformed'],
    ['null', 'null', 'packet-malformed'],
    ['no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 'packet-malformed'],
    ['too large', `{"messageType":"${'x'.repeat(limits.frameBytesMax)}"}`, 'packet-too-large'],
    [
      'too deep',
      `{"a":${'['.repeat(limits.frameDepthMax)}${']'.repeat(limits.frameDepthMax)}}`,
      'packet-malformed',
    ],
    ['a hundred thousand brackets', '['.repeat(limits.frameBytesMax), 'packet-malformed'],
    ['members without a type', { channelID: channelId }, 'protocol-error'],
    ['an unknown type', { messageType: 'purge' }, 'protocol-error'],
    ['a type of the server', { messageType: 'notification' }, 'protocol-error'],
    ['a type that is no text', { messageType: 7 }, 'protocol-error'],
    ['a name of Object', { messageType: 'constructor' }, 'protocol-error'],
    ['a uaid that is no text', { messageType: 'hello', uaid: 7 }, 'protocol-error'],
    [
      'a long uaid',
      { messageType: 'hello', uaid: 'a'.repeat(limits.uaidCharactersMax + 1) },
      'protocol-error',
    ],
    ['broadcasts as a list', { messageType: 'hello', broadcasts: [] }, 'protocol-error'],
    ['a version that is no text', { messageType: 'hello', broadcasts: { a: 1 } }, 'protocol-error'],
    ['too many broadcasts', { messageType: 'broadcast_subscribe', broadcasts: many }, 'protocol-error'],
    ['a long broadcast id', { messageType: 'hello', broadcasts: { [long]: '1' } }, 'protocol-error'],
    ['a long broadcast version', { messageType: 'hello', broadcasts: { a: long } }, 'protocol-error'],
    ['broadcast_subscribe of nothing', { messageType: 'broadcast_subscribe' }, 'protocol-error'],
    ['register without a channel', { messageType: 'register' }, 'protocol-error'],
    ['register of a number', { messageType: 'register', channelID: 7 }, 'protocol-error'],
    ['unregister without a channel', { messageType: 'unregister' }, 'protocol-error'],
    ['ack without updates', { messageType: 'ack' }, 'protocol-error'],
    ['ack of a text', { messageType: 'ack', updates: ['a'] }, 'protocol-error'],
    ['ack without a channel', { messageType: 'ack', updates: [{ version: 'a' }] }, 'protocol-error'],
    [
      'ack of a channel that is no UUID',
      { messageType: 'ack', updates: [{ channelID: 'a', version: 'a' }] },
      'protocol-error',
    ],
    ['ack without a version', { messageType: 'ack', updates: [{ channelID: channelId }] }, 'protocol-error'],
    [
      'ack of a long version',
      {
        messageType: 'ack',
        updates: [{ channelID: channelId, version: 'x'.repeat(limits.versionCharactersMax + 1) }],
      },
      'protocol-error',
    ],
    ['nack without a version', { messageType: 'nack', code: 301 }, 'protocol-error'],
    ['an unknown urgency', { messageType: 'urgency', min: 'higher' }, 'protocol-error'],
    ['urgency without one', { messageType: 'urgency' }, 'protocol-error'],
  ];
  for (const [what, frame, reason] of frames) {
    test(what, () => {
      const text = typeof frame === 'string' ? frame : JSON.stringify(frame);
      const bytes = frame instanceof Uint8Array ? frame : encodeUtf8(text);
      const decoded = decodeFrame(bytes);
      assert.equal(decoded.type, 'malformed');
      assert.equal(decoded.type === 'malformed' && decoded.reason, reason);
      assert.match(decoded.type === 'malformed' ? decoded.detail : '', /^[ -~]{1,100}$/);
    });
  }

  test('brackets in a text are no nesting', () => {
    const version = `\\"[[[[[[[[[[{{{{{{{{{{`;
    assert.deepEqual(decode({ messageType: 'hello', broadcasts: { a: version } }), {
      type: 'hello',
      uaid: undefined,
      broadcasts: [['a', version]],
    });
  });
});

describe('[WP-6] a request that can be answered is refused', () => {
  for (const request of ['register', 'unregister'] as const) {
    for (const bad of ['', 'x', channelId.toUpperCase(), channelId.replaceAll('-', ''), `${channelId} `]) {
      test(`${request} of the channel "${bad}"`, () => {
        const decoded = decode({ messageType: request, channelID: bad });
        const detail = 'channelID is a lower-case dashed UUID';
        assert.deepEqual(decoded, { type: 'refused-request', request, channelId: bad, detail });
      });
    }
  }

  test('of a long channel id no more than a part is told back', () => {
    const decoded = decodeFrame(
      encodeUtf8(JSON.stringify({ messageType: 'register', channelID: 'x'.repeat(10_000) })),
    );
    assert.ok(decoded.type === 'refused-request');
    assert.equal(decoded.channelId, 'x'.repeat(limits.channelIdEchoMax));
  });

  for (const bad of [7, {}, 'A'.repeat(limits.keyCharactersMax + 1)]) {
    test(`register with the key ${JSON.stringify(bad).slice(0, 20)}`, () => {
      const decoded = decodeFrame(
        encodeUtf8(JSON.stringify({ messageType: 'register', channelID: channelId, key: bad })),
      );
      assert.equal(decoded.type, 'refused-request');
    });
  }
});

test('channel ids are lower-case dashed UUIDs of any version', () => {
  assert.ok(isChannelId(channelId));
  assert.ok(isChannelId('00000000-0000-0000-0000-000000000000'));
  assert.ok(!isChannelId(`{${channelId}}`));
  assert.ok(!isChannelId(`${channelId}\n`));
});

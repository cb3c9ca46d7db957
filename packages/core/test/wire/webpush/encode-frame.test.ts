import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../fast-check.js';
import { ByteWriter } from '../../../src/base/index.js';
import { encodeFrame, type ServerMessage } from '../../../src/wire/webpush/index.js';
import { runs } from '../mqtt/helpers.js';

const SEED = 20_261_125;
const channelId = '5b29b6f5-9a4c-4d3a-8f0e-0d4c6a1b2c3d';

/** The frames, as a client has them. */
function encode(...messages: readonly ServerMessage[]): string[] {
  const writer = new ByteWriter();
  for (const message of messages) encodeFrame(writer, message);
  const text = Buffer.from(writer.take()).toString();
  assert.ok(text.endsWith('\n'));
  return text.slice(0, -1).split('\n');
}

test('each message is one line, word for word', () => {
  assert.deepEqual(
    encode(
      { type: 'hello', uaid: 'u', broadcasts: [['a', '1']] },
      { type: 'register', channelId, status: 200, pushEndpoint: 'http://x/' },
      { type: 'register', channelId: '"\n', status: 400, pushEndpoint: '' },
      { type: 'unregister', channelId, status: 200 },
      {
        type: 'notification',
        channelId,
        version: 'e.1',
        data: new Uint8Array(0),
        headers: { encoding: 'x' },
      },
      {
        type: 'notification',
        channelId,
        version: 'e.2',
        data: Uint8Array.of(0xfb, 0xff),
        headers: { encoding: 'aesgcm', encryption: 'salt="a"', cryptoKey: 'dh=b' },
      },
      { type: 'notification', channelId, version: 'e.3', data: Uint8Array.of(1), headers: {} },
      { type: 'broadcast', broadcasts: [['a', '2']], unknown: [] },
      { type: 'broadcast', broadcasts: [], unknown: ['b'] },
      { type: 'urgency', status: 200 },
      { type: 'ping' },
    ),
    [
      '{"messageType":"hello","uaid":"u","status":200,"use_webpush":true,"broadcasts":{"a":"1"}}',
      `{"messageType":"register","channelID":"${channelId}","status":200,"pushEndpoint":"http://x/"}`,
      '{"messageType":"register","channelID":"\\"\\n","status":400,"pushEndpoint":""}',
      `{"messageType":"unregister","channelID":"${channelId}","status":200}`,
      `{"messageType":"notification","channelID":"${channelId}","version":"e.1"}`,
      `{"messageType":"notification","channelID":"${channelId}","version":"e.2","data":"-_8","headers":{"encoding":"aesgcm","encryption":"salt=\\"a\\"","crypto_key":"dh=b"}}`,
      `{"messageType":"notification","channelID":"${channelId}","version":"e.3","data":"AQ"}`,
      '{"messageType":"broadcast","broadcasts":{"a":"2"}}',
      '{"messageType":"broadcast","broadcasts":{"errors":{"b":"Broadcast not found"}}}',
      '{"messageType":"urgency","status":200}',
      '{}',
    ],
  );
});

test(`any content and any text comes through (seed ${SEED})`, () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
      fc.string({ unit: 'binary', maxLength: 50 }),
      fc.string({ unit: 'binary', maxLength: 50 }),
      (data, encryption, channel) => {
        const [line, ...rest] = encode({
          type: 'notification',
          channelId: channel,
          version: 'e.1',
          data,
          headers: { encoding: 'aes128gcm', encryption },
        });
        assert.deepEqual(rest, []);
        const frame = JSON.parse(line!) as Record<string, unknown>;
        assert.deepEqual(Buffer.from(String(frame['data']), 'base64url'), Buffer.from(data));
        assert.doesNotMatch(String(frame['data']), /[^\w-]/);
        assert.deepEqual(frame['headers'], { encoding: 'aes128gcm', encryption });
        assert.equal(frame['channelID'], channel);
      },
    ),
    { seed: SEED, numRuns: runs(200, 20_000) },
  );
});

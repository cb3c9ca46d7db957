import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { refusals, requestRefusals } from '@wakeline/core/domain';
import { httpErrors } from '../../src/http/index.js';
import type { HttpErrorCode } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';

const MESSAGE_BYTES_MAX = 2_000;

let hub: FakeHub;
before(async () => {
  hub = await FakeHub.start({ messageBytesMax: MESSAGE_BYTES_MAX, requestTimeoutMs: 300 });
});
after(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
  hub.reply = () => ({ kind: 'sent', messageId: 'm', recipientCount: 1, repeated: false });
});

describe("the hub's refusals keep their names", () => {
  for (const reason of [
    ...Object.keys(refusals),
    ...Object.keys(requestRefusals),
  ] as (keyof typeof refusals)[]) {
    test(reason, async () => {
      hub.reply = () => ({ kind: 'refused', reason });
      const answer = await hub.call('POST', '/v1/devices/d/messages', { body: {} });
      const code: HttpErrorCode = reason in httpErrors ? (reason as HttpErrorCode) : 'internal';
      const row: { status: number; retryAfterSeconds?: number; hint?: string } = httpErrors[code];
      assert.equal(answer.json.error.code, code);
      assert.equal(answer.status, row.status);
      assert.equal(answer.json.error.hint, row.hint);
      assert.equal(answer.headers['retry-after'], row.retryAfterSeconds?.toString());
    });
  }

  test('with the statuses that clients build on', () => {
    const { 'unknown-device': unknown, 'inbox-full': inbox, 'storage-full': disk, draining } = httpErrors;
    assert.deepEqual([unknown.status, inbox.status, disk.status, draining.status], [404, 429, 507, 503]);
  });
});

/** One request that is wrong, and what is said to it. */
const wrong: readonly [
  title: string,
  code: HttpErrorCode,
  message: RegExp,
  path: string,
  body: object | string,
][] = [
  ['no JSON', 'body-invalid', /not JSON/, '', '{"body":'],
  ['an array', 'body-invalid', /must be object/, '', '[]'],
  ['null', 'body-invalid', /must be object/, '', 'null'],
  ['no UTF-8', 'body-invalid', /not UTF-8/, '', Buffer.from('{"body":"\xff"}', 'latin1')],
  ['too deep', 'body-invalid', /nests more/, '', '['.repeat(17)],
  ['an unknown key', 'body-invalid', /unknown key: "boddy"/, '', { boddy: 'x' }],
  ['a prototype', 'body-invalid', /unknown key: "__proto__"/, '', '{"__proto__":{"body":"x"}}'],
  ['a wrong type', 'body-invalid', /at body must be string/, '', { body: 1 }],
  ['both bodies', 'body-invalid', /not both/, '', { body: 'a', bodyBase64: 'YQ' }],
  ['no base64', 'body-invalid', /bodyBase64 is not base64/, '', { bodyBase64: 'a b' }],
  ['half a base64 digit', 'body-invalid', /not base64/, '', { bodyBase64: 'YWJjZ' }],
  ['an unknown urgency', 'body-invalid', /urgency must be equal .*"very-low"/, '', { urgency: 'asap' }],
  ['QoS 0', 'body-invalid', /at qos/, '', { qos: 0 }],
  ['a ttl without unit', 'body-invalid', /at ttl/, '', { ttl: '10' }],
  ['a negative ttl', 'body-invalid', /at ttl/, '', { ttl: -1 }],
  ['a ttl beyond the protocol', 'body-invalid', /ttl must be at most/, '', { ttl: '999999999h' }],
  ['a channel of two levels', 'body-invalid', /at channel/, '', { channel: 'a/b' }],
  ['retain for a device', 'body-invalid', /retain is for topics/, '', { retain: true }],
  ['U+0000 in a property', 'body-invalid', /U\+0000/, '', { properties: { a: '\0' } }],
  ['half a surrogate pair', 'body-invalid', /property a must be text/, '', '{"properties":{"a":"\\ud800"}}'],
  ['a wildcard to answer to', 'body-invalid', /responseTopic/, '', { responseTopic: 'a/#' }],
  ['options in the query of JSON', 'query-invalid', /"ttl" belongs into the body/, '?ttl=1', {}],
  ['an unknown parameter', 'query-invalid', /unknown key: "urgent"/, '?urgent=1', 'x'],
  ['a parameter given twice', 'query-invalid', /at ttl must be string/, '?ttl=1&ttl=2', 'x'],
  ['a bad parameter', 'query-invalid', /at qos/, '?qos=3', 'x'],
];

describe('a wrong request is told what is wrong', () => {
  for (const [title, code, message, query, body] of wrong) {
    test(title, async () => {
      const isJson = title.includes('parameter') ? 'text/plain' : 'application/json';
      const headers = { 'content-type': isJson };
      const answer = await hub.call('POST', `/v1/devices/d/messages${query}`, { body, headers });
      assert.equal(answer.status, 400, answer.text);
      assert.equal(answer.json.error.code, code);
      assert.match(answer.json.error.message, message);
      assert.equal(hub.requests.length, 0);
    });
  }

  test('a wrong value is not repeated in the answer', async () => {
    const answer = await hub.call('POST', '/v1/devices/d/messages', { body: { body: ['private'] } });
    assert.doesNotMatch(answer.text, /private/);
  });

  test('JSON routes take JSON only', async () => {
    const headers = { 'content-type': 'text/plain' };
    for (const [method, path] of [
      ['POST', '/v1/messages'],
      ['PUT', '/v1/devices/d'],
      ['POST', '/v1/tokens'],
    ] as const) {
      const answer = await hub.call(method, path, { body: '{}', headers });
      assert.equal(answer.status, 415, path);
      assert.equal(answer.json.error.code, 'media-type-unsupported');
    }
  });

  test('paths and methods', async () => {
    const unknown = await hub.call('GET', '/v2');
    assert.deepEqual([unknown.status, unknown.json.error.code], [404, 'route-unknown']);
    const method = await hub.call('PATCH', '/v1/devices/d');
    assert.deepEqual([method.status, method.json.error.code], [405, 'method-not-allowed']);
    assert.equal(method.headers.allow, 'GET, HEAD, PUT, DELETE');
    const topic = await hub.call('GET', '/v1/topics/a/b/messages');
    assert.deepEqual([topic.status, topic.headers.allow], [405, 'POST']);
    const encoding = await hub.call('GET', '/v1/devices/%ff');
    assert.deepEqual([encoding.status, encoding.json.error.code], [400, 'request-malformed']);
  });

  test('a page of devices is bounded', async () => {
    for (const count of ['0', '1001', '-1', 'x', '']) {
      const answer = await hub.call('GET', `/v1/devices?count=${count}`);
      assert.equal(answer.json.error.code, 'query-invalid', count);
    }
  });
});

describe('sizes', () => {
  const post = (body: object | string | Uint8Array, headers = {}) => {
    return hub.call('POST', '/v1/devices/d/messages', { body, headers });
  };

  test('the largest message passes in every form, one byte more does not', async () => {
    for (const size of [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1]) {
      const bytes = new Uint8Array(size).fill(0x61);
      const isFitting = size === MESSAGE_BYTES_MAX;
      const raw = await post(bytes, { 'content-type': 'text/plain' });
      assert.deepEqual(
        [raw.status, raw.json.error?.code],
        isFitting ? [201, undefined] : [413, 'body-too-large'],
      );
      for (const body of [
        { body: 'a'.repeat(size) },
        { bodyBase64: Buffer.from(bytes).toString('base64') },
      ]) {
        const answer = await post(body);
        const expected = isFitting ? [201, undefined] : [413, 'message-too-large'];
        assert.deepEqual([answer.status, answer.json.error?.code], expected);
      }
    }
  });

  test('properties are bounded', async () => {
    const answer = await post({ properties: { a: 'x'.repeat(60_000), b: 'x'.repeat(2_000) } });
    assert.deepEqual([answer.status, answer.json.error.code], [413, 'message-too-large']);
  });

  test('an announced size is refused unread, and the connection ends', async () => {
    const socket = connect(hub.port, '127.0.0.1');
    socket.write(
      `POST /v1/devices/d/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n`,
    );
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(socket, 'close');
    assert.match(text, /^HTTP\/1\.1 413 .*connection: close.*body-too-large/is);
  });

  test('a chunked body is cut where it is too long', async () => {
    const socket = connect(hub.port, '127.0.0.1');
    socket.write(
      'POST /v1/devices/d/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    socket.write(`1000\r\n${'x'.repeat(4_096)}\r\n`);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(socket, 'close');
    assert.match(text, /^HTTP\/1\.1 413 /);
  });
});

describe('time', () => {
  test('a body that does not come ends the request', async () => {
    const socket = connect(hub.port, '127.0.0.1');
    socket.write('POST /v1/devices/d/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(socket, 'close');
    assert.match(text, /^HTTP\/1\.1 408 .*connection: close.*request-timeout/is);
    assert.equal(hub.requests.length, 0);
  });

  test('a hub that does not answer is told apart', async () => {
    hub.reply = () => new Promise(() => undefined);
    const answer = await hub.call('POST', '/v1/devices/d/messages', { body: {} });
    assert.deepEqual([answer.status, answer.json.error.code], [504, 'timeout']);
    assert.match(answer.json.error.hint, /Idempotency-Key/);
  });
});

describe('faults of ours', () => {
  test('an exception is told without its text', async () => {
    hub.reply = () => {
      throw new Error('private detail');
    };
    const answer = await hub.call('GET', '/v1/devices');
    assert.deepEqual([answer.status, answer.json.error.code], [500, 'internal']);
    assert.doesNotMatch(answer.text, /private/);
  });

  test('a reply of another kind', async () => {
    const answer = await hub.call('GET', '/v1/devices');
    assert.deepEqual([answer.status, answer.json.error.code], [500, 'internal']);
  });
});

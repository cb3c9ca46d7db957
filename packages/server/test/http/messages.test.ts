import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { encodeProperties, Urgency } from '@wakeline/core/domain';
import type { HubRequest } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';

let hub: FakeHub;
const sent = (messageId = 'm1', repeated = false) => {
  return { kind: 'sent', messageId, recipientCount: 1, repeated } as const;
};

before(async () => {
  hub = await FakeHub.start();
});
after(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
  hub.logged.length = 0;
  hub.reply = () => sent();
});

function only(): HubRequest {
  assert.equal(hub.requests.length, 1);
  return hub.requests[0]!;
}

type Send = Extract<HubRequest, { kind: 'send-to-device' | 'send-to-topic' }>;

function message() {
  const request = only() as Send;
  return request.message;
}

describe('a message to a device', () => {
  test('from JSON, with everything', async () => {
    const answer = await hub.call('POST', '/v1/devices/d%201/messages', {
      body: {
        body: 'hëllo',
        contentType: 'text/plain',
        ttl: '90s',
        urgency: 'high',
        replace: 'k',
        channel: 'news',
        qos: 2,
        responseTopic: 'r/1',
        correlationData: 'AQI',
        properties: { a: '1', b: ['2', '3'] },
      },
    });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.location, '/v1/messages/m1');
    assert.deepEqual(answer.json, { id: 'm1', recipients: 1 });
    assert.equal(answer.headers['idempotency-replayed'], undefined);
    const request = only();
    assert.deepEqual(
      { ...request, message: undefined },
      {
        kind: 'send-to-device',
        deviceId: 'd 1',
        channel: 'news',
        idempotency: undefined,
        message: undefined,
      },
    );
    const { body, properties, ...rest } = message();
    assert.equal(Buffer.from(body).toString(), 'hëllo');
    assert.deepEqual(rest, { qos: 2, expirySeconds: 90, urgency: Urgency.high, replaceKey: 'k' });
    const expected = encodeProperties({
      isText: true,
      contentType: 'text/plain',
      responseTopic: 'r/1',
      correlationData: Uint8Array.of(1, 2),
      userProperties: [
        ['a', '1'],
        ['b', '2'],
        ['b', '3'],
      ],
    });
    assert.deepEqual(properties, expected);
  });

  test('from JSON, with nothing said', async () => {
    await hub.call('POST', '/v1/devices/d/messages', { body: {} });
    const { body, properties, ...rest } = message();
    assert.equal(body.length + properties.length, 0);
    const { normal } = Urgency;
    assert.deepEqual(rest, { qos: 1, expirySeconds: undefined, urgency: normal, replaceKey: undefined });
    assert.equal((only() as { channel: string }).channel, 'default');
  });

  test('ttl as seconds, as a duration, and zero', async () => {
    for (const [ttl, seconds] of [
      [0, 0],
      [7, 7],
      ['500ms', 1],
      ['2m', 120],
    ] as const) {
      hub.requests.length = 0;
      await hub.call('POST', '/v1/devices/d/messages', { body: { ttl } });
      assert.equal(message().expirySeconds, seconds);
    }
  });

  test('bytes in both alphabets of base64', async () => {
    for (const bodyBase64 of ['+/8=', '-_8', '-_8=']) {
      hub.requests.length = 0;
      await hub.call('POST', '/v1/devices/d/messages', { body: { bodyBase64 } });
      assert.deepEqual(Buffer.from(message().body), Buffer.from([0xfb, 0xff]));
    }
  });

  test('raw, with options in the query', async () => {
    const path = '/v1/devices/d/messages?ttl=10s&urgency=low&replace=k&channel=c&qos=2&property.a=1';
    const body = Uint8Array.of(0, 255, 1);
    const answer = await hub.call('POST', path, { body, headers: { 'content-type': 'image/png' } });
    assert.equal(answer.status, 201);
    const { properties, body: got, ...rest } = message();
    assert.deepEqual(new Uint8Array(got), body);
    assert.deepEqual(rest, { qos: 2, expirySeconds: 10, urgency: Urgency.low, replaceKey: 'k' });
    const expected = encodeProperties({ contentType: 'image/png', userProperties: [['a', '1']] });
    assert.deepEqual(properties, expected);
    assert.equal((only() as { channel: string }).channel, 'c');
  });

  test('raw, without a content type or with the one that curl makes up', async () => {
    const formType = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const headers of [{}, formType]) {
      hub.requests.length = 0;
      const answer = await hub.call('POST', '/v1/devices/d/messages?ttl=5', { body: 'a=b', headers });
      assert.equal(answer.status, 201, answer.text);
      assert.equal(Buffer.from(message().body).toString(), 'a=b');
      assert.equal(message().properties.length, 0);
      assert.equal(message().expirySeconds, 5);
    }
  });

  test('without any body is an empty message', async () => {
    assert.equal((await hub.call('POST', '/v1/devices/d/messages')).status, 201);
    assert.equal(message().body.length, 0);
  });

  test('is answered only after the hub', async () => {
    let answerNow = (): void => undefined;
    hub.reply = () => new Promise((resolve) => (answerNow = () => resolve(sent())));
    let isAnswered = false;
    const call = hub.call('POST', '/v1/devices/d/messages', { body: {} }).then((answer) => {
      isAnswered = true;
      return answer;
    });
    while (hub.requests.length === 0) await new Promise(setImmediate);
    await hub.call('GET', '/healthz');
    assert.equal(isAnswered, false);
    answerNow();
    assert.equal((await call).status, 201);
  });
});

describe('a message to a topic', () => {
  const cases = [
    ['/v1/topics/a/messages', 'a'],
    ['/v1/topics/a%2Fb/messages', 'a/b'],
    ['/v1/topics/a/b/c/messages', 'a/b/c'],
    ['/v1/topics/a/b%2Fc/messages?retain=true', 'a/b/c'],
    ['/v1/topics//a/messages', '/a'],
    ['/v1/topics/messages/messages', 'messages'],
    ['/v1/topics/a/messages/messages', 'a/messages'],
    ['/v1/topics/a%2Fmessages/messages', 'a/messages'],
    [`/v1/topics/${'%C3%BC'.repeat(400)}/messages`, 'ü'.repeat(400)],
  ] as const;
  for (const [path, topic] of cases) {
    test(`${path.slice(0, 60)}`, async () => {
      const answer = await hub.call('POST', path, { body: 'x', headers: { 'content-type': 'text/x' } });
      assert.equal(answer.status, 201, answer.text);
      const request = only() as Extract<HubRequest, { kind: 'send-to-topic' }>;
      assert.equal(request.kind, 'send-to-topic');
      assert.equal(request.topic, topic);
      assert.equal(request.retain, path.includes('retain'));
    });
  }

  test('retain in JSON', async () => {
    await hub.call('POST', '/v1/topics/a/messages', { body: { body: 'x', retain: true } });
    assert.equal((only() as { retain: boolean }).retain, true);
  });

  test('a path that is no topic', async () => {
    for (const path of ['/v1/topics/a', '/v1/topics/a%2Fmessages', '/v1/topics/a/b', '/v1/topics/messages']) {
      const answer = await hub.call('POST', path, { body: {} });
      assert.equal(answer.status, 404, path);
      assert.equal(answer.json.error.code, 'route-unknown');
    }
    assert.equal(hub.requests.length, 0);
  });
});

describe('idempotency', () => {
  const keyOf = (index: number) => (hub.requests[index] as Send).idempotency;
  const post = (key: string, body: object | string, path = '/v1/devices/d/messages') => {
    return hub.call('POST', path, { body, headers: { 'idempotency-key': key } });
  };

  test('the key is bound to the request', async () => {
    await post('"k-1"', { body: 'a' });
    await post('k-1', { body: 'a' });
    await post('k-1', { body: 'b' });
    await post('k-1', { body: 'a' }, '/v1/devices/e/messages');
    await post('k-1', 'a', '/v1/devices/d/messages?ttl=1');
    await post('k-1', 'a', '/v1/devices/d/messages?ttl=2');
    assert.deepEqual(keyOf(0), keyOf(1));
    assert.equal(keyOf(0)!.key, 'k-1');
    assert.equal(keyOf(0)!.owner, '');
    assert.match(keyOf(0)!.requestSha256, /^[\da-f]{64}$/);
    const hashes = hub.requests.map((_, index) => keyOf(index)!.requestSha256);
    assert.equal(new Set(hashes).size, 5);
  });

  test('the owner is the token', async () => {
    hub.addToken('wl_a_s', ['send']);
    const headers = { 'idempotency-key': 'k' };
    await hub.call('POST', '/v1/devices/d/messages', { body: {}, token: 'wl_a_s', headers });
    assert.equal(keyOf(0)!.owner, 'id-send');
  });

  test('a repeat is marked', async () => {
    hub.reply = () => sent('m7', true);
    const answer = await post('k', {});
    assert.equal(answer.status, 201);
    assert.equal(answer.headers['idempotency-replayed'], 'true');
    assert.equal(answer.json.id, 'm7');
  });

  test('keys that are none', async () => {
    for (const key of ['', '""', 'x'.repeat(256)]) {
      const answer = await post(key, {});
      assert.equal(answer.json.error.code, 'idempotency-key-invalid');
      assert.equal(answer.status, 400);
    }
    const twice = { 'idempotency-key': ['a', 'b'] };
    const answer = await hub.call('POST', '/v1/devices/d/messages', { body: {}, headers: twice });
    assert.equal(answer.status, 201, 'node joins them with a comma; that is one key');
    assert.equal(keyOf(0)!.key, 'a, b');
  });

  test('each message of a batch has its own', async () => {
    const body = { messages: [{ device: 'a' }, { device: 'b' }] };
    await hub.call('POST', '/v1/messages', { body, headers: { 'idempotency-key': '"k"' } });
    assert.deepEqual([keyOf(0)!.key, keyOf(1)!.key], ['k/0', 'k/1']);
    const long = { 'idempotency-key': 'x'.repeat(252) };
    assert.equal((await hub.call('POST', '/v1/messages', { body, headers: long })).status, 400);
  });
});

describe('a batch', () => {
  test('answers for each message, in order', async () => {
    hub.reply = (request) => {
      if (request.kind === 'send-to-topic') return sent('m-topic');
      const { deviceId } = request as { deviceId: string };
      return deviceId === 'gone' ? { kind: 'refused', reason: 'unknown-device' } : sent(`m-${deviceId}`);
    };
    const answer = await hub.call('POST', '/v1/messages', {
      body: {
        messages: [
          { device: 'a', body: '1' },
          { device: 'gone', body: '2' },
          { topic: 't/u', body: '3', retain: true },
          { body: 'nowhere' },
          { device: 'a', topic: 't' },
          { device: 'a', retain: true },
          { topic: 'a', channel: 'c' },
          { device: 'a', bodyBase64: '!' },
        ],
      },
    });
    assert.equal(answer.status, 200);
    const { results } = answer.json;
    assert.deepEqual(results[0], { status: 201, id: 'm-a', recipients: 1 });
    assert.equal(results[1].status, 404);
    assert.equal(results[1].error.code, 'unknown-device');
    assert.equal(results[2].id, 'm-topic');
    const rest = results
      .slice(3)
      .map((result: { status: number; error: { code: string } }) => [result.status, result.error.code]);
    assert.deepEqual(rest, Array(5).fill([400, 'body-invalid']));
    assert.equal(hub.requests.length, 3);
  });

  test('of 1,000 reaches the hub whole; 1,001 and none are refused', async () => {
    const messages = Array.from({ length: 1_000 }, (_, index) => ({ device: `d${index}` }));
    const answer = await hub.call('POST', '/v1/messages', { body: { messages } });
    assert.equal(answer.json.results.length, 1_000);
    const ids = hub.requests.map((request) => (request as { deviceId: string }).deviceId);
    assert.deepEqual(
      ids,
      messages.map(({ device }) => device),
    );
    for (const wrong of [[...messages, { device: 'x' }], []]) {
      const refused = await hub.call('POST', '/v1/messages', { body: { messages: wrong } });
      assert.equal(refused.status, 400);
      assert.equal(refused.json.error.code, 'body-invalid');
    }
  });

  test('is marked when every message is a repeat', async () => {
    const body = { messages: [{ device: 'a' }, { device: 'b' }] };
    hub.reply = () => sent('m', true);
    const all = await hub.call('POST', '/v1/messages', { body });
    assert.equal(all.headers['idempotency-replayed'], 'true');
    hub.reply = (request) => sent('m', (request as { deviceId: string }).deviceId === 'a');
    const some = await hub.call('POST', '/v1/messages', { body });
    assert.equal(some.headers['idempotency-replayed'], undefined);
  });

  test('with a fault of ours keeps it out of the answer', async () => {
    hub.reply = () => {
      throw new Error('secret detail');
    };
    const answer = await hub.call('POST', '/v1/messages', { body: { messages: [{ device: 'a' }] } });
    assert.equal(answer.json.results[0].error.code, 'internal');
    assert.doesNotMatch(answer.text, /secret detail/);
  });
});

test('the stage of a message', async () => {
  hub.reply = () => ({
    kind: 'message',
    message: {
      messageId: 'm1',
      acceptedMs: 0,
      expiresMs: 1_000,
      topic: '$line/inbox/default',
      recipientCount: 2,
      recipients: [
        { deviceId: 'a', sequence: 3, stage: 'acknowledged', reason: undefined },
        { deviceId: 'b', sequence: 9, stage: 'dropped', reason: 'session ended' },
      ],
    },
  });
  const answer = await hub.call('GET', '/v1/messages/m1');
  assert.equal(answer.status, 200);
  assert.deepEqual(only(), { kind: 'get-message', messageId: 'm1' });
  assert.deepEqual(answer.json, {
    id: 'm1',
    topic: '$line/inbox/default',
    acceptedAt: '1970-01-01T00:00:00.000Z',
    expiresAt: '1970-01-01T00:00:01.000Z',
    recipientCount: 2,
    recipients: [
      { device: 'a', sequence: 3, stage: 'acknowledged', reason: null },
      { device: 'b', sequence: 9, stage: 'dropped', reason: 'session ended' },
    ],
  });
});

test('neither bodies nor tokens nor ids are logged', async () => {
  hub.addToken('wl_a_topsecret', ['send']);
  await hub.call('POST', '/v1/devices/private-id/messages', {
    body: { body: 'private-body' },
    token: 'wl_a_topsecret',
  });
  hub.reply = () => {
    throw new Error('boom');
  };
  await hub.call('POST', '/v1/devices/private-id/messages', {
    body: 'private-body',
    token: 'wl_a_topsecret',
  });
  while (hub.logged.length < 3) await new Promise(setImmediate);
  assert.doesNotMatch(hub.logged.join('\n'), /private|topsecret/);
  assert.match(hub.logged.join('\n'), /devices\/:id\/messages/);
});

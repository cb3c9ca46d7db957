import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openAccess } from '@wakeline/core/domain';
import type { DeviceDetail, DeviceSummary } from '@wakeline/core/domain';
import { httpErrors, sha256Hex } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';

let hub: FakeHub;
before(async () => {
  hub = await FakeHub.start();
});
after(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
  hub.isReady = true;
});

const summary: DeviceSummary = {
  deviceId: 'd',
  connected: true,
  durable: true,
  hasCredential: true,
  waitingMessages: 2,
  waitingBytes: 30,
  inflightMessages: 1,
};
const detail: DeviceDetail = {
  ...summary,
  epoch: '0123456789abcdef',
  lastSequence: 5,
  acknowledgedThrough: 3,
  link: 'mqtt',
  peer: '127.0.0.1:1',
  connectedMs: 0,
  activity: 'asleep',
  windowMs: 5_000,
  network: undefined,
  sessionExpirySeconds: undefined,
  subscriptions: [{ filter: 'a/#', qos: 1 }],
  endpoints: 2,
  access: openAccess,
};
const { deviceId, ...figures } = summary;

describe('devices', () => {
  test('are listed in pages', async () => {
    hub.reply = () => ({ kind: 'devices', devices: [summary], next: 'd' });
    const answer = await hub.call('GET', '/v1/devices?after=a%2B1&count=1');
    assert.deepEqual(hub.requests[0], { kind: 'list-devices', after: 'a+1', count: 1 });
    assert.deepEqual(answer.json, { devices: [{ id: deviceId, ...figures }], next: 'd' });
    hub.reply = () => ({ kind: 'devices', devices: [], next: undefined });
    assert.deepEqual((await hub.call('GET', '/v1/devices')).json, { devices: [], next: null });
    assert.deepEqual(hub.requests[1], { kind: 'list-devices', after: undefined, count: 100 });
  });

  test('one is shown whole', async () => {
    hub.reply = () => ({ kind: 'device', device: detail });
    const answer = await hub.call('GET', '/v1/devices/d%3A1');
    assert.deepEqual(hub.requests[0], { kind: 'get-device', deviceId: 'd:1' });
    const { deviceId: _, connectedMs: __, ...rest } = detail;
    assert.deepEqual(answer.json, {
      id: 'd',
      ...rest,
      connectedAt: '1970-01-01T00:00:00.000Z',
      network: null,
      sessionExpirySeconds: null,
    });
  });

  test('are made with a token that is stored as its hash', async () => {
    hub.reply = () => ({ kind: 'device', device: detail });
    const access = { publish: ['a/%d/#'], subscribe: ['+/b', '#'] };
    const answer = await hub.call('PUT', '/v1/devices/d', { body: { access } });
    assert.equal(answer.status, 200);
    assert.match(answer.json.token, /^wl_d_[\w-]{43}$/);
    assert.equal(answer.headers['cache-control'], 'no-store');
    const tokenSha256 = sha256Hex(answer.json.token);
    assert.deepEqual(hub.requests[0], { kind: 'put-device', deviceId: 'd', tokenSha256, access });
    const again = await hub.call('PUT', '/v1/devices/d');
    assert.notEqual(again.json.token, answer.json.token);
    assert.deepEqual(again.json.access, openAccess);
    const one = await hub.call('PUT', '/v1/devices/d', { body: { access: { publish: ['a'] } } });
    assert.deepEqual(one.json.access, { publish: ['a'], subscribe: [] });
  });

  test('with rules that are no filters are refused', async () => {
    for (const filter of ['', 'a/#/b', 'a#', '+a', 'a\0', 'x'.repeat(2_000), 'a/'.repeat(80)]) {
      const answer = await hub.call('PUT', '/v1/devices/d', { body: { access: { subscribe: [filter] } } });
      assert.deepEqual([answer.status, answer.json.error.code], [400, 'access-invalid'], filter);
    }
    assert.equal(hub.requests.length, 0);
  });

  test('are removed', async () => {
    hub.reply = () => ({ kind: 'done' });
    const answer = await hub.call('DELETE', '/v1/devices/d');
    assert.deepEqual([answer.status, answer.text], [204, '']);
    assert.deepEqual(hub.requests[0], { kind: 'delete-device', deviceId: 'd' });
  });
});

describe('tokens', () => {
  test('are shown once and stored as their hash', async () => {
    hub.reply = () => ({ kind: 'done' });
    const answer = await hub.call('POST', '/v1/tokens', { body: { name: 'ci', scopes: ['send', 'read'] } });
    assert.equal(answer.status, 201);
    const { id, token } = answer.json;
    assert.match(token, /^wl_a_[\w-]{43}$/);
    const createdMs = Date.UTC(2026, 0, 2);
    const stored = { id, name: 'ci', sha256: sha256Hex(token), scopes: ['send', 'read'], createdMs };
    assert.deepEqual(hub.requests[0], { kind: 'put-token', token: stored });
    hub.reply = () => ({ kind: 'tokens', tokens: [{ ...stored, scopes: ['send', 'read'] }] });
    const list = await hub.call('GET', '/v1/tokens');
    const createdAt = '2026-01-02T00:00:00.000Z';
    assert.deepEqual(list.json, { tokens: [{ id, name: 'ci', scopes: ['send', 'read'], createdAt }] });
  });

  test('that are none', async () => {
    for (const body of [
      {},
      { name: 'n' },
      { name: '', scopes: ['send'] },
      { name: 'n', scopes: [] },
      { name: 'n', scopes: ['root'] },
      { name: 'a\nb', scopes: ['send'] },
      { name: 'n', scopes: ['send', 'send'] },
    ]) {
      assert.equal((await hub.call('POST', '/v1/tokens', { body })).json.error.code, 'body-invalid');
    }
  });

  test('are ended', async () => {
    hub.reply = () => ({ kind: 'done' });
    assert.equal((await hub.call('DELETE', '/v1/tokens/t1')).status, 204);
    assert.deepEqual(hub.requests[0], { kind: 'delete-token', tokenId: 't1' });
    hub.reply = () => ({ kind: 'refused', reason: 'unknown-token' });
    assert.equal((await hub.call('DELETE', '/v1/tokens/t1')).status, 404);
  });
});

describe('operation', () => {
  test('alive is not ready', async () => {
    assert.equal((await hub.call('GET', '/readyz')).status, 200);
    hub.isReady = false;
    const answer = await hub.call('GET', '/readyz');
    assert.deepEqual([answer.status, answer.json.error.code], [503, 'not-ready']);
    assert.equal((await hub.call('GET', '/healthz')).status, 200);
  });

  test('metrics are text, statistics JSON', async () => {
    const metrics = await hub.call('GET', '/metrics');
    assert.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(metrics.text, 'wakeline_up 1\n');
    hub.reply = () => ({ kind: 'statistics', statistics: { flows: 3 } as never });
    assert.deepEqual((await hub.call('GET', '/v1/statistics')).json, { flows: 3 });
  });

  test('the description of the API has every operation, and no reference that leads nowhere', async () => {
    const { json: document } = await hub.call('GET', '/openapi.json');
    assert.equal(document.openapi, '3.1.0');
    const operations = Object.entries<object>(document.paths).flatMap(([path, item]) => {
      return Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`);
    });
    assert.deepEqual(operations.filter((one) => !one.startsWith('HEAD')).sort(), [
      'DELETE /message/{id}',
      'DELETE /v1/devices/{id}',
      'DELETE /v1/devices/{id}/endpoints/{endpoint}',
      'DELETE /v1/tokens/{id}',
      'DELETE /v1/users/{address}',
      'GET /healthz',
      'GET /metrics',
      'GET /readyz',
      'GET /receipt/{id}',
      'GET /v1/calls',
      'GET /v1/calls/{id}',
      'GET /v1/devices',
      'GET /v1/devices/{id}',
      'GET /v1/devices/{id}/endpoints',
      'GET /v1/messages/{id}',
      'GET /v1/statistics',
      'GET /v1/tokens',
      'GET /v1/users',
      'GET /v1/users/{address}',
      'GET /v1/users/{address}/bindings',
      'POST /push/{token}',
      'POST /v1/backups',
      'POST /v1/calls/{id}/intent',
      'POST /v1/devices/{id}/messages',
      'POST /v1/messages',
      'POST /v1/tokens',
      'POST /v1/topics/{topic}/messages',
      'PUT /v1/devices/{id}',
      'PUT /v1/users/{address}',
    ]);
    assert.doesNotMatch(JSON.stringify(document), /\$ref/);
  });

  test('every schema of what comes in can be compiled: each operation refuses what it does not know', async () => {
    const { json: document } = await hub.call('GET', '/openapi.json');
    let asked = 0;
    for (const [path, item] of Object.entries<Record<string, { requestBody?: unknown }>>(document.paths)) {
      const place = path.replaceAll(/\{\w+\}/g, 'x');
      for (const [method, { requestBody }] of Object.entries(item)) {
        if (method === 'head') continue;
        const body = requestBody === undefined ? {} : { body: { nothing: 1 } };
        const query = requestBody === undefined ? '?nothing=1' : '';
        const { status } = await hub.call(method.toUpperCase(), place + query, body);
        assert.ok(status >= 400 && status < 500, `${method} ${path}: ${status}`);
        asked++;
      }
    }
    assert.ok(asked > 20);
  });
});

test('docs/http.md has the table of errors', () => {
  const document = readFileSync(new URL('../../../../../docs/http.md', import.meta.url), 'utf8');
  const rows = [...document.matchAll(/^\| `([a-z-]+)` +\| (\d{3}) +\| (.*?) +\|$/gm)].map((row) =>
    row.slice(1, 4),
  );
  const expected = Object.entries(httpErrors).map(([code, { status, meaning }]) => [
    code,
    String(status),
    meaning,
  ]);
  assert.deepEqual(rows, expected);
});

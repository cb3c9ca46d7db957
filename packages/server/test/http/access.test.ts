import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Scope } from '@wakeline/core/domain';
import { FakeHub } from './fake-hub.js';

/** Every route with the scopes that open it; no scopes: free for all. */
const routes: readonly (readonly [method: string, path: string, scopes: readonly Scope[], body?: object])[] =
  [
    ['POST', '/v1/devices/d/messages', ['send'], {}],
    ['POST', '/v1/topics/a%2Fb/messages', ['send'], {}],
    ['POST', '/v1/topics/a/b/messages', ['send'], {}],
    ['POST', '/v1/messages', ['send'], { messages: [{ device: 'd' }] }],
    ['GET', '/v1/messages/m', ['send', 'read']],
    ['GET', '/v1/devices', ['read']],
    ['GET', '/v1/devices/d', ['read']],
    ['PUT', '/v1/devices/d', ['admin'], {}],
    ['DELETE', '/v1/devices/d', ['admin']],
    ['POST', '/v1/tokens', ['admin'], { name: 'n', scopes: ['send'] }],
    ['GET', '/v1/tokens', ['admin']],
    ['DELETE', '/v1/tokens/t', ['admin']],
    ['POST', '/v1/backups', ['admin']],
    ['GET', '/v1/statistics', ['read']],
    ['GET', '/metrics', ['read']],
    ['GET', '/healthz', []],
    ['GET', '/readyz', []],
    ['GET', '/openapi.json', []],
  ];

const scopeNames: readonly Scope[] = ['send', 'read', 'admin'];

function addTokens(hub: FakeHub): void {
  for (const scope of scopeNames) hub.addToken(`wl_a_${scope}`, [scope]);
  hub.reply = () => ({ kind: 'refused', reason: 'quota-exceeded' });
}

describe('a closed API', () => {
  let hub: FakeHub;
  before(async () => {
    hub = await FakeHub.start({ openApi: false });
    addTokens(hub);
  });
  after(() => hub.stop());

  for (const [method, path, allowed, body] of routes) {
    const call = (token?: string) => {
      return hub.call(method, path, { ...(body ? { body } : {}), ...(token === undefined ? {} : { token }) });
    };

    test(`${method} ${path}`, async () => {
      hub.requests.length = 0;
      const without = await call();
      if (allowed.length === 0) {
        assert.equal(without.status, 200);
        return;
      }
      assert.equal(without.status, 401);
      assert.equal(without.json.error.code, 'unauthorized');
      assert.equal(without.headers['www-authenticate'], 'Bearer realm="wakeline"');
      const wrong = await call('wl_a_wrong');
      assert.equal(wrong.status, 401);
      assert.match(wrong.headers['www-authenticate']!, /error="invalid_token"/);
      assert.equal(hub.requests.length, 0);
      for (const scope of scopeNames) {
        const { status, headers, json } = await call(`wl_a_${scope}`);
        if (scope === 'admin' || allowed.includes(scope)) {
          assert.notEqual(json?.error?.code, 'not-authorized');
          assert.ok(status !== 401 && status !== 403, `${scope}: ${status}`);
        } else {
          assert.equal(status, 403, scope);
          assert.equal(json.error.code, 'not-authorized');
          assert.match(headers['www-authenticate']!, /error="insufficient_scope"/);
        }
      }
    });
  }

  test('credentials of another kind', async () => {
    for (const authorization of ['Basic YTpi', 'Bearer', 'Bearer a b', `Bearer ${'x'.repeat(600)}`]) {
      const answer = await hub.call('GET', '/v1/devices', { headers: { authorization } });
      assert.equal(answer.status, 401, authorization);
      assert.match(answer.headers['www-authenticate']!, /invalid_request/);
    }
    const spelled = await hub.call('GET', '/v1/devices', { headers: { authorization: 'bearer  wl_a_read' } });
    assert.notEqual(spelled.status, 401);
  });
});

describe('an open API', () => {
  let hub: FakeHub;
  before(async () => {
    hub = await FakeHub.start();
  });
  after(() => hub.stop());
  beforeEach(() => {
    addTokens(hub);
    hub.requests.length = 0;
  });
  const get = (headers: Record<string, string>) => hub.call('GET', '/v1/devices', { headers });

  test('needs no token, but a wrong one is refused and a weak one stays weak', async () => {
    assert.equal((await get({})).json.error.code, 'quota-exceeded');
    assert.equal((await hub.call('GET', '/v1/devices', { token: 'wl_a_wrong' })).status, 401);
    assert.equal((await hub.call('GET', '/v1/devices', { token: 'wl_a_send' })).status, 403);
  });

  test('takes the names of this machine', async () => {
    for (const host of [
      'localhost',
      'LOCALHOST:1',
      'x.localhost',
      '127.0.0.1:8600',
      '127.9.9.9',
      '[::1]:8600',
    ]) {
      assert.equal((await get({ host })).json.error.code, 'quota-exceeded', host);
    }
  });

  test('refuses other names: DNS rebinding', async () => {
    for (const host of [
      'evil.example',
      'evil.example:8600',
      'localhost.evil.example',
      '10.0.0.1',
      '[::2]',
      '127.0.0.1.nip.io',
    ]) {
      const answer = await get({ host });
      assert.equal(answer.status, 403, host);
      assert.equal(answer.json.error.code, 'host-refused');
    }
    assert.equal(hub.requests.length, 0);
  });

  test('refuses the pages of other sites, whatever the content type', async () => {
    const host = `127.0.0.1:${hub.port}`;
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1:1', `file://${host}`]) {
      for (const type of ['text/plain', 'application/json', 'application/x-www-form-urlencoded']) {
        const headers = { origin, 'content-type': type };
        const answer = await hub.call('POST', '/v1/devices/d/messages', { body: '{}', headers });
        assert.equal(answer.status, 403);
        assert.equal(answer.json.error.code, 'origin-refused');
      }
    }
    assert.equal((await get({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' })).status, 403);
    assert.equal(hub.requests.length, 0);
  });

  test('takes its own page, and a link that was followed', async () => {
    const origin = `http://127.0.0.1:${hub.port}`;
    assert.equal((await get({ origin, 'sec-fetch-site': 'same-origin' })).json.error.code, 'quota-exceeded');
    const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
    assert.equal((await get(link)).json.error.code, 'quota-exceeded');
  });

  test('a good token opens it under any name', async () => {
    const headers = { host: 'push.example', origin: 'https://app.example' };
    const answer = await hub.call('GET', '/v1/devices', { headers, token: 'wl_a_read' });
    assert.equal(answer.json.error.code, 'quota-exceeded');
  });

  test('health needs no name', async () => {
    assert.equal((await hub.call('GET', '/healthz', { headers: { host: 'lb.example' } })).status, 200);
  });
});

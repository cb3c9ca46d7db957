import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { CallDetail, CallSummary, UserSummary } from '@wakeline/core/domain';
import { hashSipPassword } from '../../src/config/index.js';
import { FakeHub } from './fake-hub.js';

let hub: FakeHub;
before(async () => {
  hub = await FakeHub.start();
});
after(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
});

const id = 'a'.repeat(32);
const summary: CallSummary = {
  call: id,
  aor: 'bob@example.org',
  caller: { uri: 'sip:alice@example.org', displayName: 'Alice', aor: 'alice@example.org', trunk: undefined },
  sipCallId: 'x1@192.0.2.1',
  state: 'expired',
  isMissed: true,
  startedMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  deadlineMs: undefined,
  endedMs: Date.UTC(2026, 0, 2, 3, 4, 50),
  status: 480,
  reason: 'the phone did not come',
  wakes: 4,
  legs: 1,
};
const summaryJson = {
  id,
  user: 'bob@example.org',
  caller: { uri: 'sip:alice@example.org', displayName: 'Alice', user: 'alice@example.org', trunk: null },
  sipCallId: 'x1@192.0.2.1',
  state: 'expired',
  missed: true,
  startedAt: '2026-01-02T03:04:05.000Z',
  deadlineAt: null,
  endedAt: '2026-01-02T03:04:50.000Z',
  status: 480,
  reason: 'the phone did not come',
  wakes: 4,
  legCount: 1,
};
const detail: CallDetail = {
  ...summary,
  legViews: [
    {
      leg: 1,
      instance: 'urn:uuid:1',
      contact: 'sip:bob@192.0.2.9',
      userAgent: undefined,
      state: 'gone',
      attempts: [{ attempt: 1, mode: 'new', status: 180, withdrawn: 'expired' }],
    },
  ],
  events: [
    { atMs: 0, kind: 'call', leg: undefined, attempt: undefined, status: undefined, text: 'from Alice' },
    { atMs: 1.5, kind: 'provisional', leg: 1, attempt: 1, status: 180, text: 'rings' },
  ],
  eventsDropped: 0,
};

describe('GET /v1/calls', () => {
  test('lists a page, filtered', async () => {
    hub.reply = () => ({ kind: 'calls', calls: [summary], next: id });
    const query = `?address=Bob@EXAMPLE.org&missed=true&count=7&after=${'b'.repeat(32)}`;
    const { status, json } = await hub.call('GET', `/v1/calls${query}`);
    assert.equal(status, 200);
    assert.deepEqual(json, { calls: [summaryJson], next: id });
    assert.deepEqual(hub.requests, [
      { kind: 'list-calls', aor: 'Bob@example.org', isMissed: true, after: 'b'.repeat(32), count: 7 },
    ]);
  });

  test('lists all from the newest when nothing is said', async () => {
    hub.reply = () => ({ kind: 'calls', calls: [], next: undefined });
    assert.deepEqual((await hub.call('GET', '/v1/calls')).json, { calls: [], next: null });
    assert.deepEqual(hub.requests, [
      { kind: 'list-calls', aor: undefined, isMissed: false, after: undefined, count: 100 },
    ]);
  });

  test('refuses what it does not understand before the hub is asked', async () => {
    for (const [query, code] of [
      ['missed=yes', 'query-invalid'],
      ['count=1001', 'query-invalid'],
      ['after=x', 'query-invalid'],
      ['adress=a@b', 'query-invalid'],
      ['address=bob', 'address-invalid'],
    ]) {
      const { status, json } = await hub.call('GET', `/v1/calls?${query}`);
      assert.deepEqual([status, json.error.code], [400, code], query);
    }
    assert.equal(hub.requests.length, 0);
  });

  test('says that there is no SIP', async () => {
    hub.reply = () => ({ kind: 'refused', reason: 'calls-off' });
    const { status, json } = await hub.call('GET', '/v1/calls');
    assert.deepEqual([status, json.error.code], [501, 'calls-off']);
  });
});

describe('one call', () => {
  test('has its legs and its trace', async () => {
    hub.reply = () => ({ kind: 'call', call: detail });
    const { status, json } = await hub.call('GET', `/v1/calls/${id}`);
    assert.equal(status, 200);
    assert.deepEqual(json, {
      ...summaryJson,
      legs: [
        {
          leg: 1,
          instance: 'urn:uuid:1',
          contact: 'sip:bob@192.0.2.9',
          userAgent: null,
          state: 'gone',
          attempts: [{ attempt: 1, mode: 'new', status: 180, withdrawn: 'expired' }],
        },
      ],
      events: [
        { atMs: 0, kind: 'call', leg: null, attempt: null, status: null, text: 'from Alice' },
        { atMs: 1.5, kind: 'provisional', leg: 1, attempt: 1, status: 180, text: 'rings' },
      ],
      eventsDropped: 0,
    });
    assert.deepEqual(hub.requests, [{ kind: 'get-call', call: id }]);
  });

  test('may be unknown', async () => {
    hub.reply = () => ({ kind: 'refused', reason: 'unknown-call' });
    assert.equal((await hub.call('GET', `/v1/calls/${id}`)).status, 404);
    assert.equal((await hub.call('GET', '/v1/calls/short')).json.error.code, 'body-invalid');
  });

  test('can be declined before it has reached the phone', async () => {
    hub.reply = () => ({ kind: 'done' });
    const path = `/v1/calls/${id}/intent`;
    assert.equal((await hub.call('POST', path, { body: { intent: 'decline' } })).status, 204);
    assert.deepEqual(hub.requests, [
      { kind: 'call-intent', call: id, deviceId: undefined, intent: 'decline' },
    ]);
    assert.equal(
      (await hub.call('POST', path, { body: { intent: 'maybe' } })).json.error.code,
      'body-invalid',
    );
    hub.reply = () => ({ kind: 'refused', reason: 'call-ended' });
    assert.equal((await hub.call('POST', path, { body: { intent: 'answer' } })).status, 409);
  });
});

describe('users', () => {
  const user: UserSummary = {
    aor: 'bob@example.org',
    devices: ['bob@example.org'],
    algorithms: ['sha-256'],
    missingAlgorithms: [],
    isConfigured: false,
    bindings: 1,
    liveBindings: 0,
  };
  const { aor, isConfigured, ...rest } = user;
  const userJson = { address: aor, configured: isConfigured, ...rest };

  test('are listed in pages', async () => {
    hub.reply = () => ({ kind: 'users', users: [user], next: aor });
    const { json } = await hub.call('GET', '/v1/users?after=alice%40example.org&count=1');
    assert.deepEqual(json, { users: [userJson], next: aor });
    assert.deepEqual(hub.requests, [{ kind: 'list-users', after: 'alice@example.org', count: 1 }]);
  });

  test('can be asked for one by one', async () => {
    hub.reply = () => ({ kind: 'user', user });
    const { status, json } = await hub.call('GET', '/v1/users/bob%40Example.org');
    assert.deepEqual([status, json], [200, userJson]);
    assert.deepEqual(hub.requests, [{ kind: 'get-user', aor }]);
    hub.reply = () => ({ kind: 'refused', reason: 'unknown-user' });
    assert.equal((await hub.call('GET', '/v1/users/bob%40example.org')).status, 404);
  });

  test('[CA-41] show what phones are asked for and their password was made without', async () => {
    hub.reply = () => ({
      kind: 'user',
      user: { ...user, algorithms: ['md5'], missingAlgorithms: ['sha-256'] },
    });
    const { json } = await hub.call('GET', '/v1/users/bob%40example.org');
    assert.deepEqual([json.algorithms, json.missingAlgorithms], [['md5'], ['sha-256']]);
  });

  test('get a password that the answer alone shows', async () => {
    hub.reply = () => ({ kind: 'user', user });
    const { status, json } = await hub.call('PUT', '/v1/users/bob%40Example.org');
    assert.equal(status, 200);
    const { password, ...others } = json;
    assert.deepEqual(others, userJson);
    assert.match(password, /^[a-z2-7]{24}$/);
    assert.deepEqual(hub.requests, [
      {
        kind: 'put-user',
        user: { aor, ha1: hashSipPassword(aor, password, ['sha-256']), devices: [aor] },
      },
    ]);
    const again = await hub.call('PUT', '/v1/users/bob%40example.org');
    assert.notEqual(again.json.password, password);
    assert.ok(!hub.logged.join().includes(password));
  });

  test('may have a given one, other algorithms and other devices', async () => {
    hub.reply = () => ({ kind: 'user', user });
    const body = { password: 'pässword', algorithms: ['md5', 'sha-256'], devices: ['phone-1'] };
    const { json } = await hub.call('PUT', '/v1/users/bob@example.org', { body });
    assert.equal(json.password, undefined);
    assert.deepEqual(hub.requests, [
      {
        kind: 'put-user',
        user: { aor, ha1: hashSipPassword(aor, 'pässword', ['sha-256', 'md5']), devices: ['phone-1'] },
      },
    ]);
  });

  test('are of a domain that is served', async () => {
    const other = await hub.call('PUT', '/v1/users/bob%40example.net');
    assert.deepEqual([other.status, other.json.error.code], [400, 'address-invalid']);
    assert.match(other.json.error.message, /example\.org/);
    const none = await hub.call('PUT', '/v1/users/bob');
    assert.equal(none.json.error.code, 'address-invalid');
    for (const body of [
      { password: '' },
      { algorithms: [] },
      { algorithms: ['sha-1'] },
      // All are asked for SHA-256.
      { algorithms: ['md5'] },
      { devices: ['a/b'] },
      { realm: 'x' },
    ]) {
      const refused = await hub.call('PUT', '/v1/users/bob%40example.org', { body });
      assert.equal(refused.json.error.code, 'body-invalid', JSON.stringify(body));
    }
    assert.equal(hub.requests.length, 0);
  });

  test('end, unless they stand in the configuration', async () => {
    hub.reply = () => ({ kind: 'done' });
    assert.equal((await hub.call('DELETE', '/v1/users/bob%40example.org')).status, 204);
    assert.deepEqual(hub.requests, [{ kind: 'delete-user', aor }]);
    hub.reply = () => ({ kind: 'refused', reason: 'user-configured' });
    assert.equal((await hub.call('DELETE', '/v1/users/bob%40example.org')).status, 409);
  });

  test('have bindings, without what would let others push to them', async () => {
    const resource = 'https://push.example/secret';
    hub.reply = () => ({
      kind: 'bindings',
      bindings: [
        {
          aor,
          instance: 'urn:uuid:1',
          regId: 1,
          contact: 'sip:bob@192.0.2.9;transport=tcp',
          flow: 0,
          expiresMs: Date.UTC(2026, 0, 2),
          push: { provider: 'webpush', resource },
          userAgent: 'baresip v1.0.0',
        },
      ],
    });
    const { json, text } = await hub.call('GET', '/v1/users/bob%40example.org/bindings');
    assert.deepEqual(json.bindings, [
      {
        instance: 'urn:uuid:1',
        regId: 1,
        contact: 'sip:bob@192.0.2.9;transport=tcp',
        connected: false,
        expiresAt: '2026-01-02T00:00:00.000Z',
        push: 'webpush',
        userAgent: 'baresip v1.0.0',
      },
    ]);
    assert.ok(!text.includes('secret'));
  });

  test('are the business of admins, calls of readers', async () => {
    const closed = await FakeHub.start({ openApi: false });
    try {
      closed.addToken('reader', ['read']);
      closed.reply = () => ({ kind: 'calls', calls: [], next: undefined });
      const as = (method: string, path: string, body?: object) =>
        closed.call(method, path, { token: 'reader', ...(body !== undefined && { body }) });
      assert.equal((await as('GET', '/v1/calls')).status, 200);
      assert.equal((await as('PUT', '/v1/users/a%40example.org')).status, 403);
      assert.equal((await as('DELETE', '/v1/users/a%40example.org')).status, 403);
      assert.equal((await as('POST', `/v1/calls/${id}/intent`, { intent: 'decline' })).status, 403);
      assert.equal((await closed.call('GET', '/v1/users')).status, 401);
    } finally {
      await closed.stop();
    }
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mintEndpoint } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';

describe('[PU-25] endpoints, for operators', () => {
  let hub: FakeHub;
  before(async () => {
    hub = await FakeHub.start();
  });
  after(() => hub.stop());

  test("a device's endpoints are listed without their secrets, and ended", async () => {
    hub.reply = () => ({
      kind: 'endpoints',
      endpoints: [{ endpointId: 'ab', channel: 'news', vapidKey: undefined, createdMs: 0 }],
    });
    const list = await hub.call('GET', '/v1/devices/d/endpoints');
    assert.deepEqual(list.json, {
      endpoints: [{ id: 'ab', channel: 'news', vapidKey: null, createdAt: '1970-01-01T00:00:00.000Z' }],
    });
    hub.reply = () => ({ kind: 'done' });
    assert.equal((await hub.call('DELETE', '/v1/devices/d/endpoints/ab')).status, 204);
    assert.deepEqual(hub.requests.at(-1), { kind: 'end-endpoint', deviceId: 'd', endpointId: 'ab' });
    hub.reply = () => ({ kind: 'refused', reason: 'unknown-endpoint' });
    assert.equal((await hub.call('DELETE', '/v1/devices/d/endpoints/ab')).status, 404);
  });

  test('with the scopes that they need, where pushing needs none', async () => {
    const closed = await FakeHub.start({ openApi: false });
    try {
      closed.addToken('sender', ['send']);
      closed.addToken('reader', ['read']);
      closed.reply = () => ({ kind: 'endpoints', endpoints: [] });
      const ask = async (method: string, path: string, token?: string): Promise<number> =>
        (await closed.call(method, path, token === undefined ? {} : { token })).status;
      assert.equal(await ask('GET', '/v1/devices/d/endpoints'), 401);
      assert.equal(await ask('GET', '/v1/devices/d/endpoints', 'sender'), 403);
      assert.equal(await ask('GET', '/v1/devices/d/endpoints', 'reader'), 200);
      assert.equal(await ask('DELETE', '/v1/devices/d/endpoints/ab', 'reader'), 403);
      const place = { deviceNumber: 7, epoch: '0123456789abcdef', sequence: 9 };
      const pushed = { kind: 'pushed', place, messageId: undefined } as const;
      closed.reply = (request) =>
        request.kind === 'push' ? pushed : { kind: 'seal-key', key: new Uint8Array(32) };
      const { pathname } = new URL(mintEndpoint('https://push.example.org').url);
      assert.equal((await closed.call('POST', pathname, { headers: { ttl: '60' } })).status, 201);
    } finally {
      await closed.stop();
    }
  });
});

/** The URLs that a push is answered with: of the message, and of its receipt. */
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import type { OutgoingHttpHeaders } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { mintEndpoint } from '../../src/http/index.js';
import type { HubRequest } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';
import type { Answer, ScriptedReply } from './fake-hub.js';

const ORIGIN = 'https://push.example.org';
const place = { deviceNumber: 7, epoch: '0123456789abcdef', sequence: 9 };
const messageId = '0123456789abcdef0123456789abcdef';
const fields = { ttl: '60' } as const;
const { url } = mintEndpoint(ORIGIN);
const path = url.slice(ORIGIN.length);

let hub: FakeHub;
let pushed: ScriptedReply;
before(async () => {
  hub = await FakeHub.start();
});
after(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
  pushed = { kind: 'pushed', place, messageId: undefined };
  hub.reply = ({ kind }) =>
    kind === 'get-seal-key'
      ? { kind: 'seal-key', key: new Uint8Array(32).fill(1) }
      : kind === 'push'
        ? pushed
        : { kind: 'done' };
});

function push(headers: OutgoingHttpHeaders = fields): Promise<Answer> {
  return hub.call('POST', path, { headers });
}

function pushRequest(): Extract<HubRequest, { kind: 'push' }> {
  const found = hub.requests.find((request) => request.kind === 'push');
  assert(found?.kind === 'push');
  return found;
}

describe('[PU-24] message and receipt URLs', () => {
  const receiptPath = async (): Promise<string> => {
    pushed = { kind: 'pushed', place, messageId };
    const answer = await push({ ...fields, prefer: 'wait=5, respond-async' });
    assert.equal(answer.status, 202);
    assert.equal(answer.headers['preference-applied'], 'respond-async');
    const link = /^<(.+)>; rel="urn:ietf:params:push:receipt"$/.exec(String(answer.headers.link));
    assert(link !== null);
    return link[1]!.slice(ORIGIN.length);
  };
  const status = (stage: 'stored' | 'acknowledged'): ScriptedReply => ({
    kind: 'message',
    message: {
      messageId,
      acceptedMs: 0,
      expiresMs: undefined,
      topic: '$line/inbox/news',
      recipientCount: 1,
      recipients: [{ deviceId: 'secret-device', sequence: 9, stage, reason: undefined }],
    },
  });

  test('a message is taken back at its URL', async () => {
    const { location } = (await push()).headers;
    const answer = await hub.call('DELETE', location!.slice(ORIGIN.length));
    assert.equal(answer.status, 204);
    assert.deepEqual(hub.requests.at(-1), { kind: 'delete-push', place });
  });

  test('one that is changed, made up or of the other kind is unknown, and the hub not asked', async () => {
    const message = (await push()).headers.location!.slice(ORIGIN.length);
    const receipt = await receiptPath();
    const asked = hub.requests.length;
    const flipped = message.slice(0, -5) + (message.at(-5) === 'A' ? 'B' : 'A') + message.slice(-4);
    const made: [string, string][] = [
      ['DELETE', flipped],
      ['DELETE', '/message/x'],
      ['DELETE', `/message/${'A'.repeat(43)}`],
      ['DELETE', receipt.replace('receipt', 'message')],
      ['GET', message.replace('message', 'receipt')],
      ['GET', '/receipt/%F0%9F%98%80'],
    ];
    for (const [method, wrongPath] of made) {
      const answer = await hub.call(method, wrongPath);
      assert.deepEqual([answer.status, answer.json.error.code], [404, 'unknown-message'], wrongPath);
    }
    assert.equal(hub.requests.length, asked);
  });

  test('a receipt tells how far the message came, and not to whom', async () => {
    const receipt = await receiptPath();
    assert.equal(pushRequest().wantsReceipt, true);
    hub.reply = () => status('acknowledged');
    const answer = await hub.call('GET', receipt);
    assert.deepEqual(hub.requests.at(-1), { kind: 'get-message', messageId });
    assert.deepEqual(answer.json, {
      stage: 'acknowledged',
      reason: null,
      acceptedAt: '1970-01-01T00:00:00.000Z',
      expiresAt: null,
    });
    assert(!answer.text.includes('secret-device'));
  });

  test('a receipt may be waited for, within bounds', async () => {
    const receipt = await receiptPath();
    hub.reply = () => status('stored');
    await hub.call('GET', `${receipt}?known=stored`, { headers: { prefer: 'wait=9999' } });
    const watch = hub.requests.at(-1)!;
    assert(watch.kind === 'watch-message');
    const { watchId, ...rest } = watch;
    assert.match(watchId, /^[\da-f]{32}$/);
    assert.deepEqual(rest, {
      kind: 'watch-message',
      messageId,
      knownStage: 'stored',
      waitMs: 25_000,
      addressKey: '127.0.0.1',
    });
    assert(!hub.requests.some(({ kind }) => kind === 'end-watch'), 'who was answered has not left');
    await hub.call('GET', `${receipt}?known=stored`);
    assert.equal(hub.requests.at(-1)!.kind, 'get-message');
    const unknown = await hub.call('GET', `${receipt}?known=lost`);
    assert.deepEqual([unknown.status, unknown.json.error.code], [400, 'query-invalid']);
  });

  test('[PU-17] a client that leaves gives its place up', async () => {
    const receipt = await receiptPath();
    const { port } = hub;
    const ended = new Promise<string>((resolve) => {
      let answer: ((reply: ScriptedReply) => void) | undefined;
      hub.reply = (request) => {
        if (request.kind === 'end-watch') {
          answer?.(status('stored'));
          resolve(request.watchId);
          return { kind: 'done' };
        }
        // It is waiting: now its client leaves.
        client.destroy();
        return new Promise((settle) => (answer = settle));
      };
      const client = httpRequest({ port, path: `${receipt}?known=stored`, headers: { prefer: 'wait=25' } });
      client.on('error', () => undefined);
      client.end();
    });
    const watchId = await ended;
    const watch = hub.requests.find(({ kind }) => kind === 'watch-message');
    assert(watch?.kind === 'watch-message' && watch.watchId === watchId);
  });

  test('are those of every process of the server, and of the next one', async () => {
    const location = (await push()).headers.location!.slice(ORIGIN.length);
    const other = await FakeHub.start();
    try {
      other.reply = (request) =>
        request.kind === 'get-seal-key'
          ? { kind: 'seal-key', key: new Uint8Array(32).fill(1) }
          : { kind: 'done' };
      assert.equal((await other.call('DELETE', location)).status, 204);
    } finally {
      await other.stop();
    }
  });

  test('a hub that does not tell its key is asked again', async () => {
    const other = await FakeHub.start();
    try {
      other.reply = () => ({ kind: 'refused', reason: 'storage-failed' });
      assert.equal((await other.call('DELETE', '/message/x')).status, 503);
      other.reply = () => ({ kind: 'seal-key', key: new Uint8Array(32) });
      assert.equal((await other.call('DELETE', '/message/x')).status, 404);
    } finally {
      await other.stop();
    }
  });
});

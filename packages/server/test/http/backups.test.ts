import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BackupMade, BackupRefused } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';

const made: BackupMade = { directory: '/data/backups/b', bytes: 8_192 };

async function withHub(
  backup: (() => Promise<BackupMade | BackupRefused>) | undefined,
  run: (hub: FakeHub) => Promise<void>,
): Promise<void> {
  // A backup may take longer than any other request.
  const hub = await FakeHub.start({ backup, requestTimeoutMs: 100 });
  try {
    await run(hub);
  } finally {
    await hub.stop();
  }
}

describe('POST /v1/backups', () => {
  test('answers when the copy is made, however long it takes', async () => {
    const backup = () => new Promise<BackupMade>((resolve) => setTimeout(resolve, 400, made));
    await withHub(backup, async (hub) => {
      const answer = await hub.call('POST', '/v1/backups');
      assert.deepEqual(
        [answer.status, answer.json],
        [201, { ...made, createdAt: '2026-01-02T00:00:00.000Z' }],
      );
      assert.equal((await hub.call('POST', '/v1/backups', { body: {} })).status, 201);
    });
  });

  test('takes no place from the request', async () => {
    await withHub(
      () => assert.fail('not to be called'),
      async (hub) => {
        const body = await hub.call('POST', '/v1/backups', { body: { directory: '/tmp' } });
        assert.deepEqual([body.status, body.json.error.code], [400, 'body-invalid']);
        const query = await hub.call('POST', '/v1/backups?directory=/tmp');
        assert.deepEqual([query.status, query.json.error.code], [400, 'query-invalid']);
      },
    );
  });

  for (const [code, status] of [
    ['backup-running', 409],
    ['backup-no-room', 507],
  ] as const) {
    test(`${code} is ${status}`, async () => {
      await withHub(
        () => Promise.resolve({ refused: code }),
        async (hub) => {
          const answer = await hub.call('POST', '/v1/backups');
          assert.deepEqual([answer.status, answer.json.error.code], [status, code]);
        },
      );
    });
  }

  test('a store that has no copy to give, a server that leaves, and a fault', async () => {
    await withHub(undefined, async (hub) => {
      const answer = await hub.call('POST', '/v1/backups');
      assert.deepEqual([answer.status, answer.json.error.code], [501, 'backup-unsupported']);
    });
    await withHub(
      () => Promise.reject(new Error('private detail')),
      async (hub) => {
        const failed = await hub.call('POST', '/v1/backups');
        assert.deepEqual([failed.status, failed.json.error.code], [500, 'internal']);
        assert.doesNotMatch(failed.text, /private/);
        hub.isReady = false;
        const leaving = await hub.call('POST', '/v1/backups');
        assert.deepEqual([leaving.status, leaving.json.error.code], [503, 'not-ready']);
      },
    );
  });
});

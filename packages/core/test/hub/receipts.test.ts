import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { World } from './world.js';

describe('receipts', () => {
  test('[RE-1] beyond their number the oldest receipts and answers are forgotten first', async () => {
    const world = new World(1, { limits: { receiptsMax: 5, idempotencyKeysMax: 3 } });
    await world.subscriber('d', '$line/inbox/#');
    const ids: string[] = [];
    for (let index = 0; index < 8; index++) {
      world.advance(10);
      const idempotency = { owner: '', key: `k${index}`, requestSha256: 'x' };
      const sent = await world.request({ ...world.sendTo('d', `${index}`), idempotency } as never);
      assert(sent.kind === 'sent');
      ids.push(sent.messageId);
    }
    const isKept = async (messageId: string): Promise<boolean> =>
      (await world.request({ kind: 'get-message', messageId })).kind === 'message';
    assert.deepEqual(await Promise.all(ids.map(isKept)), [false, false, false, true, true, true, true, true]);
    assert.equal(world.store.size('receipt'), 5);
    assert.equal(world.store.size('idempotency'), 6);
    await world.crash(false);
    assert.equal(await isKept(ids[3]), true);
    await world.request(world.sendTo('d', 'one more'));
    await world.sync();
    assert.equal(await isKept(ids[3]), false);
  });

  test('[RE-2] receipts and answers older than their time are swept', async () => {
    const world = new World();
    await world.subscriber('d', '$line/inbox/#');
    const idempotency = { owner: '', key: 'k', requestSha256: 'x' };
    await world.request({ ...world.sendTo('d', 'old'), idempotency } as never);
    world.advance(limits.idempotencyMsMax + 1_000);
    await world.sync();
    assert.equal(world.store.size('idempotency'), 0);
    assert.equal(world.store.size('receipt'), 1);
    world.advance(limits.receiptMsMax);
    await world.sync();
    assert.equal(world.store.size('receipt'), 0);
  });
});

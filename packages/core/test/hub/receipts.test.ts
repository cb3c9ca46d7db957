import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { World, publication } from './world.js';

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

  test('[RE-1] QoS 0 recipients are counted, and not among those with a number', async () => {
    const world = new World();
    await world.subscriber('zero', 't', 0);
    await world.subscriber('one', 't', 1);
    const { body, ...message } = publication('t', 'x');
    const request = { kind: 'send-to-topic', topic: 't', retain: false, idempotency: undefined } as const;
    const sent = await world.request({ ...request, message: { ...message, body, qos: 1 } });
    assert(sent.kind === 'sent');
    assert.equal(sent.recipientCount, 2);
    const status = await world.request({ kind: 'get-message', messageId: sent.messageId });
    assert(status.kind === 'message');
    assert.deepEqual(
      status.message.recipients.map(({ deviceId }) => deviceId),
      ['one'],
    );
  });

  test('[RE-1] what a crash ended with its session is told as dropped', async () => {
    const world = new World();
    const access = { publish: ['#'], subscribe: ['#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access });
    const identity = { kind: 'token', sha256: 'aa' } as const;
    await world.subscriber('d', 't', 1, { identity, expirySeconds: 0, clean: true });
    const { body, ...message } = publication('t', 'x');
    const request = { kind: 'send-to-topic', topic: 't', retain: false, idempotency: undefined } as const;
    const sent = await world.request({ ...request, message: { ...message, body, qos: 1 } });
    assert(sent.kind === 'sent');
    await world.crash(false);
    await world.settle();
    const status = await world.request({ kind: 'get-message', messageId: sent.messageId });
    assert(status.kind === 'message');
    assert.equal(status.message.recipients[0].stage, 'dropped');
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

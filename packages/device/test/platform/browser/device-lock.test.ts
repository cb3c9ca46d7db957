/** One tab holds the line, by locks that behave as Web Locks do (Chromium's own are in the behaviour suite). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceLock, type LockManagerLike } from '../../../src/platform/browser/device-lock.js';

/** What all tabs of an origin share: exclusive locks, first come, first served. */
class FakeLocks implements LockManagerLike {
  readonly #held = new Map<string, Promise<unknown>>();

  async request(
    name: string,
    { ifAvailable = false, signal }: { readonly ifAvailable?: boolean; readonly signal?: AbortSignal },
    callback: (lock: unknown) => Promise<void> | undefined,
  ): Promise<unknown> {
    assert(!(ifAvailable && signal !== undefined), 'a browser does not take both');
    if (ifAvailable && this.#held.has(name)) return callback(null);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
    while (this.#held.has(name)) await Promise.race([this.#held.get(name), aborted]);
    const holding = Promise.resolve(callback({ name }));
    this.#held.set(name, holding);
    await holding;
    this.#held.delete(name);
    return undefined;
  }
}

test('the second tab is refused, until the first lets go; another device is not concerned', async () => {
  const locks = new FakeLocks();
  const first = new DeviceLock(locks, 'phone', 'refuse');
  await first.take();
  await assert.rejects(new DeviceLock(locks, 'phone', 'refuse').take(), {
    code: 'STORAGE_LOCKED',
    retryable: true,
  });
  const other = new DeviceLock(locks, 'tablet', 'refuse');
  await other.take();
  await first.release();
  const third = new DeviceLock(locks, 'phone', 'refuse');
  await third.take();
  await Promise.all([third.release(), other.release()]);
});

test('or waits for its turn', async () => {
  const locks = new FakeLocks();
  const first = new DeviceLock(locks, 'phone', 'wait');
  await first.take();
  const second = new DeviceLock(locks, 'phone', 'wait');
  let hasIt = false;
  const taking = second.take().then(() => (hasIt = true));
  await new Promise(setImmediate);
  assert.equal(hasIt, false);
  await first.release();
  await taking;
  await second.release();
});

test('who is closed while it waits does not get it', async () => {
  const locks = new FakeLocks();
  const first = new DeviceLock(locks, 'phone', 'wait');
  await first.take();
  const second = new DeviceLock(locks, 'phone', 'wait');
  const taking = second.take();
  await Promise.all([assert.rejects(taking, { code: 'STORAGE_FAILED' }), second.release()]);
  await first.release();
  const third = new DeviceLock(locks, 'phone', 'refuse');
  await third.take();
  await third.release();
});

test('without Web Locks there is an error that says what to do', async () => {
  await assert.rejects(new DeviceLock(undefined, 'phone', 'refuse').take(), {
    code: 'STORAGE_FAILED',
    message: /https/,
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvariantError, WakelineError } from '@wakeline/core/base';
import type { StoreChange } from '@wakeline/core/ports';
import { MemoryStore, storeContract } from '@wakeline/core/testing';

const contract = storeContract(() => {
  let store = new MemoryStore();
  let crashes = 0;
  return {
    open: async () => store,
    // A closed memory store keeps its data; crashing it is how to get at them.
    reopen: async () => {
      await store.close();
      return (store = store.crash(0));
    },
    crash: async () => (store = store.crash(++crashes)),
    failNextCommit: () => store.failNextCommit(),
    dispose: async () => undefined,
  };
});
for (const { title, run } of contract) test(title, run);

function row(number: number): StoreChange {
  return {
    table: 'log',
    key: Uint8Array.of(number >> 16, number >> 8, number),
    value: Uint8Array.of(number),
  };
}

function count(store: MemoryStore): number {
  return [...store.scan('log')].length;
}

test('[ST-7] held commits are let through one by one', async () => {
  const store = new MemoryStore();
  store.holdCommits();
  const order: number[] = [];
  const commits = [1, 2, 3].map((number) => store.commit([row(number)]).then(() => order.push(number)));
  await new Promise(setImmediate);
  assert.deepEqual([order.length, count(store), store.pendingCommits], [0, 0, 3]);
  store.releaseCommit();
  await commits[0];
  await new Promise(setImmediate);
  assert.deepEqual([order, count(store), store.pendingCommits], [[1], 1, 2]);
  store.resumeCommits();
  await Promise.all(commits);
  assert.deepEqual([order, store.commitCount], [[1, 2, 3], 3]);
});

test('[ST-7] delayed commits wait for the promise', async () => {
  const store = new MemoryStore();
  let proceed: (() => void) | undefined;
  store.delayCommits(() => new Promise((resolve) => (proceed = resolve)));
  const commit = store.commit([row(1)]);
  await new Promise(setImmediate);
  assert.equal(count(store), 0);
  proceed?.();
  await commit;
  assert.equal(count(store), 1);
});

test('[ST-9] the seed decides how many of the commits under way survive a crash', async () => {
  const survivors = new Set<number>();
  for (let seed = 0; seed < 40; seed++) {
    const store = new MemoryStore();
    await store.commit([row(0)]);
    store.holdCommits();
    for (let number = 1; number <= 3; number++) void store.commit([row(number)]);
    const after = store.crash(seed);
    survivors.add(count(after));
    await after.commit([row(9)]);
    await assert.rejects(store.commit([]), { code: 'STORE_CLOSED' });
    assert.throws(() => store.get('log', Uint8Array.of(1)), WakelineError);
  }
  assert.deepEqual([...survivors].sort(), [1, 2, 3, 4]);
});

test('[ST-2] a value written to while its commit is under way is noticed', async () => {
  const store = new MemoryStore();
  const value = new Uint8Array(10);
  const commit = store.commit([{ table: 'log', key: Uint8Array.of(1), value }]);
  value[3] = 1;
  await assert.rejects(commit, InvariantError);
  await store.commit([row(1)]);
  assert.equal(count(store), 1);
});

// Quadratic, it would take many minutes.
test('[ST-12] 300,000 rows in, scanned and out again', { timeout: 100_000 }, async () => {
  const store = new MemoryStore();
  const total = 300_000;
  for (let first = 0; first < total; first += 1_000) {
    // A permutation: every other batch lands in the middle of what is there.
    await store.commit(Array.from({ length: 1_000 }, (_, index) => row(((first + index) * 7_919) % total)));
  }
  assert.equal(store.size('log'), total);
  let previous = -1;
  for (const { key } of store.scan('log')) {
    const number = key[0]! * 65_536 + key[1]! * 256 + key[2]!;
    assert.ok(number > previous);
    previous = number;
  }
  for (let number = 0; number < total; number += 1_000) {
    await store.commit(
      Array.from({ length: 1_000 }, (_, index) => ({ ...row(number + index), value: undefined })),
    );
  }
  assert.equal(store.size('log'), 0);
});

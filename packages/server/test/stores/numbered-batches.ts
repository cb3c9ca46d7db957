/** Batches that tell, when found in a store, which they are and whether they are whole. */
import assert from 'node:assert/strict';
import type { Store, StoreChange } from '@wakeline/core/ports';

function logKey(number: number): Uint8Array {
  const key = Buffer.alloc(6);
  key.writeUIntBE(number, 0, 6);
  return key;
}

function chunk(number: number): Uint8Array {
  return new Uint8Array((number * 7_919) % 40_000).fill(number);
}

/** Appends one chunk, deletes one that is 300 old, and changes rows of two other tables. */
export function batchOf(number: number): StoreChange[] {
  const row = Buffer.from(String(number));
  return [
    { table: 'log', key: logKey(number), value: chunk(number) },
    { table: 'log', key: logKey(Math.max(0, number - 300)), value: undefined },
    { table: 'cursor', key: Buffer.from([number % 50]), value: row },
    { table: 'device', key: Buffer.from([1]), value: row },
  ];
}

/** Checks that exactly the batches 1 … n are there, for one n, and returns it. */
export function checkBatches(store: Store): number {
  const row = store.get('device', Buffer.from([1]));
  const last = row === undefined ? 0 : Number(Buffer.from(row).toString());
  let number = Math.max(1, last - 299);
  for (const { key, value } of store.scan('log')) {
    assert.deepEqual(Buffer.from(key), logKey(number), 'the log has a gap or a batch is not whole');
    assert.ok(Buffer.from(value).equals(chunk(number)), `chunk ${number} has other bytes`);
    number++;
  }
  assert.equal(number, last + 1, 'log and device disagree');
  for (let current = Math.max(1, last - 49); current <= last; current++) {
    const cursor = store.get('cursor', Buffer.from([current % 50]));
    assert.equal(Buffer.from(cursor!).toString(), String(current));
  }
  return last;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EntryTable } from '../../src/hub/entry-table.js';

test('room that is reserved keeps what is there, and does for as many entries more', () => {
  const entries = new EntryTable();
  const first = entries.allocate();
  entries.sequence[first] = 7;
  entries.expirySeconds[first] = 99;
  entries.reserve(5_000);
  const { next } = entries;
  for (let count = 0; count < 5_000; count++) entries.allocate();
  assert.equal(entries.next, next, 'nothing grew again');
  assert.equal(entries.count, 5_001);
  assert.deepEqual([entries.sequence[first], entries.expirySeconds[first]], [7, 99]);
});

test('a table takes more than was reserved, and an estimate beyond all measure takes no memory', () => {
  const entries = new EntryTable();
  entries.reserve(2_000);
  for (let count = 0; count < 10_000; count++) {
    const entry = entries.allocate();
    entries.sequence[entry] = count + 1;
  }
  assert.equal(new Set(entries.sequence.subarray(1, 10_001)).size, 10_000);
  entries.reserve(Infinity);
  assert.ok(entries.next.length < 5_000_000, String(entries.next.length));
});

test('an entry that is used again has no expiry', () => {
  const entries = new EntryTable();
  const entry = entries.allocate();
  entries.expirySeconds[entry] = 99;
  entries.release(entry);
  assert.equal(entries.allocate(), entry);
  assert.equal(entries.expirySeconds[entry], 0);
});

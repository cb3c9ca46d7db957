import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../fast-check.js';
import { PagedTable } from '../../src/base/index.js';

test('a paged table says what a Map would say', () => {
  const numbers = fc.oneof(
    fc.integer({ min: 0, max: 300 }),
    fc.constantFrom(0x8000_0000, 0x8000_0001, 2 ** 40),
  );
  const steps = fc.array(fc.record({ number: numbers, isDelete: fc.boolean() }), { maxLength: 400 });
  fc.assert(
    fc.property(steps, (list) => {
      const table = new PagedTable<{ readonly number: number }>();
      const model = new Map<number, { readonly number: number }>();
      for (const { number, isDelete } of list) {
        if (isDelete) assert.equal(table.delete(number), model.delete(number));
        else {
          const value = { number };
          table.set(number, value);
          model.set(number, value);
        }
        assert.equal(table.get(number), model.get(number));
        assert.equal(table.size, model.size);
      }
      for (const { number } of list) assert.equal(table.get(number), model.get(number));
      assert.deepEqual(new Set(table.values()), new Set(model.values()));
    }),
  );
});

test('a paged table may change while it is walked', () => {
  const table = new PagedTable<{ readonly number: number }>();
  for (let number = 0; number < 200; number++) table.set(number, { number });
  const seen: number[] = [];
  for (const { number } of table.values()) {
    seen.push(number);
    table.delete(number);
    if (number === 10) for (let gone = 64; gone < 128; gone++) table.delete(gone);
  }
  assert.equal(seen.length, 136);
  assert.equal(table.size, 0);
});

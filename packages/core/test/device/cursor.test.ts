import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../fast-check.js';
import { Cursor } from '../../src/device/cursor.js';
import { deviceLimits, isCursorValue } from '../../src/device/index.js';

const epoch = '0123456789abcdef';

test('[SD-1] a cursor holds what was added, in whatever order, also when it was stored and read back', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 300 }), { maxLength: 200 }), (numbers) => {
      const cursor = new Cursor(epoch);
      for (const number of numbers) cursor.add(number);
      const value: unknown = JSON.parse(JSON.stringify(cursor.value));
      assert.ok(isCursorValue(value));
      const again = new Cursor(value.epoch, value.through, value.beyond);
      for (let number = 1; number <= 301; number += 1) {
        assert.equal(again.has(number), numbers.includes(number), `${number}`);
      }
    }),
  );
});

test('[SD-1] of too many ranges the oldest are forgotten, and nothing else', () => {
  const cursor = new Cursor(epoch);
  const last = 2 * (deviceLimits.cursorRangesMax + 3);
  cursor.add(1);
  for (let number = 4; number <= last + 2; number += 2) cursor.add(number);
  assert.equal(cursor.value.beyond.length, 2 * deviceLimits.cursorRangesMax);
  assert.ok(cursor.has(1) && cursor.has(last + 2) && !cursor.has(4) && !cursor.has(last + 1));
});

test('[SD-1] what is no cursor is not taken for one', () => {
  const good = { epoch, through: 3, beyond: [5, 5, 7, 9] };
  assert.ok(isCursorValue(good));
  for (const bad of [
    null,
    'cursor',
    [],
    { ...good, epoch: 'xyz' },
    { ...good, epoch: 7 },
    { ...good, through: -1 },
    { ...good, through: 1.5 },
    { ...good, through: 2 ** 32 },
    { ...good, beyond: [5] },
    { ...good, beyond: [4, 4] },
    { ...good, beyond: [9, 7] },
    { ...good, beyond: [5, 6, 7, 8] },
    { ...good, beyond: ['5', '6'] },
    { ...good, beyond: undefined },
  ]) {
    assert.equal(isCursorValue(bad), false, JSON.stringify(bad));
  }
});

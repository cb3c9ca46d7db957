import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { LateFailures } from '../../src/hub/late-failures.js';

const id = (number: number): Uint8Array => Uint8Array.of(number);

test('[WP-11] so many acknowledged messages may still fail, each once, and the oldest is forgotten first', () => {
  const failures = new LateFailures({ ...limits, lateFailuresMax: 2 });
  const lent = id(1);
  failures.note(1, 7, lent);
  lent[0] = 9;
  assert.deepEqual(failures.take(1, 7), id(1), 'the id is kept, not the memory it came in');
  assert.equal(failures.take(1, 7), undefined);
  failures.note(1, 1, id(1));
  failures.note(2, 1, id(2));
  failures.note(1, 2, id(3));
  assert.equal(failures.take(1, 1), undefined);
  assert.deepEqual(failures.take(2, 1), id(2));
  assert.equal(failures.take(2, 2), undefined);
  assert.deepEqual(failures.take(1, 2), id(3));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestName } from '../../src/base/index.js';

test('the nearest name is near or none', () => {
  assert.equal(nearestName('lisetn', ['data', 'listen']), 'listen');
  assert.equal(nearestName('log-level', ['logLevel']), 'logLevel');
  assert.equal(nearestName('zzzzzz', ['data', 'listen']), undefined);
});

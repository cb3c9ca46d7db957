import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration } from '../../src/line/duration.js';

test('a duration is a number of ms or a text with a unit', () => {
  const parse = (value: number | string): number => parseDuration(value, 'x', 1, 1e12);
  assert.deepEqual(
    ['500ms', '10s', '1.5m', '2h', '7d', 250].map(parse),
    [500, 10_000, 90_000, 7_200_000, 604_800_000, 250],
  );
});

test('what is no duration, or out of range, is refused by name', () => {
  for (const value of ['', '10', '10 s', '-1s', 's', Number.NaN, 0, 2e12, null as unknown as string]) {
    assert.throws(() => parseDuration(value, 'expiry', 1, 1e12), {
      name: 'DeviceError',
      code: 'OPTION_INVALID',
      message: /^expiry /,
    });
  }
});

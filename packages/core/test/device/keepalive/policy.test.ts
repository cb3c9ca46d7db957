import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEVER } from '../../../src/base/index.js';
import { fixedKeepalive, keepAwake, keepAwakeWarning, noKeepalive } from '../../../src/device/index.js';

const now = { monotonic: 0, wall: 0 };

test('[KA-7] policies that learn nothing keep their gap whatever happens; only keepAwake warns', () => {
  for (const [policy, gapMs] of [
    [noKeepalive(), NEVER],
    [fixedKeepalive(240_000), 240_000],
    [keepAwake(10_000), 9_000],
  ] as const) {
    policy.handleNetwork(now, 'wifi');
    policy.handleDeath(now, 1_000);
    policy.handleDeath(now, 1_000);
    assert.equal(policy.gapMs(now), gapMs);
    assert.equal(policy.keepsAwake, gapMs === 9_000);
    assert.equal(policy.warning, gapMs === 9_000 ? keepAwakeWarning : undefined);
  }
});

test('[KA-7] gaps that would be a storm are refused', () => {
  assert.throws(() => fixedKeepalive(0), /at least a second/);
  assert.throws(() => keepAwake(10), /at least a second/);
});

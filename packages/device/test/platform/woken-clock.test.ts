/** The clock that counts sleep. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WokenClock } from '../../src/platform/woken-clock.js';

class Host {
  monotonicMs = 50.4;
  wallMs = 1_000_000;
  readonly clock = new WokenClock(
    () => this.monotonicMs,
    () => this.wallMs,
  );

  pass(monotonicMs: number, wallMs = monotonicMs): number {
    this.monotonicMs += monotonicMs;
    this.wallMs += wallMs;
    const { monotonic, wall } = this.clock.now();
    assert.equal(wall, Math.floor(this.wallMs));
    return monotonic;
  }
}

test('both clocks go on together', () => {
  const host = new Host();
  assert.equal(host.pass(0), 50);
  assert.equal(host.pass(10_000), 10_050);
});

test('what the wall clock alone has gone on is sleep, and is counted once', () => {
  const host = new Host();
  assert.equal(host.pass(5, 600_005), 600_055);
  assert.equal(host.pass(1), 600_056);
  assert.equal(host.pass(0, 3_600_000), 4_200_056);
});

test('a small difference is none', () => {
  const host = new Host();
  assert.equal(host.pass(1_000, 1_400), 1_050);
});

test('a wall clock that is set back does not turn the other back, nor hide the sleep after it', () => {
  const host = new Host();
  assert.equal(host.pass(10, -3_600_000), 60);
  assert.equal(host.pass(10), 70);
  assert.equal(host.pass(0, 60_000), 60_070);
});

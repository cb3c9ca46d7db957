/** The wall clock is set forward or back while calls wait, ring, or lie on disk: only what it says of times changes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR_MS } from '../../../src/base/index.js';
import { BOB, CALL, CallWorld, PUSH, callId, inboxOf, noticesOf, userOf } from './call-world.js';

function setClock(world: CallWorld, byMs: number): void {
  world.now = { ...world.now, wall: world.now.wall + byMs };
}

describe('the wall clock is set', () => {
  for (const byMs of [HOUR_MS, -HOUR_MS, 400 * 24 * HOUR_MS]) {
    test(`[CA-40] by ${byMs / HOUR_MS} h while a call waits: it waits as long, and deadlines are by the new clock`, async () => {
      const world = new CallWorld({ users: [userOf(BOB, ['bob-phone'])] });
      const inbox = await inboxOf(world, 'bob-phone');
      await world.sleeper({ push: PUSH });
      world.invite();
      await world.sync();
      await world.pass(4_000);
      setClock(world, byMs);
      await world.pass(8_000);
      const leftMs = 33_000;
      const notice = noticesOf(inbox).at(-1)!;
      assert.equal(notice.state, 'ringing');
      assert.equal(notice.deadlineMs, world.now.wall + leftMs);
      assert.equal((await world.detail()).deadlineMs, world.now.wall + leftMs);
      world.take();
      await world.pass(leftMs - 1);
      assert.deepEqual(world.take(), []);
      await world.pass(1);
      assert.deepEqual(world.take(), ['finish 480 best']);
      const { events, reason } = await world.detail();
      assert.deepEqual(
        events.map(({ atMs }) => atMs),
        events.map(({ atMs }) => atMs).toSorted((one, other) => one - other),
      );
      assert.equal(events.at(-1)!.atMs, 45_000);
      assert.match(reason!, /within 45\.0 s/);
    });

    test(`[CA-40] by ${byMs / HOUR_MS} h while it is offered: a phone is asked for as long as before`, async () => {
      const world = new CallWorld();
      await world.phone();
      setClock(world, byMs);
      world.invite();
      await world.sync();
      setClock(world, byMs);
      assert.equal(world.last('offer').deadlineMs, world.now.wall - byMs + 180_000);
      world.provisional(180);
      await world.pass(179_000);
      assert.deepEqual(world.take(), ['bound', 'journaled', 'offer 1.1 new flow 1']);
      await world.pass(1_000);
      assert.ok(world.take().includes('finish 480 best'));
    });
  }

  test('[CA-40] back while the server was down: a call waits no longer than it would have at first', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    await world.pass(10_000);
    setClock(world, -HOUR_MS);
    const [restored] = await world.restart();
    assert.ok(restored!.deadlineMs <= world.now.wall + 180_000, 'no longer than any call');
    world.reachable();
    await world.pass(59_999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), ['finish 480 best']);
  });

  test('[CA-40] forward while the server was down: the time that covers a reconnect is there all the same', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    setClock(world, HOUR_MS);
    assert.equal((await world.restart()).length, 1);
    world.reachable();
    await world.pass(59_999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), ['finish 480 best']);
  });

  test('[CA-40] back while the server was down: of calls that ended only the last ones are told again', async () => {
    const world = new CallWorld();
    await world.phone();
    for (const [digit, apartMs] of [
      ['a', 600_000],
      ['b', 0],
    ] as const) {
      world.invite(callId(digit));
      await world.sync();
      world.say({ kind: 'cancel', call: callId(digit) });
      await world.pass(apartMs);
    }
    setClock(world, -HOUR_MS);
    const restored = await world.restart();
    assert.deepEqual(
      restored.map(({ call }) => call),
      [callId('b')],
    );
  });

  test('[CA-40] a call that goes on is the same after both, and its trace never goes back', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.provisional(180);
    await world.pass(20_000);
    setClock(world, -HOUR_MS);
    await world.restart();
    world.reachable();
    await world.phone();
    world.answered();
    await world.sync();
    assert.ok(world.take().includes('answer 1.1'));
    const times = (await world.detail(CALL)).events.map(({ atMs }) => atMs);
    assert.deepEqual(
      times,
      times.toSorted((one, other) => one - other),
    );
  });
});

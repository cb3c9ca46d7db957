/** Calls over a restart of the server: at every point, and what becomes of callers that are gone. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BOB, CALL, CallWorld, PUSH, inboxOf, noticesOf, userOf } from './call-world.js';

describe('a restart', () => {
  test('[CA-25] while parked: given back, woken again with the same id, offered when the caller is reachable', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    const [before] = world.wakes;
    await world.pass(40_000);
    const [restored] = await world.restart();
    assert.deepEqual([restored!.call, restored!.callerPlace, restored!.attempts], [CALL, 'place', []]);
    assert.equal(new TextDecoder().decode(restored!.offer), `INVITE sip:${BOB} ${CALL}`);
    await world.pass(0);
    assert.deepEqual([world.wakes.length, world.wakes[0]!.topic], [1, before!.topic]);
    const flow = await world.phone();
    assert.deepEqual(world.take(), ['bound']);
    world.reachable();
    await world.sync();
    assert.deepEqual(world.take(), [`offer 1.1 new flow ${flow}`]);
  });

  test('[CA-25] the time left covers a reconnect, and is not begun anew', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    await world.pass(40_000);
    await world.restart();
    world.reachable();
    await world.pass(59_999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), ['finish 480 best']);
  });

  test('[CA-25] the caller is gone: not offered, and a missed-call record', async () => {
    const world = new CallWorld({ users: [userOf(BOB, ['bob-phone'])] });
    world.invite();
    await world.sync();
    await world.restart();
    const inbox = await inboxOf(world, 'bob-phone');
    await world.phone();
    world.take();
    world.reachable(CALL, false);
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480']);
    assert.equal(noticesOf(inbox).at(-1)!.state, 'missed');
  });

  for (const [what, run, expected] of [
    ['the same phone', 'run-1', 'bound'],
    ['another run', 'run-2', 'bound,cancel-leg 1.1 superseded,offer 1.2 new flow 2'],
  ] as const) {
    test(`[CA-25] while ringing, ${what} comes back`, async () => {
      const world = new CallWorld();
      await world.phone({ push: PUSH });
      world.invite();
      await world.sync();
      world.provisional(180);
      await world.sync();
      const [restored] = await world.restart();
      assert.deepEqual(
        restored!.attempts.map(({ leg, attempt, hadProvisional, wasAlerting }) => [
          leg,
          attempt,
          hadProvisional,
          wasAlerting,
        ]),
        [[1, 1, true, true]],
      );
      world.reachable();
      await world.phone({ run });
      assert.equal(world.take().join(), expected);
      await world.pass(1_000);
      assert.deepEqual(world.take(), run === 'run-1' ? ['offer 1.2 new flow 2'] : []);
      world.answered(1, 1);
      await world.sync();
      assert.equal(world.take()[0], 'answer 1.1');
    });
  }

  test('[CA-26] an answer whose 2xx may not have reached the caller is given back for a while', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.answered();
    await world.sync();
    const [restored] = await world.restart();
    assert.deepEqual(restored!.answered, { leg: 1, attempt: 1 });
    world.reachable();
    await world.phone();
    assert.deepEqual(world.take(), ['bound']);
    await world.pass(64_000);
    assert.deepEqual(await world.restart(), []);
  });

  test('[CA-26] an answer that was not stored is none: the leg is still open', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.answered();
    const [restored] = await world.restart();
    assert.deepEqual([restored!.answered, restored!.attempts.length], [undefined, 1]);
  });

  test('[CA-26] [CA-33] a cancelled call is given back for its 487 only, and a late device is offered nothing', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    world.say({ kind: 'cancel', call: CALL });
    // The commit was kept, and the server died before it could say so.
    const [restored] = await world.restart(true);
    assert.equal(restored!.answered, undefined);
    world.reachable();
    assert.deepEqual(world.take(), ['finish 487']);
    world.reachable();
    await world.phone();
    await world.pass(5_000);
    assert.deepEqual([world.take(), world.wakes], [['bound'], []]);
    await world.pass(64_000);
    assert.deepEqual(await world.restart(), []);
  });

  test('[CA-26] a leg that was withdrawn while its phone was away is given back until the phone has said its end', async () => {
    const world = new CallWorld();
    const flow = await world.phone();
    world.invite();
    await world.sync();
    world.provisional(180);
    await world.sync();
    world.lose(flow);
    world.say({ kind: 'cancel', call: CALL });
    await world.pass(100_000);
    const [restored] = await world.restart();
    assert.deepEqual(
      restored!.attempts.map(({ attempt, withdrawn }) => [attempt, withdrawn]),
      [[1, 'caller-cancelled']],
    );
    world.refused(487);
    await world.sync();
    assert.deepEqual(await world.restart(), []);
  });

  /** What happens to a call, step by step; the server may die behind each of them. */
  const steps: readonly ((world: CallWorld) => void)[] = [
    (world) => world.register({ push: PUSH, flow: 1 }),
    (world) => world.lose(1),
    (world) => world.invite(),
    (world) => world.advance(2_000),
    (world) => void world.register({ push: PUSH, flow: 2 }),
    (world) => world.provisional(100),
    (world) => world.provisional(180),
    (world) => world.lose(2),
    (world) => void world.register({ push: PUSH, flow: 3 }),
    (world) => world.advance(1_000),
  ];
  for (let cut = 0; cut <= steps.length; cut++) {
    for (const keepsCommit of [false, true]) {
      test(`[CA-25] behind step ${cut}, the last commit ${keepsCommit ? 'kept' : 'lost'}: the call ends well`, async () => {
        const world = new CallWorld();
        for (const [index, step] of steps.slice(0, cut).entries()) {
          step(world);
          if (index < cut - 1) await world.sync();
        }
        const wasJournaled = world.kinds.includes('journaled');
        const calls = await world.restart(keepsCommit);
        if (wasJournaled) assert.equal(calls.length, 1);
        for (const { call } of calls) world.reachable(call);
        await world.pass(0);
        await world.phone({ push: PUSH, flow: 9 });
        await world.pass(1_000);
        if (calls.length === 0) return;
        assert.equal(calls[0]!.call, CALL);
        const sent = calls[0]!.attempts.at(-1) ?? world.last('offer');
        world.answered(1, sent.attempt);
        await world.sync();
        assert.equal(world.last('answer').attempt, sent.attempt);
        assert.equal((await world.detail()).state, 'answered');
        assert.equal((await world.statistics()).callsActive, 0);
      });
    }
  }
});

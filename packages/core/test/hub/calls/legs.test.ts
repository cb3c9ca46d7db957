/** Legs: flows that are lost and come back, several devices, and what their answers mean. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CALL, CallWorld, PUSH } from './call-world.js';

/** A call that was offered to one phone, on the flow that comes back. */
async function offered(world: CallWorld): Promise<number> {
  const flow = await world.phone({ push: PUSH });
  world.invite();
  await world.sync();
  world.take();
  return flow;
}

describe('a flow that is lost', () => {
  test('[CA-10] same run, any 1xx seen: the old branch is kept, and 1 s later there is one new one', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    world.provisional(180);
    await world.sync();
    world.lose(flow);
    await world.sync();
    assert.equal(world.wakes.length, 1);
    const other = await world.phone();
    assert.deepEqual(world.take(), ['bound']);
    await world.pass(999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), [`offer 1.2 new flow ${other}`]);
    await world.pass(10_000);
    assert.deepEqual(world.take(), []);
  });

  for (const status of [482, 486, 491, 603]) {
    test(`[CA-10] ${status} on the new branch without a 180 ends only that branch`, async () => {
      const world = new CallWorld();
      const flow = await offered(world);
      world.provisional(180);
      world.lose(flow);
      await world.phone();
      await world.pass(1_000);
      world.take();
      world.refused(status, 1, 2);
      await world.sync();
      assert.deepEqual(world.take(), []);
      world.answered(1, 1);
      await world.sync();
      assert.deepEqual(world.take(), ['answer 1.1']);
    });
  }

  test('[CA-10] what ended only the new branch is no answer: the caller gets that of the old one, also after a restart', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    world.provisional(180);
    world.lose(flow);
    await world.phone();
    await world.pass(1_000);
    world.refused(482, 1, 2);
    await world.sync();
    world.take();
    world.refused(486, 1, 1);
    await world.sync();
    assert.deepEqual(world.take(), ['finish 486 best']);
    await world.restart();
    world.reachable();
    assert.deepEqual(world.take(), ['finish 486']);
  });

  test('[CA-10] a refusal on the new branch after its 180 is meant', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    world.provisional(180);
    world.lose(flow);
    await world.phone();
    await world.pass(1_000);
    world.take();
    world.provisional(180, 1, 2);
    world.refused(486, 1, 2);
    await world.sync();
    assert.deepEqual(world.take(), ['finish 486 best', 'cancel-leg 1.1 superseded'].reverse());
  });

  test('[CA-10] an answer within the second: nothing is offered again', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    world.provisional(180);
    world.lose(flow);
    await world.phone();
    world.answered();
    await world.pass(5_000);
    assert.deepEqual(world.take(), ['bound', 'answer 1.1']);
  });

  test('[CA-11] same run, nothing seen: the same branch again, on the new flow', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    world.lose(flow);
    const other = await world.phone();
    assert.deepEqual(world.take(), ['bound', `offer 1.1 repeat flow ${other}`]);
    await world.pass(2_000);
    assert.deepEqual(world.take(), []);
  });

  test('[CA-12] another run: a new branch at once, and the old one is given up', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    world.provisional(180);
    world.lose(flow);
    const other = await world.phone({ run: 'run-2' });
    assert.deepEqual(world.take(), ['bound', 'cancel-leg 1.1 superseded', `offer 1.2 new flow ${other}`]);
  });

  test('[CA-12] a new run without the old flow being seen to end', async () => {
    const world = new CallWorld();
    await offered(world);
    const other = await world.phone({ run: 'run-2' });
    assert.deepEqual(world.take(), ['bound', 'cancel-leg 1.1 superseded', `offer 1.2 new flow ${other}`]);
  });

  test('[CA-11] a refresh on the same flow changes nothing', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    await world.phone({ flow });
    assert.deepEqual(world.take(), ['bound']);
  });

  test('[CA-13] an instance that has given a final answer is never offered the call again', async () => {
    const world = new CallWorld();
    const flow = await offered(world);
    await world.sleeper({ instance: 'urn:uuid:2', push: 'https://push.example/wp/2' });
    await world.phone({ instance: 'urn:uuid:3' });
    world.take();
    world.refused(486);
    world.lose(flow);
    await world.phone();
    await world.phone({ run: 'run-2' });
    await world.pass(5_000);
    assert.deepEqual(world.take(), ['bound', 'bound']);
  });

  test('[CA-4] a flow that is lost before the offer has left: nothing is sent on it', async () => {
    const world = new CallWorld();
    const flow = await world.phone({ push: PUSH });
    world.take();
    world.invite();
    world.lose(flow);
    await world.sync();
    assert.deepEqual([world.take(), world.wakes.length], [['journaled'], 1]);
    const other = await world.phone();
    assert.deepEqual(world.take(), ['bound', `offer 1.2 new flow ${other}`]);
  });

  test('[CA-15] an instance with another live flow is offered the call there', async () => {
    const world = new CallWorld();
    const second = await world.phone({ regId: 2 });
    const first = await world.phone({ regId: 1 });
    world.take();
    world.invite();
    await world.sync();
    world.lose(first);
    await world.sync();
    assert.deepEqual(world.take(), [
      'journaled',
      `offer 1.1 new flow ${first}`,
      `offer 1.1 repeat flow ${second}`,
    ]);
  });

  for (const reason of ['no-flow', 'transport', 'timeout'] as const) {
    test(`[CA-15] an offer that was not taken (${reason}): the device is woken, and offered it when it comes`, async () => {
      const world = new CallWorld();
      const flow = await offered(world);
      world.unreachable(reason);
      await world.sync();
      assert.equal(world.wakes.length, 1);
      world.lose(flow);
      const other = await world.phone();
      const mode = reason === 'timeout' ? '1.2 new' : '1.1 repeat';
      assert.deepEqual(world.take(), ['bound', `offer ${mode} flow ${other}`]);
    });
  }

  test('[CA-15] nobody behind a flow, and no way to wake it: the leg is gone', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.take();
    world.unreachable('timeout');
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
  });
});

describe('several devices', () => {
  async function forked(world: CallWorld): Promise<void> {
    await world.sleeper({ instance: 'urn:uuid:3', push: PUSH });
    await world.phone({ instance: 'urn:uuid:2' });
    await world.phone({ instance: 'urn:uuid:1' });
    world.take();
    world.invite();
    await world.sync();
    const offers = world.all('offer').map(({ target, leg }) => [leg, target.instance]);
    assert.deepEqual(offers, [
      [1, 'urn:uuid:1'],
      [2, 'urn:uuid:2'],
    ]);
    world.take();
  }

  test('[CA-16] all are offered the call, the first 2xx wins, and the others are told', async () => {
    const world = new CallWorld();
    await forked(world);
    world.provisional(180, 1);
    world.provisional(180, 2);
    world.answered(2);
    world.answered(1);
    await world.sync();
    assert.deepEqual(world.take(), ['answer 2.1', 'cancel-leg 1.1 answered-elsewhere']);
    await world.phone({ instance: 'urn:uuid:3' });
    assert.deepEqual(world.take(), ['bound']);
    const { legViews } = await world.detail();
    assert.deepEqual(
      legViews.map(({ state }) => state),
      ['cancelled', 'answered', 'gone'],
    );
  });

  test('[CA-16] a device that registers while the call waits is offered it, too', async () => {
    const world = new CallWorld();
    await forked(world);
    const flow = await world.phone({ instance: 'urn:uuid:9' });
    assert.deepEqual(world.take(), ['bound', `offer 4.1 new flow ${flow}`]);
  });

  for (const status of [603, 607, 608]) {
    test(`[CA-17] ${status} ends the call for all`, async () => {
      const world = new CallWorld();
      await forked(world);
      world.refused(status, 1);
      await world.sync();
      assert.deepEqual(world.take(), [`finish ${status} best`, 'cancel-leg 2.1 declined-elsewhere']);
    });
  }

  for (const status of [302, 404, 486, 488, 600, 604, 606]) {
    test(`[CA-17] ${status} counts for its device only: one that is asleep is still waited for`, async () => {
      const world = new CallWorld();
      await forked(world);
      world.refused(status, 1);
      world.refused(486, 2);
      await world.sync();
      assert.deepEqual(world.take(), []);
      await world.pass(45_000);
      // 6xx other than 603, 607 and 608 come last, of equals the first.
      assert.deepEqual(world.take(), [`finish ${status < 600 ? status : 486} best`]);
      assert.equal((await world.detail()).isMissed, true);
    });
  }

  test('[CA-17] everybody has refused: the best answer at once', async () => {
    const world = new CallWorld();
    await world.phone({ instance: 'urn:uuid:2' });
    await world.phone();
    world.invite();
    await world.sync();
    world.take();
    world.refused(600, 1);
    world.refused(486, 2);
    await world.sync();
    assert.deepEqual(world.take(), ['finish 486 best']);
    const { state, isMissed } = await world.detail();
    assert.deepEqual([state, isMissed], ['rejected', false]);
  });

  test('[CA-16] more instances than callLegsMax are not offered the call', async () => {
    const world = new CallWorld({}, { limits: { callLegsMax: 1 } });
    await world.phone({ instance: 'urn:uuid:2' });
    await world.phone();
    world.invite();
    await world.sync();
    assert.equal(world.all('offer').length, 1);
    assert.match(JSON.stringify((await world.detail(CALL)).events), /callLegsMax/);
  });
});

/** Calls: from the INVITE to the end, with phones that are there, asleep, gone and back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CALL, CallWorld, PUSH, callId } from './call-world.js';

describe('a call', () => {
  test('[CA-1] is on disk with its legs and attempts before anything of it is said', async () => {
    const world = new CallWorld();
    const flow = await world.phone();
    world.take();
    world.invite();
    assert.deepEqual(world.take(), []);
    await world.sync();
    assert.deepEqual(world.take(), ['journaled', `offer 1.1 new flow ${flow}`]);
  });

  test('[CA-1] a call that cannot be stored ends with 503 and leaves no trace', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    world.failCommit();
    assert.deepEqual(world.take(), ['finish 503']);
    assert.deepEqual(world.wakes, []);
    await world.settle();
    const reply = await world.request({ kind: 'get-call', call: CALL });
    assert.deepEqual([reply.kind, world.store.size('call')], ['refused', 0]);
    assert.equal((await world.statistics()).callsActive, 0);
  });

  test('[CA-4] a device that is asleep is woken, and offered the call behind the 2xx of its REGISTER', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    assert.deepEqual(world.take(), ['journaled']);
    const [wake] = world.wakes;
    assert.deepEqual(
      [world.wakes.length, wake!.resource, wake!.ttlSeconds, wake!.topic],
      [1, PUSH, 45, CALL],
    );
    const flow = await world.phone();
    assert.deepEqual(world.take(), ['bound', `offer 1.1 new flow ${flow}`]);
    world.provisional(180);
    world.answered();
    await world.sync();
    assert.deepEqual(world.take(), ['answer 1.1']);
    const detail = await world.detail();
    assert.deepEqual([detail.state, detail.status, detail.isMissed], ['answered', 200, false]);
  });

  test('[CA-5] wakes go out at 0, 2, 5 and 10 s and then every 10 s, until the device comes', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    const at: number[] = [];
    const start = world.now.monotonic;
    let seen = 0;
    for (let ms = 0; ms <= 33_000; ms += 500) {
      for (; seen < world.wakes.length; seen++) at.push(world.now.monotonic - start);
      await world.pass(500);
    }
    assert.deepEqual(at, [0, 2_000, 5_000, 10_000, 20_000, 30_000]);
    await world.phone();
    await world.pass(10_000);
    assert.equal(world.wakes.length, 6);
  });

  test('[CA-6] nobody comes: 480 at the deadline, with a reason that says why', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    await world.pass(44_999);
    assert.deepEqual(world.take(), ['journaled']);
    await world.pass(1);
    assert.deepEqual(world.take(), ['finish 480 best']);
    const detail = await world.detail();
    assert.deepEqual([detail.state, detail.isMissed], ['expired', true]);
    assert.match(detail.reason!, /nobody answered within 45.0 s: leg 1 \(test\/1\) did not come after/);
  });

  test('[CA-7] the caller may wait for less, and never for more than the server', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite(callId('1'), { expiresSeconds: 10 });
    world.invite(callId('2'), { expiresSeconds: 600 });
    await world.sync();
    world.take();
    await world.pass(10_000);
    assert.deepEqual(world.take(), ['finish 480 best']);
    await world.pass(35_000);
    assert.deepEqual(world.take(), ['finish 480 best']);
  });
});

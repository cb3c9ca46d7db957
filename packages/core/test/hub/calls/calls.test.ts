/** Calls: from the INVITE to the end, with phones that are there, asleep, gone and back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ALICE, BOB, CALL, CallWorld, PUSH, callId, userOf } from './call-world.js';

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
    assert.match(
      detail.reason!,
      /nobody answered within 45.0 s: leg 1 \(test\/1\) had lost its connection .* before the call and did not come after/,
    );
  });

  test('[CA-27] why it was missed: the phone had no connection, and nothing could wake it', async () => {
    for (const [devices, told] of [
      [[], ': nothing could wake it'],
      [['bob-phone'], /^: only bob-phone could be told \(\d+ times?\), and it did not come$/],
    ] as const) {
      const world = new CallWorld({ users: [userOf(BOB, devices)] });
      await world.sleeper();
      await world.pass(30_000);
      world.invite();
      await world.sync();
      await world.pass(45_000);
      const { reason } = await world.detail();
      const [why, rest] = reason!.split(/(?<=no push route)/);
      assert.equal(
        why,
        'nobody answered within 45.0 s: leg 1 (test/1) had lost its connection 30.0 s before the call, and it has no push route',
      );
      if (typeof told === 'string') assert.equal(rest, told);
      else assert.match(rest!, told);
    }
  });

  test('[CA-41] why it was missed: the phone did not come, and whatever logs in is refused', async () => {
    const why = 'whatever logs in by md5 is refused: the password of bob@home.test was made without it';
    // Registered before others were asked for, and away since.
    const world = new CallWorld({ algorithms: ['md5'] });
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    await world.pass(45_000);
    assert.match((await world.detail()).reason!, new RegExp(`did not come after \\d+ wakes?; ${why}$`));
    const unheard = new CallWorld({ algorithms: ['md5'] });
    unheard.invite();
    await unheard.sync();
    assert.match((await unheard.detail()).reason!, new RegExp(`^nobody can answer: no phone .*; ${why}$`));
    // Whoever is there has logged in.
    const present = new CallWorld({ algorithms: ['md5'] });
    await present.phone();
    present.invite();
    await present.sync();
    present.provisional(180);
    await present.sync();
    present.refused(486);
    await present.sync();
    assert.match((await present.detail()).reason!, /^declined: leg 1 \(test\/1\) answered 486$/);
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

  test('[CA-7] once a device alerts, the call may ring until Timer C, whatever the park', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.provisional(180);
    await world.sync();
    world.take();
    await world.pass(179_000);
    assert.deepEqual(world.take(), []);
    await world.pass(1_000);
    assert.deepEqual(world.take(), ['finish 480 best', 'cancel-leg 1.1 expired']);
  });

  test('[CA-2] an answer that cannot be stored is tried again, and forwarded when it is', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.take();
    world.answered();
    world.failCommit();
    assert.deepEqual(world.take(), []);
    await world.pass(999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), ['answer 1.1']);
  });

  test('[CA-2] a caller whose answer cannot be stored for 10 s gets 500', async () => {
    const world = new CallWorld({ parkMs: 1_000 });
    await world.phone();
    world.invite();
    await world.sync();
    world.take();
    world.answered();
    for (let second = 0; second < 10; second++) {
      world.failCommit();
      assert.deepEqual(world.take(), []);
      world.advance(1_000);
    }
    world.failCommit();
    assert.deepEqual(world.take(), ['finish 500']);
    await world.settle();
    const { state, status } = await world.detail();
    assert.deepEqual([state, status], ['rejected', 500]);
  });

  test('[CA-8] a live flow that says nothing for 3 s: woken by the other routes, and the offer stays', async () => {
    const world = new CallWorld();
    await world.phone({ push: PUSH });
    world.take();
    world.invite();
    await world.sync();
    assert.deepEqual([world.take().length, world.wakes.length], [2, 0]);
    await world.pass(2_999);
    assert.equal(world.wakes.length, 0);
    await world.pass(1);
    assert.equal(world.wakes.length, 1);
    world.answered();
    await world.sync();
    assert.deepEqual(world.take(), ['answer 1.1']);
  });

  test('[CA-8] a live flow that says anything in time is not woken otherwise', async () => {
    const world = new CallWorld();
    await world.phone({ push: PUSH });
    world.invite();
    await world.sync();
    world.provisional(100);
    await world.pass(20_000);
    assert.equal(world.wakes.length, 0);
  });

  test('[CA-14] one instance is offered one call at most callOffersPerLegMax times', async () => {
    const world = new CallWorld({}, { limits: { callOffersPerLegMax: 3 } });
    await world.phone();
    world.invite(callId('1'));
    await world.sync();
    for (let count = 0; count < 3; count++) {
      await world.phone({ run: `run ${count}` });
    }
    assert.equal(world.all('offer').length, 3);
    await world.sync();
    assert.deepEqual(world.kinds.at(-1), 'finish');
    const { reason, legViews } = await world.detail(callId('1'));
    assert.match(reason!, /nobody can answer/);
    assert.equal(legViews[0]!.state, 'gone');
  });

  for (const [what, fill, more, status] of [
    ['for one user', 2, { limits: { callsPerAorMax: 2 } }, '486'],
    ['from one caller for one user', 4, {}, '486'],
    ['from one caller', 2, { limits: { callsPerCallerMax: 2 } }, '503'],
    ['in all', 2, { limits: { callsMax: 2 } }, '503'],
  ] as const) {
    test(`[CA-20] calls ${what} are limited: a further one gets ${status}`, async () => {
      const world = new CallWorld({}, more);
      await world.sleeper();
      for (let count = 0; count < fill; count++) world.invite(callId(String(count)));
      await world.sync();
      world.take();
      world.invite(callId('e'));
      assert.deepEqual(world.take(), [`finish ${status}`]);
      world.say({ kind: 'cancel', call: callId('0') });
      await world.sync();
      world.take();
      world.invite(callId('f'));
      await world.sync();
      assert.deepEqual(world.take(), ['journaled']);
    });
  }

  test('[CA-20] a caller alone cannot keep others from a user', async () => {
    const world = new CallWorld();
    await world.sleeper();
    for (const digit of '01234567') world.invite(callId(digit), { from: 'mallory@home.test' });
    await world.sync();
    assert.equal(world.all('journaled').length, 4);
    world.take();
    world.invite(callId('a'), { from: ALICE });
    await world.sync();
    assert.deepEqual(world.take(), ['journaled']);
  });

  test('[CA-17] a 503 of a device, which goes out as 500, is on disk as that', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.refused(503);
    await world.sync();
    assert.equal(world.take().at(-1), 'finish 500 best');
    assert.equal((await world.detail()).status, 500);
  });

  test('[CA-20] a server that leaves or has no space takes no call', async () => {
    const world = new CallWorld();
    await world.sleeper();
    world.input({ kind: 'disk', appendsAllowed: false });
    world.invite(callId('1'));
    world.input({ kind: 'disk', appendsAllowed: true });
    world.input({ kind: 'drain' });
    world.invite(callId('2'));
    assert.deepEqual(
      world.all('finish').map(({ status, retryAfterSeconds }) => [status, retryAfterSeconds]),
      [
        [503, 60],
        [503, 5],
      ],
    );
  });

  test('[CA-18] CANCEL while parked: 487, and a device that comes late is offered nothing', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    world.take();
    world.say({ kind: 'cancel', call: CALL });
    assert.deepEqual(world.take(), []);
    await world.sync();
    assert.deepEqual(world.take(), ['finish 487']);
    await world.phone();
    await world.pass(10_000);
    assert.deepEqual([world.take(), world.wakes.length], [['bound'], 1]);
    const { state, isMissed, legViews } = await world.detail();
    assert.deepEqual([state, isMissed, legViews[0]!.state], ['cancelled', true, 'gone']);
  });

  test('[CA-18] CANCEL of an offered leg: 487, and the leg is withdrawn, whatever it said', async () => {
    const world = new CallWorld();
    await world.phone();
    await world.phone({ instance: 'urn:uuid:2' });
    world.invite();
    await world.sync();
    world.provisional(180, 1);
    world.take();
    world.say({ kind: 'cancel', call: CALL });
    await world.sync();
    assert.deepEqual(world.take(), [
      'finish 487',
      'cancel-leg 1.1 caller-cancelled',
      'cancel-leg 2.1 caller-cancelled',
    ]);
    world.refused(487, 1);
    world.answered(2);
    world.say({ kind: 'cancel', call: CALL });
    await world.sync();
    assert.deepEqual(world.take(), []);
  });

  test('[CA-18] CANCEL on the way to the disk: the call is never offered', async () => {
    const world = new CallWorld();
    await world.phone();
    world.take();
    world.invite();
    world.say({ kind: 'cancel', call: CALL });
    await world.sync();
    assert.deepEqual(world.take(), ['finish 487']);
  });

  test('[CA-19] every route refuses: 480 at once, and the push that is gone is never tried again', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    world.take();
    world.wakeResult('gone');
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
    const { reason, isMissed } = await world.detail();
    assert.deepEqual([isMissed, /nobody can answer/.test(reason!)], [true, true]);
    world.invite(callId('1'));
    await world.sync();
    assert.equal(world.wakes.length, 1);
  });

  test('[CA-19] a push service that fails is tried again', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    world.wakeResult('failed');
    await world.pass(2_000);
    assert.equal(world.wakes.length, 2);
    world.wakeResult('accepted');
    await world.sync();
    const { events } = await world.detail();
    assert.equal(events.filter(({ kind }) => kind === 'wake-result').length, 2);
  });

  test('[CA-19] a user without devices: 480 at once; one that only lost its flow is waited for', async () => {
    const world = new CallWorld();
    world.invite(callId('1'));
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
    await world.sleeper();
    world.invite(callId('2'));
    await world.sync();
    assert.deepEqual(world.take(), ['journaled']);
  });

  test('[CA-32] one device is woken callWakesPerMinuteMax times a minute at most, and the trace says so', async () => {
    const world = new CallWorld({}, { limits: { callWakesPerMinuteMax: 2 } });
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    await world.pass(2_000);
    await world.pass(3_000);
    await world.pass(5_000);
    assert.equal(world.wakes.length, 2);
    const { events } = await world.detail();
    assert.equal(events.filter(({ text }) => text.includes('callWakesPerMinuteMax')).length, 2);
  });

  test('[CA-33] an ended call leaves memory after callTombstoneMs, and is found on disk', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    await world.sync();
    world.say({ kind: 'call-note', call: CALL, leg: 1, text: 'retransmitted 2 times' });
    world.answered();
    await world.sync();
    world.say({ kind: 'call-note', call: CALL, leg: 1, text: 'BYE from the caller' });
    assert.equal(world.store.size('call'), 2);
    await world.pass(180_000);
    assert.equal(world.store.size('call'), 1);
    const { events, state } = await world.detail();
    assert.deepEqual([state, events.at(-1)!.text], ['answered', 'BYE from the caller']);
  });
});

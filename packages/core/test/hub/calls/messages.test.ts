/** Requests that are no calls: those within dialogs, and messages that wait for their instances. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import { ALICE, BOB, CallWorld, PUSH, inboxOf, noticesOf, userOf } from './call-world.js';

function reach(world: CallWorld, waitMs = 20_000, instance = 'urn:uuid:1'): void {
  world.say({ kind: 'reach', ticket: world.ticket(), aor: BOB, instance, method: 'BYE', waitMs });
}

describe('a request within a dialog', () => {
  test('[CA-28] an instance with a flow is reached at once', async () => {
    const world = new CallWorld();
    const flow = await world.phone();
    reach(world);
    assert.equal(world.last('reached').target.flow, flow);
  });

  test('[CA-28] one without is woken at 0, 2, 5 and 10 s, and reached behind the 2xx of its REGISTER', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    reach(world);
    const counts = [world.wakes.length];
    for (const ms of [2_000, 3_000, 5_000]) {
      await world.pass(ms);
      counts.push(world.wakes.length);
    }
    assert.deepEqual(counts, [1, 2, 3, 4]);
    assert.equal(new Set(world.wakes.map(({ topic }) => topic)).size, 1);
    await world.phone();
    assert.deepEqual(world.take(), ['bound', 'reached']);
    await world.pass(20_000);
    assert.deepEqual(world.take(), []);
  });

  test('[CA-28] it does not come in time, it is not known, or too many wait: unreached', async () => {
    const world = new CallWorld({}, { limits: { reachesMax: 1 } });
    await world.sleeper({ push: PUSH });
    reach(world, 5_000);
    reach(world, 5_000);
    assert.deepEqual(world.take(), ['unreached']);
    await world.pass(5_000);
    assert.deepEqual(world.take(), ['unreached']);
    reach(world, 5_000, 'urn:uuid:9');
    assert.deepEqual(world.take(), ['unreached']);
  });

  test('[CA-28] the devices of its user wake an instance that has no push resource', async () => {
    const world = new CallWorld({ users: [userOf(BOB, ['bob-phone'])] });
    const inbox = await inboxOf(world, 'bob-phone');
    await world.sleeper();
    reach(world);
    await world.sync();
    assert.deepEqual(
      noticesOf(inbox).map(({ state }) => state),
      ['request'],
    );
  });
});

describe('messages', () => {
  function send(world: CallWorld, body: string, more: object = {}): void {
    world.say({
      kind: 'message',
      ticket: world.ticket(),
      aor: BOB,
      caller: { uri: `sip:${ALICE}`, displayName: undefined, aor: ALICE, trunk: undefined },
      repeatKey: body,
      contentType: 'text/plain',
      body: encodeUtf8(body),
      expiresSeconds: undefined,
      ...more,
    });
  }

  function result(world: CallWorld, status: number | undefined): void {
    const { sequence, target } = world.last('deliver-message');
    world.say({ kind: 'message-result', aor: target.aor, instance: target.instance, sequence, status });
  }

  test('[CA-29] are said to be stored when they are, one copy for each instance', async () => {
    const world = new CallWorld();
    await world.sleeper({ push: PUSH });
    await world.sleeper({ instance: 'urn:uuid:2' });
    send(world, 'hello');
    assert.deepEqual(world.take(), []);
    await world.sync();
    assert.deepEqual([world.take(), world.wakes.length], [['message-stored safe'], 1]);
    assert.equal((await world.statistics()).sipMessagesWaiting, 2);
  });

  test('[CA-29] one that cannot be stored is refused, and can be sent again', async () => {
    const world = new CallWorld();
    const flow = await world.phone();
    world.take();
    send(world, 'hello');
    world.failCommit();
    send(world, 'hello');
    await world.sync();
    assert.deepEqual(world.take(), [
      'message-stored storage-failed',
      'message-stored safe',
      `deliver-message hello flow ${flow}`,
    ]);
  });

  test('[CA-29] a repeat is stored once: within 64·T1, and over a restart', async () => {
    const world = new CallWorld();
    await world.sleeper();
    send(world, 'hello');
    send(world, 'hello');
    await world.sync();
    await world.restart();
    send(world, 'hello');
    await world.sync();
    assert.deepEqual(world.take(), ['message-stored safe']);
    assert.equal((await world.statistics()).sipMessagesWaiting, 1);
    await world.pass(40_000);
    send(world, 'hello');
    await world.sync();
    assert.equal((await world.statistics()).sipMessagesWaiting, 2);
  });

  test('[CA-29] refusals: an unknown user, a user without devices, no room', async () => {
    const world = new CallWorld({}, { limits: { sipMessagesPerInstanceMax: 1 } });
    send(world, '1', { aor: 'eve@home.test' });
    send(world, '2', { aor: ALICE });
    assert.deepEqual(world.take(), ['message-stored unknown-user', 'message-stored no-devices']);
    await world.sleeper();
    send(world, '3');
    await world.sync();
    send(world, '4');
    world.input({ kind: 'drain' });
    send(world, '5');
    assert.deepEqual(world.take(), [
      'message-stored safe',
      'message-stored inbox-full',
      'message-stored draining',
    ]);
  });

  test('[CA-30] are delivered behind the 2xx of the REGISTER, in order, one at a time', async () => {
    const world = new CallWorld();
    await world.sleeper();
    send(world, 'one');
    send(world, 'two');
    await world.sync();
    world.take();
    const flow = await world.phone();
    assert.deepEqual(world.take(), ['bound', `deliver-message one flow ${flow}`]);
    await world.phone({ flow });
    assert.deepEqual(world.take(), ['bound']);
    send(world, 'three');
    await world.sync();
    assert.deepEqual(world.take(), ['message-stored safe']);
  });

  test('[CA-30] done by 2xx; kept when nothing or a passing failure came; given up when it is refused', async () => {
    const world = new CallWorld();
    await world.sleeper();
    for (const body of ['one', 'two']) send(world, body);
    await world.sync();
    await world.phone();
    result(world, undefined);
    assert.equal(world.all('deliver-message').length, 1);
    await world.phone();
    result(world, 503);
    await world.phone();
    const bodies = () => world.all('deliver-message').map(({ body }) => new TextDecoder().decode(body));
    assert.deepEqual(bodies(), ['one', 'one', 'one']);
    result(world, 415);
    assert.deepEqual(bodies(), ['one', 'one', 'one', 'two']);
    result(world, 200);
    await world.sync();
    assert.equal((await world.statistics()).sipMessagesWaiting, 0);
    await world.restart();
    await world.phone();
    assert.deepEqual(world.take(), ['bound']);
  });

  test('[CA-30] what was under way on a flow that is lost comes again, as after a restart', async () => {
    const world = new CallWorld();
    const flow = await world.phone();
    send(world, 'one');
    await world.sync();
    world.lose(flow);
    const other = await world.phone();
    assert.equal(world.last('deliver-message').target.flow, other);
    await world.restart();
    const third = await world.phone();
    assert.deepEqual(world.take(), ['bound', `deliver-message one flow ${third}`]);
  });

  test('[CA-30] Expires is their time to live', async () => {
    const world = new CallWorld();
    await world.sleeper();
    send(world, 'short', { expiresSeconds: 20 });
    await world.sync();
    await world.pass(30_000);
    assert.equal((await world.statistics()).sipMessagesWaiting, 0);
    assert.equal(world.store.size('sipMessage'), 1);
    await world.pass(10_000);
    assert.equal(world.store.size('sipMessage'), 0);
  });
});

/** What a device's machine makes of the messages about calls, and how it carries what the user decides. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8, Prng } from '../../src/base/index.js';
import { deviceLimits, noKeepalive, type DeviceOutput } from '../../src/device/index.js';
import { NatWorld } from './nat-world.js';

function online(): NatWorld {
  const world = new NatWorld({
    keepalive: noKeepalive(),
    prng: new Prng(1),
    timeoutMs: () => Infinity,
  });
  world.runUntil(1_000);
  assert.ok(world.isOnline);
  world.outputs = [];
  return world;
}

let packetId = 0;

/** The server sends a message about a call, as docs/spec/calls.md has it. */
function notify(world: NatWorld, notice: Readonly<Record<string, unknown>>, expirySeconds?: number): void {
  world.tell({
    topic: '$line/inbox/calls',
    payload: encodeUtf8(JSON.stringify(notice)),
    qos: 1,
    packetId: (packetId += 1),
    messageExpirySeconds: expirySeconds,
  });
  world.runUntil(world.nowMs + 500);
}

function take<Kind extends DeviceOutput['kind']>(
  world: NatWorld,
  kind: Kind,
): Extract<DeviceOutput, { kind: Kind }>[] {
  const found = world.outputs.filter((output) => output.kind === kind);
  world.outputs = world.outputs.filter((output) => output.kind !== kind);
  return found as Extract<DeviceOutput, { kind: Kind }>[];
}

function ringing(world: NatWorld, leftMs = 45_000): Readonly<Record<string, unknown>> {
  return {
    call: 'c1',
    aor: 'bob@example.org',
    sipCallId: 'a84b',
    from: 'sip:alice@example.org',
    fromName: 'Alice',
    startedMs: world.now.wall - 100,
    state: 'ringing',
    deadlineMs: world.now.wall + leftMs,
  };
}

describe('wakes', () => {
  test('[SD-14] a call is given with its deadline, as a message to be finished, and its end, too', () => {
    const world = online();
    const startMs = world.nowMs;
    notify(world, ringing(world), 45);
    const [call] = take(world, 'call');
    assert.deepEqual(call!.call, {
      call: 'c1',
      state: 'ringing',
      aor: 'bob@example.org',
      sipCallId: 'a84b',
      from: 'sip:alice@example.org',
      fromName: 'Alice',
      startedMs: world.now.wall - 600,
    });
    assert.ok(Math.abs(call!.deadlineMs - (startMs + 45_000)) < 100, `${call!.deadlineMs}`);
    assert.equal(world.openWindows, 1, 'the window waits for whoever was told of it');
    world.input({ kind: 'finish', message: call!.message.id, isHandled: true });
    assert.equal(world.openWindows, 0);
    notify(world, { call: 'c1', aor: 'bob@example.org', state: 'missed', reason: 'nobody answered' });
    const [over] = take(world, 'call-over');
    assert.deepEqual([over!.call, over!.end, over!.reason], ['c1', 'missed', 'nobody answered']);
    assert.equal(over!.message!.topic, '$line/inbox/calls');
    world.runUntil(startMs + 60_000);
    assert.deepEqual(take(world, 'call-over'), [], 'it is over once');
    assert.equal(world.reached.size, 0, 'none of it is given as a message');
  });

  test('[SD-14] a call of which nothing more is heard is over at its deadline, and may be told as missed later', () => {
    const world = online();
    notify(world, ringing(world, 20_000));
    const [{ deadlineMs }] = take(world, 'call') as [Extract<DeviceOutput, { kind: 'call' }>];
    notify(world, ringing(world, 30_000));
    const [later] = take(world, 'call') as [Extract<DeviceOutput, { kind: 'call' }>];
    assert.ok(later.deadlineMs > deadlineMs + 9_000, 'it was moved');
    world.runUntil(deadlineMs + 1_000);
    assert.deepEqual(take(world, 'call-over'), []);
    world.runUntil(later.deadlineMs);
    const [over] = take(world, 'call-over');
    assert.deepEqual([over!.call, over!.end, over!.message], ['c1', 'deadline', undefined]);
    notify(world, { call: 'c1', state: 'missed' });
    assert.equal(take(world, 'call-over')[0]!.end, 'missed');
  });

  test('[SD-14] the deadline does not depend on the clock of the device', () => {
    const world = online();
    for (const skewMs of [-3_600_000, 3_600_000]) {
      notify(world, { ...ringing(world), deadlineMs: world.now.wall + skewMs }, 30);
      const [call] = take(world, 'call');
      const leftMs = call!.deadlineMs - world.nowMs;
      assert.ok(leftMs > 28_000 && leftMs <= 30_000, `${leftMs}`);
    }
  });

  test('[SD-14] what is no message about a call is given as any other', () => {
    const world = online();
    notify(world, { state: 'ringing' });
    notify(world, { call: 'c1', state: 'ringing', deadlineMs: world.now.wall });
    notify(world, { call: 'c1', state: 'whatever' });
    assert.equal(world.reached.size, 3);
    assert.deepEqual(take(world, 'call'), []);
  });

  test('[SD-14] of too many calls the first is no longer watched', () => {
    const world = online();
    for (let index = 0; index <= deviceLimits.callsMax; index += 1) {
      notify(world, { ...ringing(world, 600_000), call: `c${index}` });
    }
    world.runUntil(world.nowMs + 700_000);
    const over = take(world, 'call-over').map(({ call }) => call);
    assert.equal(over.length, deviceLimits.callsMax);
    assert.ok(!over.includes('c0'));
  });
});

describe('intents', () => {
  const decline = { kind: 'call-intent', ticket: 7, call: 'c1', intent: 'decline' } as const;
  const told = (world: NatWorld): unknown[] =>
    world.said.filter(({ topic }) => topic === '$line/call').map(({ value }) => value);
  const answer = (world: NatWorld, outcome: string): void => {
    world.tell({ topic: '$line/call', payload: encodeUtf8(JSON.stringify({ call: 'c1', outcome })) });
    world.runUntil(world.nowMs + 500);
  };

  test('[SD-15] an intent is said at once, and its outcome told', () => {
    for (const outcome of ['done', 'unknown', 'over'] as const) {
      const world = online();
      world.input(decline);
      world.runUntil(world.nowMs + 500);
      assert.deepEqual(told(world), [{ call: 'c1', intent: 'decline' }]);
      assert.deepEqual(take(world, 'call-intended'), [], 'a PUBACK is not the outcome');
      answer(world, outcome);
      assert.deepEqual(take(world, 'call-intended'), [{ kind: 'call-intended', ticket: 7, outcome }]);
      answer(world, outcome);
      assert.deepEqual(take(world, 'call-intended'), []);
    }
  });

  test('[SD-15] one that was not answered when the connection was lost is said again on the next', () => {
    const world = online();
    world.input(decline);
    world.runUntil(world.nowMs + 500);
    world.restart();
    world.runUntil(world.nowMs + 10_000);
    assert.ok(world.isOnline);
    assert.equal(told(world).length, 2);
    answer(world, 'over');
    assert.equal(take(world, 'call-intended').length, 1);
    world.restart();
    world.runUntil(world.nowMs + 10_000);
    assert.equal(told(world).length, 2);
  });

  test('[SD-15] one that is decided without a connection is said when there is one', () => {
    const world = online();
    world.input({ kind: 'network', key: undefined });
    world.input(decline);
    world.runUntil(world.nowMs + 5_000);
    assert.deepEqual(told(world), []);
    world.move('n1');
    world.runUntil(world.nowMs + 1_000);
    assert.deepEqual(told(world), [{ call: 'c1', intent: 'decline' }]);
  });

  test('[SD-15] a server that takes none, a line that is stopped, and more than may wait: why is told', () => {
    const world = online();
    world.publishReason = 0x87;
    world.input(decline);
    world.runUntil(world.nowMs + 500);
    assert.deepEqual(take(world, 'call-intended'), [
      { kind: 'call-intended', ticket: 7, outcome: 'refused' },
    ]);
    world.publishReason = 0;
    for (let ticket = 0; ticket <= deviceLimits.callIntentsMax; ticket += 1) {
      world.input({ ...decline, ticket });
    }
    assert.deepEqual(take(world, 'call-intended'), [
      { kind: 'call-intended', ticket: deviceLimits.callIntentsMax, outcome: 'too-many' },
    ]);
    world.input({ kind: 'stop' });
    const stopped = take(world, 'call-intended');
    assert.equal(stopped.length, deviceLimits.callIntentsMax);
    assert.ok(stopped.every(({ outcome }) => outcome === 'stopped'));
    assert.deepEqual(take(world, 'published'), [], 'they are no publications of the app');
    world.input(decline);
    assert.equal(take(world, 'call-intended')[0]!.outcome, 'stopped');
  });
});

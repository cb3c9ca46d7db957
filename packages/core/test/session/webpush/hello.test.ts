import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Refusal } from '../../../src/domain/index.js';
import { AddressBudget, closeCodes, webPushLimits } from '../../../src/session/webpush/index.js';
import { channelId, delivery, epochHex, freshSecret, Harness, knownSecret } from './harness.js';

const openCommand = {
  kind: 'open',
  link: 'webpush',
  peer: '192.0.2.1:50000',
  identity: { kind: 'agent', sha256: 'hash of the known', freshSha256: 'hash of the fresh' },
  clientId: '',
  clean: false,
  sessionExpirySeconds: 0,
  receiveMaximum: webPushLimits.notificationsInflightMax,
  will: undefined,
} as const;
const closeCommand = { kind: 'close', publishWill: false, sessionExpirySeconds: undefined } as const;

describe('hello', () => {
  test('[WP-1] a known uaid is answered with itself, after the hub let the device in', () => {
    const harness = new Harness();
    const asked = harness.send({ messageType: 'hello', use_webpush: true, uaid: knownSecret });
    assert.deepEqual(asked.authenticate, { secret: knownSecret });
    assert.deepEqual(asked.frames, []);
    assert.deepEqual(harness.authenticated().commands, [openCommand]);
    assert.deepEqual(harness.opened().frames, [
      { messageType: 'hello', uaid: knownSecret, status: 200, use_webpush: true, broadcasts: {} },
    ]);
  });

  test('[WP-1] an unknown uaid is answered with a new one', () => {
    const [frame] = new Harness().open(false).frames;
    assert.equal((frame as { uaid: string }).uaid, freshSecret);
  });

  test('[WP-1] so is none, and use_webpush need not be there', () => {
    const harness = new Harness();
    assert.deepEqual(harness.send({ messageType: 'hello' }).authenticate, { secret: undefined });
    harness.authenticated();
    assert.deepEqual(harness.opened(false).frames, [
      { messageType: 'hello', uaid: freshSecret, status: 200, use_webpush: true, broadcasts: {} },
    ]);
  });

  test('[WP-2] without a hello in time the connection is closed', () => {
    const harness = new Harness();
    assert.equal(harness.session.nextTimeoutMs(), 1_000 + webPushLimits.helloTimeoutMsMax);
    assert.equal(harness.wait(webPushLimits.helloTimeoutMsMax - 1).close, undefined);
    const { close, commands } = harness.wait(1);
    assert.deepEqual(close?.farewell, { code: 1008, text: 'no hello in time' });
    assert.deepEqual(commands, []);
    assert.ok(harness.session.isClosed);
  });

  test('[WP-2] a pong is no hello: the time goes on', () => {
    const harness = new Harness();
    harness.nowMs += webPushLimits.helloTimeoutMsMax - 1;
    harness.input({ kind: 'pong' });
    assert.equal(harness.wait(1).close?.farewell.code, 1008);
  });

  for (const [what, frame] of [
    ['a register', { messageType: 'register', channelID: channelId }],
    ['a refused request', { messageType: 'register', channelID: 'x' }],
    ['a ping', {}],
    ['an ack', { messageType: 'ack', updates: [] }],
  ] as const) {
    test(`[WP-2] ${what} before the hello ends the connection`, () => {
      const { close, commands, frames } = new Harness().send(frame);
      assert.deepEqual(close, {
        reason: 'protocol-error',
        farewell: { code: 1002, text: 'the first message is a hello' },
      });
      assert.deepEqual([commands, frames], [[], []]);
    });
  }

  test('[WP-2] a second hello ends the connection', () => {
    const harness = new Harness();
    harness.open();
    const { close, commands } = harness.send({ messageType: 'hello', uaid: knownSecret });
    assert.equal(close?.reason, 'already-connecting');
    assert.equal(close.farewell.code, 1002);
    assert.deepEqual(commands, [closeCommand]);
  });

  test('what comes ahead of the answer waits, and is handled in its order behind it', () => {
    const harness = new Harness();
    harness.send({ messageType: 'hello' });
    assert.equal(harness.session.wantsInput, false);
    assert.deepEqual(harness.send({ messageType: 'register', channelID: channelId }).commands, []);
    harness.authenticated();
    harness.send({});
    const { frames, commands } = harness.opened(false);
    assert.deepEqual(
      frames.map((frame) => (frame as { messageType?: string }).messageType),
      ['hello', undefined],
    );
    assert.deepEqual(
      commands.map(({ kind }) => kind),
      ['register'],
    );
    assert.equal(harness.session.wantsInput, true);
  });

  test('what comes ahead of the answer is bounded', () => {
    const harness = new Harness();
    harness.send({ messageType: 'hello' });
    const frame = `{"messageType":"ping","x":"${'x'.repeat(60_000)}"}`;
    assert.equal(harness.text(frame).close, undefined);
    assert.deepEqual(harness.text(frame).close?.farewell, { code: 1013, text: 'quota-exceeded' });
    assert.deepEqual(harness.authenticated().commands, []);
  });

  test('a hello that is denied, or that the hub refuses, is closed with the code of its reason', () => {
    const denied = new Harness();
    denied.send({ messageType: 'hello' });
    const { close } = denied.input({ kind: 'denied', reason: 'quota-exceeded' });
    assert.deepEqual(close, {
      reason: 'quota-exceeded',
      farewell: { code: 1013, text: 'quota-exceeded' },
    });
    const refused = new Harness();
    refused.send({ messageType: 'hello' });
    refused.authenticated();
    const turn = refused.events({ kind: 'refused', reason: 'draining' });
    assert.deepEqual(turn.close?.farewell, { code: 1001, text: 'draining' });
    assert.deepEqual(turn.commands, [], 'the hub has no flow to close');
  });

  test('[WP-14] an address gets so many new uaids in a minute; who has one is not counted', () => {
    const newAgents = new AddressBudget(2, 100, 10);
    const turns = [1, 2, 3].map(() => new Harness({ newAgents }).open(false));
    assert.deepEqual(
      turns.map(({ close }) => close?.farewell.code),
      [undefined, undefined, 1013],
    );
    assert.deepEqual(turns[2]!.commands, [closeCommand]);
    assert.deepEqual(turns[2]!.frames, []);
    assert.equal(new Harness({ newAgents }).open(true).close, undefined);
    const later = new Harness({ newAgents });
    later.nowMs += 30_000;
    assert.equal(later.open(false).close, undefined, 'half a minute gives one again');
  });
});

describe('[WP-4] how a connection ends', () => {
  for (const [reason, code] of Object.entries(closeCodes) as [Refusal, number][]) {
    test(`the hub says ${reason}: ${code}`, () => {
      const harness = new Harness();
      harness.open();
      const { close, commands } = harness.events({ kind: 'end', reason });
      assert.deepEqual(close, { reason, farewell: { code, text: reason } });
      assert.deepEqual(commands, [], 'the hub has no flow to close');
    });
  }

  test('the second connection of a uaid ends the first, which is told to stay away', () => {
    const harness = new Harness();
    harness.open();
    assert.equal(harness.events({ kind: 'end', reason: 'session-taken-over' }).close?.farewell.code, 4774);
  });

  test('a server that goes says so, at every stage', () => {
    const stages: readonly ((harness: Harness) => void)[] = [
      () => {},
      (harness) => harness.send({ messageType: 'hello' }),
      (harness) => {
        harness.send({ messageType: 'hello' });
        harness.authenticated();
      },
      (harness) => harness.open(),
    ];
    const closes = stages.map((reach) => {
      const harness = new Harness();
      reach(harness);
      const { close, commands } = harness.input({ kind: 'shutdown' });
      return [close?.farewell.code, commands.length];
    });
    assert.deepEqual(closes, [
      [1001, 0],
      [1001, 0],
      [1001, 1],
      [1001, 1],
    ]);
  });

  test('a connection that is gone tells the hub once, and says nothing more', () => {
    const harness = new Harness();
    harness.open();
    assert.deepEqual(harness.input({ kind: 'socket-closed' }).commands, [closeCommand]);
    assert.deepEqual(harness.send({}).frames, []);
    assert.deepEqual(harness.events(delivery(1)).frames, []);
    assert.equal(harness.session.nextTimeoutMs(), Infinity);
  });
});

test('a full socket is told to the hub, also one that filled before the device was let in', () => {
  const harness = new Harness();
  harness.send({ messageType: 'hello' });
  harness.input({ kind: 'socket-full' });
  assert.deepEqual(harness.authenticated().commands, [openCommand, { kind: 'writable', writable: false }]);
  harness.opened();
  assert.equal(harness.session.wantsInput, false);
  assert.deepEqual(harness.input({ kind: 'socket-drained' }).commands, [
    { kind: 'writable', writable: true },
  ]);
  assert.deepEqual(harness.input({ kind: 'socket-drained' }).commands, []);
  assert.equal(harness.session.wantsInput, true);
});

test('[WP-19] what the device owes by MQTT is left for that link', () => {
  const harness = new Harness();
  harness.open();
  const { frames, commands, close } = harness.events({ kind: 'release', sequence: 7 });
  assert.deepEqual([frames, commands, close], [[], [], undefined]);
});

test('events of one turn share one write', () => {
  const harness = new Harness();
  harness.open();
  const { frames } = harness.events(delivery(1), delivery(2));
  assert.deepEqual(
    frames.map((frame) => (frame as { version: string }).version),
    [`${epochHex}.1`, `${epochHex}.2`],
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallIntent, CallWake, DeviceMessage } from '@wakeline/core/device';
import type { Call } from '../../src/api.js';
import { hostLimits } from '../../src/limits.js';
import { CallBook } from '../../src/line/call-book.js';
import type { CallOverTold } from '../../src/line/machine-host.js';

function world() {
  const finished: [id: number, isHandled: boolean][] = [];
  const intents: [ticket: number, call: string, intent: CallIntent][] = [];
  const book = new CallBook({
    finish: ({ id }, isHandled) => finished.push([id, isHandled]),
    intend: (...intent) => intents.push(intent),
  });
  let lastId = 0;
  const message = (): DeviceMessage => ({
    id: (lastId += 1),
    topic: '$line/inbox/calls',
    body: new Uint8Array(),
    properties: new Uint8Array(),
    retain: false,
    qos: 1,
    place: undefined,
    expirySeconds: undefined,
  });
  const wake = (call: string, deadlineMs = 5_000, state: CallWake['state'] = 'ringing'): void => {
    const from = { from: 'sip:ann@example.org', fromName: 'Ann', startedMs: 1_000 };
    const told = { call, state, aor: 'sip:bob@example.org', sipCallId: 'x@y', ...from };
    book.handleCall({ kind: 'call', message: message(), call: told, deadlineMs: 0 }, deadlineMs);
  };
  const over = (call: string, end: CallOverTold['end'], withMessage = true): void =>
    book.handleOver({
      kind: 'call-over',
      message: withMessage ? message() : undefined,
      call,
      end,
      from: 'sip:ann@example.org',
      fromName: 'Ann',
      startedMs: 1_000,
      reason: end === 'missed' ? 'nobody answered' : undefined,
    });
  const reader = book.outlet.read(undefined);
  const next = async (): Promise<Call> => (await reader.next()).value!;
  return { book, finished, intents, wake, over, next };
}

test('a call comes with who calls and until when, once, and its deadline moves', async () => {
  const { finished, wake, next, book } = world();
  wake('c1');
  const call = await next();
  assert.equal(call.kind, 'call');
  assert.deepEqual(
    [call.id, call.aor, call.from, call.fromName, call.sipCallId],
    ['c1', 'sip:bob@example.org', 'sip:ann@example.org', 'Ann', 'x@y'],
  );
  assert.deepEqual([call.deadline.getTime(), call.started?.getTime()], [5_000, 1_000]);
  wake('c1', 9_000);
  assert.equal(call.deadline.getTime(), 9_000);
  assert.equal(book.outlet.size, 0);
  assert.deepEqual(finished, []);
  call.ack();
  assert.deepEqual(finished, [
    [1, true],
    [2, true],
  ]);
  wake('c1', 10_000);
  assert.deepEqual(finished.at(-1), [3, true]);
});

test('what waits for the phone and is no call says so', async () => {
  const { wake, next } = world();
  wake('r1', 5_000, 'request');
  assert.equal((await next()).kind, 'request');
});

test('a decision goes to the server and its answer comes back', async () => {
  const { book, finished, intents, wake, next } = world();
  wake('c1');
  const call = await next();
  const declined = call.decline();
  assert.deepEqual(intents, [[1, 'c1', 'decline']]);
  assert.deepEqual(finished, [[1, true]]);
  book.handleIntended(1, 'done');
  assert.equal(await declined, 'done');
  const answered = call.answer();
  book.handleIntended(2, 'unknown');
  assert.equal(await answered, 'unknown');
  const outcomes = [
    ['stopped', 'CLOSED'],
    ['refused', 'REFUSED'],
    ['too-many', 'TOO_MANY'],
  ] as const;
  for (const [index, [outcome, code]] of outcomes.entries()) {
    const rejected = assert.rejects(call.answer(), { code });
    book.handleIntended(3 + index, outcome);
    await rejected;
  }
  const waiting = assert.rejects(call.answer(), { code: 'CLOSED' });
  book.end();
  await waiting;
});

test('the end of a call aborts its signal, and a decision that comes later is not sent', async () => {
  const { finished, intents, wake, over, next } = world();
  wake('c1');
  const call = await next();
  over('c1', 'answered-elsewhere');
  assert(call.over.aborted);
  assert.equal(call.end, 'answered-elsewhere');
  assert.deepEqual(finished, [
    [1, true],
    [2, true],
  ]);
  assert.equal(await call.decline(), 'over');
  assert.deepEqual(intents, []);
});

test('a deadline that passes ends a call; what the server says later is done with', async () => {
  const { finished, wake, over, next, book } = world();
  wake('c1');
  const call = await next();
  over('c1', 'deadline', false);
  assert.equal(call.end, 'deadline');
  over('c1', 'cancelled');
  assert.deepEqual(finished, [
    [1, true],
    [2, true],
  ]);
  assert.equal(book.outlet.size, 0);
});

test('a call that is over before anybody took it is told of only if it was missed', async () => {
  const { finished, wake, over, next, book } = world();
  wake('c1');
  wake('c2');
  const call = await next();
  over('c2', 'cancelled');
  assert.equal(book.outlet.size, 0);
  assert.deepEqual(finished, [
    [2, true],
    [3, true],
  ]);
  wake('c3');
  over('c3', 'missed');
  const missed = await next();
  assert.deepEqual([missed.id, missed.end, missed.reason], ['c3', 'missed', 'nobody answered']);
  assert(!call.over.aborted);
});

test('a call that was missed while the device was away comes as one that is over, for the app to acknowledge', async () => {
  const { finished, over, next } = world();
  over('c1', 'missed');
  const call = await next();
  assert.deepEqual([call.end, call.from, call.reason], ['missed', 'sip:ann@example.org', 'nobody answered']);
  assert(call.over.aborted);
  assert.deepEqual(finished, []);
  call.ack();
  assert.deepEqual(finished, [[1, true]]);
  // Of others there is nothing to tell.
  over('c2', 'cancelled');
  assert.deepEqual(finished.at(-1), [2, true]);
});

test('of calls that nobody takes the newest is given back', () => {
  const { book, finished, wake } = world();
  const { callsWaitingMax } = hostLimits;
  for (let index = 0; index <= callsWaitingMax; index += 1) wake(`c${index}`);
  assert.equal(book.outlet.size, callsWaitingMax);
  assert.deepEqual(finished, [[callsWaitingMax + 1, false]]);
});

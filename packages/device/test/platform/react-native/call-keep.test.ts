/** Calls on the screen of the phone, by an object with the documented interface of react-native-callkeep. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  showCallsByCallKeep,
  type CallKeepLike,
  type CallKeepOptions,
} from '../../../src/platform/react-native/call-keep.js';
import type { Call } from '../../../src/line/types.js';
import { FakeCall, FakeLine, settle } from './fake-calls.js';

type Listener = (event: { readonly callUUID: string }) => void;

class FakeCallKeep implements CallKeepLike {
  readonly shown: { readonly uuid: string; readonly handle: string; readonly name: string }[] = [];
  readonly ended: (readonly [uuid: string, reason: number])[] = [];
  readonly listeners = { answerCall: new Set<Listener>(), endCall: new Set<Listener>() };

  displayIncomingCall(uuid: string, handle: string, name: string): void {
    this.shown.push({ uuid, handle, name });
  }

  reportEndCallWithUUID(uuid: string, reason: number): void {
    this.ended.push([uuid, reason]);
  }

  addEventListener(type: 'answerCall' | 'endCall', listener: Listener): { remove(): void } {
    this.listeners[type].add(listener);
    return { remove: () => this.listeners[type].delete(listener) };
  }

  /** The user does it. */
  press(type: 'answerCall' | 'endCall', callUUID: string): void {
    for (const listener of this.listeners[type]) listener({ callUUID });
  }

  get isQuiet(): boolean {
    return this.listeners.answerCall.size === 0 && this.listeners.endCall.size === 0;
  }
}

function start(options: CallKeepOptions = {}) {
  const line = new FakeLine();
  const callKeep = new FakeCallKeep();
  showCallsByCallKeep(line, callKeep, options);
  return { line, callKeep };
}

test('the user takes a call: the server is told, and then the app', async () => {
  const answered: string[] = [];
  const { line, callKeep } = start({ onAnswered: ({ id }, uuid) => void answered.push(id, uuid) });
  const call = new FakeCall('c1', 'sip:alice@example.org', 'Alice');
  const ringing = line.ring(call);
  const { uuid, handle, name } = callKeep.shown[0]!;
  assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual([handle, name], ['sip:alice@example.org', 'Alice']);
  callKeep.press('answerCall', uuid.toUpperCase());
  await ringing;
  assert.deepEqual([call.said, answered, callKeep.ended], [['answer'], ['c1', uuid], []]);
  assert(callKeep.isQuiet);
});

test('the user declines: the server is told, and nothing is left on the screen', async () => {
  const { line, callKeep } = start();
  const call = new FakeCall('c1');
  const ringing = line.ring(call);
  assert.equal(callKeep.shown[0]!.name, 'Unknown');
  callKeep.press('endCall', callKeep.shown[0]!.uuid);
  await ringing;
  assert.deepEqual([call.said, callKeep.ended], [['decline'], []]);
  assert(callKeep.isQuiet);
});

test('a call that ends by itself vanishes, and one that had ended is not shown', async () => {
  const others: Call[] = [];
  const { line, callKeep } = start({ onOther: (call) => void others.push(call) });
  const call = new FakeCall('c1');
  const ringing = line.ring(call);
  assert(call.isAcknowledged);
  call.hangUp();
  await ringing;
  assert.deepEqual(callKeep.ended, [[callKeep.shown[0]!.uuid, 3]]);
  callKeep.press('endCall', callKeep.shown[0]!.uuid);
  assert.deepEqual(call.said, []);
  await line.ring(call);
  const request = new FakeCall('r1');
  request.kind = 'request';
  await line.ring(request);
  assert.equal(callKeep.shown.length, 1);
  assert.deepEqual(others, [call, request]);
  assert(callKeep.isQuiet);
});

test('a call that was over when the user took it is told as ended by the other side', async () => {
  const { line, callKeep } = start({ onAnswered: () => assert.fail('it was over') });
  const call = new FakeCall('c1');
  call.outcome = 'over';
  const ringing = line.ring(call);
  callKeep.press('answerCall', callKeep.shown[0]!.uuid);
  await ringing;
  assert.deepEqual(callKeep.ended, [[callKeep.shown[0]!.uuid, 2]]);
});

test('two calls are two', async () => {
  const { line, callKeep } = start();
  const [first, second] = [new FakeCall('c1'), new FakeCall('c2')];
  const ringing = [line.ring(first), line.ring(second)];
  const [one, other] = callKeep.shown;
  assert.notEqual(one!.uuid, other!.uuid);
  callKeep.press('endCall', other!.uuid);
  callKeep.press('answerCall', one!.uuid);
  await Promise.all(ringing);
  assert.deepEqual([first.said, second.said], [['answer'], ['decline']]);
});

test('what cannot be brought to the server is told, and the call is taken off the screen', async () => {
  const errors: unknown[] = [];
  const { line, callKeep } = start({ onError: (error) => void errors.push(error) });
  const call = new FakeCall('c1');
  call.outcome = new Error('no connection');
  const ringing = line.ring(call);
  callKeep.press('answerCall', callKeep.shown[0]!.uuid);
  await ringing;
  assert.deepEqual([errors, callKeep.ended], [[call.outcome], [[callKeep.shown[0]!.uuid, 2]]]);
});

test('and thrown where nobody wants to be told', async () => {
  const { line, callKeep } = start();
  const call = new FakeCall('c1');
  call.outcome = new Error('no connection');
  const ringing = line.ring(call);
  await settle();
  callKeep.press('endCall', callKeep.shown[0]!.uuid);
  await assert.rejects(ringing, { message: 'no connection' });
});

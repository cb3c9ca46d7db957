import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { noBytes } from '@wakeline/core/domain';
import type { LinkCommand, LinkEvent } from '@wakeline/core/domain';
import { FlowRecord, RecentAcknowledgements } from '../../src/lines/flow-record.js';
import { openCommand, openedEvent } from '../runtime/fakes.js';

function deliver(sequence: number): LinkEvent {
  const rest = { retain: false, duplicate: false, properties: noBytes, expirySeconds: undefined } as const;
  const view = { topic: new Uint8Array(1), body: new Uint8Array(3) };
  return { kind: 'deliver', delivery: { sequence, qos: 2, subscriptionIds: [], ...view, ...rest } };
}

describe('what a line remembers', () => {
  test('acknowledgements of the last moments, and no older ones', () => {
    const recent = new RecentAcknowledgements(1_000);
    recent.add(5_000, 1, 10, false);
    recent.add(5_900, 1, 11, false);
    recent.add(5_900, 2, 5, true);
    recent.add(6_100, 1, 12, false);
    assert.deepEqual(recent.byFlow().get(1), { acknowledged: [10, 11, 12], completed: [] });
    assert.deepEqual(recent.byFlow().get(2), { acknowledged: [], completed: [5] });
    recent.add(7_200, 1, 13, false);
    assert.deepEqual(recent.byFlow().get(1), { acknowledged: [12, 13], completed: [] });
    recent.forget(99_000);
    assert.equal(recent.byFlow().size, 0);
  });

  test('an answer is owed to who asks for an endpoint or its end, with QoS 1 and 2 an acknowledgement beside', () => {
    assert(openCommand.kind === 'open');
    const recent = new RecentAcknowledgements(1_000);
    const record = new FlowRecord(1, openCommand);
    const channel = { ticket: 1, channel: 'news', packetId: 0 } as const;
    record.noteCommand(openCommand, recent, 0);
    record.noteEvent(openedEvent);
    const register = { kind: 'register', tokenSha256: '', vapidKey: undefined, ...channel } as const;
    record.noteCommand({ ...register, qos: 0 }, recent, 0);
    record.noteCommand({ ...register, qos: 1, packetId: 5 }, recent, 0);
    record.noteCommand({ kind: 'unregister', ...channel, qos: 0 }, recent, 0);
    assert.equal(record.unanswered, 4);
    record.noteEvent({ kind: 'registered', ticket: 1, reason: undefined });
    record.noteEvent({ kind: 'registered', ticket: 1, reason: 'channels-full' });
    record.noteEvent({ kind: 'accepted', packetId: 5, qos: 1, reason: undefined, matched: true });
    record.noteEvent({ kind: 'unregistered', ticket: 1, reason: undefined, found: false });
    assert.equal(record.unanswered, 0);
    record.noteEvent(deliver(7));
    record.noteCommand({ kind: 'fail', sequence: 7, reason: 'x' }, recent, 0);
    assert.deepEqual(record.resume(recent.byFlow().get(1)).sent, []);
    assert.deepEqual(record.resume(recent.byFlow().get(1)).acknowledged, [7]);
  });

  test('QoS 2: an answer is owed from PUBREC to PUBREL, and for nothing else', () => {
    assert(openCommand.kind === 'open');
    const recent = new RecentAcknowledgements(1_000);
    const record = new FlowRecord(1, openCommand);
    const command = (one: LinkCommand): void => record.noteCommand(one, recent, 0);
    command(openCommand);
    record.noteEvent({ ...openedEvent, released: [3] } as LinkEvent);
    record.noteEvent(deliver(7));
    assert.equal(record.unanswered, 0);
    command({ kind: 'received', sequence: 7 });
    command({ kind: 'received', sequence: 7 });
    assert.equal(record.unanswered, 1);
    command({ kind: 'received', sequence: 99 });
    assert.equal(record.unanswered, 1, 'the hub does not answer what it does not know');
    record.noteEvent({ kind: 'release', sequence: 7 });
    assert.equal(record.unanswered, 0);
    assert.deepEqual(record.resume(undefined).released, [3, 7]);
    assert.deepEqual(record.resume(undefined).sent, []);
    command({ kind: 'complete', sequence: 3 });
    assert.deepEqual(record.resume(recent.byFlow().get(1)).released, [7]);
    assert.deepEqual(record.resume(recent.byFlow().get(1)).completed, [3]);
    assert.equal(record.resume(undefined).lastSequence, 7);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InviteClientTransaction } from '../../../src/session/sip/transaction/invite-client-transaction.js';
import { defaultTimerValues } from '../../../src/session/sip/transaction/timers.js';
import { runTable, type Row } from './transactions.js';

type Step = Row<InviteClientTransaction>[1];

function create(outlivesFlow = false, streamTimerBMs = 0): InviteClientTransaction {
  return new InviteClientTransaction({
    timers: defaultTimerValues,
    timerCMs: 180_000,
    outlivesFlow,
    detachedMsMax: 600_000,
    streamTimerBMs,
    cancelledMsMax: 120_000,
  });
}

const overUdp: Step = (machine, nowMs) => machine.start(nowMs, false);
const overTcp: Step = (machine, nowMs) => machine.start(nowMs, true);
const response =
  (status: number): Step =>
  (machine, nowMs) =>
    machine.handleResponse(nowMs, status);
const cancel: Step = (machine, nowMs) => machine.cancel(nowMs);
const flowLost: Step = (machine, nowMs) => machine.handleFlowLost(nowMs);
const attach =
  (isReliable: boolean, resend: boolean): Step =>
  (machine, nowMs) =>
    machine.attach(nowMs, isReliable, resend);

describe('the client side of an INVITE', () => {
  test('[SI-32] over UDP it is repeated by Timer A, doubled each time, until Timer B ends it', () => {
    runTable(create(), [
      [0, overUdp, 'send-request', 'calling'],
      [500, undefined, 'send-request', 'calling'],
      [1_500, undefined, 'send-request', 'calling'],
      [3_500, undefined, 'send-request', 'calling'],
      [7_500, undefined, 'send-request', 'calling'],
      [15_500, undefined, 'send-request', 'calling'],
      [31_500, undefined, 'send-request', 'calling'],
      [32_000, undefined, 'timeout terminated', 'terminated'],
      [40_000, response(200), '', 'terminated'],
    ]);
  });

  test('[SI-32] over TCP it is sent once, until Timer B ends it', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-33] a provisional response ends repeating, and time is no matter but for Timer C', () => {
    runTable(create(), [
      [0, overUdp, 'send-request', 'calling'],
      [500, undefined, 'send-request', 'calling'],
      [600, response(100), 'pass-response', 'proceeding'],
      [90_000, response(180), 'pass-response', 'proceeding'],
      [200_000, response(183), 'pass-response', 'proceeding'],
    ]);
  });

  test('[SI-33] over UDP a refusal is acknowledged as often as it comes, until Timer D', () => {
    runTable(create(), [
      [0, overUdp, 'send-request', 'calling'],
      [100, response(486), 'send-ack pass-response', 'completed'],
      [600, response(486), 'send-ack', 'completed'],
      [700, response(180), '', 'completed'],
      [800, response(200), '', 'completed'],
      [32_100, undefined, 'terminated', 'terminated'],
      [32_200, response(486), '', 'terminated'],
    ]);
  });

  test('[SI-33] over TCP a refusal is acknowledged once: Timer D is 0', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [200, response(603), 'send-ack pass-response terminated', 'terminated'],
    ]);
  });

  for (const [name, start] of [
    ['UDP', overUdp],
    ['TCP', overTcp],
  ] as const) {
    test(`[SI-34] over ${name} every 2xx is passed up until Timer M, and nothing else`, () => {
      runTable(create(), [
        [0, start, 'send-request', 'calling'],
        [100, response(200), 'pass-response', 'accepted'],
        [600, response(200), 'pass-response', 'accepted'],
        [700, response(202), 'pass-response', 'accepted'],
        [800, response(486), '', 'accepted'],
        [900, response(180), '', 'accepted'],
        [950, flowLost, '', 'accepted'],
        [32_000, response(200), 'pass-response', 'accepted'],
        [32_100, undefined, 'terminated', 'terminated'],
        [32_200, response(200), '', 'terminated'],
      ]);
    });
  }

  test('[SI-35] CANCEL waits for the first provisional response', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [100, cancel, '', 'calling'],
      [5_000, response(100), 'pass-response send-cancel', 'proceeding'],
      [5_100, cancel, '', 'proceeding'],
      [5_200, response(487), 'send-ack pass-response terminated', 'terminated'],
    ]);
  });

  test('[SI-35] CANCEL goes out at once when a provisional response was there, and its INVITE ends after 64·T1', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [200, cancel, 'send-cancel', 'proceeding'],
      [1_000, response(183), 'pass-response', 'proceeding'],
      [32_200, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-35] a 2xx that crosses the CANCEL is passed up; after a final response nothing is cancelled', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [200, cancel, 'send-cancel', 'proceeding'],
      [300, response(200), 'pass-response', 'accepted'],
      [400, cancel, '', 'accepted'],
      [32_300, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-35] an INVITE that is never answered at all ends by Timer B although it is cancelled', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [100, cancel, '', 'calling'],
      [120_100, undefined, 'timeout terminated', 'terminated'],
    ]);
    runTable(create(), [
      [0, overUdp, 'send-request', 'calling'],
      [500, undefined, 'send-request', 'calling'],
      [600, cancel, '', 'calling'],
      ...[1_500, 3_500, 7_500, 15_500, 31_500].map(
        (atMs) => [atMs, undefined, 'send-request', 'calling'] as const,
      ),
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-32] on a stream to a phone that sleeps Timer B may be longer, as long as the call waits', () => {
    runTable(create(true, 45_000), [
      [0, overTcp, 'send-request', 'calling'],
      [44_000, response(180), 'pass-response', 'proceeding'],
      [44_500, response(200), 'pass-response', 'accepted'],
    ]);
    runTable(create(true, 45_000), [
      [0, overTcp, 'send-request', 'calling'],
      [45_000, undefined, 'timeout terminated', 'terminated'],
    ]);
    runTable(create(true, 1_000), [
      [0, overTcp, 'send-request', 'calling'],
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-35] a phone that reads a cancelled INVITE late is told, up to the bound', () => {
    runTable(create(true, 45_000), [
      [0, overTcp, 'send-request', 'calling'],
      [45_000 - 1, cancel, '', 'calling'],
      [160_000, response(180), 'pass-response send-cancel', 'proceeding'],
    ]);
  });

  test('[SI-36] Timer C begins anew with each provisional response but 100, and cancels when it fires', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(100), 'pass-response', 'proceeding'],
      [50_000, response(180), 'pass-response', 'proceeding'],
      [60_000, response(100), 'pass-response', 'proceeding'],
      [230_000, undefined, 'timer-c send-cancel', 'proceeding'],
      [262_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-37] without a flow it neither repeats nor times out, and goes on on another one', () => {
    runTable(create(true), [
      [0, overUdp, 'send-request', 'calling'],
      [400, flowLost, 'flow-lost', 'calling'],
      [410, flowLost, '', 'calling'],
      [100_000, attach(false, true), 'send-request', 'calling'],
      [100_500, undefined, 'send-request', 'calling'],
      [100_600, response(180), 'pass-response', 'proceeding'],
      [100_700, flowLost, 'flow-lost', 'proceeding'],
      [140_000, attach(true, false), '', 'proceeding'],
      [141_000, response(200), 'pass-response', 'accepted'],
    ]);
  });

  test('[SI-35] a cancelled INVITE of which nothing was heard is cancelled on each flow that its phone comes back with', () => {
    runTable(create(true, 45_000), [
      [0, overTcp, 'send-request', 'calling'],
      [100, flowLost, 'flow-lost', 'calling'],
      [200, cancel, '', 'calling'],
      [1_000, attach(true, false), 'send-cancel', 'calling'],
      [1_100, flowLost, 'flow-lost', 'calling'],
      [2_000, attach(true, false), 'send-cancel', 'calling'],
      [2_100, response(487), 'send-ack pass-response terminated', 'terminated'],
    ]);
  });

  test('[SI-37] attached without sending, it waits for 64·T1', () => {
    runTable(create(true), [
      [0, overTcp, 'send-request', 'calling'],
      [100, flowLost, 'flow-lost', 'calling'],
      [60_000, attach(true, false), '', 'calling'],
      [92_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-37] a CANCEL that is wanted while there is no flow goes out on the next one', () => {
    runTable(create(true), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [200, flowLost, 'flow-lost', 'proceeding'],
      [300, cancel, '', 'proceeding'],
      [20_000, attach(true, false), 'send-cancel', 'proceeding'],
      [52_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-37] the loss of the flow ends one that is not to outlive it, unless a phone rings', () => {
    runTable(create(false), [
      [0, overTcp, 'send-request', 'calling'],
      [100, flowLost, 'transport-error terminated', 'terminated'],
    ]);
    runTable(create(false), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [200, flowLost, 'flow-lost', 'proceeding'],
      [180_100, undefined, 'timer-c', 'proceeding'],
      [212_100, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-37] a CANCEL that a dead flow may have swallowed is sent again on the next one, for 120 s', () => {
    runTable(create(true), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [1_000, cancel, 'send-cancel', 'proceeding'],
      [30_000, flowLost, 'flow-lost', 'proceeding'],
      [140_000, attach(true, false), 'send-cancel', 'proceeding'],
      [140_100, response(487), 'send-ack pass-response terminated', 'terminated'],
    ]);
    runTable(create(true), [
      [0, overTcp, 'send-request', 'calling'],
      [100, response(180), 'pass-response', 'proceeding'],
      [1_000, cancel, 'send-cancel', 'proceeding'],
      [30_000, flowLost, 'flow-lost', 'proceeding'],
      [150_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-37] it waits for a flow no longer than the bound', () => {
    runTable(create(true), [
      [0, overTcp, 'send-request', 'calling'],
      [100, flowLost, 'flow-lost', 'calling'],
      [600_100, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-44] made anew after a restart, it takes what comes in the state it was in', () => {
    const restore =
      (state: 'calling' | 'proceeding' | 'accepted'): Step =>
      (machine, nowMs) =>
        machine.restore(nowMs, state);
    runTable(create(true), [
      [0, restore('calling'), '', 'calling'],
      [50_000, attach(true, true), 'send-request', 'calling'],
      [50_100, response(486), 'send-ack pass-response terminated', 'terminated'],
    ]);
    runTable(create(true), [
      [0, restore('proceeding'), '', 'proceeding'],
      [1_000, response(200), 'pass-response', 'accepted'],
      [33_000, undefined, 'terminated', 'terminated'],
    ]);
    runTable(create(true), [
      [0, restore('accepted'), '', 'accepted'],
      [1_000, response(200), 'pass-response', 'accepted'],
      [32_000, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('abandoned, it ends without a word, once', () => {
    const machine = create();
    machine.start(0, false);
    assert.deepEqual(machine.abandon(), ['terminated']);
    assert.deepEqual(machine.abandon(), []);
    assert.equal(machine.nextTimeoutMs(), Infinity);
  });
});

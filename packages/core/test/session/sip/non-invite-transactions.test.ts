import { describe, test } from 'node:test';
import { NonInviteClientTransaction } from '../../../src/session/sip/transaction/non-invite-client-transaction.js';
import { NonInviteServerTransaction } from '../../../src/session/sip/transaction/non-invite-server-transaction.js';
import { defaultTimerValues } from '../../../src/session/sip/transaction/timers.js';
import { runTable, type Row } from './transactions.js';

describe('the client side of other requests', () => {
  type Step = Row<NonInviteClientTransaction>[1];

  const create = (outlivesFlow = false): NonInviteClientTransaction =>
    new NonInviteClientTransaction({ timers: defaultTimerValues, outlivesFlow });
  const overUdp: Step = (machine, nowMs) => machine.start(nowMs, false);
  const overTcp: Step = (machine, nowMs) => machine.start(nowMs, true);
  const flowLost: Step = (machine) => machine.handleFlowLost();
  const response =
    (status: number): Step =>
    (machine, nowMs) =>
      machine.handleResponse(nowMs, status);

  test('[SI-38] over UDP it is repeated by Timer E up to T2 until Timer F', () => {
    runTable(create(), [
      [0, overUdp, 'send-request', 'trying'],
      ...[500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500].map(
        (atMs) => [atMs, undefined, 'send-request', 'trying'] as const,
      ),
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-38] over TCP it is sent once', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'trying'],
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-38] a provisional response makes it repeat every T2; a final one is passed up once until Timer K', () => {
    runTable(create(), [
      [0, overUdp, 'send-request', 'trying'],
      [100, response(100), 'pass-response', 'proceeding'],
      [500, undefined, 'send-request', 'proceeding'],
      [4_500, undefined, 'send-request', 'proceeding'],
      [8_500, undefined, 'send-request', 'proceeding'],
      [8_600, response(200), 'pass-response', 'completed'],
      [8_700, response(200), '', 'completed'],
      [13_600, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-38] over TCP Timer K is 0', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'trying'],
      [100, response(404), 'pass-response terminated', 'terminated'],
    ]);
  });

  test('[SI-38] a provisional response does not stop Timer F', () => {
    runTable(create(), [
      [0, overTcp, 'send-request', 'trying'],
      [100, response(100), 'pass-response', 'proceeding'],
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-37] it may outlive its flow, but not Timer F', () => {
    runTable(create(true), [
      [0, overTcp, 'send-request', 'trying'],
      [100, flowLost, 'flow-lost', 'trying'],
      [5_000, (machine, nowMs) => machine.attach(nowMs, true, true), 'send-request', 'trying'],
      [6_000, flowLost, 'flow-lost', 'trying'],
      [32_000, undefined, 'timeout terminated', 'terminated'],
    ]);
    runTable(create(false), [
      [0, overTcp, 'send-request', 'trying'],
      [100, flowLost, 'transport-error terminated', 'terminated'],
    ]);
  });
});

describe('the server side of other requests', () => {
  type Step = Row<NonInviteServerTransaction>[1];

  const create = (): NonInviteServerTransaction =>
    new NonInviteServerTransaction({ timers: defaultTimerValues });
  const start: Step = (machine, nowMs) => machine.start(nowMs);
  const again: Step = (machine) => machine.handleRetransmission();
  const overUdp =
    (status: number): Step =>
    (machine, nowMs) =>
      machine.respond(nowMs, status, false) ?? ['refused'];
  const overTcp =
    (status: number): Step =>
    (machine, nowMs) =>
      machine.respond(nowMs, status, true) ?? ['refused'];

  test('[SI-43] retransmissions are absorbed until there is an answer, and get it again until Timer J', () => {
    runTable(create(), [
      [0, start, '', 'trying'],
      [500, again, '', 'trying'],
      [900, overUdp(200), 'send-response', 'completed'],
      [1_500, again, 'send-response', 'completed'],
      [1_600, overUdp(200), 'refused', 'completed'],
      [32_900, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-43] over TCP Timer J is 0', () => {
    runTable(create(), [
      [0, start, '', 'trying'],
      [100, overTcp(404), 'send-response terminated', 'terminated'],
    ]);
  });

  test('[SI-43] 100 is said when Timer E of the other side has reached T2, over UDP not before; no other 1xx', () => {
    runTable(create(), [
      [0, start, '', 'trying'],
      [1_000, overUdp(100), 'refused', 'trying'],
      [1_100, overUdp(180), 'refused', 'trying'],
      [3_500, undefined, 'send-trying', 'proceeding'],
      [7_500, again, 'send-response', 'proceeding'],
      [8_000, overUdp(200), 'send-response', 'completed'],
    ]);
    runTable(create(), [
      [0, start, '', 'trying'],
      [1_000, overTcp(100), 'send-response', 'proceeding'],
      [1_100, overTcp(183), 'refused', 'proceeding'],
      [20_000, overTcp(200), 'send-response terminated', 'terminated'],
    ]);
  });

  test('[SI-43] it is never answered with 408, and ends in silence when nobody waits any more', () => {
    runTable(create(), [
      [0, start, '', 'trying'],
      [3_500, undefined, 'send-trying', 'proceeding'],
      [20_000, overUdp(408), 'refused', 'proceeding'],
      [32_000, undefined, 'unanswered terminated', 'terminated'],
      [32_100, overUdp(200), 'refused', 'terminated'],
    ]);
  });
});

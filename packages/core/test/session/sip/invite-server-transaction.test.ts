import { describe, test } from 'node:test';
import { InviteServerTransaction } from '../../../src/session/sip/transaction/invite-server-transaction.js';
import { defaultTimerValues } from '../../../src/session/sip/transaction/timers.js';
import { runTable, type Row } from './transactions.js';

type Step = Row<InviteServerTransaction>[1];

function create(): InviteServerTransaction {
  return new InviteServerTransaction({
    timers: defaultTimerValues,
    tryingMsMax: 200,
    proceedingMsMax: 600_000,
  });
}

const start: Step = (machine, nowMs) => machine.start(nowMs);
const again: Step = (machine) => machine.handleRetransmission();
const ack: Step = (machine, nowMs) => machine.handleAck(nowMs);
const overUdp =
  (status: number): Step =>
  (machine, nowMs) =>
    machine.respond(nowMs, status, false) ?? ['refused'];
const overTcp =
  (status: number): Step =>
  (machine, nowMs) =>
    machine.respond(nowMs, status, true) ?? ['refused'];

describe('the server side of an INVITE', () => {
  test('[SI-39] 100 is said after 200 ms, and the last response again to a retransmission', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, again, '', 'proceeding'],
      [200, undefined, 'send-trying', 'proceeding'],
      [500, again, 'send-response', 'proceeding'],
      [600, overUdp(180), 'send-response', 'proceeding'],
      [1_500, again, 'send-response', 'proceeding'],
      [1_600, ack, '', 'proceeding'],
    ]);
  });

  test('[SI-39] whoever answers sooner says no 100', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [150, overUdp(180), 'send-response', 'proceeding'],
      [30_000, again, 'send-response', 'proceeding'],
    ]);
  });

  test('[SI-40] after a 2xx every further one is sent, ACKs are passed up, and the INVITE is absorbed until Timer L', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overUdp(200), 'send-response', 'accepted'],
      [500, again, '', 'accepted'],
      [600, overUdp(200), 'send-response', 'accepted'],
      [700, overUdp(486), 'refused', 'accepted'],
      [750, overUdp(180), 'refused', 'accepted'],
      [800, ack, 'pass-ack', 'accepted'],
      [900, ack, 'pass-ack', 'accepted'],
      [32_100, undefined, 'terminated', 'terminated'],
      [32_200, overUdp(200), 'refused', 'terminated'],
    ]);
  });

  test('[SI-49] a 2xx over UDP that its phone does not repeat is sent again every 4.5 s until Timer L', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overUdp(200), 'send-response', 'accepted'],
      [600, overUdp(200), 'send-response', 'accepted'],
      [5_099, undefined, '', 'accepted'],
      [5_100, undefined, 'send-response', 'accepted'],
      [9_600, undefined, 'send-response', 'accepted'],
      [10_000, overUdp(200), 'send-response', 'accepted'],
      [14_500, undefined, 'send-response', 'accepted'],
      [19_000, undefined, 'send-response', 'accepted'],
      [23_500, undefined, 'send-response', 'accepted'],
      [28_000, undefined, 'send-response', 'accepted'],
      [32_100, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-49] not over TCP, nor once it is acknowledged, whatever comes then', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overTcp(200), 'send-response', 'accepted'],
      [32_100, undefined, 'terminated', 'terminated'],
    ]);
    const acknowledge: Step = (machine) => {
      machine.handleAnswerAck();
      return [];
    };
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overUdp(200), 'send-response', 'accepted'],
      [4_600, undefined, 'send-response', 'accepted'],
      [4_800, acknowledge, '', 'accepted'],
      [5_000, overUdp(200), 'send-response', 'accepted'],
      [20_000, undefined, '', 'accepted'],
      [32_100, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-41] over UDP a refusal is repeated by Timer G up to T2 until its ACK; Timer I absorbs more of them', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overUdp(486), 'send-response', 'completed'],
      [600, undefined, 'send-response', 'completed'],
      [1_600, undefined, 'send-response', 'completed'],
      [2_000, again, 'send-response', 'completed'],
      [3_600, undefined, 'send-response', 'completed'],
      [7_600, undefined, 'send-response', 'completed'],
      [11_600, undefined, 'send-response', 'completed'],
      [12_000, ack, '', 'confirmed'],
      [12_100, ack, '', 'confirmed'],
      [12_200, again, '', 'confirmed'],
      [12_300, overUdp(200), 'refused', 'confirmed'],
      [17_000, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-41] without an ACK Timer H ends it', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overTcp(486), 'send-response', 'completed'],
      [5_000, again, 'send-response', 'completed'],
      [32_100, undefined, 'ack-timeout terminated', 'terminated'],
    ]);
  });

  test('[SI-41] over TCP the ACK ends it: Timer I is 0', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overTcp(603), 'send-response', 'completed'],
      [200, ack, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-44] made anew after a restart, it says no second 100', () => {
    runTable(create(), [
      [0, (machine, nowMs) => machine.restore(nowMs, 'proceeding'), '', 'proceeding'],
      [5_000, again, 'send-response', 'proceeding'],
      [6_000, overTcp(487), 'send-response', 'completed'],
    ]);
    runTable(create(), [
      [0, (machine, nowMs) => machine.restore(nowMs, 'accepted'), '', 'accepted'],
      [5_000, overTcp(200), 'send-response', 'accepted'],
      [6_000, ack, 'pass-ack', 'accepted'],
      [32_000, undefined, 'terminated', 'terminated'],
    ]);
  });

  test('[SI-47] an INVITE that the core forgets ends by itself; each response of the core gives it time', () => {
    runTable(create(), [
      [0, start, '', 'proceeding'],
      [100, overTcp(100), 'send-response', 'proceeding'],
      [500_000, overTcp(180), 'send-response', 'proceeding'],
      [1_100_000, undefined, 'unanswered terminated', 'terminated'],
    ]);
  });
});

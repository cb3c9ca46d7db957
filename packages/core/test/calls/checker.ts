/**
 * Judges a simulated world by what each side heard, and by nothing that the server says of itself: no call is lost because
 * wake and call fell out of step, nobody is offered a call that they have settled, nothing rings that has ended, and the
 * caller hears one end, which is what the phones did.
 */
import assert from 'node:assert/strict';
import type { CallEvent } from '../../src/domain/index.js';
import type { StoreChange } from '../../src/ports/index.js';
import type { OutgoingCall, SimCaller } from './caller.js';
import type { SimClock } from './clock.js';
import type { CallRecord, SimPhone } from './phone.js';
import type { ServerObserver } from './sim-server.js';
import type { Interval } from './user-agent.js';

/** So long may it take until a phone that can be reached is offered the call, ms. */
const OFFER_MS = 4_000;
/** So long may it take until one that rings for nobody is told so, ms. */
const GHOST_MS = 6_000;
/** For how long after its end a phone that comes back is told, ms: less than the tombstone. */
const TOLD_MS = 100_000;
/** Between what one side does and what the other sees of it, with the disk between, ms. */
const SLACK_MS = 1_200;
/** From the phone through the server to the caller, both ways of the slowest network and a commit. */
const THROUGH_MS = 400;
/** For how long a call that has ended is told its end again after a restart, ms. */
const ENDED_MS = 64_000;
/** And a phone whose leg was withdrawn, ms. */
const TOMBSTONE_MS = 180_000;

interface ServerCall {
  /** Its row is on disk. */
  journaledMs: number | undefined;
  /** The caller was sent a final response that is no challenge. */
  endedMs: number | undefined;
}

export class Checker implements ServerObserver {
  readonly #clock: SimClock;
  readonly #calls = new Map<string, ServerCall>();
  /** From a crash of the server to its next start. */
  readonly #downtimes: Interval[] = [];
  /** Monotonic ms; each life of the server begins with one. */
  readonly starts: number[] = [];
  readonly commits: number[] = [];
  wakes = 0;

  constructor(clock: SimClock) {
    this.#clock = clock;
  }

  onCommitted(changes: readonly StoreChange[]): void {
    const { nowMs } = this.#clock;
    this.commits.push(nowMs);
    for (const { table, value } of changes) {
      if (table !== 'call' || value === undefined) continue;
      const text = latin1(value);
      const sipCallId = /call-[a-z]+-\d+-\d+/.exec(text)?.[0];
      if (sipCallId !== undefined) this.#callOf(sipCallId).journaledMs ??= nowMs;
    }
  }

  onSent(bytes: Uint8Array, _remote: string): void {
    const { nowMs } = this.#clock;
    const text = latin1(bytes);
    const isRequest = !text.startsWith('SIP/2.0');
    const sipCallId = /\r\nCall-ID: *(\S+)/i.exec(text)?.[1] ?? '';
    if (!sipCallId.startsWith('call-')) return;
    const call = this.#callOf(sipCallId);
    if (isRequest) {
      if (!text.startsWith('INVITE')) return;
      assert.notEqual(call.journaledMs, undefined, `${sipCallId} is offered before it is on disk`);
      return;
    }
    const status = Number(text.slice(8, 11));
    if (!/\r\nCSeq: *\d+ INVITE/i.test(text) || status === 407) return;
    if (status < 200)
      assert.notEqual(call.journaledMs, undefined, `${sipCallId} is told ${status} before it is on disk`);
    else call.endedMs ??= nowMs;
  }

  onWake(_resource: string): void {
    this.wakes += 1;
    assert.ok(
      [...this.#calls.values()].some(({ journaledMs }) => journaledMs !== undefined),
      'somebody is woken before a call is on disk',
    );
  }

  onEvent(_event: CallEvent): void {}

  onServerDown(): void {
    this.#downtimes.push({ fromMs: this.#clock.nowMs, toMs: Infinity });
  }

  onServerUp(): void {
    this.starts.push(this.#clock.nowMs);
    const last = this.#downtimes.at(-1);
    if (last !== undefined && last.toMs === Infinity) last.toMs = this.#clock.nowMs;
  }

  #callOf(sipCallId: string): ServerCall {
    let call = this.#calls.get(sipCallId);
    if (call === undefined) {
      call = { journaledMs: undefined, endedMs: undefined };
      this.#calls.set(sipCallId, call);
    }
    return call;
  }

  // ---- judgement ----

  judge(callers: readonly SimCaller[], phones: readonly SimPhone[]): void {
    for (const caller of callers) {
      for (const call of caller.calls) {
        const own = phones.filter(({ options }) => options.user === call.callee);
        this.#judgeCaller(caller, call, own);
        for (const phone of own) {
          this.#judgeLost(caller, call, phone);
          this.#judgeGhost(call, phone);
          this.#judgeAgain(call, phone);
        }
      }
    }
  }

  #judgeCaller(caller: SimCaller, call: OutgoingCall, phones: readonly SimPhone[]): void {
    const { sipCallId, finals, failedMs, cancelledMs } = call;
    const server = this.#callOf(sipCallId);
    const records = phones.map((phone) => phone.recordOf(sipCallId));
    const statuses = finals.map(({ status }) => status);
    const refusals = statuses.filter((status) => status >= 300);
    const about = `${sipCallId} of ${caller.kind}: ${statuses.join(' ')}`;
    if (failedMs === undefined) {
      const isKnownLoss =
        this.#isKnownGap(call, ENDED_MS) ||
        records.some((record) => this.#isLostWithServer(record)) ||
        (caller.kind === 'udp-trunk' && records.some((record) => this.#isKnownLoss(record)));
      assert.ok(finals.length > 0 || isKnownLoss, `${about}: its caller hears no end`);
      // One that ended just before a restart is told its end once more.
      const ends = new Set(statuses);
      assert.ok(refusals.length === 0 || ends.size === 1, `${about}: its caller hears two ends`);
    }
    const answered = records.flatMap(({ finals: sent }) => sent).filter(({ status }) => status === 200);
    if (statuses.includes(200)) assert.ok(answered.length > 0, `${about}: nobody has answered`);
    for (const status of refusals) {
      if (status === 487) assert.notEqual(cancelledMs, undefined, `${about}: nobody has cancelled`);
      else if (status !== 480 && status !== 500 && status !== 503) {
        const isSaid = records.some((record) => record.finals.some((final) => final.status === status));
        assert.ok(isSaid, `${about}: no phone has said ${status}`);
      }
    }
    if (failedMs !== undefined || statuses.includes(200) || cancelledMs !== undefined) return;
    // A 2xx that the server took while the call went on reaches the caller.
    const endedMs = server.endedMs ?? Infinity;
    const taken = answered.find(
      ({ atMs, stream }) =>
        stream?.isWhole === true && atMs + SLACK_MS < endedMs && this.#isUpFor(atMs, SLACK_MS),
    );
    assert.equal(
      taken,
      undefined,
      `${about}: a phone has answered at ${taken?.atMs}, the call ended at ${endedMs}`,
    );
  }

  /** A phone that could be reached while the call went on has it, or has settled it. */
  #judgeLost(caller: SimCaller, call: OutgoingCall, phone: SimPhone): void {
    const server = this.#callOf(call.sipCallId);
    if (server.journaledMs === undefined) return;
    const endMs = Math.min(
      server.endedMs ?? Infinity,
      call.cancelledMs ?? Infinity,
      call.failedMs ?? Infinity,
      this.#clock.nowMs,
    );
    const record = phone.recordOf(call.sipCallId);
    const settledMs = Math.min(
      ...record.finals.filter(({ settles }) => settles).map(({ atMs }) => atMs),
      Infinity,
    );
    // While the caller is away after a restart nobody is offered the call.
    const bounds = [endMs, settledMs];
    for (const window of phone.reachable) {
      for (const served of this.#served(server.journaledMs, Math.min(...bounds), caller)) {
        const fromMs = Math.max(window.fromMs, served.fromMs);
        const toMs = Math.min(window.toMs, served.toMs);
        const gap = longestGap({ fromMs, toMs }, record.had);
        assert.ok(
          gap.toMs - gap.fromMs < OFFER_MS,
          `${call.sipCallId} is lost: ${phone.row.name} could be reached from ${gap.fromMs} to ${gap.toMs} and did not have it`,
        );
      }
    }
  }

  /** When the server was up and the caller within reach. */
  #served(fromMs: number, toMs: number, caller: SimCaller): Interval[] {
    const served: Interval[] = [];
    let beginMs = fromMs;
    for (const down of this.#downtimes) {
      if (down.toMs <= fromMs || down.fromMs >= toMs) continue;
      if (down.fromMs > beginMs) served.push({ fromMs: beginMs, toMs: down.fromMs });
      if (caller.kind === 'tcp-stranger') return served;
      beginMs = down.toMs;
      if (caller.kind === 'tcp-registered') {
        const back = caller.reachable.find(({ fromMs: atMs }) => atMs >= down.toMs);
        beginMs = back?.fromMs ?? Infinity;
      }
    }
    if (beginMs < toMs) served.push({ fromMs: beginMs, toMs });
    return served;
  }

  /** Nothing rings for long after the end on a phone that can be told. */
  #judgeGhost(call: OutgoingCall, phone: SimPhone): void {
    const server = this.#callOf(call.sipCallId);
    const { endedMs } = server;
    const record = phone.recordOf(call.sipCallId);
    if (endedMs === undefined || this.#isKnownGap(call, TOMBSTONE_MS)) return;
    for (const alert of record.alerting) {
      for (const window of phone.reachable) {
        const fromMs = Math.max(window.fromMs, endedMs, alert.fromMs);
        const toMs = Math.min(window.toMs, alert.toMs, this.#clock.nowMs);
        if (fromMs > endedMs + TOLD_MS) continue;
        assert.ok(
          toMs - fromMs < GHOST_MS || !this.#isUpFor(fromMs, GHOST_MS),
          `${call.sipCallId} ended at ${endedMs} and ${phone.row.name} rings on from ${fromMs} to ${toMs}`,
        );
      }
    }
  }

  /** docs/spec/calls.md, known limits: the phone that made the 2xx has ended, and so has the server that repeated it. */
  #isKnownLoss({ diedAnswered, finals }: CallRecord): boolean {
    const answer = finals.find(({ status }) => status === 200);
    return diedAnswered && answer !== undefined && this.starts.some((startMs) => startMs > answer.atMs);
  }

  /** docs/spec/calls.md, known limits: the machine died with the only 2xx on its way through it. */
  #isLostWithServer({ finals }: CallRecord): boolean {
    return finals.some(({ status, atMs }) => status === 200 && !this.#isUpFor(atMs, THROUGH_MS));
  }

  /** docs/spec/calls.md, known limits: it ended, the clock was set forward, and the server was started again, all at once. */
  #isKnownGap({ startedMs }: OutgoingCall, withinMs: number): boolean {
    return this.starts.some((startMs) =>
      this.#clock.sets.some(
        ({ atMs, byMs }) =>
          byMs >= 60_000 && atMs >= startedMs && atMs <= startMs && startMs - atMs < withinMs,
      ),
    );
  }

  /** After a final that the server has on disk nothing is offered. */
  #judgeAgain(call: OutgoingCall, phone: SimPhone): void {
    const record = phone.recordOf(call.sipCallId);
    const settled = record.finals.find(
      ({ settles, stream, atMs }) => settles && stream?.isWhole === true && this.#isUpFor(atMs, SLACK_MS),
    );
    if (settled === undefined) return;
    const again = record.invites.find(({ atMs }) => atMs > settled.atMs + SLACK_MS);
    assert.equal(
      again,
      undefined,
      `${call.sipCallId}: ${phone.row.name} said ${settled.status} at ${settled.atMs} and is offered it again at ${again?.atMs}`,
    );
    const { endedMs } = this.#callOf(call.sipCallId);
    const late = record.invites.find(({ atMs }) => endedMs !== undefined && atMs > endedMs + SLACK_MS);
    assert.equal(late, undefined, `${call.sipCallId} ended at ${endedMs} and is offered at ${late?.atMs}`);
  }

  #isUpFor(fromMs: number, ms: number): boolean {
    return this.#downtimes.every((down) => down.toMs <= fromMs || down.fromMs >= fromMs + ms);
  }
}

/** The longest time within `whole` that none of `parts` covers. */
function longestGap(whole: Interval, parts: readonly Interval[]): Interval {
  let best: Interval = { fromMs: whole.fromMs, toMs: whole.fromMs };
  let beginMs = whole.fromMs;
  const note = (toMs: number) => {
    if (toMs - beginMs > best.toMs - best.fromMs) best = { fromMs: beginMs, toMs };
  };
  for (const part of parts) {
    if (part.toMs <= beginMs || part.fromMs >= whole.toMs) continue;
    note(Math.min(part.fromMs, whole.toMs));
    beginMs = Math.max(beginMs, part.toMs);
  }
  if (beginMs < whole.toMs) note(whole.toMs);
  return best;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

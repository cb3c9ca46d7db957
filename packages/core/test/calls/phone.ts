/**
 * A simulated phone: it rings, its user answers or declines, and its flow is lost meanwhile. What it does then differs from
 * phone to phone, as it was measured with real ones: see `phone-rows.ts`.
 */
import type { SipRequest, SipResponse } from '../../src/wire/sip/index.js';
import type { Stream } from './network.js';
import type { PhoneRow } from './phone-rows.js';
import { UserAgent, type AgentOptions, type Interval } from './user-agent.js';

/** What its user does with a call. */
export interface UserPolicy {
  readonly what: 'answer' | 'decline' | 'busy' | 'ignore';
  /** After it began to ring, ms. */
  readonly afterMs: number;
}

/** What a phone did with one call, for the checker. Kept over its lives. */
export interface CallRecord {
  readonly sipCallId: string;
  /** When it had the call: rang with it, or had answered it. */
  readonly had: Interval[];
  /** When it rang. */
  readonly alerting: Interval[];
  /** Finals that it sent: when, and whether they settle what it does with the call. */
  readonly finals: {
    readonly atMs: number;
    readonly status: number;
    readonly settles: boolean;
    stream: Stream | undefined;
  }[];
  /** INVITEs that came. */
  readonly invites: {
    readonly atMs: number;
    readonly branch: string;
    readonly answered: number | undefined;
  }[];
  /** It ended, or gave up, before its 2xx was acknowledged: it does not repeat that any more. */
  diedAnswered: boolean;
  /** Its flow was lost while it rang. */
  lostWhileRinging: number[];
}

interface PhoneCall {
  readonly sipCallId: string;
  readonly fromTag: string;
  invite: SipRequest;
  state: 'ringing' | 'answered' | 'confirmed' | 'ended';
  readonly tag: string;
}

interface ServerTransaction {
  readonly call: PhoneCall | undefined;
  readonly request: SipRequest;
  stream: Stream | undefined;
  last: Uint8Array;
  isFinal: boolean;
}

const ALERT_MS = 30;
/** 64·T1, and the longest time between two 2xx, ms. */
const ACK_WAIT_MS = 32_000;
const T2_MS = 4_000;

export class SimPhone extends UserAgent {
  readonly row: PhoneRow;
  readonly policy: UserPolicy;
  readonly records = new Map<string, CallRecord>();
  readonly #calls: PhoneCall[] = [];
  readonly #transactions = new Map<string, ServerTransaction>();
  /** What could not be sent yet. */
  #unsent: (() => void)[] = [];
  #tagCount = 0;
  #launchesBy: number | undefined;

  constructor(options: AgentOptions, row: PhoneRow, policy: UserPolicy) {
    super(options);
    this.row = row;
    this.policy = policy;
    this.sleeps = row.sleeps;
    this.wakesByData = row.sleeps;
  }

  get isIdle(): boolean {
    return this.#calls.every(({ state }) => state === 'ended' || state === 'confirmed');
  }

  recordOf(sipCallId: string): CallRecord {
    let record = this.records.get(sipCallId);
    if (record === undefined) {
      record = {
        sipCallId,
        had: [],
        alerting: [],
        finals: [],
        invites: [],
        diedAnswered: false,
        lostWhileRinging: [],
      };
      this.records.set(sipCallId, record);
    }
    return record;
  }

  /** The app crashes. It comes back by itself, or when it is woken. */
  crash(): void {
    if (this.process === 'dead') return;
    for (const call of this.#calls) this.#lose(call);
    this.#calls.length = 0;
    this.#transactions.clear();
    this.#unsent = [];
    this.die();
    const ms = this.options.random.nextInteger(...this.row.relaunchMs);
    const dueMs = this.nowMs + ms;
    this.#launchesBy = dueMs;
    this.options.clock.after(ms, () => {
      if (this.process === 'dead' && this.#launchesBy === dueMs) this.start();
    });
  }

  override onCut(): void {
    for (const call of this.#calls) {
      if (call.state === 'ringing') this.recordOf(call.sipCallId).lostWhileRinging.push(this.nowMs);
    }
    super.onCut();
  }

  protected override handleStreamLost(): void {
    for (const call of this.#calls) {
      if (this.row.keepsTransactions || (call.state !== 'ringing' && call.state !== 'answered')) continue;
      this.#lose(call);
    }
    if (this.row.keepsTransactions) return;
    this.#transactions.clear();
    this.#unsent = [];
  }

  protected override handleRegistered(): void {
    for (const send of this.#unsent.splice(0)) send();
    if (!this.row.repeatsUnasked) return;
    for (const transaction of this.#transactions.values()) {
      if (transaction.stream === this.stream || transaction.call === undefined) continue;
      if (transaction.call.state === 'ringing' || transaction.call.state === 'answered')
        this.#resend(transaction);
    }
  }

  // ---- requests ----

  protected handleRequest(request: SipRequest, stream: Stream | undefined): void {
    switch (request.method) {
      case 'INVITE':
        return this.#handleInvite(request, stream);
      case 'ACK':
        return this.#handleAck(request);
      case 'CANCEL':
        return this.#handleCancel(request);
      case 'BYE':
        return this.#handleBye(request);
      default:
        this.write(this.respond(request, 405, 'Method Not Allowed', 'other'));
    }
  }

  #handleInvite(request: SipRequest, stream: Stream | undefined): void {
    const branch = request.topVia.branch!;
    const record = this.recordOf(request.callId);
    const note = (answered: number | undefined) =>
      record.invites.push({ atMs: this.nowMs, branch, answered });
    const known = this.#transactions.get(branch);
    if (known !== undefined) {
      note(undefined);
      if (known.stream !== stream && this.row.crashesOnMovedBranch) return this.crash();
      known.stream = stream;
      this.write(known.last);
      return;
    }
    const uri = request.requestUri;
    if (uri?.kind !== 'sip' || uri.user !== this.contactUser) {
      note(404);
      this.#finish(
        { call: undefined, request, stream, last: new Uint8Array(0), isFinal: false },
        404,
        'Not Found',
        false,
      );
      return;
    }
    const same = this.#calls.find(
      (call) =>
        call.sipCallId === request.callId && call.fromTag === request.from.tag && call.state !== 'ended',
    );
    if (same !== undefined) {
      const status = this.row.secondBranch;
      note(status);
      this.#finish(
        { call: undefined, request, stream, last: new Uint8Array(0), isFinal: false },
        status,
        status === 482 ? 'Loop Detected' : 'Busy Here',
        false,
      );
      return;
    }
    note(180);
    const call: PhoneCall = {
      sipCallId: request.callId,
      fromTag: request.from.tag ?? '',
      invite: request,
      state: 'ringing',
      tag: `t${this.address.port}x${(this.#tagCount += 1)}r${this.run}`,
    };
    this.#calls.push(call);
    record.had.push({ fromMs: this.nowMs, toMs: Infinity });
    record.alerting.push({ fromMs: this.nowMs, toMs: Infinity });
    const transaction: ServerTransaction = {
      call,
      request,
      stream,
      last: this.respond(request, 100, 'Trying', call.tag),
      isFinal: false,
    };
    this.#transactions.set(branch, transaction);
    this.write(transaction.last);
    this.timer(ALERT_MS, () => {
      if (call.state !== 'ringing') return;
      transaction.last = this.respond(request, 180, 'Ringing', call.tag, [
        ['Contact', `<${this.contact};ob>`],
      ]);
      this.#resend(transaction);
    });
    this.#decide(call, transaction);
  }

  /** Its user acts, and looks at it for that. */
  #decide(call: PhoneCall, transaction: ServerTransaction): void {
    const { what, afterMs } = this.policy;
    if (what === 'ignore') return;
    const life = this.run;
    this.options.clock.after(afterMs, () => {
      if (life !== this.run || call.state !== 'ringing') return;
      this.thaw();
      this.do(() => {
        if (call.state !== 'ringing') return;
        if (what === 'answer') this.#answer(call, transaction);
        else {
          this.#end(call);
          if (what === 'decline') this.#finish(transaction, 603, 'Decline', true);
          else this.#finish(transaction, 486, 'Busy Here', true);
        }
      });
    });
  }

  #answer(call: PhoneCall, transaction: ServerTransaction): void {
    call.state = 'answered';
    this.#stopAlerting(call);
    transaction.last = this.respond(transaction.request, 200, 'OK', call.tag, [
      ['Contact', `<${this.contact};ob>`],
    ]);
    const send = () => {
      if (call.state !== 'answered') return;
      this.#noteFinal(call.sipCallId, 200, true);
      this.#resend(transaction);
    };
    // RFC 3261 §13.3.1.4: until the ACK comes, on streams, too.
    const endMs = this.nowMs + ACK_WAIT_MS;
    const repeat = (ms: number) => {
      send();
      this.timer(ms, () => {
        if (call.state !== 'answered') return;
        if (this.nowMs >= endMs) this.#lose(call);
        else repeat(Math.min(ms * 2, T2_MS));
      });
    };
    repeat(500);
  }

  #finish(transaction: ServerTransaction, status: number, reason: string, settles: boolean): void {
    const { request, call } = transaction;
    transaction.isFinal = true;
    transaction.last = this.respond(request, status, reason, call?.tag ?? `f${this.address.port}`);
    this.#transactions.set(request.topVia.branch!, transaction);
    this.#noteFinal(request.callId, status, settles);
    this.#resend(transaction);
  }

  /** On the stream that is there now, or as soon as there is one. */
  #resend(transaction: ServerTransaction): void {
    const bytes = transaction.last;
    if (this.stream !== undefined && this.isRegistered && this.write(bytes)) {
      transaction.stream = this.stream;
      return;
    }
    if (!this.row.keepsTransactions) return;
    this.#unsent.push(() => {
      if (transaction.last !== bytes) return;
      if (transaction.call?.state === 'ended' && !transaction.isFinal) return;
      if (transaction.isFinal && transaction.call !== undefined) this.#renoteFinal(transaction);
      transaction.stream = this.stream;
      this.write(bytes);
    });
  }

  #noteFinal(sipCallId: string, status: number, settles: boolean): void {
    this.recordOf(sipCallId).finals.push({
      atMs: this.nowMs,
      status,
      settles,
      stream: this.isRegistered ? this.stream : undefined,
    });
  }

  #renoteFinal(transaction: ServerTransaction): void {
    const record = this.recordOf(transaction.request.callId);
    const last = record.finals.at(-1);
    if (last !== undefined) record.finals.push({ ...last, atMs: this.nowMs, stream: this.stream });
  }

  #handleAck(request: SipRequest): void {
    const branch = request.topVia.branch!;
    if (this.#transactions.get(branch)?.isFinal === true) {
      this.#transactions.delete(branch);
      return;
    }
    const call = this.#find(request);
    if (call?.state !== 'answered') return;
    call.state = 'confirmed';
  }

  #handleCancel(request: SipRequest): void {
    const transaction = this.#transactions.get(request.topVia.branch!);
    if (transaction === undefined) {
      this.write(this.respond(request, 481, 'Call/Transaction Does Not Exist', 'cancel'));
      return;
    }
    this.write(this.respond(request, 200, 'OK', transaction.call?.tag ?? 'cancel'));
    const { call } = transaction;
    if (call?.state !== 'ringing') return;
    this.#end(call);
    this.#finish(transaction, 487, 'Request Terminated', false);
  }

  #handleBye(request: SipRequest): void {
    const call = this.#find(request);
    if (call === undefined) {
      this.write(this.respond(request, 481, 'Call/Transaction Does Not Exist', 'bye'));
      return;
    }
    this.#end(call);
    this.write(this.respond(request, 200, 'OK', call.tag));
  }

  protected handleResponse(_response: SipResponse): void {}

  #find(request: SipRequest): PhoneCall | undefined {
    return this.#calls.find(
      ({ sipCallId, tag, state }) =>
        sipCallId === request.callId && tag === request.to.tag && state !== 'ended',
    );
  }

  #stopAlerting(call: PhoneCall): void {
    const last = this.recordOf(call.sipCallId).alerting.at(-1);
    if (last !== undefined && last.toMs === Infinity) last.toMs = this.nowMs;
  }

  /** It forgets the call. */
  #lose(call: PhoneCall): void {
    if (call.state === 'answered') this.recordOf(call.sipCallId).diedAnswered = true;
    this.#end(call);
  }

  #end(call: PhoneCall): void {
    if (call.state === 'ended') return;
    call.state = 'ended';
    this.#stopAlerting(call);
    const had = this.recordOf(call.sipCallId).had.at(-1);
    if (had !== undefined && had.toMs === Infinity) had.toMs = this.nowMs;
  }
}

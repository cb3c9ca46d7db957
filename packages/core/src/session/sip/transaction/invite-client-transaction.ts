/**
 * The client side of an INVITE (RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §7.2), with the two things that a
 * proxy adds: Timer C (RFC 3261 §16.6) and the CANCEL that waits for a provisional response (§9.1).
 *
 * A phone that sleeps loses its connection while it rings, so this transaction can outlive its flow: without one it
 * neither repeats anything nor times out by Timer B, and it goes on when it is attached to another. It decides nothing
 * about when or whether that happens, and it holds no bytes: it says what is to be sent.
 */
import type { ClientAction } from './actions.js';
import { TimerSet, transactionMs, type TimerValues } from './timers.js';

export type InviteClientState = 'calling' | 'proceeding' | 'completed' | 'accepted' | 'terminated';

/** Timer D on unreliable transports, ms: at least 32 s, whatever T1 is (RFC 3261 §17.1.1.2). */
const TIMER_D_MS_MIN = 32_000;

export interface InviteClientOptions {
  readonly timers: TimerValues;
  /** Timer C, ms: longer than 180,000. */
  readonly timerCMs: number;
  /** The loss of its flow does not end it. */
  readonly outlivesFlow: boolean;
  /** How long it may be without a flow before it ends by itself, ms. */
  readonly detachedMsMax: number;
  /** Timer B on a stream, ms: a phone that sleeps may read the request late. At least 64·T1. */
  readonly streamTimerBMs: number;
  /** The same once it is cancelled: a phone that reads the request later than that rings for nobody. */
  readonly cancelledMsMax: number;
}

export class InviteClientTransaction {
  readonly #options: InviteClientOptions;
  readonly #timers = new TimerSet();
  #state: InviteClientState = 'calling';
  #isReliable = true;
  #isAttached = false;
  /** Between two retransmissions of the request, ms. */
  #timerAMs = 0;
  #cancel: 'none' | 'wanted' | 'sent' = 'none';

  constructor(options: InviteClientOptions) {
    this.#options = options;
  }

  get state(): InviteClientState {
    return this.#state;
  }

  /** It has a flow to send on. */
  get isAttached(): boolean {
    return this.#isAttached;
  }

  nextTimeoutMs(): number {
    return this.#timers.nextMs;
  }

  /** Sends the INVITE for the first time. */
  start(nowMs: number, isReliable: boolean): readonly ClientAction[] {
    this.#isAttached = true;
    return this.#call(nowMs, isReliable);
  }

  /**
   * Instead of `start`, after a restart of the server: it is where it was, without a flow. `accepted`: its 2xx may come
   * again, and is passed on for 64·T1.
   */
  restore(nowMs: number, state: 'calling' | 'proceeding' | 'accepted'): void {
    this.#state = state;
    if (state === 'accepted') this.#timers.start('M', nowMs, this.#transactionMs);
    else this.#timers.start('detached', nowMs, this.#options.detachedMsMax);
    if (state === 'proceeding') this.#timers.start('C', nowMs, this.#options.timerCMs);
  }

  /**
   * Goes on on another flow. `resend`: the request is sent again there, as it was; Timers A and B begin anew unless a
   * provisional response has been seen.
   */
  attach(nowMs: number, isReliable: boolean, resend: boolean): readonly ClientAction[] {
    if (this.#state === 'terminated') return [];
    this.#isAttached = true;
    this.#isReliable = isReliable;
    this.#timers.stop('detached');
    const actions: ClientAction[] = [];
    if (this.#state === 'calling') {
      if (resend) actions.push(...this.#call(nowMs, isReliable));
      else {
        this.#startTimerB(nowMs);
        // RFC 3261 §9.1 waits because a CANCEL may overtake its request. That came on the flow which is gone, or never will.
        actions.push(...this.#cancelIfWanted(nowMs));
      }
    } else if (this.#state === 'proceeding') {
      if (resend) actions.push('send-request');
      actions.push(...this.#cancelIfWanted(nowMs));
    }
    return actions;
  }

  handleResponse(nowMs: number, status: number): readonly ClientAction[] {
    switch (this.#state) {
      case 'calling':
      case 'proceeding':
        if (status < 200) return this.#proceed(nowMs, status);
        if (status < 300) return this.#accept(nowMs);
        return this.#complete(nowMs);
      case 'accepted':
        // RFC 6026 §7.2: every 2xx goes up, of this phone or of another that somebody behind us forked to.
        return status >= 200 && status < 300 ? ['pass-response'] : [];
      case 'completed':
        return status >= 300 ? ['send-ack'] : [];
      case 'terminated':
        return [];
    }
  }

  /**
   * The call is not wanted any more. On one flow the CANCEL is sent once, in a transaction of its own; on the flow that the
   * phone comes back with, again.
   */
  cancel(nowMs: number): readonly ClientAction[] {
    if (this.#cancel !== 'none' || (this.#state !== 'calling' && this.#state !== 'proceeding')) return [];
    this.#cancel = 'wanted';
    if (this.#state === 'calling') {
      if (this.#isAttached && this.#isReliable) this.#startTimerB(nowMs);
      return [];
    }
    // Whether or not there is a flow to send it on.
    this.#waitForCancel(nowMs);
    return this.#cancelIfWanted(nowMs);
  }

  /** The flow that it was sent on is gone, or nothing can be sent there. */
  handleFlowLost(nowMs: number): readonly ClientAction[] {
    if (!this.#isAttached) return [];
    this.#isAttached = false;
    // A connection that was dead for a while may have swallowed the CANCEL, and the phone rings on when it is back.
    if (this.#cancel === 'sent' && this.#options.outlivesFlow) this.#cancel = 'wanted';
    switch (this.#state) {
      case 'calling':
        if (!this.#options.outlivesFlow) return this.#terminate('transport-error');
        this.#timers.stop('A', 'B');
        this.#timers.start('detached', nowMs, this.#options.detachedMsMax);
        return ['flow-lost'];
      case 'proceeding':
        // Timer C runs on: the phone may answer on another connection (RFC 3261 §18.2.2).
        if (this.#options.outlivesFlow) {
          this.#timers.start('detached', nowMs, this.#options.detachedMsMax);
          if (this.#cancel === 'wanted') this.#waitForCancel(nowMs);
        }
        return ['flow-lost'];
      case 'completed':
        return this.#terminate('transport-error');
      case 'accepted':
      case 'terminated':
        return [];
    }
  }

  handleTimeout(nowMs: number): readonly ClientAction[] {
    const actions: ClientAction[] = [];
    for (let name = this.#timers.takeDue(nowMs); name !== undefined; name = this.#timers.takeDue(nowMs)) {
      switch (name) {
        case 'A':
          this.#timerAMs *= 2;
          this.#timers.start('A', nowMs, this.#timerAMs);
          actions.push('send-request');
          break;
        case 'C':
          actions.push('timer-c', ...this.cancel(nowMs));
          break;
        case 'D':
        case 'M':
          actions.push(...this.#terminate());
          break;
        default:
          // B, `cancel` and `detached`.
          actions.push(...this.#terminate('timeout'));
      }
    }
    return actions;
  }

  /** Ends it without a word. */
  abandon(): readonly ClientAction[] {
    return this.#state === 'terminated' ? [] : this.#terminate();
  }

  get #transactionMs(): number {
    return transactionMs(this.#options.timers);
  }

  #call(nowMs: number, isReliable: boolean): readonly ClientAction[] {
    this.#isReliable = isReliable;
    this.#timers.stop('A');
    if (!isReliable) {
      this.#timerAMs = this.#options.timers.t1Ms;
      this.#timers.start('A', nowMs, this.#timerAMs);
    }
    this.#startTimerB(nowMs);
    return ['send-request'];
  }

  #startTimerB(nowMs: number): void {
    const { streamTimerBMs, cancelledMsMax } = this.#options;
    const streamMs = this.#cancel === 'none' ? streamTimerBMs : cancelledMsMax;
    this.#timers.start(
      'B',
      nowMs,
      this.#isReliable ? Math.max(streamMs, this.#transactionMs) : this.#transactionMs,
    );
  }

  #proceed(nowMs: number, status: number): readonly ClientAction[] {
    this.#timers.stop('A', 'B');
    const isFirst = this.#state === 'calling';
    this.#state = 'proceeding';
    // RFC 3261 §16.7 step 2: every provisional response but 100 resets Timer C. A cancelled one has its own end.
    if (this.#cancel === 'none' && (isFirst || status > 100)) {
      this.#timers.start('C', nowMs, this.#options.timerCMs);
    }
    if (this.#cancel === 'wanted' && isFirst) this.#waitForCancel(nowMs);
    return ['pass-response', ...this.#cancelIfWanted(nowMs)];
  }

  #accept(nowMs: number): readonly ClientAction[] {
    this.#timers.stopAll();
    this.#state = 'accepted';
    this.#timers.start('M', nowMs, this.#transactionMs);
    return ['pass-response'];
  }

  #complete(nowMs: number): readonly ClientAction[] {
    this.#timers.stopAll();
    this.#state = 'completed';
    // RFC 3261 §17.1.1.2: on reliable transports Timer D is 0.
    if (this.#isReliable) return ['send-ack', 'pass-response', ...this.#terminate()];
    this.#timers.start('D', nowMs, Math.max(TIMER_D_MS_MIN, this.#transactionMs));
    return ['send-ack', 'pass-response'];
  }

  #cancelIfWanted(nowMs: number): readonly ClientAction[] {
    if (this.#cancel !== 'wanted' || !this.#isAttached) return [];
    this.#cancel = 'sent';
    this.#waitForCancel(nowMs);
    return ['send-cancel'];
  }

  /** RFC 3261 §9.1: a request whose CANCEL had no effect for 64·T1 counts as cancelled. Without a flow there was no effect yet. */
  #waitForCancel(nowMs: number): void {
    const { cancelledMsMax, outlivesFlow } = this.#options;
    this.#timers.stop('C');
    const awayMs = this.#isAttached || !outlivesFlow ? 0 : cancelledMsMax;
    this.#timers.start('cancel', nowMs, Math.max(awayMs, this.#transactionMs));
  }

  #terminate(reason?: 'timeout' | 'transport-error'): readonly ClientAction[] {
    this.#state = 'terminated';
    this.#timers.stopAll();
    return reason === undefined ? ['terminated'] : [reason, 'terminated'];
  }
}

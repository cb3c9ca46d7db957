/**
 * The client side of every request but INVITE and ACK (RFC 3261 §17.1.2).
 *
 * It ends 64·T1 after it began at the latest, with or without a flow: who has not answered by then is not waited for
 * (RFC 4320). It holds no bytes: it says what is to be sent.
 */
import type { ClientAction } from './actions.js';
import { TimerSet, transactionMs, type TimerValues } from './timers.js';

export type NonInviteClientState = 'trying' | 'proceeding' | 'completed' | 'terminated';

export interface NonInviteClientOptions {
  readonly timers: TimerValues;
  /** The loss of its flow does not end it. */
  readonly outlivesFlow: boolean;
}

export class NonInviteClientTransaction {
  readonly #options: NonInviteClientOptions;
  readonly #timers = new TimerSet();
  #state: NonInviteClientState = 'trying';
  #isReliable = true;
  #isAttached = false;
  /** Between two retransmissions of the request, ms. */
  #timerEMs = 0;

  constructor(options: NonInviteClientOptions) {
    this.#options = options;
  }

  get state(): NonInviteClientState {
    return this.#state;
  }

  /** It has a flow to send on. */
  get isAttached(): boolean {
    return this.#isAttached;
  }

  nextTimeoutMs(): number {
    return this.#timers.nextMs;
  }

  start(nowMs: number, isReliable: boolean): readonly ClientAction[] {
    this.#timers.start('F', nowMs, transactionMs(this.#options.timers));
    return this.attach(nowMs, isReliable, true);
  }

  /** Goes on on another flow. Timer F runs on. `resend`: the request is sent again there, as it was. */
  attach(nowMs: number, isReliable: boolean, resend: boolean): readonly ClientAction[] {
    if (this.#state === 'terminated') return [];
    this.#isAttached = true;
    this.#isReliable = isReliable;
    this.#timers.stop('E');
    if (this.#state === 'completed') return [];
    if (!isReliable) {
      this.#timerEMs = this.#state === 'trying' ? this.#options.timers.t1Ms : this.#options.timers.t2Ms;
      this.#timers.start('E', nowMs, this.#timerEMs);
    }
    return resend ? ['send-request'] : [];
  }

  handleResponse(nowMs: number, status: number): readonly ClientAction[] {
    if (this.#state !== 'trying' && this.#state !== 'proceeding') return [];
    if (status < 200) {
      this.#state = 'proceeding';
      return ['pass-response'];
    }
    this.#timers.stopAll();
    // RFC 3261 §17.1.2.2: on reliable transports Timer K is 0.
    if (this.#isReliable) return ['pass-response', ...this.#terminate()];
    this.#state = 'completed';
    this.#timers.start('K', nowMs, this.#options.timers.t4Ms);
    return ['pass-response'];
  }

  /** The flow that it was sent on is gone, or nothing can be sent there. */
  handleFlowLost(): readonly ClientAction[] {
    if (!this.#isAttached) return [];
    this.#isAttached = false;
    if (this.#state !== 'trying' && this.#state !== 'proceeding') return [];
    if (!this.#options.outlivesFlow) return this.#terminate('transport-error');
    this.#timers.stop('E');
    return ['flow-lost'];
  }

  handleTimeout(nowMs: number): readonly ClientAction[] {
    const actions: ClientAction[] = [];
    for (let name = this.#timers.takeDue(nowMs); name !== undefined; name = this.#timers.takeDue(nowMs)) {
      switch (name) {
        case 'E': {
          // RFC 3261 §17.1.2.2: doubled up to T2 while nothing came, T2 afterwards.
          const { t2Ms } = this.#options.timers;
          this.#timerEMs = this.#state === 'trying' ? Math.min(this.#timerEMs * 2, t2Ms) : t2Ms;
          this.#timers.start('E', nowMs, this.#timerEMs);
          actions.push('send-request');
          break;
        }
        case 'K':
          actions.push(...this.#terminate());
          break;
        default:
          actions.push(...this.#terminate('timeout'));
      }
    }
    return actions;
  }

  /** Ends it without a word. */
  abandon(): readonly ClientAction[] {
    return this.#state === 'terminated' ? [] : this.#terminate();
  }

  #terminate(reason?: 'timeout' | 'transport-error'): readonly ClientAction[] {
    this.#state = 'terminated';
    this.#timers.stopAll();
    return reason === undefined ? ['terminated'] : [reason, 'terminated'];
  }
}

/**
 * The server side of an INVITE (RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1).
 *
 * It says 100 by itself when the core has said nothing for 200 ms, unless the core wants to say it itself. A transport
 * error does not end it: the caller may be reached in another way, and the phone that answers must not be left alone
 * (RFC 6026 §7.1). A 2xx is repeated by the phone that made it; where that has fallen silent and no ACK has come over UDP,
 * this repeats the last one, as the caller would ring on for nobody. It holds no bytes: it says what is to be sent.
 */
import type { ServerAction } from './actions.js';
import { TimerSet, transactionMs, type TimerValues } from './timers.js';

export type InviteServerState = 'proceeding' | 'completed' | 'confirmed' | 'accepted' | 'terminated';

export interface InviteServerOptions {
  readonly timers: TimerValues;
  /** When 100 is said at the latest, ms (RFC 3261 §17.2.1: 200). */
  readonly tryingMsMax: number;
  /** How long the core may go on without a final response, ms: begins anew with every response of it. */
  readonly proceedingMsMax: number;
}

export class InviteServerTransaction {
  readonly #options: InviteServerOptions;
  readonly #timers = new TimerSet();
  #state: InviteServerState = 'proceeding';
  #hasResponded = false;
  #isAcknowledged = false;
  /** Between two retransmissions of the response, ms. */
  #timerGMs = 0;

  constructor(options: InviteServerOptions) {
    this.#options = options;
  }

  get state(): InviteServerState {
    return this.#state;
  }

  nextTimeoutMs(): number {
    return this.#timers.nextMs;
  }

  /** The INVITE came. */
  start(nowMs: number): void {
    this.#timers.start('100', nowMs, this.#options.tryingMsMax);
    this.#timers.start('end', nowMs, this.#options.proceedingMsMax);
  }

  /** The core will say 100 itself, when it can vouch for the request. */
  holdTrying(): void {
    this.#timers.stop('100');
  }

  /** Instead of `start`, after a restart of the server: 100 has been said, or the 2xx was on its way. */
  restore(nowMs: number, state: 'proceeding' | 'accepted'): void {
    this.#state = state;
    this.#hasResponded = true;
    if (state === 'accepted') this.#timers.start('L', nowMs, transactionMs(this.#options.timers));
    else this.#timers.start('end', nowMs, this.#options.proceedingMsMax);
  }

  /** The same INVITE came again. */
  handleRetransmission(): readonly ServerAction[] {
    // RFC 6026 §7.1: absorbed in Accepted; the 2xx is repeated by who made it.
    const isRepeated = (this.#state === 'proceeding' && this.#hasResponded) || this.#state === 'completed';
    return isRepeated ? ['send-response'] : [];
  }

  handleAck(nowMs: number): readonly ServerAction[] {
    if (this.#state === 'accepted') {
      this.handleAnswerAck();
      return ['pass-ack'];
    }
    if (this.#state !== 'completed') return [];
    this.#timers.stopAll();
    // RFC 3261 §17.2.1: on reliable transports Timer I is 0. Which of both it is shows in whether Timer G ran.
    if (this.#timerGMs === 0) return this.#terminate();
    this.#state = 'confirmed';
    this.#timers.start('I', nowMs, this.#options.timers.t4Ms);
    return [];
  }

  /** An ACK for a 2xx came, which has a branch of its own (RFC 3261 §17.1.1.3): the caller has heard it. */
  handleAnswerAck(): void {
    this.#isAcknowledged = true;
    this.#timers.stop('answer');
  }

  /**
   * The core answers. Undefined: it is too late, or not allowed, and nothing was sent.
   *
   * @param isReliable of the transport that the response takes.
   */
  respond(nowMs: number, status: number, isReliable: boolean): readonly ServerAction[] | undefined {
    // RFC 6026 §7.1: after a 2xx only further ones.
    if (this.#state === 'accepted') {
      if (status < 200 || status >= 300) return undefined;
      this.#awaitAck(nowMs, isReliable);
      return ['send-response'];
    }
    if (this.#state !== 'proceeding') return undefined;
    this.#hasResponded = true;
    this.#timers.stop('100');
    if (status < 200) {
      this.#timers.start('end', nowMs, this.#options.proceedingMsMax);
      return ['send-response'];
    }
    this.#timers.stopAll();
    if (status < 300) {
      this.#state = 'accepted';
      this.#timers.start('L', nowMs, transactionMs(this.#options.timers));
      this.#awaitAck(nowMs, isReliable);
    } else {
      this.#state = 'completed';
      this.#timers.start('H', nowMs, transactionMs(this.#options.timers));
      if (!isReliable) {
        this.#timerGMs = this.#options.timers.t1Ms;
        this.#timers.start('G', nowMs, this.#timerGMs);
      }
    }
    return ['send-response'];
  }

  handleTimeout(nowMs: number): readonly ServerAction[] {
    const actions: ServerAction[] = [];
    for (let name = this.#timers.takeDue(nowMs); name !== undefined; name = this.#timers.takeDue(nowMs)) {
      switch (name) {
        case '100':
          this.#hasResponded = true;
          actions.push('send-trying');
          break;
        case 'G':
          this.#timerGMs = Math.min(this.#timerGMs * 2, this.#options.timers.t2Ms);
          this.#timers.start('G', nowMs, this.#timerGMs);
          actions.push('send-response');
          break;
        case 'answer':
          this.#awaitAck(nowMs, false);
          actions.push('send-response');
          break;
        case 'H':
          actions.push('ack-timeout', ...this.#terminate());
          break;
        case 'end':
          actions.push('unanswered', ...this.#terminate());
          break;
        default:
          // I and L.
          actions.push(...this.#terminate());
      }
    }
    return actions;
  }

  /** Ends it without a word. */
  abandon(): readonly ServerAction[] {
    return this.#state === 'terminated' ? [] : this.#terminate();
  }

  #awaitAck(nowMs: number, isReliable: boolean): void {
    if (isReliable || this.#isAcknowledged) return;
    // A phone that is there repeats it after T2 at the latest (RFC 3261 §13.3.1.4), and then this does not.
    const { t1Ms, t2Ms } = this.#options.timers;
    this.#timers.start('answer', nowMs, t2Ms + t1Ms);
  }

  #terminate(): readonly ServerAction[] {
    this.#state = 'terminated';
    this.#timers.stopAll();
    return ['terminated'];
  }
}

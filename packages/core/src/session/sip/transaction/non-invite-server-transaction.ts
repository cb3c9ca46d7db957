/**
 * The server side of every request but INVITE and ACK (RFC 3261 §17.2.2 with RFC 4320).
 *
 * Nobody waits for an answer longer than Timer F, so this transaction ends by itself then, without a word: a 408 would
 * arrive where nobody waits for it (RFC 4320 §4.2). It holds no bytes: it says what is to be sent.
 */
import type { ServerAction } from './actions.js';
import { TimerSet, transactionMs, type TimerValues } from './timers.js';

export type NonInviteServerState = 'trying' | 'proceeding' | 'completed' | 'terminated';

export interface NonInviteServerOptions {
  readonly timers: TimerValues;
}

export class NonInviteServerTransaction {
  readonly #options: NonInviteServerOptions;
  readonly #timers = new TimerSet();
  #state: NonInviteServerState = 'trying';
  #startedMs = 0;

  constructor(options: NonInviteServerOptions) {
    this.#options = options;
  }

  get state(): NonInviteServerState {
    return this.#state;
  }

  nextTimeoutMs(): number {
    return this.#timers.nextMs;
  }

  /** The request came. */
  start(nowMs: number): void {
    this.#startedMs = nowMs;
    this.#timers.start('100', nowMs, this.#tryingMs);
    this.#timers.start('end', nowMs, transactionMs(this.#options.timers));
  }

  /** The same request came again. */
  handleRetransmission(): readonly ServerAction[] {
    return this.#state === 'proceeding' || this.#state === 'completed' ? ['send-response'] : [];
  }

  /**
   * The core answers. Undefined: it is too late, or not allowed, and nothing was sent.
   *
   * @param isReliable of the transport that the response takes.
   */
  respond(nowMs: number, status: number, isReliable: boolean): readonly ServerAction[] | undefined {
    if (this.#state !== 'trying' && this.#state !== 'proceeding') return undefined;
    if (status < 200) {
      // RFC 4320 §4.1: 100 alone, and on unreliable transports not before Timer E of the other side has reached T2.
      if (status !== 100 || (!isReliable && nowMs < this.#startedMs + this.#tryingMs)) return undefined;
      this.#state = 'proceeding';
      this.#timers.stop('100');
      return ['send-response'];
    }
    // RFC 4320 §4.2.
    if (status === 408) return undefined;
    this.#timers.stopAll();
    // RFC 3261 §17.2.2: on reliable transports Timer J is 0.
    if (isReliable) return ['send-response', ...this.#terminate()];
    this.#state = 'completed';
    this.#timers.start('J', nowMs, transactionMs(this.#options.timers));
    return ['send-response'];
  }

  handleTimeout(nowMs: number): readonly ServerAction[] {
    const actions: ServerAction[] = [];
    for (let name = this.#timers.takeDue(nowMs); name !== undefined; name = this.#timers.takeDue(nowMs)) {
      switch (name) {
        case '100':
          this.#state = 'proceeding';
          actions.push('send-trying');
          break;
        case 'end':
          actions.push('unanswered', ...this.#terminate());
          break;
        default:
          actions.push(...this.#terminate());
      }
    }
    return actions;
  }

  /** When Timer E of a client has reached T2: 3.5 s with the usual values. */
  get #tryingMs(): number {
    const { t1Ms, t2Ms } = this.#options.timers;
    let atMs = t1Ms;
    for (let timerEMs = Math.min(2 * t1Ms, t2Ms); timerEMs < t2Ms; timerEMs = Math.min(2 * timerEMs, t2Ms)) {
      atMs += timerEMs;
    }
    return atMs;
  }

  /** Ends it without a word. */
  abandon(): readonly ServerAction[] {
    return this.#state === 'terminated' ? [] : this.#terminate();
  }

  #terminate(): readonly ServerAction[] {
    this.#state = 'terminated';
    this.#timers.stopAll();
    return ['terminated'];
  }
}

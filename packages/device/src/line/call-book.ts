/**
 * The calls that the machine has told of, as the app gets them: one object for each call, however often the server speaks of it, from its
 * wake to its end. What the user decides goes back to the machine.
 */
import type { CallEnd, CallIntent, CallIntentOutcome, DeviceMessage } from '@wakeline/core/device';
import { DeviceError } from '../errors.js';
import { hostLimits } from '../limits.js';
import type { CallOverTold, CallTold } from './machine-host.js';
import { Outlet } from './outlet.js';
import { withReason } from './reason-text.js';
import type { Call, CallOutcome } from './types.js';

export interface CallBookOptions {
  readonly finish: (message: DeviceMessage, isHandled: boolean) => void;
  readonly intend: (ticket: number, call: string, intent: CallIntent) => void;
}

interface Asked {
  readonly resolve: (outcome: CallOutcome) => void;
  readonly reject: (error: DeviceError) => void;
}

export class CallBook {
  readonly outlet = new Outlet<LineCall>('calls');
  readonly #options: CallBookOptions;
  /** Calls that are not over. */
  readonly #open = new Map<string, LineCall>();
  readonly #asked = new Map<number, Asked>();
  #lastTicket = 0;

  constructor(options: CallBookOptions) {
    this.#options = options;
  }

  handleCall({ call: wake, message }: CallTold, deadlineMs: number): void {
    const known = this.#open.get(wake.call);
    if (known !== undefined) return known.handleAgain(message, deadlineMs);
    const call = new LineCall(this.#actions, wake.call, {
      kind: wake.state === 'ringing' ? 'call' : 'request',
      aor: wake.aor,
      sipCallId: wake.sipCallId,
      from: wake.from,
      fromName: wake.fromName,
      startedMs: wake.startedMs,
    });
    call.handleAgain(message, deadlineMs);
    this.#open.set(wake.call, call);
    this.#give(call);
  }

  handleOver({ call: id, message, end, from, fromName, startedMs, reason }: CallOverTold): void {
    const known = this.#open.get(id);
    if (known !== undefined) {
      this.#open.delete(id);
      known.handleOver(end, reason);
      // One that nobody has taken yet is told of only if the user has missed it.
      if (end !== 'missed') this.outlet.remove((call) => call === known);
    }
    if (message === undefined) return;
    if (known !== undefined || end !== 'missed') return this.#options.finish(message, true);
    const unknown = { kind: 'call', aor: '', sipCallId: undefined, from, fromName, startedMs } as const;
    const missed = new LineCall(this.#actions, id, unknown);
    missed.handleAgain(message, startedMs ?? 0);
    missed.handleOver(end, reason);
    this.#give(missed);
  }

  handleIntended(ticket: number, outcome: CallIntentOutcome, reason?: string): void {
    const asked = this.#asked.get(ticket);
    this.#asked.delete(ticket);
    if (asked === undefined) return;
    switch (outcome) {
      case 'done':
      case 'over':
      case 'unknown':
        return asked.resolve(outcome);
      case 'stopped':
        return asked.reject(new DeviceError('CLOSED', 'the line is closed'));
      case 'refused':
        return asked.reject(
          new DeviceError('REFUSED', withReason('the server takes no decisions about calls', reason), {
            reason,
          }),
        );
      case 'too-many':
        return asked.reject(new DeviceError('TOO_MANY', 'too many decisions wait', { retryable: true }));
    }
  }

  /** The line is closed. */
  end(): void {
    this.outlet.end();
    for (const ticket of this.#asked.keys()) this.handleIntended(ticket, 'stopped');
  }

  readonly #actions: CallActions = {
    finish: (message, isHandled) => this.#options.finish(message, isHandled),
    intend: (call, intent) =>
      new Promise((resolve, reject) => {
        const ticket = (this.#lastTicket += 1);
        this.#asked.set(ticket, { resolve, reject });
        this.#options.intend(ticket, call, intent);
      }),
  };

  #give(call: LineCall): void {
    this.outlet.put(call);
    if (this.outlet.size <= hostLimits.callsWaitingMax) return;
    // Nobody takes them: the newest is told of again with a later connection.
    this.outlet.remove((waiting) => waiting === call);
    call.giveBack();
  }
}

interface CallActions {
  readonly finish: (message: DeviceMessage, isHandled: boolean) => void;
  readonly intend: (call: string, intent: CallIntent) => Promise<CallOutcome>;
}

interface CallFacts {
  readonly kind: Call['kind'];
  readonly aor: string;
  readonly sipCallId: string | undefined;
  readonly from: string | undefined;
  readonly fromName: string | undefined;
  readonly startedMs: number | undefined;
}

class LineCall implements Call {
  readonly id: string;
  readonly kind: Call['kind'];
  readonly aor: string;
  readonly sipCallId: string | undefined;
  readonly from: string | undefined;
  readonly fromName: string | undefined;
  readonly started: Date | undefined;
  readonly #actions: CallActions;
  readonly #over = new AbortController();
  /** Of this call, not finished. */
  #messages: DeviceMessage[] = [];
  #isAcknowledged = false;
  #deadlineMs = 0;
  #end: CallEnd | undefined;
  #reason: string | undefined;

  constructor(actions: CallActions, id: string, facts: CallFacts) {
    this.#actions = actions;
    this.id = id;
    this.kind = facts.kind;
    this.aor = facts.aor;
    this.sipCallId = facts.sipCallId;
    this.from = facts.from;
    this.fromName = facts.fromName;
    this.started = facts.startedMs === undefined ? undefined : new Date(facts.startedMs);
  }

  get deadline(): Date {
    return new Date(this.#deadlineMs);
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  get end(): CallEnd | undefined {
    return this.#end;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  ack(): void {
    this.#isAcknowledged = true;
    this.#finish(true);
  }

  answer(): Promise<CallOutcome> {
    return this.#intend('answer');
  }

  decline(): Promise<CallOutcome> {
    return this.#intend('decline');
  }

  handleAgain(message: DeviceMessage, deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
    this.#messages.push(message);
    if (this.#isAcknowledged) this.#finish(true);
  }

  handleOver(end: CallEnd, reason: string | undefined): void {
    this.#end = end;
    this.#reason = reason;
    this.#over.abort(end);
    // There is nothing to ring for any more; a missed one is the app's to acknowledge.
    if (end !== 'missed') this.ack();
  }

  giveBack(): void {
    this.#finish(false);
  }

  async #intend(intent: CallIntent): Promise<CallOutcome> {
    this.ack();
    if (this.#end !== undefined) return 'over';
    return this.#actions.intend(this.id, intent);
  }

  #finish(isHandled: boolean): void {
    const messages = this.#messages;
    this.#messages = [];
    for (const message of messages) this.#actions.finish(message, isHandled);
  }
}

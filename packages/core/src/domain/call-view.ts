/**
 * Calls, users and bindings as an operator and an API see them: what became of a call, and why.
 */
import type { Aor, CallId, Caller, LegEnd, PasswordAlgorithm, PushRoute, SipFlow } from './call.js';

/**
 * Where a call is. `parked`: no device alerts yet; `ringing`: one does. The others are ends: `answered`; `rejected` by the
 * devices, or by the server for a limit; `cancelled` by the caller; `expired` because nobody answered in time.
 */
export const callStates = ['parked', 'ringing', 'answered', 'rejected', 'cancelled', 'expired'] as const;
export type CallState = (typeof callStates)[number];

/**
 * Where a leg is. `asleep`: its device is not there and nobody has woken it yet; `waking`: it was sent a wake; `offered`:
 * the call was handed to it; `ringing`: it alerts; `lost`: its flow ended after that, and it is being woken. Ends:
 * `answered`, `rejected` by the device, `cancelled` by us, `gone`: it did not come in time, or cannot be woken.
 */
export type LegState =
  'asleep' | 'waking' | 'offered' | 'ringing' | 'lost' | 'answered' | 'rejected' | 'cancelled' | 'gone';

export interface CallSummary {
  readonly call: CallId;
  readonly aor: Aor;
  readonly caller: Caller;
  readonly sipCallId: string;
  readonly state: CallState;
  /** Nobody answered or declined it: a missed-call record went to the user's devices. */
  readonly isMissed: boolean;
  /** Wall-clock ms. */
  readonly startedMs: number;
  /** Wall-clock ms at which it ends unanswered; undefined: it has ended. */
  readonly deadlineMs: number | undefined;
  /** Wall-clock ms; undefined: it goes on. */
  readonly endedMs: number | undefined;
  /** What the caller was answered: 200, or the status of the end; undefined: nothing yet. */
  readonly status: number | undefined;
  /** How it ended and why, in a sentence; undefined: it goes on. */
  readonly reason: string | undefined;
  /** Wakes sent for it. */
  readonly wakes: number;
  readonly legs: number;
}

export interface LegView {
  /** 1 …; as in the events. */
  readonly leg: number;
  readonly instance: string;
  /** Of the latest binding. */
  readonly contact: string;
  readonly userAgent: string | undefined;
  readonly state: LegState;
  readonly attempts: readonly {
    readonly attempt: number;
    readonly mode: 'new' | 'repeat';
    /** Provisional or final; undefined: nothing came back. */
    readonly status: number | undefined;
    /** Why it was withdrawn; undefined: it was not. */
    readonly withdrawn: LegEnd | undefined;
  }[];
}

/**
 * What happened. The server does `journaled`, `wake`, `offer`, `withdraw`, `answer`, `finish`, `tell` (a message to an inbox
 * of the user's devices), `restart`; the caller `call`, `cancel`; a device `register`, `flow-lost`, `provisional`, `final`,
 * `unreachable`, `intent`; a push service `wake-result`. `note`: see its text.
 */
export const callEventKinds = [
  'call',
  'journaled',
  'wake',
  'wake-result',
  'register',
  'flow-lost',
  'offer',
  'provisional',
  'final',
  'unreachable',
  'withdraw',
  'answer',
  'finish',
  'cancel',
  'intent',
  'tell',
  'restart',
  'note',
] as const;
export type CallEventKind = (typeof callEventKinds)[number];

/** One line of a call's trace. */
export interface CallTraceEvent {
  /** Since the call came, ms. */
  readonly atMs: number;
  readonly kind: CallEventKind;
  /** undefined: of the call as a whole. */
  readonly leg: number | undefined;
  readonly attempt: number | undefined;
  /** Of the SIP response, where there is one. */
  readonly status: number | undefined;
  /** A sentence for people: what and why. */
  readonly text: string;
}

export interface CallDetail extends CallSummary {
  readonly legViews: readonly LegView[];
  /** Oldest first, at most `limits.callEventsMax`. */
  readonly events: readonly CallTraceEvent[];
  /** Events that found no room. */
  readonly eventsDropped: number;
}

export interface UserSummary {
  readonly aor: Aor;
  readonly devices: readonly string[];
  /** Of its password, in the order of strength. */
  readonly algorithms: readonly PasswordAlgorithm[];
  /** Of what phones are asked for, those that its password has no hash of: who answers by one of them is refused. */
  readonly missingAlgorithms: readonly PasswordAlgorithm[];
  /** Stands in the configuration, and cannot be changed by a request. */
  readonly isConfigured: boolean;
  readonly bindings: number;
  /** Bindings with a live flow. */
  readonly liveBindings: number;
}

export interface BindingSummary {
  readonly aor: Aor;
  readonly instance: string;
  readonly regId: number;
  readonly contact: string;
  /** 0: none; else the number of its live flow. */
  readonly flow: SipFlow;
  /** Wall-clock ms. */
  readonly expiresMs: number;
  readonly push: PushRoute | undefined;
  readonly userAgent: string | undefined;
}

/**
 * Calls that wait for the user of this device: reads the messages about them, watches their deadlines, and carries what the user has
 * decided until the server has answered. The rules are [SD-14] and [SD-15] of docs/spec/device.md.
 */
import { NEVER, SECOND_MS, type InstantMs } from '../base/index.js';
import type { ClientPublication } from '../session/mqtt-client/index.js';
import { deviceLimits } from './limits.js';
import { lineQuestion, lineTopics, readObject } from './line-topics.js';
import type { CallEnd, CallIntent, CallIntentOutcome, DeviceMessage, DeviceOutput } from './types.js';

type CallOutput = Extract<DeviceOutput, { readonly kind: 'call' | 'call-over' }>;
type Intended = Extract<DeviceOutput, { readonly kind: 'call-intended' }>;

const ends: ReadonlySet<unknown> = new Set<CallEnd>([
  'answered-elsewhere',
  'declined-elsewhere',
  'cancelled',
  'missed',
]);

const outcomes: ReadonlySet<unknown> = new Set<CallIntentOutcome>(['done', 'unknown', 'over']);

/** Calls that have not ended, as far as this device was told. */
export class OpenCalls {
  /** Deadline of each, monotonic ms, the one told of first in front. */
  readonly #deadlinesMs = new Map<string, number>();

  nextTimeoutMs(): number {
    let earliestMs = NEVER;
    for (const deadlineMs of this.#deadlinesMs.values()) earliestMs = Math.min(earliestMs, deadlineMs);
    return earliestMs;
  }

  /** Takes out a call whose time is over; undefined: there is none. */
  takeDue(nowMs: number): CallOutput | undefined {
    for (const [call, deadlineMs] of this.#deadlinesMs) {
      if (deadlineMs > nowMs) continue;
      this.#deadlinesMs.delete(call);
      return {
        kind: 'call-over',
        message: undefined,
        call,
        end: 'deadline',
        from: undefined,
        fromName: undefined,
        startedMs: undefined,
        reason: undefined,
      };
    }
    return undefined;
  }

  /** What a message of the device's inbox says about a call; undefined: nothing. */
  read(now: InstantMs, message: DeviceMessage): CallOutput | undefined {
    if (message.topic !== lineTopics.calls) return undefined;
    const notice = readObject(message.body);
    const call = notice?.['call'];
    if (notice === undefined || typeof call !== 'string') return undefined;
    const text = (name: string): string | undefined => textIn(notice[name]);
    const from = text('from');
    const fromName = text('fromName');
    const startedMs = numberIn(notice['startedMs']);
    const state = notice['state'];
    if (ends.has(state)) {
      this.#deadlinesMs.delete(call);
      const end = state as CallEnd;
      return { kind: 'call-over', message, call, end, from, fromName, startedMs, reason: text('reason') };
    }
    const aor = text('aor');
    if ((state !== 'ringing' && state !== 'request') || aor === undefined) return undefined;
    const leftMs = leftOf(now, numberIn(notice['deadlineMs']), message.expirySeconds);
    if (leftMs === undefined) return undefined;
    const deadlineMs = now.monotonic + leftMs;
    this.#deadlinesMs.set(call, deadlineMs);
    if (this.#deadlinesMs.size > deviceLimits.callsMax) {
      for (const first of this.#deadlinesMs.keys()) {
        this.#deadlinesMs.delete(first);
        break;
      }
    }
    const sipCallId = text('sipCallId');
    return {
      kind: 'call',
      message,
      call: { call, state, aor, sipCallId, from, fromName, startedMs },
      deadlineMs,
    };
  }
}

/**
 * How long a call still waits, ms. Its deadline is by the clock of the server, which need not be that of the device; what is
 * left of the message's life, in whole seconds, is by none.
 */
function leftOf(
  now: InstantMs,
  deadlineMs: number | undefined,
  expirySeconds: number | undefined,
): number | undefined {
  const byClockMs = deadlineMs === undefined ? undefined : Math.max(0, deadlineMs - now.wall);
  if (expirySeconds === undefined) return byClockMs;
  const longestMs = expirySeconds * SECOND_MS;
  return byClockMs === undefined
    ? longestMs
    : Math.min(Math.max(byClockMs, longestMs - SECOND_MS), longestMs);
}

interface PendingIntent {
  readonly ticket: number;
  readonly call: string;
  readonly intent: CallIntent;
  /** The server has it, and has not said what became of it. */
  isAcknowledged: boolean;
}

/** What the user has decided, until it is answered. In the order of deciding. */
export class CallIntents {
  readonly #pending = new Map<number, PendingIntent>();
  #nextId = -1;

  /** Something is said and not answered. */
  get isWaiting(): boolean {
    return this.#pending.size > 0;
  }

  /** Its id, a negative number, under which it is to be published; undefined: too many wait. */
  add(ticket: number, call: string, intent: CallIntent): number | undefined {
    if (this.#pending.size >= deviceLimits.callIntentsMax) return undefined;
    const id = this.#nextId--;
    this.#pending.set(id, { ticket, call, intent, isAcknowledged: false });
    return id;
  }

  /** What is published for this id. */
  publication(id: number): ClientPublication {
    const { call, intent } = this.#pending.get(id)!;
    return lineQuestion(lineTopics.call, { call, intent }, 1);
  }

  /** Those that were acknowledged on a connection that is no more: to be published again. */
  takeUnanswered(): readonly number[] {
    return [...this.#pending].flatMap(([id, pending]) => {
      if (!pending.isAcknowledged) return [];
      pending.isAcknowledged = false;
      return [id];
    });
  }

  /** Its PUBACK has come. */
  handlePublished(id: number, reasonCode: number, reason: string | undefined): Intended | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    if (reasonCode >= 0x80) return { ...this.end(id, 'refused')!, ...(reason !== undefined && { reason }) };
    pending.isAcknowledged = true;
    return undefined;
  }

  /** The answer on `$line/call`. */
  handleAnswer(body: Uint8Array): Intended | undefined {
    const answer = readObject(body);
    if (answer === undefined || !outcomes.has(answer['outcome'])) return undefined;
    for (const [id, { call }] of this.#pending) {
      if (call === answer['call']) return this.end(id, answer['outcome'] as CallIntentOutcome);
    }
    return undefined;
  }

  end(id: number, outcome: CallIntentOutcome): Intended | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    return { kind: 'call-intended', ticket: pending.ticket, outcome };
  }

  /** The line is over. */
  takeAll(): readonly Intended[] {
    return [...this.#pending.keys()].map((id) => this.end(id, 'stopped')!);
  }
}

function textIn(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function numberIn(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

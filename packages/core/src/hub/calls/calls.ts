/**
 * Calls from their INVITE to their end. One turn at a time: what a REGISTER, an answer and a CANCEL of one moment mean to
 * a call is decided in the order in which they came.
 *
 * A call is on disk, with its legs and what they are to be offered, before anything of it is said or anybody is woken.
 */
import { SECOND_MS, wallOf, type InstantMs } from '../../base/time.js';
import type { BindingTarget, CallCommand, CallId, Caller, LegEnd, RestoredCall } from '../../domain/call.js';
import type { HubCore } from '../hub-core.js';
import type { CallOptions } from '../hub-core.js';
import type { CallBook } from './call-book.js';
import type { CallEnds } from './call-ends.js';
import type { CallWakes } from './call-wakes.js';
import { Call } from './call.js';
import type { Legs } from './legs.js';

/** What a user who wants to answer gets on top of the call's time, ms. */
const ANSWER_INTENT_MS = 10 * SECOND_MS;

/** After a call has ended, how long its caller may still wait for the end, or its 2xx be repeated, ms (64·T1, twice). */
const ENDED_RESTORED_MS = 64 * SECOND_MS;

const DRAIN_RETRY_SECONDS = 5;
const FULL_RETRY_SECONDS = 60;

type NewCall = CallCommand & { readonly kind: 'call' };

export interface CallsOptions {
  readonly core: HubCore;
  readonly options: CallOptions;
  readonly book: CallBook;
  readonly wakes: CallWakes;
  readonly ends: CallEnds;
  readonly legs: Legs;
}

export class Calls {
  readonly #core: HubCore;
  readonly #options: CallOptions;
  readonly #book: CallBook;
  readonly #wakes: CallWakes;
  readonly #ends: CallEnds;
  readonly #legs: Legs;

  constructor(options: CallsOptions) {
    this.#core = options.core;
    this.#options = options.options;
    this.#book = options.book;
    this.#wakes = options.wakes;
    this.#ends = options.ends;
    this.#legs = options.legs;
    this.#wakes.onRefused = (call) => this.#ends.conclude(call);
  }

  // ---- the caller ------------------------------------------------------------------------------------------

  handleCall(command: NewCall): void {
    const core = this.#core;
    const { now } = core;
    const { aor, caller, sipCallId, callerPlace, callerAddress, expiresSeconds } = command;
    if (this.#book.has(command.call)) return;
    const identity = { id: command.call, aor, caller, sipCallId, callerPlace, callerAddress };
    const boundMs = Math.min(core.limits.callMsMax, (expiresSeconds ?? Infinity) * SECOND_MS);
    // A view of a read buffer is good for this turn only.
    const call = new Call(identity, now, Math.round(now.wall), command.offer.slice(), {
      parkMs: now.monotonic + Math.min(this.#options.parkMs, boundMs),
      ringMs: now.monotonic + boundMs,
    });
    const refusal = this.#refusalOf(call);
    if (refusal !== undefined) {
      return core.outbox.call({ kind: 'finish', call: call.id, best: false, ...refusal });
    }
    core.callCounts.accepted++;
    this.#book.add(call);
    this.#book.touch(call);
    this.#book.trace(call, 'call', callText(caller));
    call.later(() => {
      if (!call.isOver) core.outbox.call({ kind: 'journaled', call: call.id });
    });
    this.#book.trace(call, 'journaled', 'written down; the caller is told that it is tried');
    this.#legs.reconcile(call);
    this.#ends.conclude(call);
  }

  #refusalOf(call: Call): { status: number; retryAfterSeconds: number | undefined } | undefined {
    const { isDraining, appendsAllowed, limits, callCounts } = this.#core;
    if (isDraining) return { status: 503, retryAfterSeconds: DRAIN_RETRY_SECONDS };
    const isFull =
      !appendsAllowed ||
      callCounts.active >= limits.callsMax ||
      this.#book.activeOfCaller(call.callerKey) >= limits.callsPerCallerMax;
    if (isFull) return { status: 503, retryAfterSeconds: FULL_RETRY_SECONDS };
    const others = this.#book.active(call.aor);
    const ofCaller = others.filter(({ callerKey }) => callerKey === call.callerKey);
    if (others.length >= limits.callsPerAorMax || ofCaller.length >= limits.callsPerAorAndCallerMax)
      return { status: 486, retryAfterSeconds: undefined };
    return undefined;
  }

  handleCancel(id: CallId): void {
    const call = this.#book.find(id);
    if (call === undefined) return;
    this.#ends.end(call, {
      state: 'cancelled',
      status: 487,
      best: false,
      why: 'the caller hung up before anybody answered',
      legEnd: 'caller-cancelled',
    });
  }

  /** After a restart: whether a response reaches the caller. */
  handleCaller(id: CallId, isReachable: boolean): void {
    const call = this.#book.find(id);
    if (call?.isFinishOwed === true) return this.#finishAgain(call);
    if (call?.isHeld !== true || call.isOver) return;
    call.isHeld = false;
    if (isReachable) {
      this.#book.trace(call, 'restart', 'the caller can still be reached');
      this.#book.touch(call);
      return this.#legs.reconcile(call);
    }
    this.#ends.end(call, {
      state: 'expired',
      status: 480,
      best: false,
      why: 'the server was started again, and the caller could no longer be reached',
      legEnd: 'expired',
    });
  }

  #finishAgain(call: Call): void {
    const { id, status = 480 } = call;
    call.isFinishOwed = false;
    this.#book.trace(call, 'restart', `the server was started again: the caller gets ${status} once more`);
    this.#core.outbox.call({ kind: 'finish', call: id, status, best: false, retryAfterSeconds: undefined });
  }

  handleNote(id: CallId, leg: number | undefined, text: string): void {
    const call = this.#book.find(id);
    if (call !== undefined) this.#book.trace(call, 'note', text, { leg });
  }

  // ---- devices ---------------------------------------------------------------------------------------------

  handleLeg(command: CallCommand & { readonly kind: `leg-${string}` }): void {
    const call = this.#book.find(command.call);
    if (call === undefined) return;
    switch (command.kind) {
      case 'leg-provisional':
        return this.#legs.handleProvisional(call, command);
      case 'leg-answered':
        return this.#legs.handleAnswered(call, command);
      case 'leg-refused':
        return this.#legs.handleRefused(call, command);
      case 'leg-unreachable':
        return this.#legs.handleUnreachable(call, command);
    }
  }

  /** Instances of the user have registered; others may have been removed. */
  handleBound(aor: string, instances: readonly string[]): void {
    for (const call of this.#book.active(aor)) {
      for (const instance of instances) this.#legs.handleRegistered(call, instance);
      this.#wakes.schedule(call);
      this.#ends.conclude(call);
    }
  }

  handleBindFailed(aor: string): void {
    for (const call of this.#book.active(aor)) {
      this.#legs.handleBindFailed(call);
      this.#book.touch(call);
    }
  }

  handleFlowLost(aor: string, instance: string, flow: number): void {
    for (const call of this.#book.active(aor)) this.#legs.handleFlowLost(call, instance, flow);
  }

  // ---- intents ---------------------------------------------------------------------------------------------

  handleDecline(call: Call, by: string): void {
    this.#book.trace(call, 'intent', `${by} declines the call`);
    this.#ends.end(call, {
      state: 'rejected',
      status: 603,
      best: false,
      why: `${by} declined it before the INVITE had come`,
      legEnd: 'declined-elsewhere',
    });
  }

  handleAnswerIntent(call: Call, by: string): void {
    const isFirst = !call.isAnswerIntended;
    const text = isFirst ? `${by} wants to answer: the call waits 10 s longer` : `${by} wants to answer`;
    this.#book.trace(call, 'intent', text);
    this.#book.touch(call);
    if (!isFirst) return;
    call.isAnswerIntended = true;
    call.parkDeadlineMs += ANSWER_INTENT_MS;
    call.ringDeadlineMs = Math.max(call.ringDeadlineMs, call.parkDeadlineMs);
    this.#wakes.schedule(call);
  }

  // ---- time and start --------------------------------------------------------------------------------------

  handleTimeout(): void {
    const { now } = this.#core;
    for (let call = this.#book.takeDue(); call !== undefined; call = this.#book.takeDue()) {
      if (call.retryDueMs <= now.monotonic) {
        this.#book.touch(call);
        // What its devices were to be told was in the commit that failed.
        if (call.isOver && !call.isEndStored) this.#wakes.tell(call);
      }
      if (call.isOver) {
        if (call.forgetDueMs <= now.monotonic) this.#book.forget(call);
      } else if (call.isStored) {
        if (call.deadlineMs <= now.monotonic) this.#ends.expire(call);
        else {
          this.#legs.handleTimeout(call);
          if (call.wakeDueMs <= now.monotonic && !call.isOver) this.#wakes.run(call);
        }
      }
      this.#book.flush();
      this.#book.arm(call);
    }
  }

  /** Takes up what the store has. Returns the calls that the SIP stack is to know of. */
  recover(): RestoredCall[] {
    const { now } = this.#core;
    const restored: RestoredCall[] = [];
    for (const call of this.#book.recover()) {
      if (!call.isOver) {
        this.#takeUp(call);
        restored.push(restoredOf(call, now));
      } else if (call.offer.length > 0 && this.#isEndOpen(call)) {
        call.isFinishOwed = call.answered === undefined;
        restored.push(restoredOf(call, now));
      }
    }
    return restored;
  }

  /** Its caller may not have heard how it ended, or a phone may ring on. */
  #isEndOpen({ endedWallMs = 0, legs }: Call): boolean {
    const agoMs = this.#book.latestWallMs - endedWallMs;
    const hasPending = legs.some(({ attempts }) => attempts.some(({ isPending }) => isPending));
    return agoMs < ENDED_RESTORED_MS || (hasPending && agoMs < this.#core.limits.callTombstoneMs);
  }

  /** Every flow is gone with the old process; the caller is waited for, and the devices are woken again. */
  #takeUp(call: Call): void {
    const { now, limits } = this.#core;
    call.isHeld = true;
    const leastMs = now.monotonic + limits.callRestartMsMin;
    call.parkDeadlineMs = Math.max(call.parkDeadlineMs, leastMs);
    call.ringDeadlineMs = Math.max(call.ringDeadlineMs, call.parkDeadlineMs);
    for (const leg of call.legs) {
      if (leg.isOver) continue;
      leg.lostAtMs = call.ageMs(now);
      leg.state = leg.open.length > 0 ? 'lost' : 'asleep';
    }
    this.#book.trace(call, 'restart', 'the server was started again: every connection was lost');
    call.wakeTick = 0;
    call.wakeBeganMs = call.wakeDueMs = now.monotonic;
    this.#book.touch(call);
    this.#book.arm(call);
  }
}

function restoredOf(call: Call, now: InstantMs): RestoredCall {
  const attempts: {
    leg: number;
    attempt: number;
    target: BindingTarget;
    hadProvisional: boolean;
    wasAlerting: boolean;
    withdrawn: LegEnd | undefined;
  }[] = [];
  for (const leg of call.legs) {
    for (const {
      isPending,
      number: attempt,
      target,
      hadProvisional,
      isAlerting,
      withdrawn,
    } of leg.attempts) {
      const hasWon = call.answered?.leg === leg.number && call.answered.attempt === attempt;
      if (!isPending && !hasWon) continue;
      const wasAlerting = isAlerting;
      attempts.push({ leg: leg.number, attempt, target, hadProvisional, wasAlerting, withdrawn });
    }
  }
  return {
    call: call.id,
    aor: call.aor,
    caller: call.caller,
    sipCallId: call.sipCallId,
    offer: call.offer,
    callerPlace: call.callerPlace,
    deadlineMs: wallOf(now, call.ringDeadlineMs),
    attempts,
    answered: call.answered,
  };
}

function callText({ uri, displayName, aor, trunk }: Caller): string {
  const name = displayName === undefined ? uri : `${displayName} <${uri}>`;
  if (aor !== undefined) return `${name} calls, proved to be ${aor}`;
  return trunk === undefined ? `${name} calls` : `${name} calls by the trunk ${trunk}`;
}

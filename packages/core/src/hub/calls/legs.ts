/**
 * What a call is to one instance: when it is offered, on which attempt, and what the device's answers mean.
 *
 * After a lost flow the device may have the call already, and still answer it on its old branch. So the old attempt is
 * kept whenever the phone's process is the same; only what it cannot have is offered anew. docs/spec/calls.md, [CA-10]
 * to [CA-15].
 */
import { NEVER, SECOND_MS, wallOf } from '../../base/time.js';
import { isGlobalFailure } from '../../domain/best-response.js';
import type { Binding, BindingTarget, CallCommand } from '../../domain/call.js';
import type { HubCore } from '../hub-core.js';
import { targetOf } from './bindings.js';
import type { Bindings } from './bindings.js';
import type { CallBook } from './call-book.js';
import type { CallEnds } from './call-ends.js';
import { seconds } from './call-views.js';
import type { CallWakes } from './call-wakes.js';
import { Attempt, Leg } from './call.js';
import type { Call } from './call.js';

/** How long a live flow may say nothing to an offer before the device is woken by other routes too, ms. */
const SILENCE_MS = 3 * SECOND_MS;

/** After a reconnect, how long a device has to answer what it has before it is offered the call once more, ms. */
const EXTRA_MS = 1 * SECOND_MS;

type Provisional = CallCommand & { readonly kind: 'leg-provisional' };
type Answered = CallCommand & { readonly kind: 'leg-answered' };
type Refused = CallCommand & { readonly kind: 'leg-refused' };
type Unreachable = CallCommand & { readonly kind: 'leg-unreachable' };

export interface LegsOptions {
  readonly core: HubCore;
  readonly book: CallBook;
  readonly bindings: Bindings;
  readonly wakes: CallWakes;
  readonly ends: CallEnds;
}

export class Legs {
  readonly #core: HubCore;
  readonly #book: CallBook;
  readonly #bindings: Bindings;
  readonly #wakes: CallWakes;
  readonly #ends: CallEnds;

  constructor(options: LegsOptions) {
    this.#core = options.core;
    this.#book = options.book;
    this.#bindings = options.bindings;
    this.#wakes = options.wakes;
    this.#ends = options.ends;
  }

  // ---- offers ----------------------------------------------------------------------------------------------

  /** Looks where the instances of the user are, and offers the call to those that are there. */
  reconcile(call: Call): void {
    if (call.isOver) return;
    for (const binding of this.#bindings.instances(call.aor, this.#core.now))
      this.#handleBinding(call, binding);
    this.#wakes.schedule(call);
  }

  /** An instance has registered: parked legs of it are offered on that flow. */
  handleRegistered(call: Call, instance: string): void {
    const binding = this.#bindings.find(call.aor, instance, this.#core.now);
    if (call.isOver || binding === undefined) return;
    const known = call.legOf(instance);
    const about = { leg: known?.number };
    if (known?.isOver !== true)
      this.#book.trace(call, 'register', `${binding.userAgent ?? instance} has registered`, about);
    if (known !== undefined) known.isSuspect = false;
    this.#book.touch(call);
    this.#handleBinding(call, binding);
    this.#wakes.schedule(call);
  }

  #handleBinding(call: Call, binding: Binding): void {
    const leg = call.legOf(binding.instance) ?? this.#addLeg(call, binding);
    if (leg === undefined || leg.isOver) return;
    leg.contact = binding.contact;
    leg.userAgent = binding.userAgent;
    leg.absentSinceMs = binding.lostMs;
    leg.hasPush = binding.push !== undefined;
    if (binding.flow !== 0 && !call.isHeld) this.#drain(call, leg, binding);
  }

  #addLeg(call: Call, binding: Binding): Leg | undefined {
    if (call.legs.length >= this.#core.limits.callLegsMax) {
      this.#book.trace(call, 'note', `${binding.instance} is not offered the call: callLegsMax is reached`);
      return undefined;
    }
    const leg = new Leg(call.legs.length + 1, binding.instance, binding.contact, binding.userAgent);
    call.legs.push(leg);
    this.#book.touch(call);
    return leg;
  }

  /** Sends the leg on a live flow whatever its device cannot have yet. */
  #drain(call: Call, leg: Leg, binding: Binding): void {
    const isOnIt = ({ target }: Attempt): boolean =>
      target.flow === binding.flow && target.run === binding.run;
    leg.attempts = leg.attempts.filter((attempt) => attempt.isSent || isOnIt(attempt));
    if (leg.attempts.some((attempt) => !attempt.isSent)) return;
    const { open } = leg;
    if (open.some(isOnIt)) return;
    const others = open.filter(({ target }) => target.run !== binding.run);
    // Another process of the phone: it has nothing of what the old one was sent.
    for (const attempt of others) this.#ends.withdraw(call, leg, attempt, 'superseded');
    const same = open.filter(({ target }) => target.run === binding.run);
    const has = same.find(({ hadProvisional }) => hadProvisional);
    const last = same.findLast(({ isExtra }) => !isExtra) ?? same.at(-1);
    if (has !== undefined) this.#keep(call, leg, same, binding);
    else if (last !== undefined) this.#offer(call, leg, last, binding, 'repeat');
    else this.#offerNew(call, leg, binding, false);
  }

  /** The device has the call: what it says on its old branch counts. It is offered once more a little later. */
  #keep(call: Call, leg: Leg, attempts: readonly Attempt[], binding: Binding): void {
    for (const attempt of attempts) attempt.target = targetOf(binding);
    leg.state = leg.isAlerting ? 'ringing' : 'offered';
    this.#book.touch(call);
    this.#book.trace(call, 'note', 'it has the call from before: its old branch is kept', {
      leg: leg.number,
    });
    call.later(() => {
      if (call.isOver || leg.isOver || !this.#bindings.isLive(binding.flow)) return;
      leg.extraDueMs = this.#core.now.monotonic + EXTRA_MS;
      this.#book.arm(call);
    });
  }

  #offerNew(call: Call, leg: Leg, binding: Binding, isExtra: boolean): void {
    const attempt = new Attempt(leg.nextAttempt++, targetOf(binding), isExtra);
    leg.attempts.push(attempt);
    this.#offer(call, leg, attempt, binding, 'new');
  }

  /** The attempt is written down before it leaves. */
  #offer(call: Call, leg: Leg, attempt: Attempt, binding: Binding, mode: 'new' | 'repeat'): void {
    const about = { leg: leg.number, attempt: attempt.number };
    if (leg.offers >= this.#core.limits.callOffersPerLegMax) {
      this.#book.trace(call, 'note', 'it was offered the call too often (callOffersPerLegMax)', about);
      this.#ends.endLeg(call, leg, 'superseded');
      this.#book.touch(call);
      return this.#ends.conclude(call);
    }
    leg.offers++;
    const target = targetOf(binding);
    attempt.target = target;
    attempt.mode = mode;
    attempt.isPlanned = true;
    leg.state = leg.isAlerting ? 'ringing' : 'offered';
    const what = mode === 'repeat' ? 'offered again, the same INVITE,' : 'offered';
    this.#book.trace(call, 'offer', `${what} to ${binding.contact}`, about);
    this.#book.touch(call);
    call.later(() => this.#emit(call, leg, attempt, target));
  }

  #emit(call: Call, leg: Leg, attempt: Attempt, target: BindingTarget): void {
    // It was planned anew meanwhile: that comes behind the REGISTER which is its cause.
    if (attempt.target !== target) return;
    const { isPlanned, isFinal, withdrawn, mode } = attempt;
    attempt.isPlanned = false;
    if (call.isOver || leg.isOver || !isPlanned || isFinal || withdrawn !== undefined) return;
    if (!leg.attempts.includes(attempt)) return;
    // Its flow went while it was written down: what has not left is not sent, and the device is woken.
    if (!this.#bindings.isLive(target.flow)) return;
    attempt.isSent = true;
    leg.checkDueMs = this.#core.now.monotonic + SILENCE_MS;
    this.#core.callCounts.offers++;
    this.#book.arm(call);
    this.#core.outbox.call({
      kind: 'offer',
      call: call.id,
      leg: leg.number,
      attempt: attempt.number,
      mode,
      target,
      deadlineMs: wallOf(this.#core.now, call.ringDeadlineMs),
    });
  }

  /** A REGISTER could not be stored: what was planned because of it does not happen. */
  handleBindFailed(call: Call): void {
    for (const leg of call.legs) {
      leg.dropUnsent();
      const binding = this.#bindings.find(call.aor, leg.instance, this.#core.now);
      for (const attempt of leg.attempts) {
        if (attempt.target.flow === binding?.flow) continue;
        attempt.isPlanned = false;
        attempt.target = { ...attempt.target, flow: 0 };
      }
      if (leg.state === 'offered' && leg.open.length === 0) leg.state = leg.wakes > 0 ? 'waking' : 'asleep';
    }
    this.reconcile(call);
  }

  /** The flow of an instance is gone. */
  handleFlowLost(call: Call, instance: string, flow: number): void {
    const leg = call.legOf(instance);
    if (call.isOver || leg === undefined || leg.isOver) return;
    const wasOnIt = leg.attempts.some(({ target, isFinal }) => target.flow === flow && !isFinal);
    leg.attempts = leg.attempts.filter(({ isSent, target }) => isSent || target.flow !== flow);
    const other = this.#bindings.find(call.aor, instance, this.#core.now);
    this.#book.touch(call);
    if (wasOnIt) {
      leg.checkDueMs = leg.extraDueMs = NEVER;
      leg.isSuspect = false;
      leg.lostAtMs = call.ageMs(this.#core.now);
      if (leg.open.length > 0) leg.state = 'lost';
      else if (leg.state === 'offered' || leg.state === 'ringing') leg.state = 'asleep';
      const while_ = leg.state === 'lost' && leg.isAlerting ? ' while it rang' : '';
      this.#book.trace(call, 'flow-lost', `its connection was lost${while_}`, { leg: leg.number });
    }
    if (other !== undefined && other.flow !== 0 && !call.isHeld) this.#drain(call, leg, other);
    // What was waited for is gone: waking begins anew.
    call.wakeDueMs = NEVER;
    this.#wakes.schedule(call);
    this.#ends.conclude(call);
  }

  // ---- answers ---------------------------------------------------------------------------------------------

  handleProvisional(call: Call, command: Provisional): void {
    const { status } = command;
    const leg = call.findLeg(command.leg);
    const attempt = leg?.find(command.attempt);
    if (leg === undefined || attempt === undefined || attempt.isFinal) return;
    const about = { leg: leg.number, attempt: attempt.number, status };
    const isFirst = !attempt.hadProvisional;
    const isNewlyAlerting = status >= 180 && !attempt.isAlerting;
    if (isFirst || isNewlyAlerting || attempt.status !== status)
      this.#book.trace(call, 'provisional', status >= 180 ? `${status}: it alerts` : `${status}`, about);
    attempt.hadProvisional = true;
    attempt.status = status;
    if (status >= 180) attempt.isAlerting = true;
    if (call.isOver || leg.isOver || attempt.withdrawn !== undefined) return;
    leg.checkDueMs = NEVER;
    leg.isSuspect = false;
    if (isNewlyAlerting) {
      if (leg.state !== 'lost') leg.state = 'ringing';
      call.state = 'ringing';
    }
    if (isFirst || isNewlyAlerting) this.#book.touch(call);
    this.#wakes.schedule(call);
    this.#book.arm(call);
  }

  handleAnswered(call: Call, command: Answered): void {
    const { status } = command;
    const leg = call.findLeg(command.leg);
    const attempt = leg?.find(command.attempt);
    if (leg === undefined || attempt === undefined) return;
    const about = { leg: leg.number, attempt: attempt.number, status };
    const isLate = call.isOver ? ', after the call had ended' : '';
    if (!attempt.isFinal) this.#book.trace(call, 'final', `${status}: it answered${isLate}`, about);
    attempt.isFinal = true;
    attempt.status = status;
    if (!call.isOver) this.#ends.answer(call, leg, attempt);
  }

  handleRefused(call: Call, command: Refused): void {
    const { status, reason } = command;
    const leg = call.findLeg(command.leg);
    const attempt = leg?.find(command.attempt);
    if (leg === undefined || attempt === undefined || attempt.isFinal) return;
    const about = { leg: leg.number, attempt: attempt.number, status };
    const wasWithdrawn = attempt.withdrawn !== undefined;
    const wasAlerting = attempt.isAlerting;
    attempt.isFinal = true;
    attempt.status = status;
    const hasItAlready = attempt.isExtra && !wasAlerting && leg.open.length > 0;
    const meaning = hasItAlready ? ': it has the call already, on its old branch' : '';
    this.#book.trace(call, 'final', `${status} ${reason}${meaning}`, about);
    // Over a restart, too, it rings no more.
    this.#book.touch(call);
    if (call.isOver || leg.isOver || wasWithdrawn) return;
    if (hasItAlready) {
      // Nobody's answer to the call.
      attempt.withdrawn = 'superseded';
      leg.state = leg.isAlerting ? 'ringing' : 'offered';
      return this.#wakes.schedule(call);
    }
    for (const other of leg.open) this.#ends.withdraw(call, leg, other, 'superseded');
    leg.dropUnsent();
    leg.checkDueMs = leg.extraDueMs = NEVER;
    leg.isSuspect = false;
    leg.state = 'rejected';
    if (isGlobalFailure(status)) {
      const why = `declined for all devices by leg ${leg.number}: ${status} ${reason}`;
      return this.#ends.end(call, {
        state: 'rejected',
        status,
        best: true,
        why,
        legEnd: 'declined-elsewhere',
      });
    }
    this.#parkAgain(call);
    this.#wakes.schedule(call);
    this.#ends.conclude(call);
  }

  /** Nothing came of an offer that its device may not even have seen. */
  handleUnreachable(call: Call, command: Unreachable): void {
    const leg = call.findLeg(command.leg);
    const attempt = leg?.find(command.attempt);
    if (leg === undefined || attempt === undefined || attempt.isFinal) return;
    const about = { leg: leg.number, attempt: attempt.number };
    const { reason } = command;
    this.#book.trace(call, 'unreachable', `it was not reached: ${reason}`, about);
    // The transaction is over: whatever comes next is a new one.
    if (reason === 'timeout') attempt.isFinal = true;
    if (call.isOver || leg.isOver || attempt.withdrawn !== undefined) return;
    leg.checkDueMs = NEVER;
    leg.isSuspect = true;
    if (leg.open.length > 0) leg.state = 'lost';
    else leg.state = leg.wakes > 0 ? 'waking' : 'asleep';
    this.#book.touch(call);
    this.#parkAgain(call);
    this.#wakes.schedule(call);
    if (reason === 'timeout' && !this.#canBeWoken(call, leg)) this.#ends.endLeg(call, leg, 'expired');
    this.#ends.conclude(call);
  }

  #canBeWoken(call: Call, leg: Leg): boolean {
    const binding = this.#bindings.find(call.aor, leg.instance, this.#core.now);
    return binding?.push !== undefined || this.#wakes.devicesOf(call.aor).length > 0;
  }

  /** Nobody alerts any more: the call waits for those who have not come yet. */
  #parkAgain(call: Call): void {
    if (!call.isOver && !call.isAlerting) call.state = 'parked';
    this.#book.arm(call);
  }

  // ---- time ------------------------------------------------------------------------------------------------

  handleTimeout(call: Call): void {
    const { now } = this.#core;
    for (const leg of call.legs) {
      if (call.isOver || leg.isOver) continue;
      if (leg.checkDueMs <= now.monotonic) {
        leg.checkDueMs = NEVER;
        leg.isSuspect = true;
        const about = { leg: leg.number };
        const text = `its connection says nothing for ${seconds(SILENCE_MS)}: it is woken by other routes too`;
        this.#book.trace(call, 'note', text, about);
        this.#book.touch(call);
        this.#wakes.schedule(call);
      }
      if (leg.extraDueMs <= now.monotonic) {
        leg.extraDueMs = NEVER;
        const binding = this.#bindings.find(call.aor, leg.instance, now);
        if (binding !== undefined && binding.flow !== 0) this.#offerNew(call, leg, binding, true);
      }
    }
  }
}

/**
 * One call: the caller's INVITE on one side, what is offered to devices on the other, and the hub's decisions between.
 *
 * It carries out and reports. Which device is offered the call and when, who is woken, who has won and how it ends the
 * hub says; no final response leaves before it did. It outlives the call by its transactions, so that every 2xx
 * reaches the caller.
 */
import { decodeUtf8, type InstantMs } from '../../../base/index.js';
import {
  bestStatusIndex,
  type Aor,
  type CallEvent,
  type CallId,
  type LegEnd,
  type RestoredCall,
  type SipFlow,
} from '../../../domain/index.js';
import type { SipRequest, SipResponse } from '../../../wire/sip/index.js';
import type { ClientOwner, ServerOwner, StackContext } from '../context.js';
import type { Origin, TransactionKey } from '../edge-types.js';
import { forwardRequest, forwardResponse, recordRouteOf, sentByOf } from '../messages.js';
import { Breadth } from './breadth.js';
import type { Place } from './place.js';
import { aggregatedChallenges } from './challenges.js';
import { endLateAnswer } from './late-answer.js';

type Offer = Extract<CallEvent, { kind: 'offer' }>;
type Finish = Extract<CallEvent, { kind: 'finish' }>;

/** Of the final responses by which the hub ends calls. */
const phrases: Readonly<Record<number, string>> = {
  480: 'Temporarily Unavailable',
  486: 'Busy Here',
  487: 'Request Terminated',
  500: 'Server Internal Error',
  503: 'Service Unavailable',
  603: 'Decline',
};

interface Attempt {
  readonly leg: number;
  readonly attempt: number;
  readonly target: Offer['target'];
  /** undefined: it has ended. */
  transaction: TransactionKey | undefined;
  readonly breadth: number;
  /** Provisional statuses that were reported. */
  readonly statuses: Set<number>;
  isDetached: boolean;
  /** It was sent before a restart of the server, on a flow of which nothing is known. */
  isRestored: boolean;
  isFinal: boolean;
  /** The hub wants it no more. */
  isWithdrawn: boolean;
  /** Its first 2xx was reported. */
  hasAnswered: boolean;
  /** 2xx that wait for the hub. */
  readonly answers: SipResponse[];
  /** Where something last came from it. */
  flow: SipFlow;
  /** To-tags of the dialogs that were ended for the caller. */
  readonly endedTags: Set<string>;
}

interface Refusal {
  readonly status: number;
  readonly response: SipResponse;
}

const reasons: Readonly<Record<LegEnd, string | undefined>> = {
  // RFC 3326 §3.1: it rang elsewhere, and no call was missed.
  'answered-elsewhere': 'SIP;cause=200;text="Call completed elsewhere"',
  'caller-cancelled': undefined,
  'declined-elsewhere': 'SIP;cause=603;text="Declined elsewhere"',
  expired: 'SIP;cause=480;text="Not answered in time"',
  superseded: undefined,
};

export interface CallParts {
  readonly id: CallId;
  readonly aor: Aor;
  readonly invite: SipRequest;
  /** Index of the listener that the INVITE came by. */
  readonly listener: number;
  readonly place: Place;
  readonly isFromTrunk: boolean;
  /** Where the same run of a device has a live flow. */
  locate(target: Offer['target']): Offer['target'] | undefined;
  /** Nothing of it is left. */
  onEnd(call: Call): void;
}

export class Call implements ServerOwner, ClientOwner {
  readonly parts: CallParts;
  readonly #context: StackContext;
  readonly #breadth: Breadth;
  readonly #attempts = new Map<string, Attempt>();
  readonly #byTransaction = new Map<TransactionKey, Attempt>();
  readonly #refusals: Refusal[] = [];
  /** undefined: it has ended. */
  #server: TransactionKey | undefined;
  #isAnswered = false;
  #isOver = false;
  /** What the caller's CANCEL gave as its reason. */
  #cancelReason: string | undefined;

  constructor(context: StackContext, parts: CallParts, server: TransactionKey | undefined) {
    this.#context = context;
    this.parts = parts;
    this.#server = server;
    this.#breadth = new Breadth(parts.invite, context.limits.breadthMax);
    if (server !== undefined) context.serverOwners.set(server, this);
  }

  get server(): TransactionKey | undefined {
    return this.#server;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Instances that it has something under way with. */
  attemptTargets(): Offer['target'][] {
    return [...this.#attempts.values()].map(({ target }) => target);
  }

  note(leg: number | undefined, text: string): void {
    this.#context.putCommand({ kind: 'call-note', call: this.parts.id, leg, text });
  }

  // What the hub says.

  sayTrying(now: InstantMs): void {
    if (this.#isOver || this.#isAnswered || this.#server === undefined) return;
    this.#context.answer(now, this.#server, this.parts.invite, 100, 'Trying');
  }

  handleOffer(now: InstantMs, offer: Offer): void {
    const key = keyOf(offer);
    const known = this.#attempts.get(key);
    if (offer.mode === 'repeat' && known?.transaction !== undefined) {
      const { edge } = this.#context;
      this.#amend(known, offer.target);
      if (edge.attach(now, known.transaction, offer.target.flow, true)) {
        known.isDetached = false;
        known.flow = offer.target.flow;
        return;
      }
      edge.abandon(now, known.transaction);
      this.#byTransaction.delete(known.transaction);
      this.#context.clientOwners.delete(known.transaction);
    }
    this.#send(now, offer);
  }

  handleCancelLeg(now: InstantMs, leg: number, attempt: number, reason: LegEnd): void {
    const known = this.#attempts.get(keyOf({ leg, attempt }));
    if (known?.transaction === undefined || known.isFinal) return;
    known.isWithdrawn = true;
    const text = reason === 'caller-cancelled' ? this.#cancelReason : reasons[reason];
    this.#context.edge.cancel(now, known.transaction, text);
  }

  handleAnswer(now: InstantMs, leg: number, attempt: number): void {
    this.#isAnswered = true;
    const winner = this.#attempts.get(keyOf({ leg, attempt }));
    if (winner !== undefined) this.#forwardAnswers(now, winner);
    // RFC 3261 §16.7 step 5: every 2xx is forwarded; the caller ends what it does not want.
    for (const other of this.#attempts.values()) this.#forwardAnswers(now, other);
  }

  handleFinish(now: InstantMs, finish: Finish): void {
    if (this.#isAnswered || this.#isOver) return;
    this.#isOver = true;
    const { invite } = this.parts;
    const best = finish.best ? this.#bestRefusal(finish.status) : undefined;
    if (best !== undefined) this.#forwardRefusal(now, best);
    else if (this.#server !== undefined) {
      const headers =
        finish.retryAfterSeconds === undefined
          ? []
          : [['Retry-After', String(finish.retryAfterSeconds)] as const];
      const phrase = phrases[finish.status] ?? 'Call Ended';
      this.#context.answer(now, this.#server, invite, finish.status, phrase, { headers });
    }
    this.#refusals.length = 0;
    for (const attempt of this.#attempts.values()) this.#endLateAnswers(now, attempt);
    this.#endIfDone();
  }

  // What the caller does.

  handleCancel(_now: InstantMs, cancel: SipRequest): void {
    this.#cancelReason = cancel.header('Reason');
    if (!this.#isOver) this.#context.putCommand({ kind: 'cancel', call: this.parts.id });
  }

  handleUnsent(): void {
    this.note(undefined, 'a response to the caller could not be sent');
  }

  handleAckTimeout(): void {
    this.note(undefined, 'the caller did not acknowledge the final response');
  }

  handleServerEnd(): void {
    this.#server = undefined;
    this.#endIfDone();
  }

  /** The caller has come back on another flow: responses go there. */
  redirect(now: InstantMs, flow: SipFlow): void {
    if (this.#server !== undefined) this.#context.edge.redirect(now, this.#server, flow);
  }

  /**
   * A device is on another flow: what is under way with the same run of it goes on there. RFC 5626 §6: the new flow takes the
   * place of the old one, also while that only seems to be alive.
   */
  attach(now: InstantMs, target: Offer['target']): void {
    for (const attempt of this.#attempts.values()) {
      const { aor, instance, run, regId } = attempt.target;
      if (aor !== target.aor || instance !== target.instance || run !== target.run) continue;
      if (attempt.isDetached || (regId === target.regId && attempt.flow !== target.flow)) {
        this.#move(now, attempt, target);
      }
    }
  }

  #move(now: InstantMs, attempt: Attempt, target: Offer['target']): void {
    if (attempt.transaction === undefined) return;
    this.#amend(attempt, target);
    if (!this.#context.edge.attach(now, attempt.transaction, target.flow, false)) return;
    attempt.isDetached = false;
    attempt.flow = target.flow;
  }

  // What devices answer.

  handleResponse(now: InstantMs, transaction: TransactionKey, response: SipResponse, origin: Origin): void {
    const attempt = this.#byTransaction.get(transaction);
    if (attempt === undefined) return;
    if (origin.flow !== 0) attempt.flow = origin.flow;
    const { status } = response;
    if (status < 200) this.#handleProvisional(now, attempt, response);
    else if (status < 300) this.#handleAnswer(now, attempt, response);
    else this.#handleRefusal(attempt, response);
  }

  handleFailure(
    _now: InstantMs,
    transaction: TransactionKey,
    why: 'timeout' | 'transport-error' | 'timer-c',
  ): void {
    const attempt = this.#byTransaction.get(transaction);
    if (attempt === undefined || attempt.isFinal) return;
    const { leg, attempt: number, statuses } = attempt;
    const common = { call: this.parts.id, leg, attempt: number } as const;
    attempt.isFinal = true;
    this.#breadth.give(attempt.breadth);
    if (why === 'timer-c') {
      this.#context.putCommand({ kind: 'leg-refused', ...common, status: 408, reason: 'Timer C' });
      return;
    }
    // A device that once answered and then fell silent is heard of again when it comes back.
    if (why === 'timeout' && statuses.size > 0) {
      this.#context.putCommand({ kind: 'leg-refused', ...common, status: 408, reason: 'Request Timeout' });
    } else {
      const reason = why === 'timeout' ? 'timeout' : 'transport';
      this.#context.putCommand({ kind: 'leg-unreachable', ...common, reason });
    }
  }

  handleDetached(now: InstantMs, transaction: TransactionKey): void {
    const attempt = this.#byTransaction.get(transaction);
    if (attempt === undefined) return;
    attempt.isDetached = true;
    // It may have come back by another flow before this one was known to be lost.
    const other = this.parts.locate(attempt.target);
    if (other !== undefined) this.#move(now, attempt, other);
  }

  handleClientEnd(_now: InstantMs, transaction: TransactionKey): void {
    const attempt = this.#byTransaction.get(transaction);
    if (attempt === undefined) return;
    this.#byTransaction.delete(transaction);
    attempt.transaction = undefined;
    this.#endIfDone();
  }

  // After a restart.

  restoreAttempts(now: InstantMs, restored: RestoredCall): void {
    const { edge } = this.#context;
    const answered = restored.answered === undefined ? undefined : keyOf(restored.answered);
    this.#isAnswered = answered !== undefined;
    for (const { leg, attempt, target, hadProvisional, withdrawn } of restored.attempts) {
      const listener = this.#context.options.listeners[this.parts.listener]!;
      const branch = this.#branchOf(leg, attempt);
      const bytes = this.#inviteFor(target, branch, sentByOf(listener), undefined);
      const isAnswered = keyOf({ leg, attempt }) === answered;
      const state = isAnswered ? 'accepted' : hadProvisional ? 'proceeding' : 'calling';
      const transaction = edge.restoreClient(now, { method: 'INVITE', branch, bytes }, state);
      this.#track(leg, attempt, target, transaction, 0);
      const known = this.#attempts.get(keyOf({ leg, attempt }))!;
      known.isDetached = true;
      known.isRestored = true;
      if (hadProvisional) known.statuses.add(100);
      if (withdrawn !== undefined) this.handleCancelLeg(now, leg, attempt, withdrawn);
    }
  }

  /** The phone is back: by which listener it comes says what our Via was. */
  #amend(attempt: Attempt, target: Offer['target']): void {
    const { edge } = this.#context;
    if (!attempt.isRestored || attempt.transaction === undefined) return;
    if (edge.flowInfo(target.flow) === undefined) return;
    attempt.isRestored = false;
    const branch = this.#branchOf(attempt.leg, attempt.attempt);
    const bytes = this.#inviteFor(attempt.target, branch, edge.sentBy(target.flow), undefined);
    edge.amend(attempt.transaction, bytes);
  }

  #send(now: InstantMs, offer: Offer): void {
    const { leg, attempt, target } = offer;
    const { edge } = this.#context;
    const common = { call: this.parts.id, leg, attempt } as const;
    if (target.flow === 0 || edge.flowInfo(target.flow) === undefined) {
      this.#context.putCommand({ kind: 'leg-unreachable', ...common, reason: 'no-flow' });
      return;
    }
    const breadth = this.#breadth.take();
    if (breadth === 0) {
      this.#context.putCommand({
        kind: 'leg-refused',
        ...common,
        status: 440,
        reason: 'Max-Breadth Exceeded',
      });
      return;
    }
    const branch = this.#branchOf(leg, attempt);
    const bytes = this.#inviteFor(target, branch, edge.sentBy(target.flow), breadth);
    const transaction = edge.request(now, {
      method: 'INVITE',
      branch,
      bytes,
      flow: target.flow,
      outlivesFlow: true,
      answerMsMax: Math.max(0, offer.deadlineMs - now.wall),
    });
    if (transaction === undefined) {
      this.#breadth.give(breadth);
      this.#context.putCommand({ kind: 'leg-unreachable', ...common, reason: 'transport' });
      return;
    }
    this.#track(leg, attempt, target, transaction, breadth);
  }

  #track(
    leg: number,
    attempt: number,
    target: Offer['target'],
    transaction: TransactionKey | undefined,
    breadth: number,
  ): void {
    const entry: Attempt = {
      leg,
      attempt,
      target,
      transaction,
      breadth,
      statuses: new Set(),
      isDetached: false,
      isRestored: false,
      isFinal: false,
      isWithdrawn: false,
      hasAnswered: false,
      answers: [],
      flow: target.flow,
      endedTags: new Set(),
    };
    this.#attempts.set(keyOf(entry), entry);
    if (transaction === undefined) return;
    this.#byTransaction.set(transaction, entry);
    this.#context.clientOwners.set(transaction, this);
  }

  #branchOf(leg: number, attempt: number): string {
    return `z9hG4bK-${this.parts.id}.${leg}.${attempt}`;
  }

  #inviteFor(
    target: Offer['target'],
    branch: string,
    sentBy: ReturnType<typeof sentByOf>,
    breadth: number | undefined,
  ): Uint8Array {
    const { options, tokens } = this.#context;
    const { id, invite, listener, place, isFromTrunk } = this.parts;
    const callerSide = sentByOf(options.listeners[listener]!);
    const devicePlace: Place = { kind: 'instance', aor: target.aor, instance: target.instance };
    return forwardRequest(invite, {
      branch,
      sentBy,
      requestUri: target.contact,
      // Its own Routes have led here.
      routesRemoved: invite.routes?.length ?? 0,
      routes: target.path,
      recordRoutes: [
        recordRouteOf(callerSide, tokens.sign(place, invite.callId, id), invite.uri),
        recordRouteOf(sentBy, tokens.sign(devicePlace, invite.callId, id), invite.uri),
      ],
      realms: options.domains,
      mayAssertIdentity: isFromTrunk,
      breadth,
    });
  }

  #handleProvisional(now: InstantMs, attempt: Attempt, response: SipResponse): void {
    const { status } = response;
    if (!attempt.statuses.has(status)) {
      attempt.statuses.add(status);
      const { leg, attempt: number } = attempt;
      this.#context.putCommand({
        kind: 'leg-provisional',
        call: this.parts.id,
        leg,
        attempt: number,
        status,
      });
    }
    // RFC 3261 §16.7 step 5: a proxy says 100 itself.
    if (status === 100 || this.#isOver || this.#isAnswered || this.#server === undefined) return;
    this.#context.edge.respond(now, this.#server, status, forwardResponse(response));
  }

  #handleAnswer(now: InstantMs, attempt: Attempt, response: SipResponse): void {
    const isFirst = !attempt.hasAnswered;
    attempt.hasAnswered = true;
    if (!attempt.isFinal) this.#breadth.give(attempt.breadth);
    attempt.isFinal = true;
    // Repeats of one that waits are the same bytes.
    if (isFirst || this.#isAnswered || this.#isOver) attempt.answers.push(response);
    if (isFirst) {
      const { leg, attempt: number } = attempt;
      const { id } = this.parts;
      this.#context.putCommand({
        kind: 'leg-answered',
        call: id,
        leg,
        attempt: number,
        status: response.status,
      });
    }
    if (this.#isAnswered) this.#forwardAnswers(now, attempt);
    else if (this.#isOver) this.#endLateAnswers(now, attempt);
  }

  /** The caller has had a refusal: what a phone answers now is ended for them. */
  #endLateAnswers(now: InstantMs, attempt: Attempt): void {
    for (const response of attempt.answers.splice(0)) {
      const isFirst = !attempt.endedTags.has(response.to.tag ?? '');
      attempt.endedTags.add(response.to.tag ?? '');
      endLateAnswer(this.#context, now, response, attempt.flow, isFirst);
    }
  }

  #forwardAnswers(now: InstantMs, attempt: Attempt): void {
    for (const response of attempt.answers.splice(0)) {
      if (this.#server === undefined) continue;
      this.#context.edge.respond(now, this.#server, response.status, forwardResponse(response));
    }
  }

  #handleRefusal(attempt: Attempt, response: SipResponse): void {
    if (attempt.isFinal) return;
    attempt.isFinal = true;
    this.#breadth.give(attempt.breadth);
    const { leg, attempt: number } = attempt;
    const { status, reason } = response;
    if (!this.#isOver && !this.#hasItAlready(attempt)) this.#refusals.push({ status, response });
    this.#context.putCommand({
      kind: 'leg-refused',
      call: this.parts.id,
      leg,
      attempt: number,
      status,
      reason: reason.slice(0, 128),
    });
  }

  /** The device refuses this branch because it has the call on another one: that is nobody's answer to the call. */
  #hasItAlready({ leg, attempt: number, statuses }: Attempt): boolean {
    if ([...statuses].some((status) => status >= 180)) return false;
    return [...this.#attempts.values()].some(
      (other) => other.leg === leg && other.attempt < number && !other.isFinal && !other.isWithdrawn,
    );
  }

  /** @param status which it is by what the hub has on disk: the caller may be told so again after a restart. */
  #bestRefusal(status: number): Refusal | undefined {
    const refusals = this.#refusals;
    return (
      refusals.find((refusal) => refusal.status === status) ??
      // As which a 503 goes out.
      refusals.find((refusal) => status === 500 && refusal.status === 503) ??
      refusals[bestStatusIndex(refusals.map((refusal) => refusal.status))]
    );
  }

  #forwardRefusal(now: InstantMs, best: Refusal): void {
    if (this.#server === undefined) return;
    const { status, response } = best;
    if (status === 503) {
      // RFC 3261 §16.7 step 6: 503 would say that we are overloaded.
      this.#context.answer(now, this.#server, this.parts.invite, 500, 'Device Unavailable');
      return;
    }
    const others = this.#refusals.filter((refusal) => refusal !== best).map((refusal) => refusal.response);
    const bytes = forwardResponse(response, aggregatedChallenges(status, others));
    this.#context.edge.respond(now, this.#server, status, bytes);
  }

  #endIfDone(): void {
    if (this.#server !== undefined || this.#byTransaction.size > 0) return;
    if (!this.#isOver && !this.#isAnswered) return;
    this.parts.onEnd(this);
  }
}

function keyOf({ leg, attempt }: { readonly leg: number; readonly attempt: number }): string {
  return `${leg}.${attempt}`;
}

/** Whether an SDP names a relay for media (RFC 8839): without one, two parties behind NAT may hear nothing. */
export function offersRelay(body: Uint8Array): boolean {
  const text = decodeUtf8(body, 0, body.length) ?? '';
  return / typ relay(\s|$)/m.test(text);
}

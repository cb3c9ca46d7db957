/** How calls end: by an answer, by a refusal, by the caller, by time; once, and told to everybody whom it concerns. */
import { NEVER, SECOND_MS } from '../../base/time.js';
import { bestStatusIndex } from '../../domain/best-response.js';
import type { LegEnd } from '../../domain/call.js';
import type { CallState } from '../../domain/call-view.js';
import type { HubCore } from '../hub-core.js';
import type { CallBook } from './call-book.js';
import { explainLegs, seconds } from './call-views.js';
import type { CallWakes } from './call-wakes.js';
import type { Attempt, Call, Leg } from './call.js';

/** How long a caller whose answer cannot be stored is left waiting at least, ms. */
const GIVE_UP_MS = 10 * SECOND_MS;

export interface End {
  readonly state: CallState & ('rejected' | 'cancelled' | 'expired');
  readonly status: number;
  /** The caller gets the best of what the devices said. */
  readonly best: boolean;
  /** A sentence. */
  readonly why: string;
  readonly legEnd: LegEnd;
}

export class CallEnds {
  readonly #core: HubCore;
  readonly #book: CallBook;
  readonly #wakes: CallWakes;

  constructor(core: HubCore, book: CallBook, wakes: CallWakes) {
    this.#core = core;
    this.#book = book;
    this.#wakes = wakes;
  }

  /** The call ends without an answer. */
  end(call: Call, end: End): void {
    if (call.isOver) return;
    const { id } = call;
    const { status, best } = end;
    this.#close(call, end.state, status, end.why);
    const kind = end.state === 'cancelled' ? 'cancel' : 'finish';
    this.#book.trace(
      call,
      kind,
      `the caller gets ${best ? 'the best answer, or ' : ''}${status}: ${end.why}`,
      {
        status,
      },
    );
    call.later(
      () => this.#core.outbox.call({ kind: 'finish', call: id, status, best, retryAfterSeconds: undefined }),
      true,
    );
    for (const leg of call.legs) this.endLeg(call, leg, end.legEnd);
    const { callCounts } = this.#core;
    if (end.state === 'rejected') callCounts.rejected++;
    else if (end.state === 'cancelled') callCounts.cancelled++;
    else callCounts.expired++;
    if (call.isMissed) callCounts.missed++;
    this.#wakes.tell(call);
  }

  /** A device has answered: its 2xx goes to the caller when that is on disk. */
  answer(call: Call, leg: Leg, attempt: Attempt): void {
    const { id } = call;
    const after = seconds(call.ageMs(this.#core.now));
    call.answered = { leg: leg.number, attempt: attempt.number };
    this.#close(call, 'answered', 200, `answered by leg ${leg.number} after ${after}`);
    leg.state = 'answered';
    this.#book.trace(call, 'answer', `the caller gets the answer of leg ${leg.number}`, {
      leg: leg.number,
      attempt: attempt.number,
      status: attempt.status,
    });
    call.later(
      () => this.#core.outbox.call({ kind: 'answer', call: id, leg: leg.number, attempt: attempt.number }),
      true,
    );
    for (const other of leg.open) if (other !== attempt) this.withdraw(call, leg, other, 'superseded');
    leg.dropUnsent();
    for (const other of call.legs) if (other !== leg) this.endLeg(call, other, 'answered-elsewhere');
    this.#core.callCounts.answered++;
    this.#wakes.tell(call);
  }

  #close(call: Call, state: CallState, status: number, reason: string): void {
    const { now } = this.#core;
    call.giveUpMs = Math.max(now.monotonic + GIVE_UP_MS, call.deadlineMs);
    call.state = state;
    call.status = status;
    call.reason = reason;
    call.endedWallMs = Math.round(now.wall);
    call.wakeDueMs = NEVER;
    this.#book.noteEnd(call);
    this.#book.touch(call);
  }

  /** The leg is no longer wanted. */
  endLeg(call: Call, leg: Leg, reason: LegEnd): void {
    leg.dropUnsent();
    leg.checkDueMs = leg.extraDueMs = NEVER;
    if (leg.isOver) return;
    const { open } = leg;
    leg.state = open.length > 0 ? 'cancelled' : 'gone';
    for (const attempt of open) this.withdraw(call, leg, attempt, reason);
  }

  withdraw(call: Call, leg: Leg, attempt: Attempt, reason: LegEnd): void {
    const about = { leg: leg.number, attempt: attempt.number };
    attempt.withdrawn = reason;
    this.#book.trace(call, 'withdraw', `withdrawn: ${reason}`, about);
    call.later(() =>
      this.#core.outbox.call({
        kind: 'cancel-leg',
        call: call.id,
        leg: leg.number,
        attempt: attempt.number,
        reason,
      }),
    );
  }

  /** Its time is over. */
  expire(call: Call): void {
    const legs = this.#explainLegs(call);
    const why = `nobody answered within ${seconds(call.ageMs(this.#core.now))}: ${legs}`;
    const status = bestRefusal(call) ?? 480;
    this.end(call, { state: 'expired', status, best: true, why, legEnd: 'expired' });
  }

  #explainLegs(call: Call): string {
    const { aor } = call;
    return explainLegs(call, this.#wakes.devicesOf(aor), this.#wakes.missingAlgorithms(aor));
  }

  /** Ends the call if nobody is left who could answer it. */
  conclude(call: Call): void {
    if (call.isOver) return;
    const isWaiting =
      call.legs.some((leg) => !leg.isOver && this.#wakes.hasHope(call, leg)) ||
      this.#wakes.hasDeviceHope(call);
    if (isWaiting) return;
    const legs = this.#explainLegs(call);
    const best = bestRefusal(call);
    // A device that could not be woken makes it a missed call, whatever others said.
    const isRejected = best !== undefined && call.legs.every((leg) => leg.state === 'rejected');
    this.end(call, {
      state: isRejected ? 'rejected' : 'expired',
      status: best ?? 480,
      best: true,
      why: isRejected ? `declined: ${legs}` : `nobody can answer: ${legs}`,
      legEnd: 'expired',
    });
  }
}

/** The best of what the devices have answered, as the caller gets it; what came of withdrawn attempts is no answer. */
function bestRefusal({ legs }: Call): number | undefined {
  const statuses = legs
    .filter(({ state }) => state === 'rejected')
    .flatMap(({ attempts }) =>
      attempts.filter(({ isFinal, withdrawn }) => isFinal && withdrawn === undefined),
    )
    .flatMap(({ status }) => (status === undefined || status < 300 ? [] : [status]));
  const best = statuses[bestStatusIndex(statuses)];
  // RFC 3261 §16.7 step 6: passed on, 503 would say that the server is overloaded.
  return best === 503 ? 500 : best;
}

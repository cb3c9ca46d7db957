/**
 * The calls that are kept: those that go on, those that ended lately and stay in memory as tombstones, and those that are
 * on disk only.
 *
 * A call that was changed is *touched*; at the end of the input its row goes with the batch being filled, and what it has
 * to say runs when that is synced. A first row that cannot be stored ends the call; a later one is tried again, and
 * nothing of it is said until then.
 */
import { DeadlineHeap } from '../../base/deadline-heap.js';
import { NEVER } from '../../base/time.js';
import type { Aor, CallId } from '../../domain/call.js';
import type { CallDetail, CallEventKind, CallSummary } from '../../domain/call-view.js';
import type { HubCore } from '../hub-core.js';
import type { Call, CallEffect } from './call.js';
import { CallPart, callKey, decodeCallRow, encodeCallRow, readCallKey } from './call-rows.js';
import type { TraceAbout } from './call-trace.js';
import { detailOf, summaryOf } from './call-views.js';

/** Rows looked at for one page of a listing. */
const LOOKS_MAX = 5_000;

/** Rows forgotten in one sweep. */
const SWEEP_ROWS_MAX = 1_000;

export interface CallPage {
  readonly calls: readonly CallSummary[];
  readonly next: CallId | undefined;
}

export class CallBook {
  readonly #core: HubCore;
  /** Those that go on, and tombstones. */
  readonly #inMemory = new Map<CallId, Call>();
  readonly #activeByAor = new Map<Aor, Set<Call>>();
  readonly #callers = new Map<string, number>();
  /** Ended ones, in order of their end. */
  readonly #tombstones = new Set<Call>();
  /** Start of every call that has a row, or will have one, by wall clock; in about the order of their starts. */
  readonly #kept = new Map<CallId, number>();
  readonly #timers = new DeadlineHeap<Call>();
  readonly #dirty = new Set<Call>();
  #latestWallMs = 0;

  constructor(core: HubCore) {
    this.#core = core;
  }

  // ---- finding ---------------------------------------------------------------------------------------------

  find(id: CallId): Call | undefined {
    return this.#inMemory.get(id);
  }

  has(id: CallId): boolean {
    return this.#kept.has(id);
  }

  /** Those for the user that wait or ring. */
  active(aor: Aor): readonly Call[] {
    return [...(this.#activeByAor.get(aor) ?? [])];
  }

  activeOfCaller(callerKey: string): number {
    return this.#callers.get(callerKey) ?? 0;
  }

  get inMemory(): Iterable<Call> {
    return this.#inMemory.values();
  }

  detail(id: CallId): CallDetail | undefined {
    const call = this.#inMemory.get(id) ?? this.#read(id);
    return call && detailOf(call, this.#core.now);
  }

  list(aor: Aor | undefined, isMissed: boolean, after: CallId | undefined, count: number): CallPage {
    const ids = [...this.#kept.keys()].reverse();
    const from = after === undefined ? 0 : ids.indexOf(after) + 1;
    const calls: CallSummary[] = [];
    if (after !== undefined && from === 0) return { calls, next: undefined };
    for (let index = from; index < ids.length; index++) {
      const id = ids[index];
      const call = this.#inMemory.get(id) ?? this.#read(id);
      const isWanted = call !== undefined && (aor ?? call.aor) === call.aor && (!isMissed || call.isMissed);
      if (isWanted) calls.push(summaryOf(call, this.#core.now));
      const isPageFull = calls.length === count || index - from + 1 === LOOKS_MAX;
      if (isPageFull) return { calls, next: index + 1 < ids.length ? id : undefined };
    }
    return { calls, next: undefined };
  }

  #read(id: CallId): Call | undefined {
    const startedWallMs = this.#kept.get(id);
    if (startedWallMs === undefined) return undefined;
    const bytes = this.#core.options.store.get('call', callKey(startedWallMs, id, CallPart.state));
    return bytes && decodeCallRow(bytes, this.#core.now);
  }

  // ---- changing --------------------------------------------------------------------------------------------

  add(call: Call): void {
    this.#inMemory.set(call.id, call);
    this.#kept.set(call.id, call.startedWallMs);
    if (!call.isOver) this.#activate(call);
    else this.#bury(call);
  }

  /** A line in the call's trace. Nothing of it is on disk before the call is touched. */
  trace(call: Call, kind: CallEventKind, text: string, about?: TraceAbout): void {
    call.trace.add(call.ageMs(this.#core.now), kind, text, about);
  }

  touch(call: Call): void {
    this.#dirty.add(call);
  }

  /** The call has ended: it stays in memory for a while. */
  noteEnd(call: Call): void {
    this.#deactivate(call);
    this.#bury(call);
  }

  /** What was touched goes with the batch being filled. */
  flush(): void {
    for (const call of this.#dirty) {
      this.#dirty.delete(call);
      if (!call.isDropped) this.#save(call);
    }
  }

  #save(call: Call): void {
    const { queue } = this.#core;
    const { startedWallMs, id } = call;
    const { effects, isOver } = call;
    call.effects = [];
    call.retryDueMs = NEVER;
    queue.put('call', callKey(startedWallMs, id, CallPart.state), encodeCallRow(call, this.#core.now));
    const offerKey = callKey(startedWallMs, id, CallPart.offer);
    if (!call.isStored) queue.put('call', offerKey, call.offer);
    queue.after({
      committed: () => this.#handleStored(call, effects, isOver),
      undo: () => void call.effects.unshift(...effects),
      failed: () => this.#handleNotStored(call),
    });
    this.arm(call);
  }

  #handleStored(call: Call, effects: readonly CallEffect[], isEnd: boolean): void {
    call.isStored = true;
    call.isEndStored = isEnd;
    for (const { run } of effects) run();
    this.arm(call);
  }

  #handleNotStored(call: Call): void {
    if (call.isDropped) return;
    if (!call.isStored) {
      this.drop(call);
      this.#core.outbox.call({
        kind: 'finish',
        call: call.id,
        status: 503,
        best: false,
        retryAfterSeconds: 5,
      });
      return;
    }
    const { now, limits } = this.#core;
    call.retryDueMs = now.monotonic + limits.commitRetryMs;
    if (call.isOver && call.giveUpMs <= now.monotonic) this.#giveUp(call);
    this.arm(call);
  }

  /** The disk has refused the call's end for too long: the caller is not left without an answer. */
  #giveUp(call: Call): void {
    const { effects } = call;
    if (!effects.some(({ isEnd }) => isEnd)) return;
    call.effects = [];
    for (const { isEnd, run } of effects) if (!isEnd) run();
    call.state = 'rejected';
    call.answered = undefined;
    call.status = 500;
    call.reason = 'the server could not store how the call ended';
    this.trace(call, 'finish', call.reason, { status: 500 });
    this.#core.outbox.call({
      kind: 'finish',
      call: call.id,
      status: 500,
      best: false,
      retryAfterSeconds: undefined,
    });
  }

  /** Nothing of it is on disk, and nothing stays. */
  drop(call: Call): void {
    call.isDropped = true;
    call.effects = [];
    this.#deactivate(call);
    this.#tombstones.delete(call);
    this.#inMemory.delete(call.id);
    this.#kept.delete(call.id);
    this.#dirty.delete(call);
  }

  #activate(call: Call): void {
    const calls = this.#activeByAor.get(call.aor);
    if (calls === undefined) this.#activeByAor.set(call.aor, new Set([call]));
    else calls.add(call);
    const { callerKey } = call;
    this.#callers.set(callerKey, this.activeOfCaller(callerKey) + 1);
    this.#core.callCounts.active++;
  }

  #deactivate(call: Call): void {
    const calls = this.#activeByAor.get(call.aor);
    if (calls?.delete(call) !== true) return;
    if (calls.size === 0) this.#activeByAor.delete(call.aor);
    const { callerKey } = call;
    const count = this.activeOfCaller(callerKey) - 1;
    if (count > 0) this.#callers.set(callerKey, count);
    else this.#callers.delete(callerKey);
    this.#core.callCounts.active--;
  }

  // ---- time ------------------------------------------------------------------------------------------------

  /** Sees to it that the call is looked at when the first of its times is due. */
  arm(call: Call): void {
    if (call.isDropped) return;
    let dueMs = Math.min(call.retryDueMs, call.forgetDueMs);
    if (!call.isOver && call.isStored) {
      dueMs = Math.min(dueMs, call.deadlineMs, call.wakeDueMs);
      for (const leg of call.legs) if (!leg.isOver) dueMs = Math.min(dueMs, leg.checkDueMs, leg.extraDueMs);
    }
    if (dueMs >= call.armedMs) return;
    call.armedMs = dueMs;
    this.#timers.add(dueMs, call);
  }

  /** The next call one of whose times is due; arm it again when that is dealt with. */
  takeDue(): Call | undefined {
    for (;;) {
      const call = this.#timers.takeDue(this.#core.now.monotonic);
      if (call === undefined || !call.isDropped) {
        if (call !== undefined) call.armedMs = NEVER;
        return call;
      }
    }
  }

  /** The latest time that the table knew when it was read, wall-clock ms: later than now if the clock was set back. */
  get latestWallMs(): number {
    return this.#latestWallMs;
  }

  get nextMs(): number {
    return this.#timers.nextMs;
  }

  #bury(call: Call): void {
    this.#tombstones.add(call);
    const { limits, now } = this.#core;
    const endedAgoMs = Math.max(0, now.wall - (call.endedWallMs ?? now.wall));
    call.forgetDueMs = now.monotonic + Math.max(0, limits.callTombstoneMs - endedAgoMs);
    if (this.#tombstones.size <= limits.callTombstonesMax) return;
    const [oldest] = this.#tombstones;
    this.forget(oldest);
  }

  /** It leaves memory; its row stays, with what happened since it ended. */
  forget(call: Call): void {
    call.forgetDueMs = NEVER;
    if (call.retryDueMs !== NEVER || !call.isStored || call.effects.length > 0) {
      // Its end is not on disk: it goes when that is.
      call.forgetDueMs = this.#core.now.monotonic + this.#core.limits.commitRetryMs;
      return this.arm(call);
    }
    const { startedWallMs, id } = call;
    this.#core.queue.put(
      'call',
      callKey(startedWallMs, id, CallPart.state),
      encodeCallRow(call, this.#core.now),
    );
    this.#core.queue.put('call', callKey(startedWallMs, id, CallPart.offer), undefined);
    this.#tombstones.delete(call);
    this.#inMemory.delete(id);
    this.#dirty.delete(call);
    call.isDropped = true;
  }

  /** Forgets for good what is too old or too much. */
  sweep(): void {
    const { limits, now, queue } = this.#core;
    let looked = 0;
    for (const [id, startedWallMs] of this.#kept) {
      const isTooOld = startedWallMs + limits.callKeptMsMax <= now.wall;
      const isTooMuch = this.#kept.size - this.#inMemory.size > limits.callsKeptMax;
      if (looked++ === SWEEP_ROWS_MAX || (!isTooOld && !isTooMuch)) return;
      if (this.#inMemory.has(id)) continue;
      this.#kept.delete(id);
      queue.put('call', callKey(startedWallMs, id, CallPart.state), undefined);
    }
  }

  // ---- start -----------------------------------------------------------------------------------------------

  /** What the table has: every call that goes on, or ended so lately that it is to be in memory. */
  *recover(): Iterable<Call> {
    const { store } = this.#core.options;
    const { now, limits } = this.#core;
    const offers = new Map<CallId, Uint8Array>();
    const calls: Call[] = [];
    this.#latestWallMs = now.wall;
    for (const { key, value } of store.scan('call')) {
      const { id, startedWallMs, part } = readCallKey(key);
      if (part === CallPart.offer) {
        offers.set(id, value);
        continue;
      }
      this.#kept.set(id, startedWallMs);
      const call = decodeCallRow(value, now);
      this.#latestWallMs = Math.max(this.#latestWallMs, call.endedWallMs ?? startedWallMs);
      const isRecent = (call.endedWallMs ?? Infinity) + limits.callTombstoneMs > now.wall;
      if (!call.isOver || isRecent) calls.push(call);
    }
    calls.sort((a, b) => (a.endedWallMs ?? Infinity) - (b.endedWallMs ?? Infinity));
    for (const call of calls) {
      call.offer = offers.get(call.id) ?? call.offer;
      this.add(call);
      this.arm(call);
      yield call;
    }
    for (const [id] of offers) {
      const startedWallMs = this.#kept.get(id);
      if (this.#inMemory.has(id) || startedWallMs === undefined) continue;
      this.#core.queue.put('call', callKey(startedWallMs, id, CallPart.offer), undefined);
    }
  }
}

/**
 * The rows of calls: one that changes with the call, and the INVITE beside it while it may be needed. docs/spec/store.md
 * has the layout.
 */
import { WakelineError } from '../../base/errors.js';
import { fromHex, toHex } from '../../base/hex.js';
import { limits } from '../../base/limits.js';
import { NEVER, wallOf } from '../../base/time.js';
import type { InstantMs } from '../../base/time.js';
import type { BindingTarget, CallId, LegEnd } from '../../domain/call.js';
import type { CallState, CallTraceEvent, LegState } from '../../domain/call-view.js';
import { encodeJson, parseJson } from '../rows.js';
import { Attempt, Call, Leg } from './call.js';
import type { CallIdentity } from './call.js';

/** Bytes of a time and of a call's id in a key. */
const TIME_BYTES = 6;
const ID_BYTES = 16;

/** The last byte of a key. */
export const CallPart = { state: 0, offer: 1 } as const;
export type CallPart = (typeof CallPart)[keyof typeof CallPart];

/** Key: u48 wall-clock ms of the start, 16 bytes id, u8 part. */
export function callKey(startedWallMs: number, id: CallId, part: CallPart): Uint8Array {
  const idBytes = fromHex(id);
  if (idBytes === undefined || idBytes.length !== ID_BYTES) throw new TypeError('a call id is 32 hex digits');
  const key = new Uint8Array(TIME_BYTES + ID_BYTES + 1);
  putU48(key, 0, startedWallMs);
  key.set(idBytes, TIME_BYTES);
  key[TIME_BYTES + ID_BYTES] = part;
  return key;
}

export function readCallKey(key: Uint8Array): { startedWallMs: number; id: CallId; part: number } {
  if (key.length !== TIME_BYTES + ID_BYTES + 1) throw corrupt('the key of a call');
  return {
    startedWallMs: getU48(key, 0),
    id: toHex(key.subarray(TIME_BYTES, TIME_BYTES + ID_BYTES)),
    part: key[TIME_BYTES + ID_BYTES],
  };
}

export function putU48(bytes: Uint8Array, offset: number, value: number): void {
  let rest = Math.max(0, Math.floor(value));
  for (let index = offset + TIME_BYTES - 1; index >= offset; index--) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

export function getU48(bytes: Uint8Array, offset: number): number {
  let value = 0;
  for (let index = offset; index < offset + TIME_BYTES; index++) value = value * 256 + bytes[index];
  return value;
}

interface AttemptRow {
  readonly attempt: number;
  readonly isExtra: boolean;
  readonly mode: 'new' | 'repeat';
  readonly target: BindingTarget;
  readonly hadProvisional: boolean;
  readonly isAlerting: boolean;
  readonly status: number | undefined;
  readonly isFinal: boolean;
  readonly withdrawn: LegEnd | undefined;
}

interface LegRow {
  readonly leg: number;
  readonly instance: string;
  readonly contact: string;
  readonly userAgent: string | undefined;
  readonly state: LegState;
  readonly nextAttempt: number;
  readonly offers: number;
  readonly wakes: number;
  readonly lostAtMs: number | undefined;
  readonly attempts: readonly AttemptRow[];
}

interface CallRow extends CallIdentity {
  readonly state: CallState;
  readonly startedMs: number;
  readonly parkDeadlineMs: number;
  readonly ringDeadlineMs: number;
  readonly endedMs: number | undefined;
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly answered: { readonly leg: number; readonly attempt: number } | undefined;
  readonly wakes: number;
  readonly isAnswerIntended: boolean;
  readonly areDevicesTold: boolean;
  readonly legs: readonly LegRow[];
  readonly events: readonly CallTraceEvent[];
  readonly eventsDropped: number;
}

export function encodeCallRow(call: Call, now: InstantMs): Uint8Array {
  const row: CallRow = {
    id: call.id,
    aor: call.aor,
    caller: call.caller,
    sipCallId: call.sipCallId,
    callerPlace: call.callerPlace,
    callerAddress: call.callerAddress,
    state: call.state,
    startedMs: call.startedWallMs,
    parkDeadlineMs: wallOf(now, call.parkDeadlineMs),
    ringDeadlineMs: wallOf(now, call.ringDeadlineMs),
    endedMs: call.endedWallMs,
    status: call.status,
    reason: call.reason,
    answered: call.answered,
    wakes: call.wakes,
    isAnswerIntended: call.isAnswerIntended,
    areDevicesTold: call.areDevicesTold,
    legs: call.legs.map(legRow),
    events: call.trace.events,
    eventsDropped: call.trace.dropped,
  };
  return encodeJson(row);
}

function legRow(leg: Leg): LegRow {
  const { number, instance, contact, userAgent, state, nextAttempt, offers, wakes, lostAtMs } = leg;
  const attempts = leg.attempts.map(
    ({ number: attempt, isExtra, mode, target, hadProvisional, isAlerting, status, isFinal, withdrawn }) => ({
      attempt,
      isExtra,
      mode,
      target,
      hadProvisional,
      isAlerting,
      status,
      isFinal,
      withdrawn,
    }),
  );
  return {
    leg: number,
    instance,
    contact,
    userAgent,
    state,
    nextAttempt,
    offers,
    wakes,
    lostAtMs,
    attempts,
  };
}

/** A call as it was written; `offer` stays empty. An attempt that is in the row may have been sent. */
export function decodeCallRow(bytes: Uint8Array, now: InstantMs): Call {
  const row = parseJson(bytes) as CallRow;
  if (!Array.isArray(row.legs) || !Array.isArray(row.events)) throw corrupt('a call');
  const call = new Call(row, now, row.startedMs, new Uint8Array(0), {
    parkMs: now.monotonic + leftMs(row, row.parkDeadlineMs, now),
    ringMs: now.monotonic + leftMs(row, row.ringDeadlineMs, now),
  });
  call.startedMs = Math.min(call.startedMs, now.monotonic - (row.events.at(-1)?.atMs ?? 0));
  call.state = row.state;
  call.endedWallMs = row.endedMs;
  call.status = row.status;
  call.reason = row.reason;
  call.answered = row.answered;
  call.wakes = row.wakes;
  call.isAnswerIntended = row.isAnswerIntended;
  call.areDevicesTold = row.areDevicesTold;
  call.isStored = true;
  call.isEndStored = call.isOver;
  call.trace.restore(row.events, row.eventsDropped);
  call.legs = row.legs.map(legOf);
  return call;
}

/** Until a deadline: no longer than it was at first, whatever the wall clock was set to meanwhile. */
function leftMs({ startedMs }: CallRow, deadlineMs: number, now: InstantMs): number {
  return Math.max(0, Math.min(deadlineMs - now.wall, deadlineMs - startedMs, limits.callMsMax));
}

function legOf(row: LegRow): Leg {
  const leg = new Leg(row.leg, row.instance, row.contact, row.userAgent);
  leg.state = row.state;
  leg.nextAttempt = row.nextAttempt;
  leg.offers = row.offers;
  leg.wakes = row.wakes;
  leg.lostAtMs = row.lostAtMs;
  leg.checkDueMs = NEVER;
  leg.attempts = row.attempts.map((from) => {
    // The flow was one of the process that is gone.
    const attempt = new Attempt(from.attempt, { ...from.target, flow: 0 }, from.isExtra);
    attempt.mode = from.mode;
    attempt.isSent = true;
    attempt.hadProvisional = from.hadProvisional;
    attempt.isAlerting = from.isAlerting;
    attempt.status = from.status;
    attempt.isFinal = from.isFinal;
    attempt.withdrawn = from.withdrawn;
    return attempt;
  });
  return leg;
}

function corrupt(what: string): WakelineError {
  return new WakelineError(
    'STORE_CORRUPT',
    `${what} in the store cannot be read; restore the data directory from a backup`,
  );
}

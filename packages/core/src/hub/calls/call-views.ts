/** A call as operators and programs see it, and the sentence that says why nobody answered. */
import { wallOf, type InstantMs } from '../../base/time.js';
import type { PasswordAlgorithm } from '../../domain/call.js';
import type { CallDetail, CallSummary, LegView } from '../../domain/call-view.js';
import type { Call, Leg } from './call.js';

export function summaryOf(call: Call, now: InstantMs): CallSummary {
  return {
    call: call.id,
    aor: call.aor,
    caller: call.caller,
    sipCallId: call.sipCallId,
    state: call.state,
    isMissed: call.isMissed,
    startedMs: call.startedWallMs,
    deadlineMs: call.isOver ? undefined : wallOf(now, call.deadlineMs),
    endedMs: call.endedWallMs,
    status: call.status,
    reason: call.reason,
    wakes: call.wakes,
    legs: call.legs.length,
  };
}

export function detailOf(call: Call, now: InstantMs): CallDetail {
  return {
    ...summaryOf(call, now),
    legViews: call.legs.map(viewOf),
    events: call.trace.events,
    eventsDropped: call.trace.dropped,
  };
}

function viewOf(leg: Leg): LegView {
  return {
    leg: leg.number,
    instance: leg.instance,
    contact: leg.contact,
    userAgent: leg.userAgent,
    state: leg.state,
    attempts: leg.attempts.map(({ number, mode, status, withdrawn }) => ({
      attempt: number,
      mode,
      status,
      withdrawn,
    })),
  };
}

/**
 * What became of each leg, for the reason of a call that nobody answered. Ask before the legs are ended.
 *
 * @param missing what phones of the user may be asked for in vain
 */
export function explainLegs(
  call: Call,
  devices: readonly string[],
  missing: readonly PasswordAlgorithm[],
): string {
  const fates = explainFates(call, devices);
  const isAbsent = ({ state }: Leg): boolean => state === 'waking' || state === 'asleep' || state === 'lost';
  // Whoever was there has logged in.
  if (missing.length === 0 || (call.legs.length > 0 && !call.legs.some(isAbsent))) return fates;
  const names = missing.join(' or ');
  return `${fates}; whatever logs in by ${names} is refused: the password of ${call.aor} was made without it`;
}

function explainFates(call: Call, devices: readonly string[]): string {
  const parts = call.legs.map(
    (leg) => `leg ${leg.number} (${leg.userAgent ?? leg.instance}) ${fateOf(call, leg, devices)}`,
  );
  if (call.legs.length > 0) return parts.join('; ');
  if (devices.length === 0) return 'no phone is registered, and no device is known that could be woken';
  return call.wakes === 0
    ? `no phone is registered; ${devices.join(', ')} could not be woken`
    : `no phone is registered; ${devices.join(', ')} did not come after ${times(call.wakes, 'wake')}`;
}

function fateOf(call: Call, leg: Leg, devices: readonly string[]): string {
  const lost = leg.lostAtMs === undefined ? '' : ` at ${seconds(leg.lostAtMs)}`;
  switch (leg.state) {
    case 'ringing':
      return 'rang and was not answered';
    case 'lost':
      return `lost its connection${lost}${leg.isAlerting ? ' while it rang' : ''} and did not come back`;
    case 'offered': {
      const hasSaid = leg.attempts.some(({ hadProvisional }) => hadProvisional);
      return hasSaid ? 'was offered the call and never rang' : 'was offered the call and said nothing';
    }
    case 'waking':
    case 'asleep':
      return absenceOf(call, leg, devices);
    case 'rejected': {
      const status = leg.attempts.findLast(({ isFinal }) => isFinal)?.status;
      return status === undefined ? 'declined' : `answered ${status}`;
    }
    default:
      return leg.state;
  }
}

/** Telling a user's devices wakes the phone only where they are the phone: so it is said what was tried. */
function absenceOf(call: Call, leg: Leg, devices: readonly string[]): string {
  const { hasPush, isPushRefused, wakes } = leg;
  const since = absentSince(call, leg);
  if (hasPush && !isPushRefused) return `${since} and did not come after ${times(wakes, 'wake')}`;
  const push = hasPush || isPushRefused ? 'its push route wakes nobody' : 'it has no push route';
  if (wakes === 0) return `${since}, and ${push}: nothing could wake it`;
  return `${since}, and ${push}: only ${devices.join(', ')} could be told (${times(wakes, 'time')}), and it did not come`;
}

function absentSince(call: Call, { absentSinceMs, lostAtMs }: Leg): string {
  if (lostAtMs !== undefined) return `lost its connection at ${seconds(lostAtMs)}`;
  if (absentSinceMs === undefined || absentSinceMs > call.startedWallMs) return 'had no connection';
  return `had lost its connection ${duration(call.startedWallMs - absentSinceMs)} before the call`;
}

function duration(ms: number): string {
  if (ms < 120_000) return seconds(ms);
  return ms < 7_200_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`;
}

function times(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

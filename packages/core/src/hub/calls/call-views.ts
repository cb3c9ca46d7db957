/** A call as operators and programs see it, and the sentence that says why nobody answered. */
import type { CallDetail, CallSummary, LegView } from '../../domain/call-view.js';
import type { Call, Leg } from './call.js';

export function summaryOf(call: Call): CallSummary {
  return {
    call: call.id,
    aor: call.aor,
    caller: call.caller,
    sipCallId: call.sipCallId,
    state: call.state,
    isMissed: call.isMissed,
    startedMs: call.startedWallMs,
    deadlineMs: call.isOver ? undefined : call.wallOf(call.deadlineMs),
    endedMs: call.endedWallMs,
    status: call.status,
    reason: call.reason,
    wakes: call.wakes,
    legs: call.legs.length,
  };
}

export function detailOf(call: Call): CallDetail {
  return {
    ...summaryOf(call),
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

/** What became of each leg, for the reason of a call that nobody answered. Ask before the legs are ended. */
export function explainLegs(call: Call, devices: readonly string[]): string {
  const parts = call.legs.map((leg) => `leg ${leg.number} (${leg.userAgent ?? leg.instance}) ${fateOf(leg)}`);
  if (call.legs.length > 0) return parts.join('; ');
  if (devices.length === 0) return 'no phone is registered, and no device is known that could be woken';
  return call.wakes === 0
    ? `no phone is registered; ${devices.join(', ')} could not be woken`
    : `no phone is registered; ${devices.join(', ')} did not come after ${times(call.wakes, 'wake')}`;
}

function fateOf(leg: Leg): string {
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
      return `did not come after ${times(leg.wakes, 'wake')}`;
    case 'asleep':
      return 'was away and had no way to be woken';
    case 'rejected': {
      const status = leg.attempts.findLast(({ isFinal }) => isFinal)?.status;
      return status === undefined ? 'declined' : `answered ${status}`;
    }
    default:
      return leg.state;
  }
}

function times(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/**
 * Takes up connections that outlived the hub they were opened at. A line process kept their sockets while the hub
 * process was away; the device is asleep and must not notice: what it was sent and has not acknowledged is under way
 * as before, and nothing of it is sent again.
 *
 * Must not: say anything to the device but what is new, or that its session is gone.
 */
import type { Identity, Refusal } from '../domain/device.js';
import type { LinkCommand } from '../domain/link.js';
import { Access } from './access.js';
import { Flow, FlowState } from './device-state.js';
import type { Device } from './device-state.js';
import { EntryFlag } from './entry-table.js';
import type { HubCore } from './hub-core.js';
import { findSequence } from './lane.js';
import { Presence } from './presence.js';
import type { Sessions } from './sessions.js';

type Resume = LinkCommand & { readonly kind: 'resume' };

/** The flow is open again, or is told its `end`. */
export function resumeFlow(core: HubCore, sessions: Sessions, flowId: number, resume: Resume): void {
  const device = core.devices.get(resume.deviceId);
  const refusal = refusalOf(core, device, resume);
  if (refusal !== undefined || device === undefined) {
    core.outbox.pushBare(flowId, { kind: 'end', reason: refusal ?? 'session-lost' });
    return;
  }
  const { identity, link, peer } = resume;
  const session = device.session!;
  if (identity.kind === 'user') device.access = new Access(identity.access, device.id);
  sessions.enforceAccess(device);
  // It was never away: what a recovery or a lost link took for its leave is taken back.
  session.absence = null;
  core.queue.putLater(device);
  const window = Math.max(1, resume.receiveMaximum);
  const connectedSeconds = Math.floor(core.now.wall / 1000);
  const flow = new Flow(flowId, device, link, peer, connectedSeconds, window);
  flow.state = FlowState.open;
  if (resume.state !== undefined) {
    flow.presence = new Presence(core.limits.wakeWindowMs);
    flow.presence.report(core.now, resume.state, 0);
  }
  device.flow = flow;
  core.notePresence(device);
  core.flows.set(flowId, flow);
  const { waiting, released } = device.inboxView;
  // Of most devices there is nothing more to know, and their inboxes stay put away.
  if (waiting === 0 && released === null) return;
  restoreWindow(core, device, resume);
  const told = new Set(resume.released);
  for (const sequence of [...(device.inbox.released ?? [])].sort((a, b) => a - b)) {
    if (!told.has(sequence)) core.outbox.push(flow, { kind: 'release', sequence });
  }
  core.deliverer.wake(device);
}

function refusalOf(core: HubCore, device: Device | undefined, resume: Resume): Refusal | undefined {
  if (core.isDraining) return 'draining';
  if (device === undefined || device.session === null) return 'session-lost';
  const { epoch } = device.inboxView;
  if (resume.epoch.length !== epoch.length || epoch.some((byte, index) => byte !== resume.epoch[index]))
    return 'session-lost';
  const { identity } = resume;
  if (!isOwner(device, identity)) return 'bad-credentials';
  if (identity.kind === 'anonymous' && !core.options.anonymousDevices) return 'bad-credentials';
  // The device is back by another connection: that one is the newer.
  return device.flow === null ? undefined : 'session-taken-over';
}

function isOwner(device: Device, identity: Identity): boolean {
  const { tokenSha256 } = device;
  if (identity.kind === 'token') return tokenSha256 === identity.sha256;
  if (identity.kind !== 'agent') return tokenSha256 === undefined;
  return device.isAgent && (tokenSha256 === identity.sha256 || tokenSha256 === identity.freshSha256);
}

/** What is under way on the connection, as its line saw it. */
function restoreWindow(core: HubCore, device: Device, resume: Resume): void {
  const { inbox } = device;
  const { log } = core.queue;
  for (const sequence of resume.acknowledged) {
    const entry = findEntry(core, device, sequence);
    if (entry === 0) continue;
    core.acknowledged++;
    core.noteAcknowledged(device, entry);
    log.finish(inbox, entry);
  }
  for (const sequence of resume.completed) {
    if (!inbox.released?.delete(sequence)) continue;
    if (inbox.released.size === 0) inbox.released = null;
    log.markCursorDirty(inbox);
  }
  for (const sequence of resume.sent) markSent(core, device, sequence);
  // The connection tells exactly what it was sent; nothing beyond has to be taken for a duplicate.
  inbox.maybeSentThrough = Math.min(inbox.maybeSentThrough, resume.lastSequence);
  inbox.sentLast = resume.lastSequence;
  inbox.sentFirst = Math.min(resume.lastSequence, ...resume.sent, ...(inbox.released ?? []));
}

function markSent(core: HubCore, device: Device, sequence: number): void {
  const { inbox } = device;
  const { log } = core.queue;
  const { entries } = log;
  const entry = findEntry(core, device, sequence);
  if (entry === 0 || entries.flags[entry] & EntryFlag.inflight) return;
  entries.flags[entry] |= EntryFlag.sent | EntryFlag.inflight;
  inbox.inflight++;
  if (entries.flags[entry] & EntryFlag.addressed)
    inbox.addressedSentThrough = Math.max(inbox.addressedSentThrough, sequence);
  else inbox.topicsSentThrough = Math.max(inbox.topicsSentThrough, sequence);
  log.markCursorDirty(inbox);
}

/** The waiting message with this number; 0: there is none. */
function findEntry(core: HubCore, device: Device, sequence: number): number {
  const { inbox } = device;
  const { entries } = core.queue.log;
  for (const lane of [inbox.topics, inbox.addressedIfAny]) {
    const entry = lane === null ? 0 : findSequence(entries, lane, sequence);
    if (entry !== 0) return entry;
  }
  return 0;
}

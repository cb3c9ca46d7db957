/** What the hub knows after a start: everything in memory, made again from the store. */
import { toHex } from '../base/hex.js';
import { decodeUtf8 } from '../base/utf8.js';
import { getU32 } from '../base/u32.js';
import { assert } from '../base/assert.js';
import type { ApiToken } from '../domain/control.js';
import { Device, Session } from './device-state.js';
import type { EndpointRow } from './endpoints.js';
import type { HubCore } from './hub-core.js';
import { nextDeviceNumberKey, restoredKey } from './hub-core.js';
import type { EntryTable } from './entry-table.js';
import type { Inbox } from './inbox.js';
import type { Lane } from './lane.js';
import type { NetworkRow } from './networks.js';
import { RecipientFlag } from './record.js';
import { RetainedMessage } from './retained.js';
import { decodeCursorRow, decodeDeviceRow, decodeSubscriptionRow, parseJson } from './rows.js';
import type { Sessions } from './sessions.js';

/** How many windows a fast device may be sent between two writes of its cursor. */
const SENT_WINDOWS_MAX = 10;

export function recover(core: HubCore, sessions: Sessions): void {
  const { store } = core.options;
  const next = store.get('meta', nextDeviceNumberKey);
  core.nextDeviceNumber = next === undefined ? 1 : getU32(next, 0);
  recoverDevices(core);
  for (const { key, value } of store.scan('subscription', { isLent: true })) {
    const { number, row } = decodeSubscriptionRow(key, value);
    const device = core.byNumber.get(number);
    if (device?.session) sessions.restoreSubscription(device, row);
  }
  recoverLog(core);
  for (const { key, value } of store.scan('retained')) {
    const topic = decodeUtf8(key, 0, key.length);
    if (topic !== undefined) core.retained.set(new RetainedMessage(topic, value));
  }
  for (const { value } of store.scan('token')) {
    const token = parseJson(value) as ApiToken;
    core.apiTokens.set(token.sha256, token);
  }
  core.receipts.recover();
  core.endpoints.recover(endpointRows(core), (number) => core.byNumber.get(number));
  core.networks.recover(networkRows(core));
  for (const device of core.devices.values()) {
    core.watchExpiry(device);
    resumeSession(core, sessions, device);
    device.putInboxAway();
  }
  if (store.get('meta', restoredKey) !== undefined) changeEpochs(core);
}

function* endpointRows(core: HubCore): Iterable<readonly [string, EndpointRow]> {
  for (const { key, value } of core.options.store.scan('endpoint'))
    yield [toHex(key), parseJson(value) as EndpointRow];
}

function* networkRows(core: HubCore): Iterable<readonly [string, NetworkRow]> {
  for (const { key, value } of core.options.store.scan('network'))
    yield [toHex(key), parseJson(value) as NetworkRow];
}

function recoverDevices(core: HubCore): void {
  const { store } = core.options;
  const cursors = new Map<number, Inbox>();
  for (const { key, value } of store.scan('cursor', { isLent: true })) {
    const number = getU32(key, 0);
    cursors.set(number, decodeCursorRow(number, value));
  }
  for (const { key, value } of store.scan('device', { isLent: true })) {
    const id = decodeUtf8(key, 0, key.length);
    const row = decodeDeviceRow(value);
    const inbox = cursors.get(row.number);
    assert(id !== undefined && inbox !== undefined, `device ${id} has a cursor row`);
    const device = new Device(id, inbox, core.accessFor(row.access, id));
    device.tokenSha256 = row.tokenSha256;
    device.accessRules = row.access;
    device.isAgent = row.isAgent === true;
    if (row.session !== undefined) {
      device.session = new Session(row.session.expirySeconds);
      device.session.will = row.session.will;
      // Whoever was connected when the server died has been away since now at the earliest.
      device.session.absence = {
        endedMs: row.session.endedMs ?? core.now.wall,
        willDueMs: Infinity,
      };
    }
    core.devices.set(id, device);
    core.byNumber.set(row.number, device);
    if (device.tokenSha256 !== undefined) core.byToken.set(device.tokenSha256, device);
  }
}

function recoverLog(core: HubCore): void {
  const { log } = core.queue;
  log.recover(
    (number) => core.byNumber.get(number)?.inbox,
    (inbox, sequence, flags, view) => {
      if (flags & RecipientFlag.addressed) return true;
      // What came by topic ends with the session; one that was not to survive has not.
      const device = core.byNumber.get(inbox.number)!;
      if (sequence > inbox.topicsDroppedThrough && device.session !== null) return true;
      inbox.finished.add(sequence);
      log.markCursorDirty(inbox);
      core.endedDropped++;
      const { messageId } = view;
      if (messageId !== null) {
        const reason = 'session ended with its connection';
        core.receipts.putEnd(messageId.slice(), device.id, { stage: 'dropped', reason, atMs: core.now.wall });
      }
      return false;
    },
  );
  // What may have been sent since its cursor was last written is marked as a duplicate: a few windows.
  const windowMax = core.limits.inflightMax * SENT_WINDOWS_MAX;
  for (const device of core.devices.values()) {
    const { inbox } = device;
    const entry = nthOf(log.entries, inbox.topics, windowMax);
    const addressed = inbox.addressedIfAny?.tail ?? 0;
    inbox.maybeSentThrough = Math.max(
      entry === 0 ? 0 : log.entries.sequence[entry],
      addressed === 0 ? 0 : log.entries.sequence[addressed],
    );
  }
}

/** The entry at this place of a lane, counted from 1, or its last; 0: the lane is empty. */
function nthOf(entries: EntryTable, { head, tail, count }: Lane, place: number): number {
  if (count <= place) return tail;
  let entry = head;
  for (let at = 1; at < place; at++) entry = entries.next[entry];
  return entry;
}

function resumeSession(core: HubCore, sessions: Sessions, device: Device): void {
  const { session } = device;
  if (session === null || device.isAgent) core.removeIfEmpty(device);
  if (session === null || device.isRemoved) return;
  sessions.watchSession(device, session);
  if (session.will === undefined) return;
  const delaySeconds = Math.min(session.will.delaySeconds, session.expirySeconds);
  const delayMs = Math.max(delaySeconds * 1000, core.limits.willGraceMs);
  sessions.watchWill(device, session.absence!, core.now.monotonic + delayMs);
}

/** A restored backup may be older than what devices have seen: numbering under the old epoch must not go on. */
function changeEpochs(core: HubCore): void {
  for (const device of core.devices.values()) {
    core.options.random.fill(device.inbox.epoch);
    core.queue.putCursor(device.inbox);
  }
  core.queue.put('meta', restoredKey, undefined);
}

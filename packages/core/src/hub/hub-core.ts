/**
 * What the hub's parts share: the tables in memory, the commit queue, and the few rules that everything obeys.
 *
 * - A device, once in the table, is found by id; its inbox also by number, while it is durable.
 * - An answer to a flow leaves in the order of its commands, and after its cause is synced ({@link HubCore.answer}).
 * - An entry that ends without being acknowledged ends through {@link HubCore.endEntry}, with a reason.
 */
import { assert } from '../base/assert.js';
import { DeadlineHeap } from '../base/deadline-heap.js';
import { toHex } from '../base/hex.js';
import { limits } from '../base/limits.js';
import type { Limits } from '../base/limits.js';
import { PagedTable } from '../base/paged-table.js';
import type { InstantMs } from '../base/time.js';
import { encodeUtf8 } from '../base/utf8.js';
import type { PasswordAlgorithm, SipUser } from '../domain/call.js';
import type { ApiToken } from '../domain/control.js';
import type { AccessRules, Refusal } from '../domain/device.js';
import type { LinkEvent } from '../domain/link.js';
import type { Stage } from '../domain/message.js';
import type { Random } from '../ports/random.js';
import type { Store, StoreChange } from '../ports/store.js';
import { Access } from './access.js';
import { CallCounts } from './calls/call-counts.js';
import { Canaries } from './canaries.js';
import { CommitQueue } from './commit-queue.js';
import { Deliverer } from './deliverer.js';
import { Device, FlowState } from './device-state.js';
import type { Flow } from './device-state.js';
import { Endpoints } from './endpoints.js';
import { EntryFlag } from './entry-table.js';
import { Inbox, VOLATILE_NUMBER_BASE } from './inbox.js';
import type { TimelineEvent } from './machine.js';
import { LateFailures } from './late-failures.js';
import { MessageWatchers } from './message-watchers.js';
import { Networks } from './networks.js';
import { Outbox } from './outbox.js';
import { Receipts, messageIdText } from './receipts.js';
import { RecordView } from './record.js';
import { RetainedTree } from './retained.js';
import { encodeDeviceRow, numberKey, subscriptionKey } from './rows.js';
import { SubscriptionTree } from './subscription-tree.js';

export interface HubOptions {
  /** Reads only: changes leave the hub as `commit` outputs. */
  readonly store: Store;
  readonly random: Random;
  /** Whether a device may connect without a credential. */
  readonly anonymousDevices: boolean;
  /** Rules of devices that were given none. */
  readonly defaultAccess: AccessRules;
  /** Longest session expiry granted, seconds; SESSION_NEVER_EXPIRES: no bound. */
  readonly sessionExpirySecondsMax: number;
  /** Calls, where SIP is spoken; undefined: it is not. */
  readonly calls?: CallOptions;
  /** Of the server, for `$SYS/broker/version`. */
  readonly version?: string;
  /** Bounds that differ from the defaults. */
  readonly limits?: Partial<Limits>;
  /** Told of every step of every message, in the turn in which it happens. Costs time: leave it out in production. */
  readonly onTimeline?: (event: TimelineEvent) => void;
}

/** What the hub is told of calls. */
export interface CallOptions {
  /** Users of the configuration; they win over those made by requests. */
  readonly users: readonly SipUser[];
  /** What all phones are asked for; users made while others were asked for may lack a hash. Default: SHA-256 alone. */
  readonly algorithms?: readonly PasswordAlgorithm[];
  /** How long a call waits for a sleeping device when the caller does not say, ms; at most `limits.callMsMax`. */
  readonly parkMs: number;
  /**
   * SHA-256 of the token (hex) of an endpoint of ours by its URL, which begins with the server's public URL; undefined: it
   * is somebody else's. The hub has no hash of its own.
   */
  readonly ownEndpoint?: (url: string) => string | undefined;
  /** The server's VAPID public key, as `normalizeVapidKey` has it: pushes to own endpoints count as signed with it. */
  readonly vapidPublicKey?: string;
}

export class HubCore {
  readonly options: HubOptions;
  readonly limits: Limits;
  readonly queue: CommitQueue;
  readonly outbox = new Outbox();
  readonly deliverer: Deliverer;
  readonly tree = new SubscriptionTree<Device>();
  readonly retained: RetainedTree;
  readonly receipts: Receipts;
  readonly endpoints: Endpoints;
  readonly canaries: Canaries;
  readonly networks: Networks;
  readonly watchers: MessageWatchers;
  readonly lateFailures: LateFailures;
  readonly callCounts = new CallCounts();
  readonly devices = new Map<string, Device>();
  readonly byNumber = new PagedTable<Device>();
  readonly byToken = new Map<string, Device>();
  readonly flows = new PagedTable<Flow>();
  readonly apiTokens = new Map<string, ApiToken>();
  /** Sessions whose expiry is to be looked at, by wall-clock ms. */
  readonly sessionDeadlines = new DeadlineHeap<Device>();
  /** Inboxes with messages that expire, by wall-clock ms. */
  readonly expiryDeadlines = new DeadlineHeap<Device>();
  /** Wills that wait out their delay, by monotonic ms. */
  readonly willDeadlines = new DeadlineHeap<Device>();
  now: InstantMs = { monotonic: 0, wall: 0 };
  nextDeviceNumber = 1;
  #nextVolatileNumber = VOLATILE_NUMBER_BASE;
  appendsAllowed = true;
  isDraining = false;
  publicationsAccepted = 0;
  acknowledged = 0;
  endedExpired = 0;
  endedReplaced = 0;
  endedDropped = 0;
  endedFailed = 0;
  qos0Dropped = 0;
  qos0Sent = 0;
  /** Times that a sleeping device sent something by itself while messages waited. */
  wakesNatural = 0;
  readonly #view = new RecordView();
  /** Numbers of devices that {@link putInboxesAway} is to look at. */
  readonly #quiet = new Set<number>();
  readonly #sharedAccess = new WeakMap<AccessRules, Access>();

  constructor(options: HubOptions) {
    this.options = options;
    this.limits = { ...limits, ...options.limits };
    this.retained = new RetainedTree(this.limits);
    this.queue = new CommitQueue({
      store: options.store,
      changesOf: (device) => this.#changesOf(device),
      inboxByNumber: (number) => this.byNumber.get(number)?.inbox,
    });
    this.receipts = new Receipts(options.store, options.random, this.queue, this.limits);
    this.endpoints = new Endpoints(this.queue, this.limits);
    this.canaries = new Canaries(this.outbox, this.limits);
    this.networks = new Networks(this.queue, this.limits);
    this.watchers = new MessageWatchers(this.limits);
    this.lateFailures = new LateFailures(this.limits);
    this.deliverer = new Deliverer({
      log: this.queue.log,
      limits: this.limits,
      outbox: this.outbox,
      onSent: (device, entry, view) => {
        if (view.messageIdStart >= 0) this.watchers.note(view.messageId!);
        if (this.options.onTimeline !== undefined) this.#tell('wake sent', device, entry, view, undefined);
      },
      onExpired: (device, entry) => this.endEntry(device, entry, 'expired', 'time to live is over'),
    });
  }

  /** What the rules allow the device; those that do not name it are shared by all that have them. */
  accessFor(rules: AccessRules | undefined, deviceId: string): Access {
    const applied = rules ?? this.options.defaultAccess;
    const known = this.#sharedAccess.get(applied);
    if (known !== undefined) return known;
    const access = new Access(applied, deviceId);
    if (!access.isPersonal) this.#sharedAccess.set(applied, access);
    return access;
  }

  // ---- devices ---------------------------------------------------------------------------------------------

  /** Makes a device and puts it into the table. A durable one is written with {@link putDevice}. */
  createDevice(id: string, isDurable: boolean, epoch = this.options.random.fill(new Uint8Array(8))): Device {
    const number = isDurable ? this.nextDeviceNumber++ : this.#nextVolatileNumber++;
    const device = new Device(id, new Inbox(number, epoch), this.accessFor(undefined, id));
    this.devices.set(id, device);
    this.byNumber.set(number, device);
    if (isDurable) {
      const value = numberKey(this.nextDeviceNumber);
      this.queue.put('meta', nextDeviceNumberKey, value);
      this.queue.putCursor(device.inbox);
    }
    return device;
  }

  /**
   * The device that takes the place of one in memory only, to be kept: with the same id, credential, session, flow and
   * epoch. Nothing may wait for the old one, and nothing be subscribed. Written with {@link putDevice}.
   */
  makeDurable(old: Device): Device {
    assert(!old.isDurable && old.waiting === 0, 'what a device in memory was sent is not to be kept');
    assert(old.session?.subscriptionCount === 0, 'a subscription belongs to the device that made it');
    this.byNumber.delete(old.number);
    old.isRemoved = true;
    const device = this.createDevice(old.id, true, old.inboxView.epoch);
    device.access = old.access;
    device.accessRules = old.accessRules;
    device.isAgent = old.isAgent;
    device.tokenSha256 = old.tokenSha256;
    if (device.tokenSha256 !== undefined) this.byToken.set(device.tokenSha256, device);
    device.session = old.session;
    device.flow = old.flow;
    if (device.flow !== null) device.flow.device = device;
    old.session = null;
    old.flow = null;
    return device;
  }

  /** The device's row goes with the batch being filled. */
  putDevice(device: Device): void {
    if (!device.isDurable || device.isRemoved) return;
    for (const { table, key, value } of this.#changesOf(device)) this.queue.put(table, key, value);
  }

  /** Nothing may be under way for the device any more: its inbox can perhaps be put away. */
  noteQuiet(number: number): void {
    this.#quiet.add(number);
  }

  /**
   * Puts the inboxes away that are idle: soon, so that the collector does not have to move them. Only when a commit has just ended: what
   * the open batch would take back if it failed is either no idle inbox's, or finds the inbox by its device.
   */
  putInboxesAway(): void {
    let count = 0;
    for (const number of this.#quiet) {
      if (count++ >= PUT_AWAY_MAX) break;
      this.#quiet.delete(number);
      this.byNumber.get(number)?.putInboxAway();
    }
  }

  /** Takes the device and everything of it out of memory and, if it was durable, off the disk. */
  removeDevice(device: Device, reason: string): void {
    if (device.isRemoved) return;
    this.endLane(device, device.inbox.topics, reason);
    if (device.inbox.addressedIfAny !== null) this.endLane(device, device.inbox.addressedIfAny, reason);
    // Those below $line/ are not in the tree, where removing them does nothing.
    for (const subscription of device.session?.listSubscriptions() ?? []) this.tree.remove(subscription);
    device.isRemoved = true;
    this.devices.delete(device.id);
    this.byNumber.delete(device.number);
    if (device.tokenSha256 !== undefined) this.byToken.delete(device.tokenSha256);
    this.endpoints.endAll(device, this.now.wall);
    this.canaries.endOf(device.id);
    this.queue.forgetCursor(device.inbox);
    if (!device.isDurable) return;
    for (const { table, key, value } of this.#changesOf(device)) this.queue.put(table, key, value);
    this.queue.after({ committed() {}, undo: () => this.queue.putLater(device) });
  }

  /** What the device's rows should be. Of a removed one: nothing, unless its id has been given out again. */
  #changesOf(device: Device): StoreChange[] {
    const key = encodeUtf8(device.id);
    const { session, number } = device;
    if (!device.isRemoved) {
      const value = encodeDeviceRow({
        number,
        tokenSha256: device.tokenSha256,
        access: device.accessRules,
        session: session?.isDurable
          ? { expirySeconds: session.expirySeconds, endedMs: session.absence?.endedMs, will: session.will }
          : undefined,
        isAgent: device.isAgent || undefined,
      });
      return [{ table: 'device', key, value }, ...this.#endedFilterChanges(device)];
    }
    const changes: StoreChange[] = [
      { table: 'cursor', key: numberKey(number), value: undefined },
      ...this.endpoints.endedChanges(device),
    ];
    for (const { filter } of session?.listSubscriptions() ?? []) {
      changes.push({ table: 'subscription', key: subscriptionKey(number, filter), value: undefined });
    }
    if (this.devices.get(device.id)?.isDurable !== true)
      changes.push({ table: 'device', key, value: undefined });
    return changes;
  }

  /** Takes the rows of ended subscriptions off the disk; after a failure with the next flush. */
  putEndedFilters(device: Device): void {
    for (const { table, key, value } of this.#endedFilterChanges(device)) this.queue.put(table, key, value);
  }

  #endedFilterChanges(device: Device): StoreChange[] {
    const filters = [...(device.endedFilters ?? [])].filter(
      (filter) => device.session?.findSubscription(filter) === undefined,
    );
    if (filters.length > 0) {
      const committed = (): void => {
        for (const filter of filters) device.endedFilters?.delete(filter);
        if (device.endedFilters?.size === 0) device.endedFilters = undefined;
      };
      this.queue.after({ committed, undo: () => this.queue.putLater(device) });
    }
    const { number } = device;
    return filters.map((filter) => ({
      table: 'subscription',
      key: subscriptionKey(number, filter),
      value: undefined,
    }));
  }

  /** A durable device that has nothing left to keep is not kept. */
  removeIfEmpty(device: Device): void {
    const { session, flow, endpoints, tokenSha256, waiting } = device;
    const isNeeded = device.isAgent
      ? flow !== null || (session !== null && endpoints !== undefined)
      : session !== null || flow !== null || tokenSha256 !== undefined || waiting > 0;
    if (!isNeeded) this.removeDevice(device, 'device removed');
  }

  isFull(inbox: Inbox): boolean {
    const { inboxMessagesMax, inboxBytesMax, volatileBytesMax } = this.limits;
    // One session that does not acknowledge must not use up what all of them share.
    const bytesMax = inbox.isDurable ? inboxBytesMax : Math.min(inboxBytesMax, volatileBytesMax / 16);
    return inbox.waiting >= inboxMessagesMax || inbox.waitingBytes >= bytesMax;
  }

  // ---- answers ---------------------------------------------------------------------------------------------

  /**
   * Answers a flow. With `needsSync` after the batch being filled is synced; otherwise at once, unless earlier
   * answers of the flow still wait. `failure` is what it gets when the commit fails; undefined: the flow is ended.
   */
  answer(flow: Flow, event: LinkEvent, needsSync: boolean, failure: LinkEvent | undefined): void {
    if (!needsSync && flow.pendingAnswers === 0) {
      this.outbox.push(flow, event);
      return;
    }
    flow.pendingAnswers++;
    this.queue.after(new Answer(this, flow, event, failure));
  }

  /** Ends a flow from our side: its session says so and closes; no `close` command comes back. */
  endFlow(flow: Flow, reason: Refusal): void {
    if (flow.state === FlowState.ended) return;
    this.outbox.push(flow, { kind: 'end', reason });
    this.dropFlow(flow);
  }

  /** The flow is gone: its unacknowledged deliveries wait again. */
  dropFlow(flow: Flow): void {
    flow.state = FlowState.ended;
    flow.held = null;
    this.flows.delete(flow.id);
    const { device } = flow;
    if (device.flow !== flow) return;
    device.flow = null;
    this.canaries.handleMainLost(device.id);
    this.notePresence(device);
    this.queue.log.endFlow(device.inbox);
  }

  /** The device has come or gone: of its shared subscriptions, members that are connected go first. */
  notePresence(device: Device): void {
    for (const subscription of device.session?.shared ?? []) {
      this.tree.groupOf(subscription.filter)?.setPresent(subscription, device.flow !== null);
    }
  }

  // ---- entries ---------------------------------------------------------------------------------------------

  /**
   * An entry ends without having been acknowledged. What the entry itself does not tell when it is read again, unlike its
   * expiry, is written with the batch being filled: a kill must not bring back what has a newer one in its place, or of
   * which a receipt says that it is gone. What ends because of something else in that batch waits again if it fails.
   */
  endEntry(device: Device, entry: number, stage: EndStage, reason: string): void {
    const { log } = this.queue;
    const { inbox } = device;
    const flags = log.entries.flags[entry];
    const isTold = (flags & EntryFlag.receipt) !== 0;
    const isForAnother = stage === 'replaced' || stage === 'dropped';
    const isSynced = device.isDurable && log.entries.sequence[entry] <= inbox.committed;
    if (isForAnother && isSynced && !(flags & EntryFlag.inflight)) {
      this.queue.after({ committed: this.#noteEnd(device, entry, stage, reason) });
      log.withdraw(inbox, entry);
    } else {
      this.#noteEnd(device, entry, stage, reason)();
      log.finish(inbox, entry);
    }
    if (stage === 'replaced' || (isTold && stage !== 'expired')) this.queue.putCursor(device.inbox);
  }

  /** What one device did not get, another one of the same shared subscription gets. */
  endHandedOver(device: Device, entry: number): void {
    if (this.options.onTimeline !== undefined) {
      this.queue.log.read(entry, this.#view);
      this.#tell('dropped', device, entry, this.#view, HANDED_OVER);
    }
    this.queue.log.finish(device.inbox, entry);
  }

  /** Everything in a lane ends as dropped. */
  endLane(device: Device, lane: Inbox['topics'], reason: string): void {
    this.queue.log.finishLane(device.inbox, lane, device.inbox.lastSequence, (entry) =>
      this.#noteEnd(device, entry, 'dropped', reason)(),
    );
  }

  /** What waits in a channel of the device's own inbox ends as dropped. */
  endChannel(device: Device, topic: string, reason: string): void {
    const { log } = this.queue;
    const { entries } = log;
    const topicBytes = encodeUtf8(topic);
    let next: number;
    for (let entry = device.inbox.addressedIfAny?.head ?? 0; entry !== 0; entry = next) {
      next = entries.next[entry];
      log.read(entry, this.#view);
      if (isSame(this.#view.topic, topicBytes)) this.endEntry(device, entry, 'dropped', reason);
    }
  }

  /** Writes the end into the batch being filled, if anybody has a receipt. What it returns counts and tells it. */
  #noteEnd(device: Device, entry: number, stage: EndStage, reason: string): () => void {
    const { log } = this.queue;
    const hasReceipt = (log.entries.flags[entry] & EntryFlag.receipt) !== 0;
    if (!hasReceipt && this.options.onTimeline === undefined) return () => this.#countEnd(stage);
    log.read(entry, this.#view);
    const messageId = this.#view.messageId?.slice() ?? null;
    if (messageId !== null)
      this.receipts.putEnd(messageId, device.id, { stage, reason, atMs: this.now.wall });
    const event = timelineEvent(stage, device, log.entries.sequence[entry], messageId, reason);
    return () => {
      this.#countEnd(stage);
      if (messageId !== null) this.watchers.note(messageId);
      this.options.onTimeline?.(event);
    };
  }

  #countEnd(stage: EndStage): void {
    if (stage === 'expired') this.endedExpired++;
    else if (stage === 'replaced') this.endedReplaced++;
    else if (stage === 'failed') this.endedFailed++;
    else this.endedDropped++;
  }

  /** A message that the device had acknowledged has failed all the same. */
  endAcknowledged(device: Device, sequence: number, reason: string): void {
    const messageId = this.lateFailures.take(device.number, sequence);
    if (messageId === undefined) return;
    this.endedFailed++;
    this.receipts.putEnd(messageId, device.id, { stage: 'failed', reason, atMs: this.now.wall });
    this.watchers.note(messageId);
  }

  /** Tells of an acknowledgement whoever listens or waits for it. */
  noteAcknowledged(device: Device, entry: number): void {
    const { entries } = this.queue.log;
    const mayFailLate = device.flow?.mayFailLate === true;
    if ((mayFailLate || !this.watchers.isEmpty) && (entries.flags[entry] & EntryFlag.receipt) !== 0) {
      this.queue.log.read(entry, this.#view);
      const messageId = this.#view.messageId!;
      this.watchers.note(messageId);
      if (mayFailLate) this.lateFailures.note(device.number, entries.sequence[entry], messageId);
    }
    this.tell('acknowledged', device, entry);
  }

  /** Tells the timeline of a step, reading the record only when somebody listens. */
  tell(stage: Stage, device: Device, entry: number): void {
    if (this.options.onTimeline === undefined) return;
    this.queue.log.read(entry, this.#view);
    this.#tell(stage, device, entry, this.#view, undefined);
  }

  #tell(stage: Stage, device: Device, entry: number, view: RecordView, reason: string | undefined): void {
    const sequence = this.queue.log.entries.sequence[entry];
    this.options.onTimeline?.(timelineEvent(stage, device, sequence, view.messageId, reason));
  }

  /** The inbox has messages that expire: they are looked at when the first of them is due. */
  watchExpiry(device: Device): void {
    const { earliestExpirySeconds } = device.inbox;
    if (earliestExpirySeconds === Infinity) return;
    this.expiryDeadlines.add(earliestExpirySeconds * 1000, device);
  }
}

/** How a message ends without having been acknowledged. */
export type EndStage = 'expired' | 'replaced' | 'dropped' | 'failed';

function timelineEvent(
  stage: Stage,
  device: Device,
  sequence: number,
  messageId: Uint8Array | null,
  reason: string | undefined,
): TimelineEvent {
  const text = messageId === null ? undefined : messageIdText(messageId);
  return { stage, deviceId: device.id, sequence, messageId: text, reason };
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

/** Inboxes looked at after one commit. */
const PUT_AWAY_MAX = 1_000;

/** Why a message ended for one member of a shared subscription, and did not for another. */
export const HANDED_OVER = 'given to another member of the shared subscription';

/** An event for a flow that waits for a commit. */
class Answer {
  readonly #core: HubCore;
  readonly #flow: Flow;
  readonly #event: LinkEvent;
  readonly #failure: LinkEvent | undefined;

  constructor(core: HubCore, flow: Flow, event: LinkEvent, failure: LinkEvent | undefined) {
    this.#core = core;
    this.#flow = flow;
    this.#event = event;
    this.#failure = failure;
  }

  committed(): void {
    this.#flow.pendingAnswers--;
    if (this.#flow.state !== FlowState.ended) this.#core.outbox.push(this.#flow, this.#event);
  }

  failed(): void {
    this.#flow.pendingAnswers--;
    if (this.#flow.state === FlowState.ended) return;
    if (this.#failure === undefined) this.#core.endFlow(this.#flow, 'storage-failed');
    else this.#core.outbox.push(this.#flow, this.#failure);
  }
}

/** Key in `meta` of the number the next durable device gets. */
export const nextDeviceNumberKey = encodeUtf8('nextDeviceNumber');
/** Key in `meta` of the random bytes that seal message URLs. */
export const sealKeyKey = encodeUtf8('sealKey');
/** Key in `meta` that a restored backup carries: every epoch is to change. */
export const restoredKey = encodeUtf8('restored');

export function epochText(inbox: Inbox): string {
  return toHex(inbox.epoch);
}

/**
 * Hands waiting messages to live flows: in order, within the device's window, a bounded number a turn.
 *
 * It never queues: what cannot go now stays in the inbox, and the inbox is looked at again when the device
 * acknowledges, drains its socket, subscribes or comes back.
 */
import type { Limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import { Urgency } from '../domain/message.js';
import type { Delivery } from '../domain/message.js';
import { decodeUtf8 } from '../base/utf8.js';
import type { Device, Flow } from './device-state.js';
import { FlowState } from './device-state.js';
import { EntryFlag } from './entry-table.js';
import { takesTopic } from './inbox-filters.js';
import type { InboxFilters } from './inbox-filters.js';
import type { Inbox } from './inbox.js';
import type { Lane } from './lane.js';
import { laneOf } from './waiting.js';
import type { InboxLog } from './inbox-log.js';
import type { Outbox } from './outbox.js';
import type { Presence } from './presence.js';
import { RecordView } from './record.js';

/** Sequence numbers in flight lie this close together, so that packet ids modulo 65,535 stay unambiguous. */
const SPAN_MAX = 65_534;

/** Messages one device gets before the next one has its turn. */
const VISIT_DELIVERIES_MAX = 64;

export interface DelivererOptions {
  readonly log: InboxLog;
  readonly limits: Limits;
  readonly outbox: Outbox;
  /** A message was handed to the device's flow. */
  readonly onSent: (device: Device, entry: number, view: RecordView) => void;
  readonly onExpired: (device: Device, entry: number) => void;
}

export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #log: InboxLog;
  /** Flows that may have something to get, in the order of their turns. */
  #ready: Flow[] = [];
  #readyStart = 0;
  readonly #view = new RecordView();
  #countLeft = 0;
  #bytesLeft = 0;
  #looksLeft = 0;
  sent = 0;
  wakesSentNormal = 0;
  wakesSentHigh = 0;

  constructor(options: DelivererOptions) {
    this.#options = options;
    this.#log = options.log;
    this.beginTurn();
  }

  get hasReady(): boolean {
    return this.#readyStart < this.#ready.length;
  }

  /** The device's inbox is to be looked at. */
  wake(device: Device): void {
    const { flow } = device;
    if (flow === null || flow.isReady || flow.state !== FlowState.open || !flow.isWritable) return;
    if (device.waiting === 0) return;
    flow.isReady = true;
    this.#ready.push(flow);
  }

  /** A new turn: the budget is whole again. */
  beginTurn(): void {
    this.#countLeft = this.#options.limits.turnDeliveriesMax;
    this.#bytesLeft = this.#options.limits.turnBytesMax;
    this.#looksLeft = this.#options.limits.turnLooksMax;
  }

  get #hasBudget(): boolean {
    return this.#countLeft > 0 && this.#bytesLeft > 0 && this.#looksLeft > 0;
  }

  /** Hands out what the turn's budget allows. False: nothing was to be done, or nothing is left of the budget. */
  run(now: InstantMs): boolean {
    const countBefore = this.#countLeft;
    while (this.#hasBudget && this.#readyStart < this.#ready.length) {
      const flow = this.#ready[this.#readyStart++];
      flow.isReady = false;
      const share = Math.min(this.#countLeft, VISIT_DELIVERIES_MAX);
      const count = flow.state === FlowState.open ? this.#serve(now, flow, share) : 0;
      this.#countLeft -= count;
      if (count === share || !this.#hasBudget) this.wake(flow.device);
    }
    if (this.#readyStart === this.#ready.length) {
      this.#ready = [];
      this.#readyStart = 0;
    } else if (this.#readyStart > 4096) {
      this.#ready = this.#ready.slice(this.#readyStart);
      this.#readyStart = 0;
    }
    return this.#countLeft < countBefore;
  }

  #serve(now: InstantMs, flow: Flow, share: number): number {
    const { device } = flow;
    const { inbox } = device;
    const window = Math.min(flow.window, this.#options.limits.inflightMax);
    let count = 0;
    while (count < share && this.#bytesLeft > 0 && flow.isWritable && inbox.unfinished < window) {
      const entry = this.#nextEntry(now, device);
      if (entry === 0) break;
      const sequence = this.#log.entries.sequence[entry];
      if (
        flow.presence?.isReleased(now, sequence) === false &&
        !this.#isWorthWake(now, device, flow.presence)
      )
        break;
      if (!this.#maySend(inbox, sequence)) break;
      this.#send(now, flow, entry);
      count++;
    }
    return count;
  }

  /** Whether what waits is to wake a sleeping device, with everything that waits before it and beside it. */
  #isWorthWake(now: InstantMs, device: Device, presence: Presence): boolean {
    const { inbox } = device;
    const urgency = this.#highestUrgency(now, device, presence);
    presence.lookedThrough = inbox.committed;
    if (urgency < presence.wakeUrgency) return false;
    this.countWake(now, device, presence, urgency);
    return true;
  }

  /** A wake is sent, of which this is the most urgent cause. */
  countWake(now: InstantMs, device: Device, presence: Presence, urgency: Urgency): void {
    presence.open(now, device.inboxView.lastSequence);
    if (urgency === Urgency.high) this.wakesSentHigh++;
    else this.wakesSentNormal++;
  }

  /** Of what was synced since it was last looked at, and could be sent. */
  #highestUrgency(now: InstantMs, device: Device, presence: Presence): Urgency {
    const { entries } = this.#log;
    const { inbox } = device;
    const filters = device.inboxFilters;
    let highest: number = Urgency.veryLow;
    const topics = device.flow?.takesTopics === false ? null : inbox.topics;
    for (const lane of [topics, filters === null ? null : inbox.addressedIfAny]) {
      let entry = lane?.tail ?? 0;
      for (
        ;
        entry !== 0 && entries.sequence[entry] > presence.lookedThrough;
        entry = entries.previous[entry]
      ) {
        const urgency = entries.urgency[entry];
        if (urgency <= highest || entries.sequence[entry] > inbox.committed) continue;
        if (entries.flags[entry] & EntryFlag.inflight || this.#isExpired(now, entry)) continue;
        if (lane === inbox.topics || this.#isWanted(entry, filters!)) highest = urgency;
      }
    }
    return highest as Urgency;
  }

  #isExpired(now: InstantMs, entry: number): boolean {
    const { expirySeconds, flags } = this.#log.entries;
    const seconds = expirySeconds[entry];
    return seconds !== 0 && !(flags[entry] & EntryFlag.sent) && seconds * 1000 <= now.wall;
  }

  /**
   * Packet ids follow from sequence numbers, so what is in flight must ascend within a span. An older message (one
   * that waited unsubscribed) goes when nothing else is in flight.
   */
  #maySend(inbox: Inbox, sequence: number): boolean {
    if (inbox.unfinished === 0) {
      inbox.sentFirst = sequence;
      return true;
    }
    return sequence > inbox.sentLast && sequence - inbox.sentFirst <= SPAN_MAX;
  }

  /** The next message the device may get, in order of numbers over both lanes; 0: none, or enough was looked at. */
  #nextEntry(now: InstantMs, device: Device): number {
    const { inbox } = device;
    const { entries } = this.#log;
    const takesTopics = device.flow?.takesTopics !== false;
    const byTopic = takesTopics ? this.#nextIn(now, device, inbox.topics, null) : 0;
    if (this.#looksLeft <= 0) return 0;
    const lane = inbox.addressedIfAny;
    const filters = device.inboxFilters;
    if (lane === null || filters === null) return byTopic;
    const addressed = this.#nextIn(now, device, lane, filters);
    // What it was stopped at may come before the other lane's next one.
    if (this.#looksLeft <= 0) return 0;
    if (byTopic === 0 || addressed === 0) return byTopic || addressed;
    return entries.sequence[byTopic] < entries.sequence[addressed] ? byTopic : addressed;
  }

  #nextIn(now: InstantMs, device: Device, lane: Lane, filters: InboxFilters | null): number {
    const { entries } = this.#log;
    const { inbox } = device;
    for (; this.#looksLeft > 0; this.#looksLeft--) {
      const entry = lane.scanned === 0 ? lane.head : entries.next[lane.scanned];
      if (entry === 0 || entries.sequence[entry] > inbox.committed) return 0;
      if (entries.flags[entry] & EntryFlag.inflight) lane.scanned = entry;
      else if (this.#isExpired(now, entry)) {
        this.#options.onExpired(device, entry);
      } else if (filters === null || this.#isWanted(entry, filters)) return entry;
      else lane.scanned = entry;
    }
    return 0;
  }

  #isWanted(entry: number, filters: InboxFilters): boolean {
    this.#log.read(entry, this.#view);
    const { bytes, topicStart, topicEnd } = this.#view;
    const topic = decodeUtf8(bytes, topicStart, topicEnd) ?? '';
    return takesTopic(filters, topic);
  }

  #send(now: InstantMs, flow: Flow, entry: number): void {
    const { entries } = this.#log;
    const { device } = flow;
    const { inbox } = device;
    const view = this.#view;
    this.#log.read(entry, view);
    const flags = entries.flags[entry];
    const sequence = entries.sequence[entry];
    const delivery: Delivery = {
      sequence,
      qos: flags & EntryFlag.qos2 ? 2 : 1,
      retain: (flags & EntryFlag.retain) !== 0,
      duplicate: (flags & EntryFlag.sent) !== 0 || sequence <= inbox.maybeSentThrough,
      topic: view.topic,
      properties: view.properties,
      body: view.body,
      expirySeconds:
        view.expiryMs === 0 ? undefined : Math.max(0, Math.ceil((view.expiryMs - now.wall) / 1000)),
      subscriptionIds: this.#log.subscriptionIds(entry, inbox, view),
    };
    entries.flags[entry] = flags | EntryFlag.sent | EntryFlag.inflight;
    laneOf(entries, inbox, entry).scanned = entry;
    inbox.inflight++;
    inbox.sentLast = sequence;
    if (flags & EntryFlag.addressed)
      inbox.addressedSentThrough = Math.max(inbox.addressedSentThrough, sequence);
    else inbox.topicsSentThrough = Math.max(inbox.topicsSentThrough, sequence);
    this.#log.markCursorDirty(inbox);
    this.#bytesLeft -= entries.size[entry];
    this.sent++;
    this.#options.outbox.push(flow, { kind: 'deliver', delivery });
    this.#options.onSent(device, entry, view);
  }
}

/** Publications on their way in: access, retained state, recipients, the record, QoS 0 at once. */
import { encodeUtf8, utf8Bytes } from '../base/utf8.js';
import type { Refusal } from '../domain/device.js';
import type { LinkCommand } from '../domain/link.js';
import { Urgency, noBytes } from '../domain/message.js';
import type { Publication, Qos } from '../domain/message.js';
import { SharedDelivery } from '../domain/shared-delivery.js';
import type { Device, Flow } from './device-state.js';
import { FlowState } from './device-state.js';
import { EntryFlag } from './entry-table.js';
import type { HubCore } from './hub-core.js';
import type { Inbox } from './inbox.js';
import type { Recipient } from './log-batch.js';
import { takesTopic } from './inbox-filters.js';
import { Presence } from './presence.js';
import { RecipientFlag, RecordView, expirySecondsOf, replaceKeyText } from './record.js';
import type { RecordContent } from './record.js';
import { RetainedMessage, encodeRetained } from './retained.js';
import { groupHash } from './shared-group.js';
import type { Subscription } from './subscription-tree.js';
import { INBOX_PREFIX, isTopicName } from './topic-filter.js';

/** How a publication was taken in. */
export interface Published {
  /** undefined: it was. */
  readonly refusal: Refusal | undefined;
  /** Devices it goes to, QoS 0 included. */
  readonly recipients: readonly Device[];
  /** Those of them in whose inbox it got a number, QoS 1 and 2. */
  readonly numbered: readonly Device[];
  /** Whether anything of it is to be synced before it may be acknowledged. */
  readonly needsSync: boolean;
}

const refused = (refusal: Refusal): Published => ({
  refusal,
  recipients: [],
  numbered: [],
  needsSync: false,
});

export class Publisher {
  readonly #core: HubCore;
  readonly #view = new RecordView();
  readonly #shared = new SharedDelivery();

  constructor(core: HubCore) {
    this.#core = core;
  }

  /** A PUBLISH of a device's flow. */
  handlePublish(flow: Flow, command: LinkCommand & { kind: 'publish' }): void {
    const { publication, packetId } = command;
    const { device } = flow;
    const { qos } = publication;
    if (qos === 2 && this.#acceptAgain(flow, packetId)) return;
    const refusal = device.access.mayPublish(publication.topic) ? undefined : 'not-authorized';
    const full = qos === 2 && this.#holdsAllIds(device);
    const published =
      refusal !== undefined
        ? refused(refusal)
        : full
          ? refused('quota-exceeded')
          : this.publish(publication, device, null);
    if (qos === 0) return;
    let { needsSync } = published;
    if (qos === 2 && published.refusal === undefined && this.#holdId(device, packetId)) needsSync = true;
    const matched = published.recipients.length > 0;
    this.#accept(flow, packetId, qos, published.refusal, matched, needsSync);
  }

  /** True if the device holds the QoS 2 id already: what came with it was stored, and the answer was lost. */
  #acceptAgain(flow: Flow, packetId: number): boolean {
    if (flow.device.inbox.inboundIds?.has(packetId) !== true) return false;
    // It must not leave before the first one would have.
    const isUnsynced = this.#core.queue.isCommitting || this.#core.queue.hasOpen;
    this.#accept(flow, packetId, 2, undefined, true, isUnsynced);
    return true;
  }

  #holdsAllIds(device: Device): boolean {
    return (device.inbox.inboundIds?.size ?? 0) >= this.#core.limits.inboundQos2Max;
  }

  /** The device holds a QoS 2 id. True if that is to be synced before it is told so. */
  #holdId(device: Device, packetId: number): boolean {
    const { inbox } = device;
    const isKept = this.#keepsIds(device);
    (inbox.inboundIds ??= new Set()).add(packetId);
    if (isKept) this.#core.queue.putCursor(inbox);
    this.#core.queue.after({ committed() {}, undo: () => device.inbox.releaseInbound(packetId) });
    return isKept;
  }

  /** What the device says it is doing. Kept in memory; only a QoS 2 id is stored. */
  handleState(flow: Flow, command: LinkCommand & { kind: 'state' }): void {
    const core = this.#core;
    const { state, qos, packetId } = command;
    const { device } = flow;
    if (qos === 2 && this.#acceptAgain(flow, packetId)) return;
    if (!this.mayHoldId(device, qos, packetId)) {
      return this.#accept(flow, packetId, qos, 'quota-exceeded', false, false);
    }
    const wasSleeping = flow.presence?.isSleeping(core.now) === true;
    if (wasSleeping && device.hasUnsent) core.wakesNatural++;
    flow.presence ??= new Presence(core.limits.wakeWindowMs);
    flow.presence.report(core.now, state, device.inboxView.lastSequence);
    core.deliverer.wake(device);
    this.endRequest(flow, qos, packetId, undefined, false);
  }

  /** Whether the device may hold the id of such a message. Without QoS 2 none is held. */
  mayHoldId(device: Device, qos: Qos, packetId: number): boolean {
    if (qos !== 2 || device.inboxView.inboundIds?.has(packetId) === true) return true;
    return !this.#holdsAllIds(device);
  }

  /** A message to the server itself is done, or refused; `needsSync`: what it caused is to be on disk first. */
  endRequest(flow: Flow, qos: Qos, packetId: number, refusal: Refusal | undefined, needsSync: boolean): void {
    if (qos === 0) return;
    const isHeld = qos === 2 && refusal === undefined && this.#holdId(flow.device, packetId);
    this.#accept(flow, packetId, qos, refusal, refusal === undefined, needsSync || isHeld);
  }

  /** PUBREL: the sender's id is free again once that is synced. */
  handleRelease(flow: Flow, packetId: number): void {
    const { device } = flow;
    const { inbox } = device;
    const found = inbox.releaseInbound(packetId);
    const needsSync = found && this.#keepsIds(device);
    if (needsSync) {
      this.#core.queue.putCursor(inbox);
      this.#core.queue.after({
        committed() {},
        undo: () => void (device.inbox.inboundIds ??= new Set()).add(packetId),
      });
    }
    this.#core.answer(flow, { kind: 'completed', packetId, found }, needsSync, undefined);
  }

  /** QoS 2 ids live as long as the session. */
  #keepsIds(device: Device): boolean {
    return device.isDurable && device.session!.isDurable;
  }

  #accept(
    flow: Flow,
    packetId: number,
    qos: Qos,
    reason: Refusal | undefined,
    matched: boolean,
    needsSync: boolean,
  ): void {
    this.#core.answer(
      flow,
      { kind: 'accepted', packetId, qos, reason, matched },
      needsSync,
      needsSync ? { kind: 'accepted', packetId, qos, reason: 'storage-failed', matched: false } : undefined,
    );
  }

  /**
   * Takes a publication in for everybody who subscribes to its topic. `from` is the device that sent it (null: the
   * server, or an HTTP sender); `messageId` is kept with it when its sender wants to know what became of it.
   */
  publish(publication: Publication, from: Device | null, messageId: Uint8Array | null): Published {
    const core = this.#core;
    if (publication.body.length > core.limits.messageBytesMax) return refused('message-too-large');
    if (!isTopicName(publication.topic)) return refused('topic-invalid');
    const { replaceKey } = publication;
    if (replaceKey !== undefined && utf8Bytes(replaceKey) > core.limits.replaceKeyBytesMax) {
      return refused('quota-exceeded');
    }
    if (!core.appendsAllowed && (publication.qos > 0 || publication.retain)) return refused('storage-full');
    const match = core.tree.match(publication.topic);
    const content = this.#contentOf(publication, match.topicBytes, messageId);
    let needsSync = false;
    if (publication.retain) {
      const refusal = this.#retain(publication, content);
      if (refusal !== undefined) return refused(refusal);
      needsSync = true;
    }
    const durable: Recipient[] = [];
    const volatile: Recipient[] = [];
    const recipients: Device[] = [];
    const numbered: Device[] = [];
    for (const shared of match.targets) {
      const target = from !== null && shared.holder === from ? shared.local : shared;
      if (target === undefined) continue;
      const device = target.holder;
      recipients.push(device);
      const qos = Math.min(publication.qos, target.qos) as Qos;
      const retain = publication.retain && target.retainAsPublished;
      if (qos === 0) {
        this.#sendNow(device, content, retain, target.subscriptionIds, publication.expirySeconds);
        continue;
      }
      const flags = (qos === 2 ? RecipientFlag.qos2 : 0) | (retain ? RecipientFlag.retain : 0);
      const recipient = { inbox: device.inbox, flags, subscriptionIds: target.subscriptionIds, group: 0 };
      (device.isDurable ? durable : volatile).push(recipient);
      numbered.push(device);
    }
    for (const group of match.groups) {
      const member = group.pick(this.#hasRoom);
      const device = member.holder;
      recipients.push(device);
      const qos = Math.min(publication.qos, member.qos) as Qos;
      const retain = publication.retain && member.retainAsPublished;
      if (qos === 0) {
        this.#sendNow(device, content, retain, idsOf(member), publication.expirySeconds);
        continue;
      }
      (device.isDurable ? durable : volatile).push(sharedRecipient(member, qos, retain));
      numbered.push(device);
    }
    core.publicationsAccepted++;
    if (volatile.length > 0) this.#append(content, volatile, false);
    if (durable.length > 0) this.#append(content, durable, true);
    return { refusal: undefined, recipients, numbered, needsSync: needsSync || durable.length > 0 };
  }

  /** Tells a device a figure of the server. Never a reason to wake it. */
  sendFigure(
    device: Device,
    topic: Uint8Array,
    body: Uint8Array,
    retain: boolean,
    subscriptionIds: readonly number[],
  ): void {
    const content: RecordContent = {
      topic,
      properties: noBytes,
      body,
      urgency: Urgency.veryLow,
      expiryMs: 0,
      messageId: null,
      replaceKey: null,
    };
    this.#sendNow(device, content, retain, subscriptionIds, undefined);
  }

  /** Appends a message to a device's own inbox. The device must be durable and have room. */
  address(device: Device, publication: Publication, messageId: Uint8Array | null): true {
    const content = this.#contentOf(publication, encodeUtf8(publication.topic), messageId);
    const recipient = { inbox: device.inbox, flags: RecipientFlag.addressed, subscriptionIds: [], group: 0 };
    this.#core.publicationsAccepted++;
    this.#append(content, [recipient], true);
    return true;
  }

  /** Sends a message of a device's own inbox if it can be had at once, and keeps nothing. False: it could not. */
  addressNow(device: Device, publication: Publication): boolean {
    const { topic } = publication;
    const filters = device.inboxFilters;
    if (filters === null || !takesTopic(filters, topic)) return false;
    const content = this.#contentOf(publication, encodeUtf8(topic), null);
    this.#core.publicationsAccepted++;
    return this.#sendNow(device, content, false, [], undefined, true);
  }

  /** Sends a retained message to a new subscription that matches it. */
  sendRetained(device: Device, subscription: Subscription<Device>, message: RetainedMessage): void {
    const core = this.#core;
    if (!message.read(this.#view)) return;
    const content = this.#view.content();
    if (content.expiryMs !== 0 && content.expiryMs <= core.now.wall) {
      this.#forgetRetained(message.topic);
      return;
    }
    const qos = Math.min(message.qos, subscription.qos) as Qos;
    const ids = idsOf(subscription);
    if (qos === 0) {
      this.#sendNow(device, content, true, ids, secondsLeft(content, core.now.wall));
      return;
    }
    const flags = RecipientFlag.retain | (qos === 2 ? RecipientFlag.qos2 : 0);
    const recipient = { inbox: device.inbox, flags, subscriptionIds: ids, group: 0 };
    this.#append({ ...content, messageId: null }, [recipient], device.isDurable);
  }

  /** A member of a shared subscription that could get a message at once. */
  readonly #hasRoom = ({ flow, waiting }: Device): boolean =>
    flow !== null &&
    flow.state === FlowState.open &&
    flow.isWritable &&
    waiting < Math.min(flow.window, this.#core.limits.inflightMax);

  /**
   * The session of a device has ended, with its shared subscriptions: what waits by them and was never sent goes to
   * other members. Where there are none it stays, to end with the rest. MQTT 5.0 §4.8.2.
   */
  handOver(device: Device, shared: readonly Subscription<Device>[]): void {
    const core = this.#core;
    const { log } = core.queue;
    const { entries } = log;
    const { inbox } = device;
    const groups = new Map(shared.map(({ filter }) => [groupHash(filter), core.tree.groupOf(filter)]));
    let next: number;
    for (let entry = inbox.topics.head; entry !== 0; entry = next) {
      next = entries.next[entry];
      if (entries.flags[entry] & EntryFlag.sent) continue;
      log.read(entry, this.#view);
      const group = groups.get(log.groupOf(entry, inbox, this.#view));
      if (group === undefined) continue;
      const member = group.pick(this.#hasRoom);
      const to = member.holder;
      const content = this.#view.content();
      const flags = entries.flags[entry];
      const qos = Math.min(flags & EntryFlag.qos2 ? 2 : 1, member.qos) as Qos;
      const retain = (flags & EntryFlag.retain) !== 0 && member.retainAsPublished;
      if (qos === 0) this.#sendNow(to, content, retain, idsOf(member), secondsLeft(content, core.now.wall));
      else {
        this.#append(content, [sharedRecipient(member, qos, retain)], to.isDurable);
        if (content.messageId !== null) {
          const { lastSequence: sequence } = to.inbox;
          core.receipts.handOver(content.messageId, device.id, inbox.number, entries.sequence[entry], {
            deviceId: to.id,
            number: to.number,
            sequence,
          });
        }
      }
      core.endHandedOver(device, entry);
    }
  }

  #contentOf(publication: Publication, topic: Uint8Array, messageId: Uint8Array | null): RecordContent {
    const { expirySeconds, replaceKey: key } = publication;
    return {
      topic,
      properties: publication.properties,
      body: publication.body,
      urgency: publication.urgency,
      expiryMs: expirySeconds === undefined ? 0 : Math.ceil(this.#core.now.wall) + expirySeconds * 1000,
      messageId,
      replaceKey: key === undefined ? null : encodeUtf8(key),
    };
  }

  #append(content: RecordContent, recipients: readonly Recipient[], isDurable: boolean): void {
    const core = this.#core;
    const { log } = core.queue;
    const key = content.replaceKey === null ? null : replaceKeyText(content.topic, content.replaceKey);
    const expirySeconds = expirySecondsOf(content.expiryMs);
    const expiring: Device[] = [];
    const full: Device[] = [];
    for (const { inbox } of recipients) {
      const device = core.byNumber.get(inbox.number)!;
      if (!this.#makeRoom(device, content.urgency as Urgency)) full.push(device);
      if (key !== null) this.#replace(device, key);
      if (expirySeconds !== 0 && expirySeconds < inbox.earliestExpirySeconds) expiring.push(device);
    }
    log.append(content, recipients, isDurable);
    for (const { inbox, flags } of recipients) {
      const device = core.byNumber.get(inbox.number)!;
      if (key !== null) inbox.setKey(key, log.lastEntry(inbox, (flags & RecipientFlag.addressed) !== 0));
      if (!isDurable) core.deliverer.wake(device);
    }
    for (const device of expiring) core.watchExpiry(device);
    // Where everything older is on its way already, the new one is what goes: with a number, and a reason.
    for (const device of full)
      core.endEntry(device, log.lastEntry(device.inbox, false), 'dropped', 'inbox full');
  }

  /** The older message with the same key goes, unless it was sent or is not synced yet. */
  #replace(device: Device, key: string): void {
    const { inbox } = device;
    const old = inbox.keys?.entryOf(key) ?? 0;
    if (old === 0) return;
    const { entries } = this.#core.queue.log;
    const isFixed = (entries.flags[old] & EntryFlag.sent) !== 0 || entries.sequence[old] > inbox.committed;
    if (!isFixed) this.#core.endEntry(device, old, 'replaced', 'a newer message has its key');
  }

  /**
   * Makes room in a full inbox at the expense of the oldest unsent message by topic of the lowest urgency that waits,
   * which is not higher than the newcomer's. False: there is none.
   */
  #makeRoom(device: Device, urgency: Urgency): boolean {
    const core = this.#core;
    const { inbox } = device;
    if (!device.isDurable && core.queue.log.volatileBytes >= core.limits.volatileBytesMax) return false;
    while (core.isFull(inbox)) {
      const oldest = this.#oldestUnsent(inbox, urgency);
      if (oldest === 0) return false;
      core.endEntry(device, oldest, 'dropped', 'inbox full');
    }
    return true;
  }

  #oldestUnsent(inbox: Inbox, urgency: Urgency): number {
    const { entries } = this.#core.queue.log;
    if (inbox.urgencies !== null) {
      return inbox.urgencies.oldestUnsent(entries, inbox.topics, inbox.committed, urgency);
    }
    if (urgency < Urgency.normal) return 0;
    let entry = inbox.topics.head;
    while (entry !== 0 && entries.flags[entry] & EntryFlag.sent) entry = entries.next[entry];
    return entry !== 0 && entries.sequence[entry] <= inbox.committed ? entry : 0;
  }

  /** QoS 0: to whoever is there and can take it now. False: it was dropped. */
  #sendNow(
    device: Device,
    content: RecordContent,
    retain: boolean,
    subscriptionIds: readonly number[],
    expirySeconds: number | undefined,
    isAddressed = false,
  ): boolean {
    const { flow } = device;
    const isTakingMore =
      flow !== null &&
      flow.state === FlowState.open &&
      flow.isWritable &&
      (isAddressed || flow.takesTopics) &&
      (flow.events?.bodyBytes ?? 0) < this.#core.limits.turnFlowBytesMax;
    if (!isTakingMore) {
      this.#core.qos0Dropped++;
      return false;
    }
    const { presence } = flow;
    if (presence?.isSleeping(this.#core.now) === true) {
      // It cannot wait: QoS 0 never enters the inbox.
      if (content.urgency < presence.wakeUrgency) {
        this.#core.qos0Dropped++;
        return false;
      }
      this.#core.deliverer.countWake(this.#core.now, device, presence, content.urgency as Urgency);
      this.#core.deliverer.wake(device);
    }
    const { topic, properties, body } = content;
    const delivery = this.#shared.of({
      sequence: 0,
      qos: 0,
      retain,
      duplicate: false,
      topic,
      properties,
      body,
      expirySeconds,
      subscriptionIds,
    });
    this.#core.qos0Sent++;
    this.#core.outbox.pushBody(flow, { kind: 'deliver', delivery }, body.length);
    return true;
  }

  #retain(publication: Publication, content: RecordContent): Refusal | undefined {
    const { topic } = publication;
    const core = this.#core;
    if (publication.body.length === 0) {
      // [MQTT-3.3.1-6] an empty body takes the retained message away.
      core.queue.put('retained', encodeUtf8(topic), undefined);
      core.queue.after({ committed: () => core.retained.delete(topic) });
      return undefined;
    }
    const bytes = encodeRetained({ ...content, messageId: null }, publication.qos);
    if (!core.retained.hasRoom(topic, bytes.length)) return 'retained-full';
    core.queue.put('retained', encodeUtf8(topic), bytes);
    const message = new RetainedMessage(topic, bytes);
    core.queue.after({ committed: () => core.retained.set(message) });
    return undefined;
  }

  #forgetRetained(topic: string): void {
    this.#core.queue.put('retained', encodeUtf8(topic), undefined);
    this.#core.retained.delete(topic);
  }
}

function idsOf({ subscriptionId }: Subscription<Device>): readonly number[] {
  return subscriptionId === 0 ? [] : [subscriptionId];
}

function sharedRecipient(member: Subscription<Device>, qos: 1 | 2, retain: boolean): Recipient {
  return {
    inbox: member.holder.inbox,
    flags: (qos === 2 ? RecipientFlag.qos2 : 0) | (retain ? RecipientFlag.retain : 0),
    subscriptionIds: idsOf(member),
    group: groupHash(member.filter),
  };
}

function secondsLeft(content: RecordContent, wallMs: number): number | undefined {
  return content.expiryMs === 0 ? undefined : Math.max(0, Math.ceil((content.expiryMs - wallMs) / 1000));
}

/** The topic on which a message addressed to a device arrives. */
export function inboxTopic(channel: string): string {
  return INBOX_PREFIX + channel;
}

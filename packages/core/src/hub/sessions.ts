/** Devices coming, subscribing, going: sessions from `open` to their expiry. */
import { limits } from '../base/limits.js';
import { toHex } from '../base/hex.js';
import { utf8Bytes } from '../base/utf8.js';
import { SESSION_NEVER_EXPIRES } from '../domain/device.js';
import type { Refusal } from '../domain/device.js';
import type { LinkCommand, SubscriptionRequest } from '../domain/link.js';
import type { Qos } from '../domain/message.js';
import { Flow, FlowState, Session } from './device-state.js';
import type { Absence, Device } from './device-state.js';
import type { HubCore } from './hub-core.js';
import type { Publisher } from './publisher.js';
import type { RetainedSender } from './retained-sender.js';
import { encodeSubscriptionRow, subscriptionKey } from './rows.js';
import type { Subscription } from './subscription-tree.js';
import type { SystemTopics } from './system-topics.js';
import { HeldSubscription } from './subscription.js';
import {
  ENDPOINT_PREFIX,
  INBOX_PREFIX,
  LINE_PREFIX,
  SYSTEM_PREFIX,
  filterCovers,
  isSharedFilter,
  isTopicFilter,
  parseSharedFilter,
} from './topic-filter.js';

type Open = LinkCommand & { readonly kind: 'open' };
/** Who a connection says it is. */
type Claim = Pick<Open, 'identity' | 'clientId'>;

/** Ids of user agents begin so; as many digits of their secret's hash follow. */
const AGENT_PREFIX = 'agent-';
const AGENT_DIGITS = 32;

export class Sessions {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  /** Set once, before anything else. */
  system!: SystemTopics;
  retainedSender!: RetainedSender;
  /** Handles the commands a flow sent before it was told that it is open. */
  readonly #resume: (flow: Flow, commands: readonly LinkCommand[]) => void;

  constructor(
    core: HubCore,
    publisher: Publisher,
    resume: (flow: Flow, commands: readonly LinkCommand[]) => void,
  ) {
    this.#core = core;
    this.#publisher = publisher;
    this.#resume = resume;
  }

  // ---- coming ----------------------------------------------------------------------------------------------

  handleOpen(flowId: number, open: Open): void {
    const refusal = this.#refusalOf(open);
    if (refusal !== undefined) return this.#refuse(flowId, refusal);
    const core = this.#core;
    const { identity } = open;
    const assigned = open.clientId === '' && (identity.kind === 'anonymous' || identity.kind === 'user');
    let id = this.#deviceIdOf(open);
    const old = core.devices.get(id);
    if (old?.flow) this.#takeOver(old);
    // The table may have changed: a session that ended with its connection takes its device along.
    let device = core.devices.get(id);
    if (device === undefined && old?.isAgent === true) {
      // And with a user agent in memory only, its secret.
      if (identity.kind !== 'agent') return this.#refuse(flowId, 'bad-credentials');
      id = this.#deviceIdOf(open);
    }
    const expirySeconds = this.#expirySecondsOf(open, device);
    let needsSync = false;
    if (device === undefined) {
      device = core.createDevice(id, expirySeconds > 0);
      needsSync = device.isDurable;
      if (identity.kind === 'agent') this.#makeAgent(device, identity.freshSha256);
    }
    if (identity.kind === 'user') device.access = core.accessFor(identity.access, id);
    const isPresent = device.session !== null && !open.clean;
    if (isPresent) this.enforceAccess(device);
    if (device.session !== null && open.clean) {
      needsSync ||= device.session.isDurable;
      this.#endSession(device, 'session ended by a clean start');
    }
    const session = this.#sessionFor(device, expirySeconds, open);
    needsSync ||= session.isDurable && device.isDurable;
    if (needsSync) {
      core.putDevice(device);
      // PUBREL is owed for these: it must not leave before the device's receipt is on disk.
      const { inboxView } = device;
      if (inboxView.released !== null && inboxView.cursorDirty) core.queue.putCursor(device.inbox);
    }
    const window = Math.max(1, open.receiveMaximum);
    const flow = new Flow(flowId, device, open.link, open.peer, Math.floor(core.now.wall / 1000), window);
    device.flow = flow;
    core.notePresence(device);
    core.flows.set(flowId, flow);
    const finish = (): void => this.#finishOpen(flow, assigned, isPresent);
    if (!needsSync) finish();
    else core.queue.after({ committed: finish, undo: () => this.#failOpen(flow, isPresent) });
  }

  /** The device that connects so, which must be there already; or why it may not. Changes nothing. */
  find(claim: Claim): Device | Refusal {
    const refusal = this.#refusalOf(claim);
    if (refusal !== undefined) return refusal;
    const { identity, clientId } = claim;
    if (clientId === '' && identity.kind !== 'token') return 'bad-device-id';
    return this.#core.devices.get(this.#deviceIdOf(claim)) ?? 'session-lost';
  }

  #refuse(flowId: number, reason: Refusal): void {
    this.#core.outbox.pushBare(flowId, { kind: 'refused', reason });
  }

  /** A user agent that is kept is so for its own time, by whatever link it comes. */
  #expirySecondsOf(open: Open, device: Device | undefined): number {
    const { limits: bounds, options } = this.#core;
    if (device?.isAgent === true) return device.isDurable ? bounds.agentExpirySeconds : 0;
    if (open.identity.kind === 'agent') return 0;
    return Math.min(open.sessionExpirySeconds, options.sessionExpirySecondsMax);
  }

  /** A new user agent: in memory only, until it has a channel. */
  #makeAgent(device: Device, tokenSha256: string): void {
    device.isAgent = true;
    device.tokenSha256 = tokenSha256;
    this.#core.byToken.set(tokenSha256, device);
  }

  /** The user agent that presents its secret; undefined: it presents none, or one that is not known. */
  #knownAgent({ identity }: Claim): Device | undefined {
    if (identity.kind !== 'agent' || identity.sha256 === undefined) return undefined;
    const device = this.#core.byToken.get(identity.sha256);
    return device?.isAgent === true ? device : undefined;
  }

  #refusalOf(open: Claim): Refusal | undefined {
    const core = this.#core;
    if (core.isDraining) return 'draining';
    const { identity, clientId } = open;
    if (identity.kind === 'token') {
      const device = core.byToken.get(identity.sha256);
      if (device === undefined) return 'bad-credentials';
      return clientId === '' || clientId === device.id ? undefined : 'device-id-taken';
    }
    if (identity.kind === 'agent' && this.#knownAgent(open) !== undefined) return undefined;
    if (identity.kind === 'anonymous' && !core.options.anonymousDevices) return 'bad-credentials';
    if (clientId !== '' && !isDeviceId(clientId)) return 'bad-device-id';
    const device = core.devices.get(this.#agentIdOf(open) ?? clientId);
    if (device === undefined)
      return core.devices.size >= core.limits.devicesMax ? 'quota-exceeded' : undefined;
    // A device with a credential is reached with it only.
    return device.tokenSha256 === undefined ? undefined : 'bad-credentials';
  }

  /** Of a user agent; undefined: it is none. */
  #agentIdOf(open: Claim): string | undefined {
    const { identity } = open;
    if (identity.kind !== 'agent') return undefined;
    return this.#knownAgent(open)?.id ?? AGENT_PREFIX + identity.freshSha256.slice(0, AGENT_DIGITS);
  }

  #deviceIdOf(open: Claim): string {
    const { identity, clientId } = open;
    const agentId = this.#agentIdOf(open);
    if (agentId !== undefined) return agentId;
    if (identity.kind === 'token') return this.#core.byToken.get(identity.sha256)!.id;
    if (clientId !== '') return clientId;
    const made = `auto-${toHex(this.#core.options.random.fill(new Uint8Array(12)))}`;
    return identity.kind === 'user' ? `${identity.name}-${made}` : made;
  }

  /** [MQTT-3.1.4-3] the older connection of the same device ends. */
  #takeOver(device: Device): void {
    const flow = device.flow!;
    this.#core.endFlow(flow, 'session-taken-over');
    this.#endAbsence(device, true);
  }

  /** The session the device has from now on: its old one, or a new one. */
  #sessionFor(device: Device, expirySeconds: number, open: Open): Session {
    const session = (device.session ??= new Session(expirySeconds));
    session.expirySeconds = expirySeconds;
    // [MQTT-3.1.3-9] a new connection in time takes back a will that waits out its delay.
    session.absence = null;
    session.will = open.will;
    return session;
  }

  #finishOpen(flow: Flow, assigned: boolean, sessionPresent: boolean): void {
    if (flow.state === FlowState.ended) return;
    const core = this.#core;
    const { device } = flow;
    flow.state = FlowState.open;
    const released = [...(device.inboxView.released ?? [])].sort((a, b) => a - b);
    if (released.length > 0) {
      device.inbox.sentFirst = released[0];
      device.inbox.sentLast = released[released.length - 1];
    }
    const { epoch } = device.inboxView;
    core.outbox.push(flow, {
      kind: 'opened',
      deviceId: device.id,
      epoch,
      assigned,
      sessionPresent,
      released,
    });
    const { held } = flow;
    flow.held = null;
    if (held !== null) this.#resume(flow, held);
    core.deliverer.wake(device);
  }

  /** Nothing of the open is on disk: a session that it made must not be found present by the next one. */
  #failOpen(flow: Flow, wasPresent: boolean): void {
    const core = this.#core;
    const { device } = flow;
    if (flow.state !== FlowState.ended) {
      core.outbox.push(flow, { kind: 'refused', reason: 'storage-failed' });
      core.dropFlow(flow);
    }
    if (device.isRemoved || device.flow !== null) return;
    if (!wasPresent && device.session !== null) this.#endSession(device, 'session was not stored');
    core.removeIfEmpty(device);
    core.queue.putLater(device);
  }

  // ---- subscribing -----------------------------------------------------------------------------------------

  handleSubscribe(flow: Flow, ticket: number, requests: readonly SubscriptionRequest[]): void {
    const core = this.#core;
    const { device } = flow;
    const session = device.session!;
    const isDurable = device.isDurable && session.isDurable;
    const results: (Qos | Refusal)[] = [];
    const added: { subscription: Subscription<Device>; sendsRetained: boolean }[] = [];
    let undo: (() => void)[] = [];
    for (const request of requests) {
      const refusal = this.#subscribeRefusal(device, session, request);
      if (refusal !== undefined) {
        results.push(refusal);
        continue;
      }
      const old = session.findSubscription(request.filter);
      const subscription = new HeldSubscription(device, request);
      this.#setSubscription(device, subscription);
      undo.push(() => {
        if (device.isRemoved || session.findSubscription(request.filter) !== subscription) return;
        if (old === undefined) this.#dropSubscription(device, session, subscription);
        else this.#setSubscription(device, old);
      });
      if (isDurable) {
        const key = subscriptionKey(device.number, request.filter);
        core.queue.put('subscription', key, encodeSubscriptionRow(subscription));
      }
      const { retainHandling } = request;
      const sendsRetained = retainHandling === 0 || (retainHandling === 1 && old === undefined);
      added.push({ subscription, sendsRetained });
      results.push(request.qos);
    }
    undo = undo.reverse();
    core.queue.after({
      committed: () => {
        for (const { subscription, sendsRetained } of added) {
          // The session may have ended since, or the filter been given up or asked for anew.
          const isInForce =
            !device.isRemoved &&
            device.session === session &&
            session.findSubscription(subscription.filter) === subscription;
          if (sendsRetained && isInForce && !isPrivateFilter(subscription.filter)) {
            if (subscription.filter.startsWith(SYSTEM_PREFIX)) this.system.tell(device, subscription);
            else this.retainedSender.add(device, session, subscription);
          }
        }
      },
      undo: () => {
        for (const step of undo) step();
      },
    });
    const failure = {
      kind: 'subscribed',
      ticket,
      results: requests.map(() => 'storage-failed' as const),
    } as const;
    // Retained messages follow the SUBACK or precede it, both are allowed [MQTT-3.8.4-2 note].
    core.answer(flow, { kind: 'subscribed', ticket, results }, true, failure);
  }

  #subscribeRefusal(device: Device, session: Session, request: SubscriptionRequest): Refusal | undefined {
    const { filter } = request;
    const topics = topicsOf(filter);
    if (topics === undefined || !isTopicFilter(filter) || !isTopicFilter(topics)) return 'filter-invalid';
    if (topics !== filter && topics.startsWith('$')) return 'not-authorized';
    if (filter.startsWith(LINE_PREFIX)) {
      const isInbox = filterCovers(`${INBOX_PREFIX}#`, filter);
      if (!isInbox && !filterCovers(`${ENDPOINT_PREFIX}#`, filter)) return 'not-authorized';
      if (isInbox && request.qos === 0) return 'qos-too-low';
    } else if (!device.access.maySubscribe(topics)) return 'not-authorized';
    const isNew = session.findSubscription(filter) === undefined;
    if (isNew && session.subscriptionCount >= this.#core.limits.subscriptionsPerSessionMax)
      return 'subscriptions-full';
    return undefined;
  }

  handleUnsubscribe(flow: Flow, ticket: number, filters: readonly string[]): void {
    const core = this.#core;
    const { device } = flow;
    const session = device.session!;
    const isDurable = device.isDurable && session.isDurable;
    const results: boolean[] = [];
    for (const filter of filters) {
      const old = session.findSubscription(filter);
      results.push(old !== undefined);
      if (old === undefined) continue;
      this.#dropSubscription(device, session, old);
      if (!isDurable) continue;
      core.queue.put('subscription', subscriptionKey(device.number, filter), undefined);
      core.queue.after({
        committed() {},
        undo: () => {
          const isInForce = !device.isRemoved && device.session === session;
          if (isInForce && session.findSubscription(filter) === undefined) this.#setSubscription(device, old);
        },
      });
    }
    core.answer(
      flow,
      { kind: 'unsubscribed', ticket, results },
      isDurable && results.includes(true),
      undefined,
    );
  }

  /** Puts a subscription in force, in place of one with the same filter. */
  #setSubscription(device: Device, subscription: Subscription<Device>): void {
    const session = device.session!;
    const { filter } = subscription;
    const old = session.findSubscription(filter);
    session.putSubscription(subscription);
    if (isLineFilter(filter)) {
      if (!filter.startsWith(INBOX_PREFIX)) return;
      session.inboxFilters = [...(session.inboxFilters ?? []).filter((other) => other !== filter), filter];
      this.#core.queue.log.rescan(device.inbox.addressed);
      this.#core.deliverer.wake(device);
      return;
    }
    if (old !== undefined) this.#takeOut(session, old);
    if (filter.startsWith(SYSTEM_PREFIX)) this.system.arm();
    if (isSharedFilter(filter)) (session.shared ??= []).push(subscription);
    this.#core.tree.add(subscription, device.flow !== null);
  }

  #dropSubscription(device: Device, session: Session, subscription: Subscription<Device>): void {
    const { filter } = subscription;
    session.deleteSubscription(filter);
    if (!isLineFilter(filter)) {
      this.#takeOut(session, subscription);
      return;
    }
    const rest = (session.inboxFilters ?? []).filter((other) => other !== filter);
    session.inboxFilters = rest.length === 0 ? null : rest;
    this.#core.queue.log.rescan(device.inbox.addressed);
  }

  #takeOut(session: Session, subscription: Subscription<Device>): void {
    this.#core.tree.remove(subscription);
    const rest = session.shared?.filter((other) => other !== subscription) ?? [];
    session.shared = rest.length === 0 ? null : rest;
  }

  /** Ends the subscriptions that the device's rules no longer allow. */
  enforceAccess(device: Device): void {
    const { session } = device;
    if (session === null) return;
    for (const subscription of session.listSubscriptions()) {
      const { filter } = subscription;
      if (isLineFilter(filter) || device.access.maySubscribe(topicsOf(filter) ?? filter)) continue;
      this.#dropSubscription(device, session, subscription);
      if (device.isDurable && session.isDurable) (device.endedFilters ??= new Set()).add(filter);
    }
    this.#core.putEndedFilters(device);
  }

  /** After a restart: a stored subscription is in force again. */
  restoreSubscription(device: Device, row: Omit<Subscription<Device>, 'holder'>): void {
    this.#setSubscription(device, new HeldSubscription(device, row));
  }

  // ---- going -----------------------------------------------------------------------------------------------

  handleClose(flow: Flow, close: LinkCommand & { readonly kind: 'close' }): void {
    const { device } = flow;
    const { session } = device;
    this.#core.dropFlow(flow);
    if (session === null || device.flow !== null) return;
    // [MQTT-3.1.2-23] a farewell may shorten or lengthen the session.
    if (close.sessionExpirySeconds !== undefined && session.isDurable && !device.isAgent) {
      session.expirySeconds = Math.min(
        close.sessionExpirySeconds,
        this.#core.options.sessionExpirySecondsMax,
      );
    }
    if (close.publishWill === false) session.will = undefined;
    this.#endAbsence(device, false, close.publishWill === 'after-grace' ? this.#core.limits.willGraceMs : 0);
  }

  /** The device has no flow any more. Its will and its session take their course. */
  #endAbsence(device: Device, isTakenOver: boolean, graceMs = 0): void {
    const core = this.#core;
    const session = device.session;
    if (session === null) return;
    session.absence = { endedMs: core.now.wall, willDueMs: Infinity };
    const { will } = session;
    // A server that leaves is no fault of the device: the will waits for the next start.
    const isHeldBack = core.isDraining && session.isDurable;
    if (will !== undefined && !isHeldBack) {
      // [MQTT-3.1.3-9] the will is published when its delay is over or the session ends, whichever comes first.
      const delayMs = Math.max(graceMs, Math.min(will.delaySeconds, session.expirySeconds) * 1000);
      if (delayMs === 0) this.#publishWill(device, session);
      else this.watchWill(device, session.absence, core.now.monotonic + delayMs);
    }
    if (!session.isDurable) {
      this.#endSession(device, 'session ended with its connection');
      core.removeIfEmpty(device);
      if (!device.isDurable) core.removeDevice(device, 'session ended with its connection');
      return;
    }
    if (!isTakenOver) core.queue.putLater(device);
    this.watchSession(device, session);
    if (device.isAgent && !isTakenOver) core.removeIfEmpty(device);
  }

  /** The session's expiry is looked at when it is due. */
  watchSession(device: Device, session: Session): void {
    if (session.expirySeconds === SESSION_NEVER_EXPIRES || session.absence === null) return;
    const dueMs = session.absence.endedMs + session.expirySeconds * 1000;
    if (dueMs >= device.sessionWatchedMs) return;
    device.sessionWatchedMs = dueMs;
    this.#core.sessionDeadlines.add(dueMs, device);
  }

  /** A deadline of the device came; its session may have been used since, and be due later. */
  handleSessionDue(device: Device): void {
    device.sessionWatchedMs = Infinity;
    const { session } = device;
    if (session === null || device.isRemoved || device.flow !== null) return;
    const { absence, expirySeconds } = session;
    if (expirySeconds === SESSION_NEVER_EXPIRES || absence === null) return;
    if (absence.endedMs + expirySeconds * 1000 > this.#core.now.wall)
      return this.watchSession(device, session);
    this.#endSession(device, 'session expired');
    this.#core.putDevice(device);
    this.#core.removeIfEmpty(device);
  }

  /** The will is published at `dueMs` (monotonic) unless the device is back by then. */
  watchWill(device: Device, absence: Absence, dueMs: number): void {
    absence.willDueMs = dueMs;
    if (dueMs >= device.willWatchedMs) return;
    device.willWatchedMs = dueMs;
    this.#core.willDeadlines.add(dueMs, device);
  }

  handleWillDue(device: Device): void {
    device.willWatchedMs = Infinity;
    const { session } = device;
    const absence = session?.absence ?? null;
    if (session === null || absence === null || device.isRemoved || absence.willDueMs === Infinity) return;
    const { willDueMs } = absence;
    if (willDueMs > this.#core.now.monotonic) return this.watchWill(device, absence, willDueMs);
    absence.willDueMs = Infinity;
    this.#publishWill(device, session);
    this.#core.putDevice(device);
  }

  #publishWill(device: Device, session: Session): void {
    const { will } = session;
    session.will = undefined;
    if (will === undefined || !device.access.mayPublish(will.publication.topic)) return;
    this.#publisher.publish(will.publication, null, null);
  }

  /** Ends the shared subscriptions of a device that is to be removed: others get what it was not sent. */
  handOver(device: Device): void {
    const shared = device.session?.shared ?? [];
    for (const subscription of shared) this.#core.tree.remove(subscription);
    this.#publisher.handOver(device, shared);
  }

  /** Subscriptions end, and with them what waits by topic; what is addressed to the device stays. */
  #endSession(device: Device, reason: string): void {
    const core = this.#core;
    const session = device.session!;
    const { inbox } = device;
    if (session.will !== undefined) this.#publishWill(device, session);
    device.session = null;
    const isOnDisk = device.isDurable && session.isDurable;
    const { shared } = session;
    for (const subscription of session.listSubscriptions()) {
      if (!isLineFilter(subscription.filter)) core.tree.remove(subscription);
      if (isOnDisk) (device.endedFilters ??= new Set()).add(subscription.filter);
    }
    this.#core.putEndedFilters(device);
    if (shared !== null) this.#publisher.handOver(device, shared);
    core.endLane(device, inbox.topics, reason);
    inbox.topicsDroppedThrough = inbox.lastSequence;
    inbox.inboundIds = null;
    inbox.released = null;
    if (!device.isDurable) return;
    core.queue.putCursor(inbox);
  }
}

/** What of a filter says which topics: of a shared subscription the part that follows its name. undefined: malformed. */
function topicsOf(filter: string): string | undefined {
  return isSharedFilter(filter) ? parseSharedFilter(filter)?.filter : filter;
}

/** Retained messages are not for these: MQTT 5.0 §4.8.2. */
function isPrivateFilter(filter: string): boolean {
  return isLineFilter(filter) || isSharedFilter(filter);
}

function isLineFilter(filter: string): boolean {
  return filter.startsWith(LINE_PREFIX);
}

/** Device ids stand in topics, access rules and URLs: no separators, wildcards or control characters. */
export function isDeviceId(id: string): boolean {
  for (let index = 0; index < id.length; index++) {
    const unit = id.charCodeAt(index);
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return false;
  }
  return id.length > 0 && !/[+#/]/.test(id) && utf8Bytes(id) <= limits.deviceIdBytesMax;
}

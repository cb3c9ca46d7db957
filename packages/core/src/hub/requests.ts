/** What the HTTP API and the command line ask: sending, looking, and keeping devices and tokens. */
import { encodeUtf8 } from '../base/utf8.js';
import type {
  ApiToken,
  ControlReply,
  ControlRequest,
  DeviceDetail,
  DeviceSummary,
  MessageStatus,
  OutgoingMessage,
  RecipientStatus,
  RequestRefusal,
  Statistics,
} from '../domain/control.js';
import type { Refusal } from '../domain/device.js';
import type { Publication } from '../domain/message.js';
import type { CallSide } from './calls/call-side.js';
import type { Device } from './device-state.js';
import { summaryOf } from './endpoints.js';
import { EntryFlag } from './entry-table.js';
import { epochText, sealKeyKey } from './hub-core.js';
import type { HubCore } from './hub-core.js';
import type { Publisher } from './publisher.js';
import { inboxTopic } from './publisher.js';
import { Pushes } from './pushes.js';
import { messageIdText } from './receipts.js';
import type { ReceiptRow } from './receipts.js';
import type { Registrar } from './registrar.js';
import { encodeJson } from './rows.js';
import { isDeviceId } from './sessions.js';
import type { Sessions } from './sessions.js';
import { isTopicName } from './topic-filter.js';

type Send = ControlRequest & { readonly kind: 'send-to-device' | 'send-to-topic' };

/** Most devices in one page of a listing. */
const PAGE_DEVICES_MAX = 1_000;

const SEAL_KEY_BYTES = 32;

export class Requests {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  readonly #sessions: Sessions;
  readonly #registrar: Registrar;
  readonly #pushes: Pushes;
  /** Takes the requests about calls; undefined: no SIP is spoken. */
  calls: CallSide | undefined = undefined;
  /** While it is on its way to the disk. */
  #sealKey: Uint8Array | undefined;

  constructor(core: HubCore, publisher: Publisher, sessions: Sessions, registrar: Registrar) {
    this.#core = core;
    this.#publisher = publisher;
    this.#sessions = sessions;
    this.#registrar = registrar;
    this.#pushes = new Pushes(core, publisher, {
      refuse: (ticket, reason) => this.#refuse(ticket, reason),
      reply: (reply) => this.#reply(reply),
      replyWhenSynced: (ticket, reply) => this.#replyWhenSynced(ticket, reply),
      replyStatus: (ticket, message) => this.#replyStatus(ticket, message),
    });
  }

  handle(request: ControlRequest): void {
    const { ticket } = request;
    switch (request.kind) {
      case 'send-to-device':
      case 'send-to-topic':
        return this.#send(request);
      case 'push':
        return this.#pushes.push(request);
      case 'find-endpoint':
        return this.#pushes.find(ticket, request.tokenSha256);
      case 'delete-push':
        return this.#pushes.delete(ticket, request.place);
      case 'watch-message':
        return this.#pushes.watch(request, () => this.#messageStatus(request.messageId));
      case 'end-watch':
        return this.#pushes.endWatch(ticket, request.watchId);
      case 'get-seal-key':
        return this.#getSealKey(ticket);
      case 'list-endpoints':
        return this.#listEndpoints(ticket, request.deviceId);
      case 'end-endpoint':
        return this.#endEndpoint(ticket, request.deviceId, request.endpointId);
      case 'get-message': {
        const message = this.#messageStatus(request.messageId);
        if (message === undefined) return this.#refuse(ticket, 'unknown-message');
        return this.#replyStatus(ticket, message);
      }
      case 'list-devices':
        return this.#listDevices(ticket, request.after, request.count);
      case 'get-device': {
        const device = this.#core.devices.get(request.deviceId);
        if (device === undefined) return this.#refuse(ticket, 'unknown-device');
        return this.#reply({ kind: 'device', ticket, device: this.#detail(device) });
      }
      case 'put-device':
        return this.#putDevice(request);
      case 'delete-device':
        return this.#deleteDevice(ticket, request.deviceId);
      case 'put-token':
        return this.#putToken(ticket, request.token);
      case 'delete-token':
        return this.#deleteToken(ticket, request.tokenId);
      case 'list-tokens':
        return this.#reply({ kind: 'tokens', ticket, tokens: [...this.#core.apiTokens.values()] });
      case 'list-calls':
      case 'get-call':
      case 'call-intent':
      case 'list-users':
      case 'get-user':
      case 'put-user':
      case 'delete-user':
      case 'list-bindings':
        if (this.calls === undefined) return this.#refuse(ticket, 'calls-off');
        return this.calls.handleRequest(request);
      case 'get-statistics':
        return this.#reply({ kind: 'statistics', ticket, statistics: this.statistics() });
    }
  }

  #reply(reply: ControlReply): void {
    this.#core.outbox.reply(reply);
  }

  #refuse(ticket: number, reason: Refusal | RequestRefusal): void {
    this.#reply({ kind: 'refused', ticket, reason });
  }

  /** Replies when the batch being filled is synced. */
  #replyWhenSynced(ticket: number, reply: () => ControlReply, undo?: () => void): void {
    this.#core.queue.after({
      committed: () => this.#reply(reply()),
      ...(undo && { undo }),
      failed: () => this.#refuse(ticket, 'storage-failed'),
    });
  }

  /** A stage is told when it is on disk. An acknowledgement stands in the inbox's row, which is else written a little later. */
  #replyStatus(ticket: number, message: MessageStatus): void {
    const { devices, queue } = this.#core;
    for (const { deviceId, stage } of message.recipients) {
      if (stage !== 'acknowledged') continue;
      const device = devices.get(deviceId);
      if (device?.inboxView.cursorDirty === true) queue.putCursor(device.inbox);
    }
    this.#replyWhenSynced(ticket, () => ({ kind: 'message', ticket, message }));
  }

  // ---- sending ---------------------------------------------------------------------------------------------

  #send(request: Send): void {
    const { ticket, idempotency } = request;
    const core = this.#core;
    if (core.isDraining) return this.#refuse(ticket, 'draining');
    if (idempotency !== undefined) {
      const answer = core.receipts.findAnswer(idempotency, core.now);
      if (answer !== undefined) {
        if (answer.requestSha256 !== idempotency.requestSha256) {
          return this.#refuse(ticket, 'idempotency-mismatch');
        }
        // The first request may still be on its way to the disk: this one must not overtake it.
        const { messageId, recipientCount } = answer;
        return this.#replyWhenSynced(ticket, () => ({
          kind: 'sent',
          ticket,
          messageId,
          recipientCount,
          repeated: true,
        }));
      }
    }
    const id = core.receipts.newMessageId(core.now);
    const sent =
      request.kind === 'send-to-device' ? this.#sendToDevice(request, id) : this.#sendToTopic(request, id);
    if (typeof sent === 'string') return this.#refuse(ticket, sent);
    core.receipts.put(id, sent);
    const messageId = messageIdText(id);
    const { recipientCount } = sent;
    if (idempotency !== undefined) {
      const { requestSha256 } = idempotency;
      core.receipts.putAnswer(idempotency, { requestSha256, messageId, recipientCount }, core.now);
    }
    this.#replyWhenSynced(ticket, () => ({
      kind: 'sent',
      ticket,
      messageId,
      recipientCount,
      repeated: false,
    }));
  }

  #sendToDevice(
    request: Send & { readonly kind: 'send-to-device' },
    id: Uint8Array,
  ): ReceiptRow | Refusal | RequestRefusal {
    const core = this.#core;
    const device = core.devices.get(request.deviceId);
    if (device === undefined) return 'unknown-device';
    if (!device.isDurable) return 'device-not-durable';
    if (!core.appendsAllowed) return 'storage-full';
    if (core.isFull(device.inboxView)) return 'inbox-full';
    if (request.message.body.length > core.limits.messageBytesMax) return 'message-too-large';
    const topic = inboxTopic(request.channel);
    if (request.channel.includes('/') || !isTopicName(topic)) return 'topic-invalid';
    const publication = publicationOf(topic, request.message, false);
    this.#publisher.address(device, publication, id);
    return this.#receiptOf(publication, [device], 1);
  }

  #sendToTopic(request: Send & { readonly kind: 'send-to-topic' }, id: Uint8Array): ReceiptRow | Refusal {
    if (request.topic.startsWith('$')) return 'not-authorized';
    if (!this.#core.appendsAllowed) return 'storage-full';
    const publication = publicationOf(request.topic, request.message, request.retain);
    const published = this.#publisher.publish(publication, null, id);
    return published.refusal ?? this.#receiptOf(publication, published.numbered, published.recipients.length);
  }

  /** `devices` have a number for it; the others of the count got it at once, or not at all (QoS 0). */
  #receiptOf(publication: Publication, devices: readonly Device[], recipientCount: number): ReceiptRow {
    const { wall } = this.#core.now;
    const { expirySeconds } = publication;
    return {
      topic: publication.topic,
      acceptedMs: wall,
      expiresMs: expirySeconds === undefined ? undefined : wall + expirySeconds * 1000,
      recipientCount,
      recipients: numbersOf(devices).slice(0, this.#core.limits.receiptRecipientsMax),
    };
  }

  // ---- looking ---------------------------------------------------------------------------------------------

  /** undefined: no such message, or its receipt is no longer kept. */
  #messageStatus(messageId: string): MessageStatus | undefined {
    const found = this.#core.receipts.get(messageId);
    if (found === undefined) return undefined;
    const { id, row } = found;
    return {
      messageId,
      acceptedMs: row.acceptedMs,
      expiresMs: row.expiresMs,
      topic: row.topic,
      recipientCount: row.recipientCount,
      recipients: row.recipients.map((recipient) => this.#recipientStatus(id, recipient)),
    };
  }

  #recipientStatus(id: Uint8Array, recipient: ReceiptRow['recipients'][number]): RecipientStatus {
    const { deviceId, sequence } = recipient;
    const end = this.#core.receipts.getEnd(id, deviceId);
    if (end !== undefined) return { deviceId, sequence, stage: end.stage, reason: end.reason };
    const device = this.#core.devices.get(deviceId);
    if (device?.number !== recipient.number) {
      return { deviceId, sequence, stage: 'dropped', reason: 'device removed' };
    }
    const { inboxView } = device;
    if (inboxView.finished.has(sequence)) {
      return { deviceId, sequence, stage: 'acknowledged', reason: undefined };
    }
    const flags = this.#core.queue.log.flagsOf(inboxView, sequence);
    const stage = flags & EntryFlag.sent ? 'wake sent' : 'stored';
    return { deviceId, sequence, stage, reason: undefined };
  }

  #listDevices(ticket: number, after: string | undefined, count: number): void {
    const ids = [...this.#core.devices.keys()].filter((id) => after === undefined || id > after).sort();
    const page = ids.slice(0, Math.max(1, Math.min(count, PAGE_DEVICES_MAX)));
    const next = page.length < ids.length ? page[page.length - 1] : undefined;
    const devices = page.map((id) => this.#summary(this.#core.devices.get(id)!));
    this.#reply({ kind: 'devices', ticket, devices, next });
  }

  #summary(device: Device): DeviceSummary {
    const inbox = device.inboxView;
    return {
      deviceId: device.id,
      connected: device.flow !== null,
      durable: device.isDurable,
      hasCredential: device.tokenSha256 !== undefined,
      waitingMessages: inbox.waiting,
      waitingBytes: inbox.waitingBytes,
      inflightMessages: inbox.unfinished,
    };
  }

  #detail(device: Device): DeviceDetail {
    const { inboxView: inbox, session, flow } = device;
    return {
      ...this.#summary(device),
      epoch: epochText(inbox),
      lastSequence: inbox.lastSequence,
      acknowledgedThrough: inbox.finished.through,
      link: flow?.link,
      peer: flow?.peer,
      connectedMs: flow === null ? undefined : flow.connectedSeconds * 1000,
      activity: flow === null ? undefined : (flow.presence?.activity ?? 'active'),
      windowMs: flow?.presence?.windowMs,
      network: flow?.presence?.network,
      sessionExpirySeconds: session?.expirySeconds,
      subscriptions: (session?.listSubscriptions() ?? []).map(({ filter, qos }) => ({ filter, qos })),
      endpoints: device.endpoints?.list.length ?? 0,
      access: device.accessRules,
    };
  }

  statistics(): Statistics {
    const core = this.#core;
    const { queue } = core;
    return {
      flows: core.flows.size,
      devices: core.devices.size,
      subscriptions: core.tree.count,
      endpoints: core.endpoints.count,
      networks: core.networks.count,
      canaries: core.canaries.count,
      canaryPushes: core.canaries.pushes,
      retainedMessages: core.retained.count,
      waitingMessages: queue.log.entries.count,
      logBytes: queue.log.durableBytes,
      logLiveBytes: queue.log.liveBytes,
      publicationsAccepted: core.publicationsAccepted,
      deliveriesSent: core.deliverer.sent,
      deliveriesAcknowledged: core.acknowledged,
      endedExpired: core.endedExpired,
      endedReplaced: core.endedReplaced,
      endedDropped: core.endedDropped,
      endedFailed: core.endedFailed,
      qos0Dropped: core.qos0Dropped,
      wakesSentNormal: core.deliverer.wakesSentNormal,
      wakesSentHigh: core.deliverer.wakesSentHigh,
      wakesNatural: core.wakesNatural,
      commits: queue.commits,
      commitFailures: queue.failures,
      ...core.callCounts.statistics(),
    };
  }

  // ---- keeping ---------------------------------------------------------------------------------------------

  #putDevice(request: ControlRequest & { readonly kind: 'put-device' }): void {
    const { ticket, deviceId, tokenSha256, access } = request;
    const core = this.#core;
    if (!isDeviceId(deviceId)) return this.#refuse(ticket, 'bad-device-id');
    let device = core.devices.get(deviceId);
    if (device === undefined && core.devices.size >= core.limits.devicesMax) {
      return this.#refuse(ticket, 'quota-exceeded');
    }
    if (device !== undefined && !device.isDurable) {
      // It lives in memory only: it makes way for the one that is kept.
      if (device.flow !== null) core.endFlow(device.flow, 'bad-credentials');
      core.removeDevice(device, 'device was given a credential');
      device = undefined;
    }
    const old = device === undefined ? undefined : { token: device.tokenSha256, rules: device.accessRules };
    device ??= core.createDevice(deviceId, true);
    // Whoever is connected with the old credential, or with none, has to come again.
    if (device.flow !== null) core.endFlow(device.flow, 'bad-credentials');
    this.#setCredential(device, tokenSha256, access);
    this.#sessions.enforceAccess(device);
    core.putDevice(device);
    const put = device;
    this.#replyWhenSynced(
      ticket,
      () => ({ kind: 'device', ticket, device: this.#detail(put) }),
      () => {
        if (old === undefined) core.removeDevice(put, 'not stored');
        else this.#setCredential(put, old.token, old.rules);
      },
    );
  }

  #setCredential(device: Device, tokenSha256: string | undefined, access: Device['accessRules']): void {
    const core = this.#core;
    if (device.tokenSha256 !== undefined) core.byToken.delete(device.tokenSha256);
    device.tokenSha256 = tokenSha256;
    core.canaries.endOf(device.id);
    if (tokenSha256 !== undefined) core.byToken.set(tokenSha256, device);
    device.accessRules = access;
    device.access = core.accessFor(access, device.id);
  }

  #deleteDevice(ticket: number, deviceId: string): void {
    const core = this.#core;
    const device = core.devices.get(deviceId);
    if (device === undefined) return this.#refuse(ticket, 'unknown-device');
    if (device.flow !== null) core.endFlow(device.flow, 'bad-credentials');
    this.#sessions.handOver(device);
    core.removeDevice(device, 'device removed');
    this.#replyWhenSynced(ticket, () => ({ kind: 'done', ticket }));
  }

  #listEndpoints(ticket: number, deviceId: string): void {
    const device = this.#core.devices.get(deviceId);
    if (device === undefined) return this.#refuse(ticket, 'unknown-device');
    const endpoints = (device.endpoints?.list ?? []).map(summaryOf);
    this.#reply({ kind: 'endpoints', ticket, endpoints });
  }

  #endEndpoint(ticket: number, deviceId: string, endpointId: string): void {
    const device = this.#core.devices.get(deviceId);
    if (device === undefined) return this.#refuse(ticket, 'unknown-device');
    if (!this.#registrar.endById(device, endpointId)) return this.#refuse(ticket, 'unknown-endpoint');
    this.#replyWhenSynced(ticket, () => ({ kind: 'done', ticket }));
  }

  #getSealKey(ticket: number): void {
    const core = this.#core;
    const stored = core.options.store.get('meta', sealKeyKey);
    if (stored !== undefined) return this.#reply({ kind: 'seal-key', ticket, key: stored });
    if (this.#sealKey === undefined) {
      this.#sealKey = core.options.random.fill(new Uint8Array(SEAL_KEY_BYTES));
      core.queue.put('meta', sealKeyKey, this.#sealKey);
      core.queue.after({ committed() {}, undo: () => (this.#sealKey = undefined) });
    }
    const key = this.#sealKey;
    this.#replyWhenSynced(ticket, () => ({ kind: 'seal-key', ticket, key }));
  }

  #putToken(ticket: number, token: ApiToken): void {
    const core = this.#core;
    core.queue.put('token', encodeUtf8(token.id), encodeJson(token));
    this.#replyWhenSynced(ticket, () => {
      core.apiTokens.set(token.sha256, token);
      return { kind: 'done', ticket };
    });
  }

  #deleteToken(ticket: number, tokenId: string): void {
    const core = this.#core;
    const token = [...core.apiTokens.values()].find(({ id }) => id === tokenId);
    if (token === undefined) return this.#refuse(ticket, 'unknown-token');
    // It ends at once; only the answer waits.
    core.apiTokens.delete(token.sha256);
    core.queue.put('token', encodeUtf8(tokenId), undefined);
    this.#replyWhenSynced(
      ticket,
      () => ({ kind: 'done', ticket }),
      () => void core.apiTokens.set(token.sha256, token),
    );
  }
}

/** Who was just given numbers, and which: a device twice among them has two, the later of which is its last. */
function numbersOf(devices: readonly Device[]): ReceiptRow['recipients'] {
  const later = new Map<Device, number>();
  const numbers = devices.toReversed().map((device) => {
    const count = later.get(device) ?? 0;
    later.set(device, count + 1);
    return { deviceId: device.id, number: device.number, sequence: device.inboxView.lastSequence - count };
  });
  return numbers.reverse();
}

function publicationOf(topic: string, message: OutgoingMessage, retain: boolean): Publication {
  return {
    topic,
    body: message.body,
    properties: message.properties,
    qos: message.qos,
    retain,
    expirySeconds: message.expirySeconds,
    urgency: message.urgency,
    replaceKey: message.replaceKey,
  };
}

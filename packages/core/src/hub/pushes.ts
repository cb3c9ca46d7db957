/**
 * What is pushed to endpoints: a message to the endpoint's channel, in its device's inbox. And what its sender may do
 * afterwards, take it back and wait for what becomes of it.
 */
import type { ControlReply, ControlRequest, MessageStatus, RequestRefusal } from '../domain/control.js';
import type { MessagePlace } from '../domain/endpoint.js';
import type { Refusal } from '../domain/device.js';
import type { Publication } from '../domain/message.js';
import type { Device } from './device-state.js';
import type { Endpoint } from './endpoints.js';
import { epochText } from './hub-core.js';
import type { HubCore } from './hub-core.js';
import { findSequence } from './lane.js';
import { inboxTopic } from './publisher.js';
import type { Publisher } from './publisher.js';
import { messageIdText } from './receipts.js';

type Push = ControlRequest & { readonly kind: 'push' };
type Watch = ControlRequest & { readonly kind: 'watch-message' };

/** Longest wait for a change, ms. */
const WAIT_MS_MAX = 60_000;

/** Why a push with TTL 0 ended. */
const NOT_THERE = 'the device was not there to take it at once';

/** Answers that all requests have in common. */
export interface Answers {
  refuse(ticket: number, reason: Refusal | RequestRefusal): void;
  reply(reply: ControlReply): void;
  /** Replies when the batch being filled is synced. */
  replyWhenSynced(ticket: number, reply: () => ControlReply): void;
  /** The same for what became of a message. */
  replyStatus(ticket: number, message: MessageStatus): void;
}

export class Pushes {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  readonly #answers: Answers;

  constructor(core: HubCore, publisher: Publisher, answers: Answers) {
    this.#core = core;
    this.#publisher = publisher;
    this.#answers = answers;
  }

  push(request: Push): void {
    const { ticket, message } = request;
    const core = this.#core;
    const endpoint = core.endpoints.find(request.tokenSha256);
    if (endpoint === undefined) return this.find(ticket, request.tokenSha256);
    const refusal = this.#refusalOf(request, endpoint);
    if (refusal !== undefined) return this.#answers.refuse(ticket, refusal);
    const { device, channel } = endpoint;
    const publication: Publication = { ...message, topic: inboxTopic(channel), retain: false };
    const id = request.wantsReceipt ? core.receipts.newMessageId(core.now) : null;
    const isStored = message.expirySeconds !== 0;
    const isTaken = isStored
      ? this.#publisher.address(device, publication, id)
      : this.#publisher.addressNow(device, publication);
    const inbox = device.inboxView;
    const sequence = isStored ? inbox.lastSequence : 0;
    if (id !== null) this.#putReceipt(id, device, publication, sequence, isTaken);
    const place: MessagePlace = { deviceNumber: device.number, epoch: epochText(inbox), sequence };
    const messageId = id === null ? undefined : messageIdText(id);
    const reply = { kind: 'pushed', ticket, place, messageId } as const;
    if (isStored || id !== null) this.#answers.replyWhenSynced(ticket, () => reply);
    else this.#answers.reply(reply);
  }

  /** Says whether there is an endpoint, and nothing else about it. */
  find(ticket: number, tokenSha256: string): void {
    const { endpoints, isDraining } = this.#core;
    if (isDraining) this.#answers.refuse(ticket, 'draining');
    else if (endpoints.find(tokenSha256) !== undefined) this.#answers.reply({ kind: 'done', ticket });
    // A sender forgets an endpoint that has ended: so that must be on disk.
    else if (endpoints.hasEnded(tokenSha256)) this.#refuseWhenSynced(ticket, 'endpoint-ended');
    else this.#answers.refuse(ticket, 'unknown-endpoint');
  }

  #refusalOf(request: Push, endpoint: Endpoint): Refusal | RequestRefusal | undefined {
    const core = this.#core;
    const { vapidKey, message } = request;
    if (core.isDraining) return 'draining';
    // RFC 8292 §4.2
    if (endpoint.vapidKey !== undefined && endpoint.vapidKey !== vapidKey)
      return vapidKey === undefined ? 'vapid-required' : 'vapid-key-wrong';
    if (message.body.length > core.limits.messageBytesMax) return 'message-too-large';
    const isStored = message.expirySeconds !== 0;
    // A receipt is stored, whatever becomes of its message.
    if ((isStored || request.wantsReceipt) && !core.appendsAllowed) return 'storage-full';
    return isStored && core.isFull(endpoint.device.inboxView) ? 'inbox-full' : undefined;
  }

  #putReceipt(
    id: Uint8Array,
    device: Device,
    publication: Publication,
    sequence: number,
    isTaken: boolean,
  ): void {
    const { receipts, now } = this.#core;
    const { topic, expirySeconds } = publication;
    receipts.put(id, {
      topic,
      acceptedMs: now.wall,
      expiresMs: expirySeconds === undefined ? undefined : now.wall + expirySeconds * 1000,
      recipientCount: 1,
      recipients: [{ deviceId: device.id, number: device.number, sequence }],
    });
    if (sequence > 0) return;
    const end = isTaken
      ? ({ stage: 'delivered' } as const)
      : ({ stage: 'expired', reason: NOT_THERE } as const);
    receipts.putEnd(id, device.id, { reason: undefined, ...end, atMs: now.wall });
  }

  /** A message that was sent already cannot be called back; but it is not sent again. */
  delete(ticket: number, place: MessagePlace): void {
    const core = this.#core;
    const device = core.byNumber.get(place.deviceNumber);
    const lane = device?.inboxView.addressedIfAny ?? null;
    if (device === undefined || lane === null || epochText(device.inboxView) !== place.epoch)
      return this.#refuseWhenSynced(ticket, 'unknown-message');
    const entry = findSequence(core.queue.log.entries, lane, place.sequence);
    if (entry === 0) return this.#refuseWhenSynced(ticket, 'unknown-message');
    core.endEntry(device, entry, 'dropped', 'deleted by its sender');
    core.queue.putCursor(device.inbox);
    core.deliverer.wake(device);
    this.#answers.replyWhenSynced(ticket, () => ({ kind: 'done', ticket }));
  }

  /** What is refused because of something that may not be on disk yet. */
  #refuseWhenSynced(ticket: number, reason: RequestRefusal): void {
    this.#answers.replyWhenSynced(ticket, () => ({ kind: 'refused', ticket, reason }));
  }

  /** `status` reads what is to be answered, now or later; it is told when it is on disk. */
  watch(request: Watch, status: () => MessageStatus | undefined): void {
    const { ticket, messageId, knownStage, waitMs, watchId, addressKey } = request;
    const core = this.#core;
    const answer = (): void => {
      const message = status();
      if (message === undefined) this.#answers.refuse(ticket, 'unknown-message');
      else this.#answers.replyStatus(ticket, message);
    };
    const known = status()?.recipients.at(0)?.stage;
    if (known !== knownStage || core.isDraining) return answer();
    const dueMs = core.now.monotonic + Math.min(waitMs, WAIT_MS_MAX);
    const isWaiting =
      core.watchers.hasRoom(addressKey) &&
      core.watchers.add({ messageId, watchId, addressKey, dueMs, answer });
    if (!isWaiting) this.#answers.refuse(ticket, 'quota-exceeded');
  }

  /** Whoever watched has left: the watch is answered at once, and its place is free. */
  endWatch(ticket: number, watchId: string): void {
    this.#core.watchers.end(watchId);
    this.#answers.reply({ kind: 'done', ticket });
  }
}

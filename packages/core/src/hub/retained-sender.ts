/**
 * Sends what is retained to new subscriptions, some of it in each turn.
 *
 * A session may ask with as many filters as it may have, and each of them may match all that is retained: done at
 * once, a single SUBSCRIBE would hold everybody up. So subscriptions wait here and take turns. What is sent is what is
 * retained when the walk comes by; of what changes meanwhile the subscription, which is in force, hears anyway.
 *
 * Must not: decide how a message is sent.
 */
import type { Device, Session } from './device-state.js';
import type { HubCore } from './hub-core.js';
import type { RetainedMessage } from './retained.js';
import type { Subscription } from './subscription-tree.js';

/** Topics looked at for one subscription before the next one has its turn. */
const VISIT_MAX = 100;

interface Walk {
  readonly device: Device;
  readonly session: Session;
  readonly subscription: Subscription<Device>;
  readonly messages: Iterator<RetainedMessage | undefined>;
}

export class RetainedSender {
  readonly #core: HubCore;
  readonly #send: (device: Device, subscription: Subscription<Device>, message: RetainedMessage) => void;
  /** In the order of their turns. */
  #walks: Walk[] = [];
  #walksStart = 0;
  #looksLeft = 0;
  #bytesLeft = 0;

  constructor(
    core: HubCore,
    send: (device: Device, subscription: Subscription<Device>, message: RetainedMessage) => void,
  ) {
    this.#core = core;
    this.#send = send;
    this.beginTurn();
  }

  /** The subscription is in force and is to get what is retained. */
  add(device: Device, session: Session, subscription: Subscription<Device>): void {
    const messages = this.#core.retained.walk(subscription.filter);
    this.#walks.push({ device, session, subscription, messages });
  }

  /** Something is left to send. */
  get hasWork(): boolean {
    return this.#walksStart < this.#walks.length;
  }

  /** Something is left to send, and no commit has to be waited for. */
  get hasReady(): boolean {
    return this.hasWork && !this.#isCongested;
  }

  get #isCongested(): boolean {
    return this.#core.queue.openBytes > this.#core.limits.openBatchBytesMax;
  }

  /** A new turn: the budget is whole again. */
  beginTurn(): void {
    this.#looksLeft = this.#core.limits.turnRetainedMax;
    this.#bytesLeft = this.#core.limits.turnBytesMax;
  }

  /** Sends what the turn's budget allows. */
  run(): void {
    while (this.hasReady && this.#looksLeft > 0 && this.#bytesLeft > 0) {
      const walk = this.#walks[this.#walksStart++]!;
      if (this.#visit(walk)) this.#walks.push(walk);
    }
    if (!this.hasWork || this.#walksStart > 4096) {
      this.#walks = this.#walks.slice(this.#walksStart);
      this.#walksStart = 0;
    }
  }

  /** False: it is done. */
  #visit({ device, session, subscription, messages }: Walk): boolean {
    for (let look = 0; look < VISIT_MAX && this.#looksLeft > 0 && this.#bytesLeft > 0; look++) {
      // The session may have ended since, or the filter been given up or asked for anew.
      const isInForce =
        !device.isRemoved &&
        device.session === session &&
        session.findSubscription(subscription.filter) === subscription;
      if (!isInForce) return false;
      const { done, value } = messages.next();
      if (done === true) return false;
      this.#looksLeft--;
      if (value === undefined) continue;
      this.#bytesLeft -= value.bytes.length;
      this.#send(device, subscription, value);
    }
    return true;
  }
}

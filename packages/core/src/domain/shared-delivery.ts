/**
 * One object for deliveries that say the same: whoever encodes a delivery of a fan-out can then do it once, by identity.
 * Compares where content lies, not what it is, since recipients of one publication point to the same memory.
 */
import type { Delivery } from './message.js';

export class SharedDelivery {
  #last: Delivery | null = null;

  /** The one asked for last, if it has no number either and says the same; else the given one. */
  of(delivery: Delivery): Delivery {
    const last = this.#last;
    const isSame =
      last !== null &&
      last.sequence + delivery.sequence === 0 &&
      last.body === delivery.body &&
      last.topic === delivery.topic &&
      last.properties === delivery.properties &&
      last.qos === delivery.qos &&
      last.retain === delivery.retain &&
      last.duplicate === delivery.duplicate &&
      last.expirySeconds === delivery.expirySeconds &&
      last.subscriptionIds.length + delivery.subscriptionIds.length === 0;
    if (isSame) return last;
    this.#last = delivery;
    return delivery;
  }
}

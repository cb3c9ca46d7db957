/** The subscriptions of one session by filter. Most devices have a single one, which needs no table. */
import type { Subscription } from './subscription-tree.js';

export class SubscriptionSet<Holder> {
  #only: Subscription<Holder> | null = null;
  /** All of them, once there was more than one. */
  #table: Map<string, Subscription<Holder>> | null = null;

  get subscriptionCount(): number {
    if (this.#table !== null) return this.#table.size;
    return this.#only === null ? 0 : 1;
  }

  findSubscription(filter: string): Subscription<Holder> | undefined {
    if (this.#table !== null) return this.#table.get(filter);
    return this.#only?.filter === filter ? this.#only : undefined;
  }

  /** In place of one with the same filter. */
  putSubscription(subscription: Subscription<Holder>): void {
    if (this.#table !== null) this.#table.set(subscription.filter, subscription);
    else if (this.#only === null || this.#only.filter === subscription.filter) this.#only = subscription;
    else {
      this.#table = new Map([
        [this.#only.filter, this.#only],
        [subscription.filter, subscription],
      ]);
      this.#only = null;
    }
  }

  deleteSubscription(filter: string): void {
    if (this.#table !== null) {
      this.#table.delete(filter);
      if (this.#table.size > 1) return;
      const [last = null] = this.#table.values();
      this.#only = last;
      this.#table = null;
    } else if (this.#only?.filter === filter) this.#only = null;
  }

  /** A list of its own: subscriptions may be put and deleted while it is walked. */
  listSubscriptions(): readonly Subscription<Holder>[] {
    if (this.#table !== null) return [...this.#table.values()];
    return this.#only === null ? [] : [this.#only];
  }
}

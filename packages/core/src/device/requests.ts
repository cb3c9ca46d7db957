/**
 * What the app asks of the server: subscriptions, which hold for later connections, and publications of QoS 1, which are sent
 * again until they are answered. Gives out packet ids; nothing is sent here.
 */
import { assert } from '../base/index.js';
import type { ClientInput, ClientPublication, ClientSubscription } from '../session/mqtt-client/index.js';
import { deviceLimits } from './limits.js';

interface Subscription extends ClientSubscription {
  /** Who waits for the answer, by ticket. */
  tickets: number[];
  /** The server has it, as far as this process knows. */
  isConfirmed: boolean;
}

interface Waiting {
  readonly ticket: number;
  readonly publication: ClientPublication;
  readonly packetId: number;
  /** It was written on some connection. */
  isSent: boolean;
  /** It was written on this one. */
  isUnderWay: boolean;
}

/** The answer to one ticket. */
export interface Answer {
  readonly ticket: number;
  readonly outcome: number;
}

const PACKET_ID_MAX = 65_535;
const REFUSED = 0x80;

export class Requests {
  readonly #subscriptions = new Map<string, Subscription>();
  /** Filters of a SUBSCRIBE that is not answered, by packet id. */
  readonly #asked = new Map<number, readonly Subscription[]>();
  /** By packet id, in the order of asking. */
  readonly #publications = new Map<number, Waiting>();
  #lastId = 0;
  #underWay = 0;

  /** False: there are as many as there may be. */
  addSubscription(ticket: number, filter: string, qos: 0 | 1): boolean {
    const old = this.#subscriptions.get(filter);
    if (old === undefined && this.#subscriptions.size >= deviceLimits.subscriptionsMax) return false;
    // Taken out first, so that an answer to the old one finds that it is not the one that counts.
    const tickets = [...(old?.tickets ?? []), ticket];
    this.#subscriptions.set(filter, { filter, qos, tickets, isConfirmed: false });
    return true;
  }

  /** False: there are as many as there may be. */
  addPublication(ticket: number, publication: ClientPublication): boolean {
    if (this.#publications.size >= deviceLimits.publicationsMax) return false;
    const packetId = this.#newId();
    this.#publications.set(packetId, {
      ticket,
      publication,
      packetId,
      isSent: false,
      isUnderWay: false,
    });
    return true;
  }

  /** A connection has opened: what must be said again on it is marked so. */
  handleOpened(sessionPresent: boolean): void {
    this.#asked.clear();
    this.#underWay = 0;
    for (const waiting of this.#publications.values()) {
      waiting.isUnderWay = false;
      // A server that has lost the session has lost the packet id with it.
      if (!sessionPresent) waiting.isSent = false;
    }
    if (sessionPresent) return;
    for (const subscription of this.#subscriptions.values()) subscription.isConfirmed = false;
  }

  /** What can be sent now. Call until it returns undefined. */
  next(receiveMaximum: number): Extract<ClientInput, { kind: 'subscribe' | 'publish' }> | undefined {
    if (this.#asked.size === 0) {
      const open = [...this.#subscriptions.values()].filter(({ isConfirmed }) => !isConfirmed);
      if (open.length > 0) {
        const packetId = this.#newId();
        this.#asked.set(packetId, open);
        const subscriptions = open.map(({ filter, qos }) => ({ filter, qos }));
        return { kind: 'subscribe', packetId, subscriptions };
      }
    }
    if (this.#underWay >= receiveMaximum) return undefined;
    for (const waiting of this.#publications.values()) {
      if (waiting.isUnderWay) continue;
      const { packetId, publication, isSent: duplicate } = waiting;
      waiting.isSent = true;
      waiting.isUnderWay = true;
      this.#underWay += 1;
      return { kind: 'publish', packetId, publication, duplicate };
    }
    return undefined;
  }

  handleSubscribed(packetId: number, reasonCodes: readonly number[]): readonly Answer[] {
    const asked = this.#asked.get(packetId) ?? [];
    this.#asked.delete(packetId);
    return asked.flatMap((subscription, index) => {
      // A SUBACK that is short says no.
      const outcome = reasonCodes[index] ?? REFUSED;
      const { filter } = subscription;
      // Asked for anew meanwhile: the later answer counts.
      if (this.#subscriptions.get(filter) !== subscription) return [];
      if (outcome >= REFUSED) this.#subscriptions.delete(filter);
      subscription.isConfirmed = true;
      return subscription.tickets.splice(0).map((ticket) => ({ ticket, outcome }));
    });
  }

  handlePublished(packetId: number, outcome: number): Answer | undefined {
    const waiting = this.#publications.get(packetId);
    if (waiting === undefined || !waiting.isUnderWay) return undefined;
    this.#publications.delete(packetId);
    this.#underWay -= 1;
    return { ticket: waiting.ticket, outcome };
  }

  /** Whether anything is sent and not answered. */
  get isWaiting(): boolean {
    return this.#asked.size > 0 || this.#underWay > 0;
  }

  /** The line is over: takes out everything that waits. */
  takeAll(): { readonly subscriptions: readonly number[]; readonly publications: readonly number[] } {
    const subscriptions = [...this.#subscriptions.values()].flatMap(({ tickets }) => tickets.splice(0));
    const publications = [...this.#publications.values()].map(({ ticket }) => ticket);
    this.#publications.clear();
    this.#asked.clear();
    this.#underWay = 0;
    return { subscriptions, publications };
  }

  #newId(): number {
    assert(this.#publications.size + this.#asked.size < PACKET_ID_MAX, 'there is a packet id that is free');
    do this.#lastId = (this.#lastId % PACKET_ID_MAX) + 1;
    while (this.#publications.has(this.#lastId) || this.#asked.has(this.#lastId));
    return this.#lastId;
  }
}

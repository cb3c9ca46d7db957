/**
 * Wakes by push resources: an endpoint of ours gets a message without a body, a foreign one a request that the host
 * makes (RFC 8599 §12: such a push has no payload; who calls, and until when, follows on the flow).
 */
import { Urgency, noBytes } from '../../domain/message.js';
import type { WakeOutcome } from '../../domain/call.js';
import { AddressRates } from '../address-rates.js';
import type { HubCore } from '../hub-core.js';
import type { CallOptions } from '../hub-core.js';
import type { Publisher } from '../publisher.js';
import { inboxTopic } from '../publisher.js';

/**
 * `sent`: it goes with the batch being filled. `later`: call `send` when what it announces is on disk, and it will be
 * told by `onOutcome`. `limited`: not now; others as in {@link WakeOutcome}.
 */
export type PushWake =
  | { readonly kind: 'sent' | 'gone' | 'refused' | 'limited'; readonly why: string }
  | { readonly kind: 'later'; readonly send: () => void };

export class Waker {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  readonly #options: CallOptions;
  readonly #rates: AddressRates;
  readonly #waiting = new Map<number, (outcome: WakeOutcome) => void>();
  #nextTicket = 1;

  constructor(core: HubCore, publisher: Publisher, options: CallOptions) {
    this.#core = core;
    this.#publisher = publisher;
    this.#options = options;
    this.#rates = new AddressRates(core.limits.callWakesPerMinuteMax);
  }

  /** Counts one more wake of a device or push resource. False: it has had as many in this minute as it may. */
  take(route: string): boolean {
    return this.#rates.take(this.#core.now, route);
  }

  /** `topic`: 32 characters of base64url; retries of one wake replace each other. */
  push(
    resource: string,
    topic: string,
    ttlSeconds: number,
    onOutcome: (outcome: WakeOutcome) => void,
  ): PushWake {
    if (!this.take(resource))
      return { kind: 'limited', why: 'as many wakes in a minute as there may be (callWakesPerMinuteMax)' };
    const tokenSha256 = this.#options.ownEndpoint?.(resource);
    if (tokenSha256 !== undefined) return this.#pushOwn(tokenSha256, topic, ttlSeconds);
    return {
      kind: 'later',
      send: () => {
        const ticket = this.#nextTicket++;
        this.#waiting.set(ticket, onOutcome);
        this.#core.callCounts.wakes++;
        this.#core.outbox.wake({ ticket, resource, ttlSeconds, topic });
      },
    };
  }

  handleResult(ticket: number, outcome: WakeOutcome): void {
    const onOutcome = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    onOutcome?.(outcome);
  }

  #pushOwn(tokenSha256: string, topic: string, ttlSeconds: number): PushWake {
    const core = this.#core;
    const endpoint = core.endpoints.find(tokenSha256);
    if (endpoint === undefined)
      return core.endpoints.hasEnded(tokenSha256)
        ? { kind: 'gone', why: 'the endpoint is no more' }
        : { kind: 'refused', why: 'there is no such endpoint' };
    const { device, channel, vapidKey } = endpoint;
    // RFC 8292 §4.2
    if (vapidKey !== undefined && vapidKey !== this.#options.vapidPublicKey)
      return { kind: 'refused', why: 'the endpoint takes pushes of another VAPID key only' };
    if (!core.appendsAllowed) return { kind: 'refused', why: 'free space is below the floor' };
    if (core.isFull(device.inboxView)) return { kind: 'refused', why: 'the inbox of its device is full' };
    this.#publisher.address(
      device,
      {
        topic: inboxTopic(channel),
        body: noBytes,
        properties: noBytes,
        qos: 1,
        retain: false,
        expirySeconds: ttlSeconds,
        urgency: Urgency.high,
        replaceKey: topic,
      },
      null,
    );
    core.callCounts.wakes++;
    return { kind: 'sent', why: `the inbox of ${device.id} has it` };
  }
}

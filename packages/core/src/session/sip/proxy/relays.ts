/** All requests that are being relayed, within a bound. */
import type { InstantMs } from '../../../base/index.js';
import type { StackContext } from '../context.js';
import { Relay, type RelayParts } from './relay.js';
import type { Ways } from './ways.js';

export class Relays {
  readonly #context: StackContext;
  readonly #ways: Ways;
  readonly #all = new Set<Relay>();

  constructor(context: StackContext, ways: Ways) {
    this.#context = context;
    this.#ways = ways;
  }

  get size(): number {
    return this.#all.size;
  }

  begin(now: InstantMs, parts: Omit<RelayParts, 'onEnd'>): void {
    const { server, request, origin } = parts;
    // OPTIONS may come with none, for us (RFC 3261 §11).
    if (request.maxForwards === 0) {
      this.#context.refuse(now, server, request, origin, 'sip-too-many-hops');
      return;
    }
    if (this.#all.size >= this.#context.limits.relaysMax) {
      this.#context.refuse(now, server, request, origin, 'sip-overloaded', undefined, {
        headers: [['Retry-After', '5']],
      });
      return;
    }
    const onEnd = (ended: Relay) => this.#all.delete(ended);
    const relay = new Relay(this.#context, this.#ways, { ...parts, onEnd });
    this.#all.add(relay);
    relay.start(now);
  }
}

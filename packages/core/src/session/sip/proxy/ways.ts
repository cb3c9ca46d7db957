/**
 * From a place to a flow: where a side of a dialog can be reached now, waking it or connecting to it if need be.
 *
 * Says yes or no, at once or later; sends nothing itself.
 */
import type { InstantMs } from '../../../base/index.js';
import type { BindingTarget, SipFlow } from '../../../domain/index.js';
import type { StackContext } from '../context.js';
import { instanceKey, type Locations } from '../registrar/locations.js';
import type { Place } from './place.js';
import type { Trunks } from './trunks.js';

/** Called once; without a flow: there is no way. */
export type WayHandler = (now: InstantMs, flow: SipFlow | undefined) => void;

export interface WayRequest {
  readonly place: Place;
  /** For the trace of a wake. */
  readonly method: string;
  readonly requestBytes: number;
  /** A device that is not there is woken and waited for. */
  readonly mayWait: boolean;
}

interface Held {
  readonly key: string;
  readonly handle: WayHandler;
}

export class Ways {
  readonly #context: StackContext;
  readonly #locations: Locations;
  readonly #trunks: Trunks;
  /** Questions to the hub, by ticket. */
  readonly #held = new Map<number, Held>();
  /** Instance to how many of them are for it. */
  readonly #heldCounts = new Map<string, number>();

  constructor(context: StackContext, locations: Locations, trunks: Trunks) {
    this.#context = context;
    this.#locations = locations;
    this.#trunks = trunks;
  }

  find(now: InstantMs, request: WayRequest, handle: WayHandler): void {
    const { place } = request;
    const { edge, life } = this.#context;
    switch (place.kind) {
      case 'instance': {
        // That a flow is lost is told to its transactions first: it may still be among the locations.
        const location = this.#locations
          .all(place.aor, place.instance)
          .findLast(({ target }) => edge.flowInfo(target.flow) !== undefined);
        if (location !== undefined) handle(now, location.target.flow);
        else if (request.mayWait) this.#reach(now, place, request.method, handle);
        else handle(now, undefined);
        return;
      }
      case 'trunk': {
        const isThere = place.life === life && edge.flowInfo(place.flow) !== undefined;
        const flow = this.#trunks.flowOf(place.name) ?? (isThere ? place.flow : undefined);
        if (flow !== undefined) handle(now, flow);
        else this.#trunks.route(now, place.hop, request.requestBytes, handle);
        return;
      }
      case 'datagram': {
        const { listener, address, port } = place;
        const isThere = this.#context.options.listeners[listener]?.transport === 'udp';
        handle(now, isThere ? edge.udpFlow(now, listener, { address, port }) : undefined);
        return;
      }
      case 'stream': {
        const isThere = place.life === life && edge.flowInfo(place.flow) !== undefined;
        handle(now, isThere ? place.flow : undefined);
      }
    }
  }

  /** The hub's answer to a `reach`. */
  handleReached(now: InstantMs, ticket: number, target: BindingTarget | undefined): void {
    const held = this.#held.get(ticket);
    if (held === undefined) return;
    const { key, handle } = held;
    this.#held.delete(ticket);
    const left = this.#heldCounts.get(key)! - 1;
    if (left === 0) this.#heldCounts.delete(key);
    else this.#heldCounts.set(key, left);
    const isThere = target !== undefined && this.#context.edge.flowInfo(target.flow) !== undefined;
    handle(now, isThere ? target.flow : undefined);
  }

  #reach(
    now: InstantMs,
    place: Extract<Place, { kind: 'instance' }>,
    method: string,
    handle: WayHandler,
  ): void {
    const { limits } = this.#context;
    const { aor, instance } = place;
    const key = instanceKey(aor, instance);
    const count = this.#heldCounts.get(key) ?? 0;
    if (this.#held.size >= limits.heldRequestsMax || count >= limits.heldRequestsPerInstanceMax) {
      handle(now, undefined);
      return;
    }
    const ticket = this.#context.takeTicket();
    this.#held.set(ticket, { key, handle });
    this.#heldCounts.set(key, count + 1);
    this.#context.putCommand({ kind: 'reach', ticket, aor, instance, method, waitMs: limits.heldMsMax });
  }
}

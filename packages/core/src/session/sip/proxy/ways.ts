/**
 * From a place to a flow: where a side of a dialog can be reached now, waking it or connecting to it if need be.
 *
 * Says yes or no, at once or later; sends nothing itself.
 */
import type { InstantMs } from '../../../base/index.js';
import type { BindingTarget, SipFlow } from '../../../domain/index.js';
import type { StackContext } from '../context.js';
import type { Locations } from '../registrar/locations.js';
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

export class Ways {
  readonly #context: StackContext;
  readonly #locations: Locations;
  readonly #trunks: Trunks;
  /** Questions to the hub, by ticket. */
  readonly #held = new Map<number, WayHandler>();

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
        const location = this.#locations.find(place.aor, place.instance);
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
        handle(now, isThere ? edge.udpFlow(listener, { address, port }) : undefined);
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
    const handle = this.#held.get(ticket);
    this.#held.delete(ticket);
    if (handle === undefined) return;
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
    if (this.#held.size >= limits.heldRequestsMax) {
      handle(now, undefined);
      return;
    }
    const ticket = this.#context.takeTicket();
    this.#held.set(ticket, handle);
    const { aor, instance } = place;
    this.#context.putCommand({ kind: 'reach', ticket, aor, instance, method, waitMs: limits.heldMsMax });
  }
}

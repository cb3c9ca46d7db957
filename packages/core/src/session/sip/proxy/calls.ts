/** All calls to users of ours: made of INVITEs, found again for what the hub says of them, and restored after a restart. */
import type { InstantMs } from '../../../base/index.js';
import type { Aor, Caller, CallEvent, CallId, RestoredCall } from '../../../domain/index.js';
import { parseMessage, type SipRequest, type SipUri } from '../../../wire/sip/index.js';
import type { StackContext } from '../context.js';
import type { Origin, TransactionKey } from '../edge-types.js';
import { instanceKey, type Locations } from '../registrar/locations.js';
import { Call, offersRelay, type CallParts } from './call.js';
import { formatPlace, parsePlace, type Place } from './place.js';

export interface NewCall {
  readonly transaction: TransactionKey;
  readonly request: SipRequest;
  readonly origin: Origin;
  readonly aor: Aor;
  readonly caller: Caller;
  readonly place: Place;
}

const SEPARATOR = '\0';
const CALLER_URI_CHARACTERS_MAX = 256;

export class Calls {
  readonly #context: StackContext;
  readonly #locations: Locations;
  readonly #calls = new Map<CallId, Call>();
  /** Instances that callers are, to their calls: what responses take when the instance has another flow. */
  readonly #byCaller = new Map<string, Set<Call>>();
  /** Users to the calls to them. */
  readonly #byCallee = new Map<Aor, Set<Call>>();
  /** Restored calls whose caller is not back yet. */
  readonly #awaitingCaller = new Set<CallId>();

  constructor(context: StackContext, locations: Locations) {
    this.#context = context;
    this.#locations = locations;
  }

  get size(): number {
    return this.#calls.size;
  }

  find(id: CallId): Call | undefined {
    return this.#calls.get(id);
  }

  begin({ transaction, request, origin, aor, caller, place }: NewCall): void {
    const id = this.#context.randomHex();
    const isFromTrunk = caller.trunk !== undefined;
    const call = this.#make(id, aor, request, origin.listener, place, isFromTrunk, transaction);
    // A caller who was told 100 does not repeat what a crash may take with it.
    this.#context.edge.holdTrying(transaction);
    this.#context.putCommand({
      kind: 'call',
      call: id,
      aor,
      caller: { ...caller, uri: caller.uri.slice(0, CALLER_URI_CHARACTERS_MAX) },
      sipCallId: request.callId,
      offer: request.bytes,
      callerPlace: `${origin.listener}${SEPARATOR}${formatPlace(place)}`,
      callerAddress: origin.remote.address,
      expiresSeconds: request.expires,
    });
    if (request.body.length > 0 && !offersRelay(request.body)) {
      call.note(undefined, 'the offer names no media relay');
    }
  }

  handleEvent(now: InstantMs, event: CallEvent): void {
    if (!('call' in event)) return;
    const call = this.#calls.get(event.call);
    // The caller and every device have ended their transactions before the hub heard of it.
    if (call === undefined) return;
    switch (event.kind) {
      case 'journaled':
        return call.sayTrying(now);
      case 'offer':
        return call.handleOffer(now, event);
      case 'cancel-leg':
        return call.handleCancelLeg(now, event.leg, event.attempt, event.reason);
      case 'answer':
        return call.handleAnswer(now, event.leg, event.attempt);
      case 'finish':
        return call.handleFinish(now, event);
    }
  }

  /** The user's devices are where they are now: calls with them go on there. */
  handleBound(now: InstantMs, aor: Aor): void {
    for (const { target } of this.#locations.ofUser(aor)) {
      for (const call of this.#byCaller.get(instanceKey(aor, target.instance)) ?? []) {
        call.redirect(now, target.flow);
        this.#callerIsBack(call.parts.id, true);
      }
      for (const call of this.#byCallee.get(aor) ?? []) call.attach(now, target);
    }
  }

  restore(now: InstantMs, restored: RestoredCall): void {
    const { call: id, aor, offer, caller, callerPlace, answered } = restored;
    const separator = callerPlace.indexOf(SEPARATOR);
    const listener = Number(callerPlace.slice(0, separator));
    const place = parsePlace(callerPlace.slice(separator + 1));
    const request = parseMessage(offer);
    const isKnown = this.#context.options.listeners[listener] !== undefined;
    if (place === undefined || request.kind !== 'request' || !isKnown) {
      this.#tellCaller(id, false);
      return;
    }
    const { edge } = this.#context;
    const state = answered === undefined ? 'proceeding' : 'accepted';
    const server = edge.restoreServer(now, request, listener, state, undefined);
    const call = this.#make(id, aor, request, listener, place, caller.trunk !== undefined, server);
    call.restoreAttempts(now, restored);
    this.#awaitingCaller.add(id);
    if (server === undefined) return this.#callerIsBack(id, false);
    const location = place.kind === 'instance' ? this.#locations.find(place.aor, place.instance) : undefined;
    if (location !== undefined) {
      call.redirect(now, location.target.flow);
      return this.#callerIsBack(id, true);
    }
    const ticket = this.#context.takeTicket();
    this.#context.onRouted(ticket, (_later, flow) => {
      if (flow !== undefined) this.#callerIsBack(id, true);
      // A phone of ours comes back by itself, and is answered where it then is.
      else if (place.kind !== 'instance') this.#callerIsBack(id, false);
    });
    edge.probe(now, server, ticket);
    this.#context.after(now, Math.max(0, restored.deadlineMs - now.wall), () =>
      this.#callerIsBack(id, false),
    );
  }

  /** Whether a request with this Request-URI and these Routes went out by the branch before (RFC 5393 §4.2). */
  isLoop(branch: string, request: SipRequest): boolean {
    const id = /^z9hG4bK-([0-9a-f]{32})\.\d+\.\d+$/.exec(branch)?.[1];
    const earlier = id === undefined ? undefined : this.#calls.get(id)?.parts.invite;
    return (
      earlier !== undefined &&
      earlier.uri === request.uri &&
      earlier.headers('Route').join() === request.headers('Route').join()
    );
  }

  #make(
    id: CallId,
    aor: Aor,
    invite: SipRequest,
    listener: number,
    place: Place,
    isFromTrunk: boolean,
    server: TransactionKey | undefined,
  ): Call {
    const onEnd = (ended: Call) => this.#forget(ended);
    const { edge } = this.#context;
    const locate: CallParts['locate'] = ({ aor: user, instance, run }) =>
      this.#locations
        .all(user, instance)
        .findLast(({ target }) => target.run === run && edge.flowInfo(target.flow) !== undefined)?.target;
    const parts: CallParts = { id, aor, invite, listener, place, isFromTrunk, locate, onEnd };
    const call = new Call(this.#context, parts, server);
    this.#calls.set(id, call);
    put(this.#byCallee, aor, call);
    if (place.kind === 'instance') put(this.#byCaller, instanceKey(place.aor, place.instance), call);
    return call;
  }

  #forget(call: Call): void {
    const { id, aor, place } = call.parts;
    this.#calls.delete(id);
    this.#awaitingCaller.delete(id);
    remove(this.#byCallee, aor, call);
    if (place.kind === 'instance') remove(this.#byCaller, instanceKey(place.aor, place.instance), call);
  }

  #callerIsBack(id: CallId, isReachable: boolean): void {
    if (this.#awaitingCaller.delete(id)) this.#tellCaller(id, isReachable);
  }

  #tellCaller(call: CallId, isReachable: boolean): void {
    this.#context.putCommand({ kind: 'caller', call, isReachable });
  }
}

function put(sets: Map<string, Set<Call>>, key: string, call: Call): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([call]));
  else set.add(call);
}

function remove(sets: Map<string, Set<Call>>, key: string, call: Call): void {
  const set = sets.get(key);
  if (set?.delete(call) === true && set.size === 0) sets.delete(key);
}

/** Where the sender of a request is, for what is to reach it later. */
export function placeOfUser(locations: Locations, origin: Origin, aor: Aor, life: string): Place {
  const location = origin.flow === 0 ? undefined : locations.onFlow(origin.flow, aor);
  if (location !== undefined) return { kind: 'instance', aor, instance: location.target.instance };
  if (origin.transport !== 'udp') return { kind: 'stream', flow: origin.flow, life };
  const { address, port } = origin.remote;
  return { kind: 'datagram', listener: origin.listener, address, port };
}

/** The next hop back to the sender of a request that came by a trunk: its first Record-Route, or its Contact. */
export function placeOfTrunk(
  name: string,
  request: SipRequest,
  trunkUri: string,
  origin: Origin,
  life: string,
): Place {
  const { contacts } = request;
  const first =
    request.recordRoutes?.[0] ?? (contacts === undefined || contacts === '*' ? undefined : contacts[0]);
  const uri = first?.uri as SipUri | undefined;
  const hop = uri?.kind === 'sip' ? uri.text : trunkUri;
  const flow = origin.transport === 'udp' ? 0 : origin.flow;
  return { kind: 'trunk', name, hop, flow, life };
}

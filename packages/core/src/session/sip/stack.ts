/**
 * The SIP stack: one machine for a whole process. Registrar and proxy in front of phones that sleep.
 *
 * It joins the edge (transport and transactions) with screening, registrar and proxy, and these with the hub. It speaks
 * the protocol and decides nothing that a restart would have to remember. A peer's mistake is an answer, a broken
 * invariant an assertion.
 */
import {
  assert,
  DeadlineHeap,
  encodeUtf8,
  limitKey,
  toHex,
  type InstantMs,
  type Machine,
} from '../../base/index.js';
import type { CallCommand, CallEvent, SipFlow } from '../../domain/index.js';
import { buildResponse, type SipRequest, type SipResponse } from '../../wire/sip/index.js';
import { AddressBudget } from '../address-budget.js';
import type { AnswerExtras, ClientOwner, ServerOwner, StackContext } from './context.js';
import type { EdgeEvent, Origin, TransactionKey } from './edge-types.js';
import { SipEdge } from './edge.js';
import { sipLimits } from './limits.js';
import type { SipInput, SipOutput } from './machine.js';
import type { SipStackOptions } from './options.js';
import { Calls } from './proxy/calls.js';
import { Deliveries } from './proxy/deliveries.js';
import { Dialogs } from './proxy/dialogs.js';
import { PlaceTokens } from './proxy/place.js';
import { Relays } from './proxy/relays.js';
import { Requests } from './proxy/requests.js';
import { Targets } from './proxy/targets.js';
import { TrunkRegistration } from './proxy/trunk-registration.js';
import { Trunks } from './proxy/trunks.js';
import { Ways } from './proxy/ways.js';
import { Locations } from './registrar/locations.js';
import { Registrar } from './registrar/registrar.js';
import { Identity } from './screening/identity.js';
import { OwnNames } from './screening/own-names.js';
import { answerTo, type RefusalDetail, type SipRefusal } from './screening/refusals.js';
import { checkRequires, checkSyntax, type SyntaxFault } from './screening/syntax.js';

type RequestEvent = Extract<EdgeEvent<SipRequest, SipResponse>, { kind: 'request' }>;
type AckEvent = Extract<EdgeEvent<SipRequest, SipResponse>, { kind: 'ack' }>;

const TO_TAG_BYTES = 8;

export class SipStack implements Machine<SipInput, SipOutput> {
  readonly #options: SipStackOptions;
  readonly #context: StackContext;
  readonly #edge: SipEdge;
  readonly #locations = new Locations();
  readonly #names: OwnNames;
  readonly #trunks: Trunks;
  readonly #identity: Identity;
  readonly #registrar: Registrar;
  readonly #calls: Calls;
  readonly #relays: Relays;
  readonly #ways: Ways;
  readonly #dialogs: Dialogs;
  readonly #requests: Requests;
  readonly #deliveries: Deliveries;
  readonly #registrations: readonly TrunkRegistration[];
  readonly #connects: AddressBudget;
  /** Connections that were refused, until the host has closed them. */
  readonly #refused = new Set<number>();
  readonly #routed = new Map<number, (now: InstantMs, flow: SipFlow | undefined) => void>();
  readonly #timers = new DeadlineHeap<(now: InstantMs) => void>();
  readonly #commands: CallCommand[] = [];
  readonly #outputs: SipOutput[] = [];
  #lastTicket = 0;
  #isStarted = false;
  #isDraining = false;

  constructor(options: SipStackOptions) {
    assert(options.domains.length > 0, 'a SIP stack serves a domain');
    this.#options = options;
    const limits = { ...sipLimits, ...options.limits };
    const tagKey = this.#keyFor('to-tag');
    this.#edge = new SipEdge({
      listeners: options.listeners,
      timerCMs: limits.timerCMs,
      tryingMsMax: limits.tryingMsMax,
      toTagOf: (request) => this.#toTagOf(request, tagKey),
    });
    const responseTo = (
      request: SipRequest,
      status: number,
      phrase: string,
      extras?: AnswerExtras,
    ): Uint8Array =>
      buildResponse(request, status, phrase, {
        toTag: this.#toTagOf(request, tagKey),
        headers: extras?.headers,
      });
    const tokens = new PlaceTokens(options.crypto, this.#keyFor('route'));
    this.#context = {
      options,
      limits,
      edge: this.#edge,
      tokens,
      life: toHex(options.crypto.randomBytes(8)),
      serverOwners: new Map<TransactionKey, ServerOwner>(),
      clientOwners: new Map<TransactionKey, ClientOwner>(),
      putCommand: (command) => this.#commands.push(command),
      takeTicket: () => (this.#lastTicket += 1),
      onRouted: (ticket, handle) => this.#routed.set(ticket, handle),
      after: (now, ms, handle) => this.#timers.add(now.monotonic + ms, handle),
      randomHex: () => toHex(options.crypto.randomBytes(16)),
      answer: (now, transaction, request, status, phrase, extras) =>
        this.#edge.respond(now, transaction, status, responseTo(request, status, phrase, extras)),
      refuse: (now, transaction, request, origin, refusal, detail, extras) => {
        this.#note(refusal, origin);
        const { status, phrase } = answerTo(refusal);
        this.#context.answer(now, transaction, request, status, detail ?? phrase, extras);
      },
      reject: (now, transaction, request, origin, refusal, detail, extras) => {
        this.#note(refusal, origin);
        const { status, phrase } = answerTo(refusal);
        this.#context.challenge(now, transaction, request, status, detail ?? phrase, extras);
      },
      challenge: (now, transaction, request, status, phrase, extras) =>
        this.#edge.reject(now, transaction, responseTo(request, status, phrase, extras)),
      note: (refusal, origin, detail) => this.#note(refusal, origin, detail),
    };
    const context = this.#context;
    this.#names = new OwnNames(options, tokens);
    this.#trunks = new Trunks(context);
    this.#identity = new Identity(context, this.#names, this.#keyFor('nonce'));
    this.#registrar = new Registrar(context, this.#locations);
    this.#calls = new Calls(context, this.#locations);
    this.#ways = new Ways(context, this.#locations, this.#trunks);
    this.#relays = new Relays(context, this.#ways);
    this.#dialogs = new Dialogs(context, this.#ways, this.#relays, this.#trunks);
    const targets = new Targets(context, this.#names, this.#trunks);
    this.#requests = new Requests(context, targets, this.#calls, this.#relays, this.#locations);
    this.#deliveries = new Deliveries(context);
    this.#registrations = this.#trunks.all.flatMap((trunk) => {
      const { registration } = trunk.options;
      return registration === undefined
        ? []
        : [new TrunkRegistration(context, this.#trunks, trunk, registration)];
    });
    this.#connects = new AddressBudget(
      limits.connectsPerAddressMax,
      Number.MAX_SAFE_INTEGER,
      limits.budgetAddressesMax,
    );
  }

  /** Calls that have a transaction. */
  get callCount(): number {
    return this.#calls.size;
  }

  /** Requests that are being relayed, calls aside. */
  get relayCount(): number {
    return this.#relays.size;
  }

  /** Transactions of both sides that are not over. */
  get transactionCount(): number {
    return this.#edge.transactionCount;
  }

  /** Instances with a live flow. */
  get instanceCount(): number {
    return this.#locations.size;
  }

  handleInput(now: InstantMs, input: SipInput): void {
    this.#start(now);
    switch (input.kind) {
      case 'events':
        for (const event of input.events) {
          this.#handleEvent(now, event);
          this.#settle(now);
        }
        return;
      case 'drain':
        this.#isDraining = true;
        return;
      case 'connection-opened':
        if (input.connection > 0 && !this.#connects.take(now, limitKey(input.remote.address))) {
          this.#refused.add(input.connection);
          const reason = 'sip-connect-rate';
          this.#outputs.push({ kind: 'close', connection: input.connection, reason });
          return;
        }
        break;
      case 'bytes':
        if (this.#refused.has(input.connection)) return;
        break;
      case 'connection-closed':
        if (this.#refused.delete(input.connection)) return;
        break;
    }
    this.#edge.handleInput(now, input);
    this.#settle(now);
  }

  handleTimeout(now: InstantMs): void {
    this.#start(now);
    for (let handle = this.#timers.takeDue(now.monotonic); handle !== undefined;) {
      handle(now);
      handle = this.#timers.takeDue(now.monotonic);
    }
    this.#edge.handleTimeout(now);
    this.#settle(now);
  }

  nextTimeoutMs(): number {
    if (!this.#isStarted && this.#registrations.length > 0) return 0;
    return Math.min(this.#timers.nextMs, this.#edge.nextTimeoutMs());
  }

  pollOutput(): SipOutput | undefined {
    if (this.#commands.length > 0) return { kind: 'commands', commands: this.#commands.splice(0) };
    return this.#outputs.shift() ?? this.#edge.pollOutput();
  }

  #start(now: InstantMs): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    for (const registration of this.#registrations) registration.start(now);
    this.#settle(now);
  }

  // What the edge tells.

  #settle(now: InstantMs): void {
    for (let event = this.#edge.pollEvent(); event !== undefined; event = this.#edge.pollEvent()) {
      this.#handleEdgeEvent(now, event);
    }
  }

  #handleEdgeEvent(now: InstantMs, event: EdgeEvent<SipRequest, SipResponse>): void {
    const { serverOwners, clientOwners } = this.#context;
    switch (event.kind) {
      case 'request':
        return this.#handleRequest(now, event);
      case 'ack':
        return this.#handleAck(now, event);
      case 'cancel':
        return serverOwners.get(event.invite)?.handleCancel?.(now, event.request);
      case 'response': {
        const { transaction, response, origin } = event;
        return clientOwners.get(transaction)?.handleResponse(now, transaction, response, origin);
      }
      case 'timeout':
      case 'transport-error':
      case 'timer-c':
        return clientOwners.get(event.transaction)?.handleFailure(now, event.transaction, event.kind);
      case 'detached':
        return clientOwners.get(event.transaction)?.handleDetached?.(now, event.transaction);
      case 'unsent':
        return serverOwners.get(event.transaction)?.handleUnsent?.(now);
      case 'ack-timeout':
        return serverOwners.get(event.transaction)?.handleAckTimeout?.(now);
      case 'unanswered':
        // Its end follows.
        return;
      case 'terminated':
        return this.#handleTerminated(now, event.transaction, event.side);
      case 'flow-lost':
        this.#registrar.handleFlowLost(event.flow);
        for (const registration of this.#registrations) registration.handleFlowLost(now, event.flow);
        return;
      case 'routed': {
        const handle = this.#routed.get(event.ticket);
        this.#routed.delete(event.ticket);
        handle?.(now, event.flow);
        return;
      }
      case 'dropped':
        if (event.reason === 'malformed' || event.reason === 'too-large') {
          this.#note('sip-bad-request', event.origin);
        } else if (event.reason === 'too-many-transactions') this.#note('sip-overloaded', event.origin);
    }
  }

  #handleTerminated(now: InstantMs, transaction: TransactionKey, side: 'client' | 'server'): void {
    const { serverOwners, clientOwners } = this.#context;
    if (side === 'server') {
      const owner = serverOwners.get(transaction);
      serverOwners.delete(transaction);
      owner?.handleServerEnd?.(now);
    } else {
      const owner = clientOwners.get(transaction);
      clientOwners.delete(transaction);
      owner?.handleClientEnd?.(now, transaction);
    }
  }

  // Requests.

  #handleRequest(now: InstantMs, { transaction, request: received, origin }: RequestEvent): void {
    // Nobody has proved anything yet.
    const reject = (refusal: SipRefusal, fault?: SyntaxFault) =>
      this.#context.reject(now, transaction, received, origin, refusal, fault?.detail, fault);
    const fault = checkSyntax(received, {
      limits: this.#context.limits,
      isLoop: (request) => this.#isLoop(request),
    });
    if (fault !== undefined) return reject(fault.refusal, fault);
    const sender = this.#trunks.senderOf(origin);
    if (sender === undefined && this.#isTrunksOnly(origin)) return reject('sip-trunks-only');
    const routes = this.#names.readRoutes(received.routes!, received.callId);
    if (typeof routes === 'string') return reject(routes);
    const isRegister = received.method === 'REGISTER';
    if (received.to.tag !== undefined && !isRegister) {
      // Whoever has a token was in the dialog, and a trunk is who it is.
      if (routes.places.length === 0) {
        if (sender === undefined || received.routes!.length > 0) return reject('sip-unknown-dialog');
        this.#edge.admit(origin.flow);
        const trunk = { trunk: sender, user: undefined };
        const arrived = { transaction, request: received, origin, routes, sender: trunk };
        return this.#requests.handleRouteless(now, arrived);
      }
      this.#edge.admit(origin.flow);
      return this.#dialogs.handleRequest(now, transaction, received, origin, routes, sender);
    }
    if (routes.others.length > 0) return reject('sip-foreign-route');
    // RFC 3261 §8.2.2.2
    if (this.#edge.isMerged(transaction)) return reject('sip-merged');
    if (this.#isDraining && (received.method === 'INVITE' || isRegister)) {
      return reject('sip-draining', { refusal: 'sip-draining', headers: [['Retry-After', '10']] });
    }
    const isTrunks = sender !== undefined && !isRegister;
    const user = isTrunks ? undefined : this.#identity.prove(now, transaction, received, origin);
    if (!isTrunks && user === undefined) return;
    this.#edge.admit(origin.flow);
    if (isRegister) return this.#handleRegister(now, transaction, received, origin, user!.aor);
    this.#requests.handle(now, {
      transaction,
      request: received,
      origin,
      routes,
      sender: { trunk: sender, user },
    });
  }

  #handleRegister(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    origin: Origin,
    aor: string,
  ): void {
    const fault = checkRequires(request);
    if (fault === undefined) this.#registrar.handleRegister(now, transaction, request, origin, aor);
    else this.#context.refuse(now, transaction, request, origin, fault.refusal, fault.detail, fault);
  }

  /** An ACK is never answered: one that leads nowhere is counted. */
  #handleAck(now: InstantMs, { request, origin }: AckEvent): void {
    const { routes: values, maxForwards, requestUri } = request;
    const isWrong =
      values === undefined ||
      values.some(({ uri }) => uri === undefined) ||
      requestUri?.kind !== 'sip' ||
      maxForwards === 0 ||
      (request.has('Max-Forwards') && maxForwards === undefined);
    if (isWrong) return this.#note('sip-bad-request', origin);
    const sender = this.#trunks.senderOf(origin);
    if (sender === undefined && this.#isTrunksOnly(origin)) return this.#note('sip-trunks-only', origin);
    const routes = this.#names.readRoutes(values, request.callId);
    if (typeof routes === 'string') return this.#note(routes, origin);
    if (routes.places.length > 0) return this.#dialogs.handleAck(now, request, routes, sender);
    const isRouteless = values.length === 0;
    const way =
      sender !== undefined && isRouteless ? this.#requests.findRoutelessAck(request, sender) : undefined;
    // Without a way it is of a refusal that is forgotten, or of a dialog that is.
    if (way !== undefined) this.#dialogs.sendAck(now, request, way);
  }

  #isTrunksOnly(origin: Origin): boolean {
    return this.#options.listeners[origin.listener]?.trunksOnly === true;
  }

  /** RFC 5393 §4.2: a Via of ours under which the same request went out. */
  #isLoop(request: SipRequest): boolean {
    return (request.vias ?? []).some(
      (via) =>
        via.branch !== undefined && this.#names.isOwnVia(via) && this.#calls.isLoop(via.branch, request),
    );
  }

  // What the hub tells.

  #handleEvent(now: InstantMs, event: CallEvent): void {
    switch (event.kind) {
      case 'bound': {
        const aor = this.#registrar.handleBound(now, event);
        if (aor !== undefined) this.#calls.handleBound(now, aor);
        return;
      }
      case 'bind-refused':
        return this.#registrar.handleBindRefused(now, event.ticket, event.reason);
      case 'reached':
        return this.#ways.handleReached(now, event.ticket, event.target);
      case 'unreached':
        return this.#ways.handleReached(now, event.ticket, undefined);
      case 'message-stored':
        return this.#requests.handleMessageStored(now, event);
      case 'deliver-message':
        return this.#deliveries.deliver(now, event);
      case 'restored':
        this.#registrar.restore(now, event.bindings);
        for (const call of event.calls) this.#calls.restore(now, call);
        return;
      default:
        return this.#calls.handleEvent(now, event);
    }
  }

  #note(refusal: SipRefusal, origin: Origin, detail?: RefusalDetail): void {
    this.#outputs.push({ kind: 'refused', refusal, address: origin.remote.address, detail });
  }

  /** A key of its own for each use. */
  #keyFor(use: string): Uint8Array {
    return this.#options.crypto.hmacSha256(this.#options.key, encodeUtf8(use));
  }

  /**
   * The same for each response to a request, also after a restart. Of its bytes, since a request that is answered may be
   * one that cannot be read.
   */
  #toTagOf({ head }: SipRequest, key: Uint8Array): string {
    const text = head.bytes.subarray(head.start, head.end);
    return toHex(this.#options.crypto.hmacSha256(key, text).subarray(0, TO_TAG_BYTES));
  }
}

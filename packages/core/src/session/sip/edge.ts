/**
 * Transport and transactions, joined: bytes of the host in, events for the core out, and back. See `edge-types.ts` for
 * what the core may ask.
 *
 * It answers by itself what never reaches a transaction: requests that are malformed. It decides about nobody's right to
 * be here.
 */
import type { InstantMs } from '../../base/index.js';
import type { SipFlow } from '../../domain/index.js';
import { buildResponse, type SipFault, type SipRequest, type SipResponse } from '../../wire/sip/index.js';
import type {
  ClientRequest,
  Edge,
  EdgeEvent,
  FlowInfo,
  Origin,
  RouteTarget,
  SentBy,
  TransactionKey,
} from './edge-types.js';
import type { SipAddress, SipListener, SipOutput } from './machine.js';
import {
  defaultTimerValues,
  sipTransactionLimits,
  TransactionLayer,
  type TimerValues,
  type TransactionLimits,
} from './transaction/index.js';
import {
  responseRouteOf,
  sipTransportLimits,
  TransportLayer,
  type TransportInput,
  type TransportLimits,
} from './transport/index.js';

export interface SipEdgeOptions {
  readonly listeners: readonly SipListener[];
  /** The To-tag of responses of ours to this request: the same each time. */
  toTagOf(request: SipRequest): string;
  /** Timer C, ms. */
  readonly timerCMs: number;
  /** When 100 is said at the latest, ms. */
  readonly tryingMsMax: number;
  readonly timers?: TimerValues;
  readonly transactionLimits?: Partial<TransactionLimits>;
  readonly transportLimits?: Partial<TransportLimits>;
}

export class SipEdge implements Edge<SipRequest, SipResponse> {
  readonly #transport: TransportLayer;
  readonly #transactions: TransactionLayer;
  readonly #toTagOf: (request: SipRequest) => string;
  /** `host:port` and `host` of all listeners: what our Vias say. */
  readonly #ownSentBys: ReadonlySet<string>;
  readonly #events: EdgeEvent<SipRequest, SipResponse>[] = [];

  constructor(options: SipEdgeOptions) {
    const { listeners, timerCMs, tryingMsMax } = options;
    this.#toTagOf = (request) => options.toTagOf(request);
    this.#transport = new TransportLayer({
      listeners,
      limits: { ...sipTransportLimits, ...options.transportLimits },
    });
    this.#transactions = new TransactionLayer({
      transport: this.#transport,
      timers: options.timers ?? defaultTimerValues,
      timerCMs,
      tryingMsMax,
      limits: { ...sipTransactionLimits, ...options.transactionLimits },
      toTagOf: this.#toTagOf,
    });
    this.#ownSentBys = new Set(listeners.map((listener) => sentByText(listener)));
  }

  // ---- for the host ----

  handleInput(now: InstantMs, input: TransportInput): void {
    this.#transport.handleInput(now, input);
    this.#settle(now);
  }

  handleTimeout(now: InstantMs): void {
    this.#transactions.handleTimeout(now);
    this.#transport.handleTimeout(now);
    this.#settle(now);
  }

  nextTimeoutMs(): number {
    return Math.min(this.#transport.nextTimeoutMs(), this.#transactions.nextTimeoutMs());
  }

  pollOutput(): SipOutput | undefined {
    return this.#transport.pollOutput();
  }

  /** Transactions of both sides that are not over. */
  get transactionCount(): number {
    return this.#transactions.serverCount + this.#transactions.clientCount;
  }

  /** Flows that are known, of streams and datagrams. */
  get flowCount(): number {
    return this.#transport.flowCount;
  }

  // ---- for the core ----

  pollEvent(): EdgeEvent<SipRequest, SipResponse> | undefined {
    return this.#events.shift();
  }

  request(now: InstantMs, request: ClientRequest): TransactionKey | undefined {
    return this.#after(now, this.#transactions.request(now, request));
  }

  cancel(now: InstantMs, transaction: TransactionKey, reason?: string): void {
    this.#transactions.cancel(now, transaction, reason);
    this.#settle(now);
  }

  attach(now: InstantMs, transaction: TransactionKey, flow: SipFlow, resend: boolean): boolean {
    return this.#after(now, this.#transactions.attach(now, transaction, flow, resend));
  }

  restoreClient(
    now: InstantMs,
    request: Pick<ClientRequest, 'method' | 'branch' | 'bytes'>,
    state: 'calling' | 'proceeding' | 'accepted',
  ): TransactionKey | undefined {
    return this.#after(now, this.#transactions.restoreClient(now, request, state));
  }

  amend(transaction: TransactionKey, bytes: Uint8Array): void {
    this.#transactions.amend(transaction, bytes);
  }

  abandon(now: InstantMs, transaction: TransactionKey): void {
    this.#transactions.abandon(now, transaction);
    this.#settle(now);
  }

  sendAck(now: InstantMs, flow: SipFlow, bytes: Uint8Array): boolean {
    return this.#transport.send(now, flow, bytes);
  }

  respond(now: InstantMs, transaction: TransactionKey, status: number, bytes: Uint8Array): boolean {
    return this.#after(now, this.#transactions.respond(now, transaction, status, bytes));
  }

  reject(now: InstantMs, transaction: TransactionKey, bytes: Uint8Array): void {
    this.#transactions.reject(now, transaction, bytes);
    this.#settle(now);
  }

  admit(flow: SipFlow): void {
    this.#transport.admit(flow);
  }

  restoreServer(
    now: InstantMs,
    request: SipRequest,
    listener: number,
    state: 'proceeding' | 'accepted',
    lastResponse: Uint8Array | undefined,
  ): TransactionKey | undefined {
    return this.#after(now, this.#transactions.restoreServer(now, request, listener, state, lastResponse));
  }

  redirect(now: InstantMs, transaction: TransactionKey, flow: SipFlow): void {
    this.#transactions.redirect(now, transaction, flow);
    this.#settle(now);
  }

  probe(now: InstantMs, transaction: TransactionKey, ticket: number): void {
    const route = this.#transactions.routeOf(transaction);
    if (route === undefined) this.#events.push({ kind: 'routed', ticket, flow: undefined });
    else this.#transport.probe(now, route, ticket);
    this.#settle(now);
  }

  holdTrying(transaction: TransactionKey): void {
    this.#transactions.holdTrying(transaction);
  }

  isMerged(transaction: TransactionKey): boolean {
    return this.#transactions.isMerged(transaction);
  }

  flowInfo(flow: SipFlow): FlowInfo | undefined {
    return this.#transport.flowInfo(flow);
  }

  sentBy(flow: SipFlow): SentBy {
    return this.#transport.sentBy(flow);
  }

  udpFlow(now: InstantMs, listener: number, remote: SipAddress): SipFlow {
    return this.#transport.udpFlow(now, listener, remote);
  }

  openUdpFlow(listener: number, remote: SipAddress): SipFlow {
    return this.#transport.openUdpFlow(listener, remote);
  }

  placeOf(flow: SipFlow): string | undefined {
    return this.#transport.placeOf(flow);
  }

  openPlace(place: string): SipFlow | undefined {
    return this.#transport.openPlace(place);
  }

  closeFlow(now: InstantMs, flow: SipFlow, reason: string): void {
    this.#transport.closeFlow(now, flow, reason);
    this.#settle(now);
  }

  route(now: InstantMs, target: RouteTarget, ticket: number): void {
    this.#transport.route(now, target, ticket);
    this.#settle(now);
  }

  // ---- inside ----

  #after<Result>(now: InstantMs, result: Result): Result {
    this.#settle(now);
    return result;
  }

  /** Brings what the transport has to the transactions, and what either has for the core into one order. */
  #settle(now: InstantMs): void {
    for (;;) {
      for (let event = this.#transactions.pollEvent(); event !== undefined;) {
        this.#events.push(event);
        event = this.#transactions.pollEvent();
      }
      const event = this.#transport.pollEvent();
      if (event === undefined) return;
      switch (event.kind) {
        case 'message':
          if (event.message.kind === 'request') {
            this.#transactions.handleRequest(now, event.message, event.origin);
          } else this.#handleResponse(now, event.message, event.origin);
          break;
        case 'fault':
          this.#handleFault(now, event.fault, event.origin);
          break;
        case 'flow-lost':
          this.#transactions.handleFlowLost(now, event.flow);
          for (let told = this.#transactions.pollEvent(); told !== undefined;) {
            this.#events.push(told);
            told = this.#transactions.pollEvent();
          }
          this.#events.push(event);
          break;
        case 'routed':
          this.#events.push(event);
          break;
        case 'unsent':
          if (event.transaction === '') break;
          this.#transactions.handleUnsent(event.transaction);
          this.#events.push(event);
      }
    }
  }

  #handleResponse(now: InstantMs, response: SipResponse, origin: Origin): void {
    // RFC 3261 §18.1.2
    if (this.#ownSentBys.has(response.topVia.sentBy)) {
      this.#transactions.handleResponse(now, response, origin);
    } else this.#events.push({ kind: 'dropped', reason: 'foreign-via', origin });
  }

  #handleFault(now: InstantMs, fault: SipFault, origin: Origin): void {
    const reason = fault.status === 413 || fault.status === 513 ? 'too-large' : 'malformed';
    this.#events.push({ kind: 'dropped', reason, origin });
    const { request } = fault;
    if (request === undefined) return;
    const bytes = buildResponse(request, fault.status, fault.message, { toTag: this.#toTagOf(request) });
    const { transport, listener, remote, flow } = origin;
    if (transport !== 'udp') {
      this.#transport.send(now, flow, bytes);
      return;
    }
    // RFC 3581 §4: where it came from, with its port only if that was asked for.
    const route = responseRouteOf(request.topVia, transport, listener, 0);
    const port = request.topVia.hasRport ? remote.port : route.address.port;
    this.#transport.respond(now, { ...route, address: { address: remote.address, port } }, bytes, '');
  }
}

/** As a Via that the core writes for this listener reads. */
function sentByText({ advertised: { host, port } }: SipListener): string {
  const bracketed = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  return `${bracketed.toLowerCase()}:${port}`;
}

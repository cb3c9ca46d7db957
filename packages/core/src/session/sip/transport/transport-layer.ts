/**
 * The transport layer (RFC 3261 §18): from bytes to messages with where they came from, and from messages to bytes on a
 * flow. It frames streams, answers pings (RFC 5626 §4.4.1, §8), notes where requests came from, finds the way of
 * responses, and connects to other servers when it is asked to.
 *
 * It knows no transaction, and it decides about nobody's right to be here. It never sends a ping: a CRLF that nobody
 * asked for breaks peers that do not expect one.
 */
import { assert, DeadlineHeap, NEVER, type InstantMs } from '../../../base/index.js';
import type { SipFlow } from '../../../domain/index.js';
import {
  encodeStunAnswer,
  isStun,
  parseMessage,
  parseStunBindingRequest,
  SipFramer,
  type SipFault,
  type SipMessage,
} from '../../../wire/sip/index.js';
import type { FlowInfo, Origin, RouteTarget, SentBy, TransactionKey } from '../edge-types.js';
import type { ResolvedTarget, SipAddress, SipInput, SipListener, SipOutput } from '../machine.js';
import {
  FlowTable,
  formatPlace,
  parsePlace,
  type DatagramFlow,
  type Flow,
  type StreamFlow,
} from './flow-table.js';
import type { ResponseRoute } from './response-route.js';
import { Router, type Attempt } from './router.js';
import type { sipTransportLimits } from './transport-limits.js';
import { markSource } from './via-marks.js';

export type TransportLimits = { readonly [Name in keyof typeof sipTransportLimits]: number };

export type TransportInput = Exclude<SipInput, { readonly kind: 'events' | 'drain' }>;

export type TransportEvent =
  /** A request has `received` and `rport` already. Its bytes stay as they are. */
  | { readonly kind: 'message'; readonly message: SipMessage; readonly origin: Origin }
  /** If it has a request, it is to be answered; the connection ends by itself if nothing more can be read. */
  | { readonly kind: 'fault'; readonly fault: SipFault; readonly origin: Origin }
  | { readonly kind: 'flow-lost'; readonly flow: SipFlow }
  | { readonly kind: 'routed'; readonly ticket: number; readonly flow: SipFlow | undefined }
  | { readonly kind: 'unsent'; readonly transaction: TransactionKey };

export interface TransportLayerOptions {
  readonly listeners: readonly SipListener[];
  readonly limits: TransportLimits;
}

/** Who waits for a way: the core, or responses. */
type Waiter =
  | { readonly kind: 'ticket'; readonly ticket: number }
  | { readonly kind: 'responses'; readonly route: ResponseRoute };

interface WaitingResponses {
  readonly messages: { readonly bytes: Uint8Array; readonly transaction: TransactionKey }[];
  readonly tickets: number[];
  /** The sent-by is what is left to be tried. */
  triedAddress: boolean;
}

const lineEnd = Uint8Array.of(0x0d, 0x0a);

export class TransportLayer {
  readonly #listeners: readonly SipListener[];
  readonly #limits: TransportLimits;
  readonly #flows: FlowTable;
  readonly #router: Router<Waiter>;
  readonly #outputs: SipOutput[] = [];
  readonly #events: TransportEvent[] = [];
  readonly #deadlines = new DeadlineHeap<StreamFlow>();
  readonly #waiting = new Map<ResponseRoute, WaitingResponses>();
  /** Own connections by transport and remote. */
  readonly #outgoing = new Map<string, StreamFlow>();
  #nextConnection = -1;

  constructor(options: TransportLayerOptions) {
    this.#listeners = options.listeners;
    this.#limits = options.limits;
    this.#flows = new FlowTable(options.limits);
    this.#router = new Router(
      {
        connectMsMax: options.limits.connectMsMax,
        datagramRequestBytesMax: options.limits.datagramRequestBytesMax,
        searchesMax: options.limits.routesWaitingMax,
        hasDatagrams: options.listeners.some(({ transport }) => transport === 'udp'),
      },
      {
        tryTarget: (now, target, serverName) => this.#tryTarget(now, target, serverName),
        resolve: (ticket, target) => {
          const { host, port, transport, isSecure } = target;
          this.#outputs.push({ kind: 'resolve', ticket, host, port, transport, isSecure });
        },
        giveUp: (now, connection) => {
          const flow = this.#flows.stream(connection);
          if (flow !== undefined) this.#close(now, flow, 'connect-timeout');
        },
      },
    );
  }

  pollOutput(): SipOutput | undefined {
    return this.#outputs.shift();
  }

  pollEvent(): TransportEvent | undefined {
    return this.#events.shift();
  }

  nextTimeoutMs(): number {
    return Math.min(this.#deadlines.nextMs, this.#router.nextTimeoutMs, this.#passingEndMs, NEVER);
  }

  handleInput(now: InstantMs, input: TransportInput): void {
    switch (input.kind) {
      case 'connection-opened':
        this.#handleOpened(now, input);
        break;
      case 'bytes':
        this.#handleBytes(now, input.connection, input.chunk);
        break;
      case 'connection-closed': {
        const flow = this.#flows.stream(input.connection);
        if (flow !== undefined) this.#forget(now, flow);
        break;
      }
      case 'datagram':
        this.#handleDatagram(now, input.listener, input.remote, input.bytes.slice());
        break;
      case 'resolved':
        this.#router.handleResolved(now, input.ticket, input.targets);
        break;
    }
    this.#settle(now);
  }

  handleTimeout(now: InstantMs): void {
    const { monotonic } = now;
    for (let flow = this.#deadlines.takeDue(monotonic); flow !== undefined;) {
      // Not one that was armed again, for earlier.
      const isDue = flow.armedMs <= monotonic;
      if (isDue && flow.isOpen) this.#watch(now, flow);
      flow = this.#deadlines.takeDue(monotonic);
    }
    while (this.#passingEndMs <= monotonic) this.#endDatagram(this.#flows.oldestPassing!);
    this.#router.handleTimeout(now);
    this.#settle(now);
  }

  /** When the passing flow that was used longest ago ends, monotonic ms. */
  get #passingEndMs(): number {
    return (this.#flows.oldestPassing?.usedMs ?? NEVER) + this.#limits.passingIdleMsMax;
  }

  // ---- flows ----

  get flowCount(): number {
    return this.#flows.size;
  }

  flowInfo(id: SipFlow): FlowInfo | undefined {
    const flow = this.#flows.get(id);
    if (flow === undefined || (flow.kind === 'stream' && !flow.isOpen)) return undefined;
    const { listener, transport, remote } = flow;
    return { flow: id, listener, transport, remote, isReliable: transport !== 'udp' };
  }

  sentBy(id: SipFlow): SentBy {
    const flow = this.#flows.get(id);
    assert(flow !== undefined, 'only of a flow that is there the own address is asked');
    const { host, port } = this.#listeners[flow.listener]!.advertised;
    return {
      transport: flow.transport,
      host: host.includes(':') && !host.startsWith('[') ? `[${host}]` : host,
      port,
    };
  }

  /** The newest flow of a UDP remote, or a passing one. */
  udpFlow(now: InstantMs, listener: number, remote: SipAddress): SipFlow {
    const known = this.#flows.datagramFrom(listener, remote);
    if (known !== undefined) {
      this.#flows.touch(known, now.monotonic);
      return known.id;
    }
    const [flow, ended] = this.#flows.openPassing(listener, remote, now.monotonic);
    if (ended !== undefined) this.#events.push({ kind: 'flow-lost', flow: ended.id });
    return flow.id;
  }

  openUdpFlow(listener: number, remote: SipAddress): SipFlow {
    assert(this.#listeners[listener]?.transport === 'udp', 'a flow of UDP is of a listener of UDP');
    const [flow, ended] = this.#flows.openDatagram(listener, remote);
    if (ended !== undefined) this.#events.push({ kind: 'flow-lost', flow: ended.id });
    return flow.id;
  }

  /** Whoever writes on it may stay. Without this a stream that others opened ends after a while, whatever came on it. */
  admit(id: SipFlow): void {
    const flow = this.#flows.get(id);
    if (flow?.kind !== 'stream' || flow.isAdmitted) return;
    flow.isAdmitted = true;
    this.#outputs.push({ kind: 'admitted', connection: flow.connection });
  }

  placeOf(id: SipFlow): string | undefined {
    const flow = this.#flows.get(id);
    return flow?.kind === 'datagram' ? formatPlace(flow) : undefined;
  }

  openPlace(text: string): SipFlow | undefined {
    const place = parsePlace(text);
    if (place === undefined || this.#listeners[place.listener]?.transport !== 'udp') return undefined;
    return this.openUdpFlow(place.listener, place.remote);
  }

  closeFlow(now: InstantMs, id: SipFlow, reason: string): void {
    const flow = this.#flows.get(id);
    if (flow === undefined) return;
    if (flow.kind === 'stream') this.#close(now, flow, reason);
    else this.#endDatagram(flow);
    this.#settle(now);
  }

  #endDatagram(flow: DatagramFlow): void {
    this.#flows.removeDatagram(flow);
    this.#events.push({ kind: 'flow-lost', flow: flow.id });
  }

  /** False: there is no such flow (any more). */
  send(now: InstantMs, id: SipFlow, bytes: Uint8Array): boolean {
    const flow = this.#flows.get(id);
    if (flow === undefined) return false;
    if (flow.kind === 'datagram') {
      this.#flows.touch(flow, now.monotonic);
      this.#outputs.push({ kind: 'send', listener: flow.listener, remote: flow.remote, bytes });
      return true;
    }
    if (!flow.isOpen) return false;
    flow.usedMs = now.monotonic;
    this.#outputs.push({ kind: 'write', connection: flow.connection, bytes });
    return true;
  }

  /** Finds or makes a flow to somewhere else; `routed` says which. */
  route(now: InstantMs, target: RouteTarget, ticket: number): void {
    this.#router.search(now, target, { kind: 'ticket', ticket });
    this.#settle(now);
  }

  // ---- responses ----

  /** Whether what is sent on this way arrives without being repeated. */
  isReliable(route: ResponseRoute): boolean {
    return (this.flowInfo(route.flow)?.transport ?? route.transport) !== 'udp';
  }

  /** RFC 3261 §18.2.2. If there is no way, `unsent` says so. */
  respond(now: InstantMs, route: ResponseRoute, bytes: Uint8Array, transaction: TransactionKey): void {
    if (this.send(now, route.flow, bytes)) return;
    if (route.transport === 'udp') {
      this.#outputs.push({ kind: 'send', listener: route.listener, remote: route.address, bytes });
      return;
    }
    if (!route.isScreened) {
      this.#events.push({ kind: 'unsent', transaction });
      return;
    }
    const waiting = this.#startWaiting(now, route);
    // What was said last counts: a provisional response gives way.
    if (waiting.messages.length >= this.#limits.responsesWaitingMax) waiting.messages.shift();
    waiting.messages.push({ bytes, transaction });
    this.#settle(now);
  }

  /** Whether a response reaches; `routed` says it, with the flow that it would take (0 for UDP without one). */
  probe(now: InstantMs, route: ResponseRoute, ticket: number): void {
    if (this.flowInfo(route.flow) !== undefined || route.transport === 'udp') {
      this.#events.push({ kind: 'routed', ticket, flow: route.flow });
      return;
    }
    this.#startWaiting(now, route).tickets.push(ticket);
    this.#settle(now);
  }

  #startWaiting(now: InstantMs, route: ResponseRoute): WaitingResponses {
    const known = this.#waiting.get(route);
    if (known !== undefined) return known;
    const waiting: WaitingResponses = { messages: [], tickets: [], triedAddress: false };
    this.#waiting.set(route, waiting);
    const { address, port } = route.address;
    this.#searchFor(now, route, address, port);
    return waiting;
  }

  #searchFor(now: InstantMs, route: ResponseRoute, host: string, port: number | undefined): void {
    const { transport } = route;
    const target = { host, port, transport, isSecure: transport === 'tls', requestBytes: 0 };
    this.#router.search(now, target, { kind: 'responses', route });
  }

  /** Brings what the router found to who waits for it. */
  #settle(now: InstantMs): void {
    for (let found = this.#router.takeFound(); found.length > 0; found = this.#router.takeFound()) {
      for (const { waiter, flow } of found) {
        if (waiter.kind === 'ticket') this.#events.push({ kind: 'routed', ticket: waiter.ticket, flow });
        else this.#settleResponses(now, waiter.route, flow);
      }
    }
  }

  #settleResponses(now: InstantMs, route: ResponseRoute, flow: SipFlow | undefined): void {
    const waiting = this.#waiting.get(route);
    if (waiting === undefined) return;
    if (flow === undefined && !waiting.triedAddress && canBeAsked(route)) {
      // RFC 3263 §5
      waiting.triedAddress = true;
      this.#searchFor(now, route, route.sentBy!.host, route.sentBy!.port);
      return;
    }
    this.#waiting.delete(route);
    if (flow !== undefined) route.flow = flow;
    for (const { bytes, transaction } of waiting.messages) {
      if (!this.send(now, route.flow, bytes)) this.#events.push({ kind: 'unsent', transaction });
    }
    for (const ticket of waiting.tickets) this.#events.push({ kind: 'routed', ticket, flow });
  }

  // ---- connections ----

  #handleOpened(now: InstantMs, input: Extract<SipInput, { readonly kind: 'connection-opened' }>): void {
    const own = this.#flows.stream(input.connection);
    if (own !== undefined) {
      own.isOpen = true;
      own.usedMs = now.monotonic;
      this.#arm(own, now.monotonic + this.#limits.outgoingIdleMsMax);
      this.#router.handleOpened(own.connection, own.id);
      return;
    }
    // One that was given up before it was made.
    if (input.connection < 0) {
      this.#outputs.push({ kind: 'close', connection: input.connection, reason: 'not-wanted' });
      return;
    }
    const { connection, listener, transport, remote } = input;
    const isFramed = transport === 'tcp' || transport === 'tls';
    const flow = this.#flows.addStream({
      transport,
      listener,
      remote,
      connection,
      framer: isFramed ? new SipFramer() : undefined,
      isOpen: true,
      isAdmitted: false,
      partialSinceMs: undefined,
      isUnreadable: false,
      openedMs: now.monotonic,
      usedMs: now.monotonic,
      armedMs: Infinity,
    });
    this.#arm(flow, now.monotonic + this.#limits.admissionMsMax);
  }

  #handleBytes(now: InstantMs, connection: number, chunk: Uint8Array): void {
    const flow = this.#flows.stream(connection);
    // What still comes on a stream that cannot be read any more is let go until it ends.
    if (flow === undefined || !flow.isOpen || flow.isUnreadable) return;
    flow.usedMs = now.monotonic;
    // Messages are kept as long as their transactions; the chunk is the host's.
    const bytes = chunk.slice();
    if (flow.framer === undefined) this.#handleFrame(now, flow, bytes);
    else this.#handleChunk(now, flow, flow.framer, bytes);
  }

  #handleChunk(now: InstantMs, flow: StreamFlow, framer: SipFramer, bytes: Uint8Array): void {
    framer.push(bytes);
    for (let next = framer.next(); next !== undefined; next = framer.next()) {
      if (next.kind === 'ping') {
        // RFC 5626 §4.4.1: at once, with a single CRLF.
        this.send(now, flow.id, lineEnd);
      } else if (next.kind === 'fault') {
        this.#handleFault(now, flow, next);
        if (!next.canContinue) return;
      } else this.#handleMessage(flow, next);
    }
    if (framer.partialBytes === 0) flow.partialSinceMs = undefined;
    else if (flow.partialSinceMs === undefined) {
      flow.partialSinceMs = now.monotonic;
      this.#arm(flow, now.monotonic + this.#limits.messageMsMax);
    }
  }

  /** RFC 7118 §5: a frame is one message. */
  #handleFrame(now: InstantMs, flow: StreamFlow, bytes: Uint8Array): void {
    if (isLineEnds(bytes)) {
      if (bytes.length === 4) this.send(now, flow.id, lineEnd);
      return;
    }
    const message = parseMessage(bytes);
    if (message.kind === 'fault') this.#handleFault(now, flow, { ...message, canContinue: true });
    else this.#handleMessage(flow, message);
  }

  #handleFault(now: InstantMs, flow: StreamFlow, fault: SipFault): void {
    this.#events.push({ kind: 'fault', fault, origin: originOf(flow) });
    if (fault.canContinue) return;
    // After the answer.
    flow.isUnreadable = true;
    this.#arm(flow, now.monotonic);
  }

  #handleMessage(flow: StreamFlow, message: SipMessage): void {
    this.#pushMessage(message, originOf(flow));
  }

  #handleDatagram(now: InstantMs, listener: number, remote: SipAddress, bytes: Uint8Array): void {
    if (isStun(bytes)) {
      const request = parseStunBindingRequest(bytes);
      const answer = request && encodeStunAnswer(request, remote.address, remote.port);
      if (answer !== undefined) this.#outputs.push({ kind: 'send', listener, remote, bytes: answer });
      return;
    }
    // Keeps a NAT open; on UDP nothing is answered to it.
    if (isLineEnds(bytes)) return;
    const flow = this.#flows.datagramFrom(listener, remote);
    if (flow !== undefined) this.#flows.touch(flow, now.monotonic);
    const origin: Origin = { flow: flow?.id ?? 0, listener, transport: 'udp', remote };
    const message = parseMessage(bytes);
    if (message.kind === 'fault') this.#events.push({ kind: 'fault', fault: message, origin });
    else this.#pushMessage(message, origin);
  }

  #pushMessage(message: SipMessage, origin: Origin): void {
    const marked = message.kind === 'request' ? markSource(message, origin.remote) : message;
    if (marked.kind === 'fault') this.#events.push({ kind: 'fault', fault: marked, origin });
    else this.#events.push({ kind: 'message', message: marked, origin });
  }

  #arm(flow: StreamFlow, dueMs: number): void {
    if (flow.armedMs <= dueMs) return;
    flow.armedMs = dueMs;
    this.#deadlines.add(dueMs, flow);
  }

  /** Looks at a connection whose deadline has come: it ends, or is looked at again. */
  #watch(now: InstantMs, flow: StreamFlow): void {
    const { monotonic } = now;
    flow.armedMs = Infinity;
    const { partialSinceMs } = flow;
    if (flow.isUnreadable) return this.#close(now, flow, 'unreadable');
    if (partialSinceMs !== undefined) {
      const dueMs = partialSinceMs + this.#limits.messageMsMax;
      if (dueMs <= monotonic) return this.#close(now, flow, 'message-timeout');
      this.#arm(flow, dueMs);
    }
    if (flow.connection < 0) {
      const dueMs = flow.usedMs + this.#limits.outgoingIdleMsMax;
      if (dueMs <= monotonic) return this.#close(now, flow, 'idle');
      this.#arm(flow, dueMs);
    } else if (!flow.isAdmitted) {
      const dueMs = flow.openedMs + this.#limits.admissionMsMax;
      if (dueMs <= monotonic) return this.#close(now, flow, 'admission-timeout');
      this.#arm(flow, dueMs);
    }
  }

  #close(now: InstantMs, flow: StreamFlow, reason: string): void {
    this.#outputs.push({ kind: 'close', connection: flow.connection, reason });
    this.#forget(now, flow);
  }

  #forget(now: InstantMs, flow: StreamFlow): void {
    const wasOpen = flow.isOpen;
    flow.isOpen = false;
    flow.framer?.stop();
    this.#flows.removeStream(flow);
    if (flow.connection < 0) {
      this.#outgoing.delete(outgoingKey(flow));
      this.#router.handleClosed(now, flow.connection);
    }
    if (wasOpen) this.#events.push({ kind: 'flow-lost', flow: flow.id });
  }

  #tryTarget(now: InstantMs, target: ResolvedTarget, serverName: string | undefined): Attempt {
    const { transport, remote } = target;
    const listener = this.#listenerFor(transport);
    if (transport === 'udp') {
      if (this.#listeners[listener]?.transport !== 'udp') return 'impossible';
      return { flow: this.#lastingFlow(listener, remote) };
    }
    // RFC 7118: nobody can be reached by a new WebSocket.
    if (transport !== 'tcp' && transport !== 'tls') return 'impossible';
    const known = this.#outgoing.get(outgoingKey({ transport, remote }));
    if (known !== undefined) return known.isOpen ? { flow: known.id } : { connection: known.connection };
    if (this.#outgoing.size >= this.#limits.outgoingConnectionsMax) return 'impossible';
    const connection = this.#nextConnection--;
    const flow = this.#flows.addStream({
      transport,
      listener,
      remote,
      connection,
      framer: new SipFramer(),
      isOpen: false,
      isAdmitted: false,
      partialSinceMs: undefined,
      isUnreadable: false,
      openedMs: now.monotonic,
      usedMs: now.monotonic,
      armedMs: Infinity,
    });
    this.#outgoing.set(outgoingKey(flow), flow);
    this.#outputs.push({
      kind: 'connect',
      connection,
      transport,
      remote,
      serverName: transport === 'tls' ? serverName : undefined,
    });
    return { connection };
  }

  /** Of another server: it lasts, as one that we registered at sends when it likes. There are as many as are configured. */
  #lastingFlow(listener: number, remote: SipAddress): SipFlow {
    const known = this.#flows.datagramFrom(listener, remote);
    return known === undefined || known.usedMs !== undefined ? this.openUdpFlow(listener, remote) : known.id;
  }

  /** Whose address we give: a listener of the same transport, rather one for trunks; else the first of all. */
  #listenerFor(transport: ResolvedTarget['transport']): number {
    const forTrunks = this.#listeners.findIndex((one) => one.transport === transport && one.trunksOnly);
    if (forTrunks >= 0) return forTrunks;
    return Math.max(
      0,
      this.#listeners.findIndex((one) => one.transport === transport),
    );
  }
}

function originOf(flow: Flow): Origin {
  return { flow: flow.id, listener: flow.listener, transport: flow.transport, remote: flow.remote };
}

function outgoingKey(flow: Pick<StreamFlow, 'transport' | 'remote'>): string {
  return `${flow.transport} ${flow.remote.port} ${flow.remote.address}`;
}

/** Whether the sent-by may be another way. RFC 7118 §5.2: that of a WebSocket's client names nothing. */
function canBeAsked({ sentBy, transport }: ResponseRoute): boolean {
  if (sentBy === undefined || transport === 'ws' || transport === 'wss') return false;
  return !sentBy.host.toLowerCase().endsWith('.invalid');
}

/** CRLF or CRLFCRLF. */
function isLineEnds(bytes: Uint8Array): boolean {
  if (bytes.length !== 2 && bytes.length !== 4) return false;
  return bytes.every((byte, index) => byte === (index % 2 === 0 ? 0x0d : 0x0a));
}

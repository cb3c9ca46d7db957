/**
 * The transaction layer (RFC 3261 §17): brings each message to its transaction, makes one for each new request, keeps the
 * bytes that may have to be sent again, and holds the timers of all of them in one heap.
 *
 * What belongs to a transaction it does itself: 100, ACK for refusals, CANCEL and the answer to one. What a request asks
 * for it does not know. It sends by way of the transport that it is given and collects events for the core.
 */
import { assert, DeadlineHeap, type InstantMs } from '../../../base/index.js';
import type { SipFlow } from '../../../domain/index.js';
import {
  buildAck,
  buildCancel,
  buildResponse,
  parseMessage,
  type SipRequest,
  type SipResponse,
} from '../../../wire/sip/index.js';
import type { ClientRequest, EdgeEvent, Origin, TransactionKey } from '../edge-types.js';
import type { SipTransport } from '../machine.js';
import { responseRouteOf, type ResponseRoute } from '../transport/index.js';
import type { ClientAction, ServerAction } from './actions.js';
import { InviteClientTransaction } from './invite-client-transaction.js';
import { InviteServerTransaction } from './invite-server-transaction.js';
import { NonInviteClientTransaction } from './non-invite-client-transaction.js';
import { NonInviteServerTransaction } from './non-invite-server-transaction.js';
import type { TimerValues } from './timers.js';
import type { Alarm, ClientEntry, Entry, ServerEntry } from './transaction-entries.js';
import { answerKey, clientKey, mergeKey, responseKey, serverKey } from './transaction-keys.js';
import type { sipTransactionLimits } from './transaction-limits.js';

export type TransactionLimits = { readonly [Name in keyof typeof sipTransactionLimits]: number };

export type TransactionEvent = EdgeEvent<SipRequest, SipResponse>;

/** How this layer sends. */
export interface TransactionTransport {
  /** False: the flow is gone. */
  send(now: InstantMs, flow: SipFlow, bytes: Uint8Array): boolean;
  respond(now: InstantMs, route: ResponseRoute, bytes: Uint8Array, transaction: TransactionKey): void;
  /** undefined: the flow is gone. */
  flowInfo(flow: SipFlow): { readonly isReliable: boolean } | undefined;
  isReliable(route: ResponseRoute): boolean;
}

export interface TransactionLayerOptions {
  readonly transport: TransactionTransport;
  readonly timers: TimerValues;
  /** Timer C, ms. */
  readonly timerCMs: number;
  /** When 100 is said at the latest, ms. */
  readonly tryingMsMax: number;
  readonly limits: TransactionLimits;
  /** The To-tag of responses of ours to this request: the same each time. */
  toTagOf(request: SipRequest): string;
}

/** What an action may be about. */
interface ResponseContext {
  readonly response: SipResponse;
  readonly origin: Origin;
}

/** After how long whoever is refused for lack of room may come back, s. */
const RETRY_AFTER_SECONDS = 5;

export class TransactionLayer {
  readonly #options: TransactionLayerOptions;
  readonly #servers = new Map<TransactionKey, ServerEntry>();
  readonly #clients = new Map<TransactionKey, ClientEntry>();
  readonly #byFlow = new Map<SipFlow, Set<ClientEntry>>();
  /** How many server transactions have this key. */
  readonly #merges = new Map<string, number>();
  /** INVITEs that were answered with a 2xx of which no ACK has come, by {@link answerKey}. */
  readonly #unacknowledged = new Map<string, ServerEntry>();
  readonly #deadlines = new DeadlineHeap<Alarm>();
  readonly #events: TransactionEvent[] = [];

  constructor(options: TransactionLayerOptions) {
    this.#options = options;
  }

  get serverCount(): number {
    return this.#servers.size;
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  pollEvent(): TransactionEvent | undefined {
    return this.#events.shift();
  }

  nextTimeoutMs(): number {
    return this.#deadlines.nextMs;
  }

  handleTimeout(now: InstantMs): void {
    const { monotonic } = now;
    for (;;) {
      const alarm = this.#deadlines.takeDue(monotonic);
      if (alarm === undefined) return;
      const { entry } = alarm;
      // Set anew for earlier, or over.
      if (entry === undefined) continue;
      entry.alarm = undefined;
      if (entry.side === 'server') this.#doServer(now, entry, entry.machine.handleTimeout(monotonic));
      else this.#doClient(now, entry, entry.machine.handleTimeout(monotonic));
    }
  }

  // ---- server side ----

  /** A request with `received` and `rport` in its topmost Via. It must not change while its transaction lives. */
  handleRequest(now: InstantMs, request: SipRequest, origin: Origin): void {
    const { method } = request;
    if (method === 'ACK') {
      this.#handleAck(now, request, origin);
      return;
    }
    const key = serverKey(request, method);
    const known = this.#servers.get(key);
    if (known !== undefined) {
      // It has lost its connection, and came back to ask again.
      const isGone = this.#options.transport.flowInfo(known.route.flow) === undefined;
      if (isGone && origin.transport !== 'udp') known.route.flow = origin.flow;
      this.#doServer(now, known, known.machine.handleRetransmission());
      return;
    }
    const entry = this.#createServer(key, request, origin.transport, origin.listener, origin.flow);
    if (entry === undefined) {
      this.#refuseForRoom(now, request, origin);
      return;
    }
    entry.machine.start(now.monotonic);
    this.#arm(entry);
    if (method === 'CANCEL') this.#handleCancel(now, entry, origin);
    else this.#events.push({ kind: 'request', transaction: key, request, origin });
  }

  /** An INVITE gets no 100 before the core says so: whoever is told one stops repeating what may be lost yet. */
  holdTrying(key: TransactionKey): void {
    const entry = this.#servers.get(key);
    if (entry === undefined || entry.request.method !== 'INVITE') return;
    (entry.machine as InviteServerTransaction).holdTrying();
    this.#arm(entry);
  }

  /** Sends a response. False: the transaction is over, or does not take this one. */
  respond(now: InstantMs, key: TransactionKey, status: number, bytes: Uint8Array): boolean {
    const entry = this.#servers.get(key);
    if (entry === undefined) return false;
    const isReliable = this.#options.transport.isReliable(entry.route);
    const actions = entry.machine.respond(now.monotonic, status, isReliable);
    if (actions === undefined) return false;
    // Whoever is not let in is refused or asked for a password.
    if (status < 300) entry.route.isScreened = true;
    entry.lastResponse = bytes;
    entry.isUnsent = false;
    if (entry.machine.state === 'accepted') this.#unacknowledged.set(answerKey(entry.request), entry);
    this.#doServer(now, entry, actions);
    return true;
  }

  /** Sends a response once, and forgets the transaction at once. */
  reject(now: InstantMs, key: TransactionKey, bytes: Uint8Array): void {
    const entry = this.#servers.get(key);
    if (entry === undefined) return;
    this.#options.transport.respond(now, entry.route, bytes, '');
    this.#doServer(now, entry, entry.machine.abandon());
  }

  restoreServer(
    now: InstantMs,
    request: SipRequest,
    listener: number,
    state: 'proceeding' | 'accepted',
    lastResponse: Uint8Array | undefined,
  ): TransactionKey | undefined {
    const key = serverKey(request, request.method);
    if (request.method !== 'INVITE' || this.#servers.has(key)) return undefined;
    const transport = readTransport(request.topVia.transport);
    if (transport === undefined) return undefined;
    const entry = this.#createServer(key, request, transport, listener, 0);
    if (entry === undefined) return undefined;
    (entry.machine as InviteServerTransaction).restore(now.monotonic, state);
    entry.lastResponse = lastResponse ?? buildResponse(request, 100, 'Trying');
    entry.route.isScreened = true;
    this.#arm(entry);
    return key;
  }

  redirect(now: InstantMs, key: TransactionKey, flow: SipFlow): void {
    const entry = this.#servers.get(key);
    if (entry === undefined || entry.route.flow === flow) return;
    entry.route.flow = flow;
    // A final that was not acknowledged may be lost with the connection that it was written to.
    const { machine, route, lastResponse, isUnsent } = entry;
    entry.isUnsent = false;
    if (machine.state === 'completed') this.#doServer(now, entry, machine.handleRetransmission());
    // A 2xx is repeated by who made it alone, who may be gone.
    else if (machine.state === 'accepted' && isUnsent && lastResponse !== undefined)
      this.#options.transport.respond(now, route, lastResponse, key);
  }

  /** A response found no way. */
  handleUnsent(key: TransactionKey): void {
    const entry = this.#servers.get(key);
    if (entry !== undefined) entry.isUnsent = true;
  }

  /** Where responses of a transaction go; undefined: it is over. */
  routeOf(key: TransactionKey): ResponseRoute | undefined {
    return this.#servers.get(key)?.route;
  }

  isMerged(key: TransactionKey): boolean {
    const merge = this.#servers.get(key)?.mergeKey;
    return merge !== undefined && (this.#merges.get(merge) ?? 0) > 1;
  }

  // ---- client side ----

  request(now: InstantMs, request: ClientRequest): TransactionKey | undefined {
    const info = this.#options.transport.flowInfo(request.flow);
    if (info === undefined || this.#clients.size >= this.#options.limits.clientTransactionsMax)
      return undefined;
    const entry = this.#createClient(request, request.outlivesFlow, false);
    this.#setFlow(entry, request.flow);
    this.#doClient(now, entry, entry.machine.start(now.monotonic, info.isReliable));
    return entry.key;
  }

  restoreClient(
    now: InstantMs,
    request: Pick<ClientRequest, 'method' | 'branch' | 'bytes'>,
    state: 'calling' | 'proceeding' | 'accepted',
  ): TransactionKey | undefined {
    if (this.#clients.size >= this.#options.limits.clientTransactionsMax) return undefined;
    const entry = this.#createClient(request, true, false);
    assert(entry.machine instanceof InviteClientTransaction, 'only INVITEs outlive the process');
    entry.machine.restore(now.monotonic, state);
    this.#arm(entry);
    return entry.key;
  }

  attach(now: InstantMs, key: TransactionKey, flow: SipFlow, resend: boolean): boolean {
    const entry = this.#clients.get(key);
    const info = this.#options.transport.flowInfo(flow);
    if (entry === undefined || info === undefined) return false;
    this.#attach(now, entry, flow, info.isReliable, resend);
    return true;
  }

  cancel(now: InstantMs, key: TransactionKey, reason: string | undefined): void {
    const entry = this.#clients.get(key);
    if (entry === undefined || !(entry.machine instanceof InviteClientTransaction)) return;
    entry.reason ??= reason;
    this.#doClient(now, entry, entry.machine.cancel(now.monotonic));
  }

  amend(key: TransactionKey, bytes: Uint8Array): void {
    const entry = this.#clients.get(key);
    if (entry !== undefined) entry.bytes = bytes;
  }

  abandon(now: InstantMs, key: TransactionKey): void {
    const entry = this.#clients.get(key);
    if (entry !== undefined) this.#doClient(now, entry, entry.machine.abandon());
  }

  handleResponse(now: InstantMs, response: SipResponse, origin: Origin): void {
    const key = responseKey(response);
    const entry = key === undefined ? undefined : this.#clients.get(key);
    if (entry === undefined) {
      // RFC 6026 §7.2: a response that belongs to nothing goes nowhere.
      this.#events.push({ kind: 'dropped', reason: 'stray-response', origin });
      return;
    }
    // The phone has come back on another flow and answers there, before anybody told us to look for it.
    if (!entry.machine.isAttached && origin.flow !== 0) {
      const info = this.#options.transport.flowInfo(origin.flow);
      if (info !== undefined) this.#attach(now, entry, origin.flow, info.isReliable, false);
    }
    const actions = entry.machine.handleResponse(now.monotonic, response.status);
    this.#doClient(now, entry, actions, { response, origin });
  }

  handleFlowLost(now: InstantMs, flow: SipFlow): void {
    const entries = this.#byFlow.get(flow);
    if (entries === undefined) return;
    for (const entry of entries) {
      this.#setFlow(entry, 0);
      this.#doClient(now, entry, entry.machine.handleFlowLost(now.monotonic));
    }
  }

  // ---- inside ----

  #handleAck(now: InstantMs, request: SipRequest, origin: Origin): void {
    const invite = this.#servers.get(serverKey(request, 'INVITE'));
    if (invite === undefined) {
      this.#handleAnswerAck(request);
      this.#events.push({ kind: 'ack', invite: undefined, request, origin });
      return;
    }
    const machine = invite.machine as InviteServerTransaction;
    if (machine.state === 'proceeding') {
      this.#events.push({ kind: 'dropped', reason: 'stray-ack', origin });
      return;
    }
    const actions = machine.handleAck(now.monotonic);
    if (actions.includes('pass-ack')) this.#events.push({ kind: 'ack', invite: invite.key, request, origin });
    this.#doServer(now, invite, actions);
  }

  #handleAnswerAck(request: SipRequest): void {
    const key = answerKey(request);
    const entry = this.#unacknowledged.get(key);
    if (entry === undefined) return;
    this.#unacknowledged.delete(key);
    (entry.machine as InviteServerTransaction).handleAnswerAck();
    this.#arm(entry);
  }

  /** RFC 3261 §9.2, §16.10: answered here, whatever becomes of the INVITE. */
  #handleCancel(now: InstantMs, entry: ServerEntry, origin: Origin): void {
    const { request } = entry;
    const invite = this.#servers.get(serverKey(request, 'INVITE'));
    const [status, reason] =
      invite === undefined ? ([481, 'Call/Transaction Does Not Exist'] as const) : ([200, 'OK'] as const);
    const toTag = this.#options.toTagOf(invite?.request ?? request);
    const bytes = buildResponse(request, status, reason, { toTag });
    if (invite === undefined) this.reject(now, entry.key, bytes);
    else this.respond(now, entry.key, status, bytes);
    if (invite?.machine.state === 'proceeding') {
      this.#events.push({ kind: 'cancel', invite: invite.key, request, origin });
    }
  }

  #refuseForRoom(now: InstantMs, request: SipRequest, origin: Origin): void {
    this.#events.push({ kind: 'dropped', reason: 'too-many-transactions', origin });
    const route = responseRouteOf(request.topVia, origin.transport, origin.listener, origin.flow);
    // Without a transaction a connection is not made anew for it.
    if (origin.transport !== 'udp' && this.#options.transport.flowInfo(route.flow) === undefined) return;
    const bytes = buildResponse(request, 503, 'Service Unavailable', {
      toTag: this.#options.toTagOf(request),
      headers: [['Retry-After', String(RETRY_AFTER_SECONDS)]],
    });
    this.#options.transport.respond(now, route, bytes, '');
  }

  #createServer(
    key: TransactionKey,
    request: SipRequest,
    transport: SipTransport,
    listener: number,
    flow: SipFlow,
  ): ServerEntry | undefined {
    const { limits, timers, tryingMsMax } = this.#options;
    if (this.#servers.size >= limits.serverTransactionsMax) return undefined;
    const machine =
      request.method === 'INVITE'
        ? new InviteServerTransaction({ timers, tryingMsMax, proceedingMsMax: limits.proceedingMsMax })
        : new NonInviteServerTransaction({ timers });
    const merge = request.method === 'CANCEL' ? undefined : mergeKey(request);
    const entry: ServerEntry = {
      side: 'server',
      key,
      machine,
      request,
      // Responses on UDP go where the Via says, which is where the request came from.
      route: responseRouteOf(request.topVia, transport, listener, transport === 'udp' ? 0 : flow),
      mergeKey: merge,
      lastResponse: undefined,
      isUnsent: false,
      alarm: undefined,
    };
    this.#servers.set(key, entry);
    if (merge !== undefined) this.#merges.set(merge, (this.#merges.get(merge) ?? 0) + 1);
    return entry;
  }

  #createClient(
    {
      method,
      branch,
      bytes,
      answerMsMax,
    }: Pick<ClientRequest, 'method' | 'branch' | 'bytes' | 'answerMsMax'>,
    outlivesFlow: boolean,
    isInternal: boolean,
  ): ClientEntry {
    const { timers, timerCMs, limits } = this.#options;
    const { detachedMsMax, cancelledMsMax } = limits;
    const streamTimerBMs = Math.min(answerMsMax ?? 0, detachedMsMax);
    const waits = { timerCMs, detachedMsMax, streamTimerBMs, cancelledMsMax };
    const key = clientKey(branch, method);
    assert(!this.#clients.has(key), 'a branch is used once');
    const entry: ClientEntry = {
      side: 'client',
      key,
      machine:
        method === 'INVITE'
          ? new InviteClientTransaction({ ...waits, timers, outlivesFlow })
          : new NonInviteClientTransaction({ timers, outlivesFlow }),
      branch,
      bytes,
      isInternal,
      flow: 0,
      reason: undefined,
      alarm: undefined,
    };
    this.#clients.set(key, entry);
    return entry;
  }

  #attach(now: InstantMs, entry: ClientEntry, flow: SipFlow, isReliable: boolean, resend: boolean): void {
    this.#setFlow(entry, flow);
    // A CANCEL that was not answered goes along, behind what it cancels.
    const cancel = this.#clients.get(clientKey(entry.branch, 'CANCEL'));
    this.#doClient(now, entry, entry.machine.attach(now.monotonic, isReliable, resend));
    if (cancel === undefined || cancel === entry) return;
    this.#setFlow(cancel, flow);
    this.#doClient(now, cancel, cancel.machine.attach(now.monotonic, isReliable, true));
  }

  #sendCancel(now: InstantMs, entry: ClientEntry): void {
    const info = this.#options.transport.flowInfo(entry.flow);
    // The INVITE is told of its flow's end by that alone.
    if (info === undefined || this.#clients.has(clientKey(entry.branch, 'CANCEL'))) return;
    const headers = entry.reason === undefined ? [] : [['Reason', entry.reason] as const];
    const bytes = buildCancel(parseOwn(entry.bytes), headers);
    const cancel = this.#createClient({ method: 'CANCEL', branch: entry.branch, bytes }, true, true);
    this.#setFlow(cancel, entry.flow);
    this.#doClient(now, cancel, cancel.machine.start(now.monotonic, info.isReliable));
  }

  #setFlow(entry: ClientEntry, flow: SipFlow): void {
    const before = this.#byFlow.get(entry.flow);
    if (before?.delete(entry) === true && before.size === 0) this.#byFlow.delete(entry.flow);
    entry.flow = flow;
    if (flow === 0) return;
    const entries = this.#byFlow.get(flow);
    if (entries === undefined) this.#byFlow.set(flow, new Set([entry]));
    else entries.add(entry);
  }

  #doServer(now: InstantMs, entry: ServerEntry, actions: readonly ServerAction[]): void {
    const { transport } = this.#options;
    const transaction = entry.key;
    for (const action of actions) {
      switch (action) {
        case 'send-response':
          assert(entry.lastResponse !== undefined, 'what is sent again has been sent before');
          transport.respond(now, entry.route, entry.lastResponse, transaction);
          break;
        case 'send-trying':
          entry.lastResponse = buildResponse(entry.request, 100, 'Trying');
          transport.respond(now, entry.route, entry.lastResponse, transaction);
          break;
        case 'pass-ack':
          // Where it was handled, with the request.
          break;
        case 'ack-timeout':
        case 'unanswered':
          this.#events.push({ kind: action, transaction });
          break;
        case 'terminated':
          this.#endServer(entry);
      }
    }
    this.#arm(entry);
  }

  #endServer(entry: ServerEntry): void {
    this.#servers.delete(entry.key);
    const { request } = entry;
    if (request.method === 'INVITE' && this.#unacknowledged.get(answerKey(request)) === entry) {
      this.#unacknowledged.delete(answerKey(request));
    }
    if (entry.mergeKey !== undefined) {
      const left = (this.#merges.get(entry.mergeKey) ?? 0) - 1;
      if (left > 0) this.#merges.set(entry.mergeKey, left);
      else this.#merges.delete(entry.mergeKey);
    }
    if (request.method !== 'CANCEL') {
      this.#events.push({ kind: 'terminated', transaction: entry.key, side: 'server' });
    }
  }

  #doClient(
    now: InstantMs,
    entry: ClientEntry,
    actions: readonly ClientAction[],
    context?: ResponseContext,
  ): void {
    const { transport } = this.#options;
    const transaction = entry.key;
    let isFlowGone = false;
    for (const action of actions) {
      switch (action) {
        case 'send-request':
          if (!transport.send(now, entry.flow, entry.bytes)) isFlowGone = true;
          break;
        case 'send-ack':
          this.#sendAck(now, entry, context!);
          break;
        case 'send-cancel':
          this.#sendCancel(now, entry);
          break;
        case 'pass-response':
          if (!entry.isInternal) this.#events.push({ kind: 'response', transaction, ...context! });
          break;
        case 'flow-lost':
          if (!entry.isInternal) this.#events.push({ kind: 'detached', transaction });
          break;
        case 'timeout':
        case 'transport-error':
        case 'timer-c':
          if (!entry.isInternal) this.#events.push({ kind: action, transaction });
          break;
        case 'terminated':
          this.#setFlow(entry, 0);
          this.#clients.delete(entry.key);
          if (!entry.isInternal) this.#events.push({ kind: 'terminated', transaction, side: 'client' });
      }
    }
    this.#arm(entry);
    if (isFlowGone && entry.machine.state !== 'terminated') {
      this.#setFlow(entry, 0);
      this.#doClient(now, entry, entry.machine.handleFlowLost(now.monotonic));
    }
  }

  /** RFC 3261 §17.1.1.3: where the INVITE went; if that is gone, where the response came from. */
  #sendAck(now: InstantMs, entry: ClientEntry, { response, origin }: ResponseContext): void {
    const ack = buildAck(parseOwn(entry.bytes), response);
    const { transport } = this.#options;
    if (!transport.send(now, entry.flow, ack)) transport.send(now, origin.flow, ack);
  }

  #arm(entry: Entry): void {
    const dueMs = entry.machine.nextTimeoutMs();
    const { alarm } = entry;
    if (alarm !== undefined) {
      // One that is early is set anew when it comes.
      if (alarm.dueMs <= dueMs && entry.machine.state !== 'terminated') return;
      alarm.entry = undefined;
      entry.alarm = undefined;
    }
    if (dueMs === Infinity) return;
    entry.alarm = { dueMs, entry };
    this.#deadlines.add(dueMs, entry.alarm);
  }
}

/** What we added to somebody's request may be more than we take from anybody. */
const ownLimits = { bodyBytesMax: Infinity, headBytesMax: Infinity, headerLinesMax: Infinity };

/** A request that we wrote. */
function parseOwn(bytes: Uint8Array): SipRequest {
  const message = parseMessage(bytes, ownLimits);
  assert(message.kind === 'request', 'what was sent as a request is one');
  return message;
}

/** Of a Via; undefined: of a later protocol. */
function readTransport(text: string): SipTransport | undefined {
  const name = text.toLowerCase();
  return name === 'udp' || name === 'tcp' || name === 'tls' || name === 'ws' || name === 'wss'
    ? name
    : undefined;
}

/**
 * What the core of the SIP stack and the layers below it say to each other: transport and transactions are one thing to
 * it, the *edge* (`edge.ts`). The core names transactions by keys, and paths to others by flows; it never sees a
 * connection, a retransmission or a timer.
 */
import type { InstantMs } from '../../base/index.js';
import type { SipFlow } from '../../domain/index.js';
import type { SipAddress, SipTransport } from './machine.js';

/**
 * A client transaction: `branch METHOD`. A server transaction: branch, sent-by and method of the request (RFC 3261
 * §17.1.3, §17.2.3), with INVITE for its ACK. Made of what is on the wire, so it is the same after a restart.
 */
export type TransactionKey = string;

/** Where a message came from. */
export interface Origin {
  /** Of a stream its connection. On UDP the flow that `openUdpFlow` made for this remote; 0: none was. */
  readonly flow: SipFlow;
  /** Index of the listener whose address is written into what goes back. */
  readonly listener: number;
  readonly transport: SipTransport;
  readonly remote: SipAddress;
}

/** What is known of a flow. */
export interface FlowInfo extends Origin {
  /** Not UDP. */
  readonly isReliable: boolean;
}

/** What goes into the Via of a request on a flow, and into Record-Route and Path for it. */
export interface SentBy {
  readonly transport: SipTransport;
  /** Domain name, IPv4 address, or IPv6 address in brackets. */
  readonly host: string;
  readonly port: number;
}

/** Where a request is to go, of its URI or its first Route (RFC 3263 §4). */
export interface RouteTarget {
  /** Domain name or address; IPv6 with or without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly transport: SipTransport | undefined;
  /** `sips`. */
  readonly isSecure: boolean;
  /** About how long the request will be, bytes: more than 1,300 go over TCP where it is ours to choose (RFC 3261 §18.1.1). */
  readonly requestBytes: number;
}

export interface ClientRequest {
  readonly method: string;
  /** Of its topmost Via. */
  readonly branch: string;
  /** The whole request, topmost Via included. Kept until the transaction ends. */
  readonly bytes: Uint8Array;
  readonly flow: SipFlow;
  /** The loss of the flow does not end it: it waits to be attached to another. */
  readonly outlivesFlow: boolean;
  /**
   * How long the first response to an INVITE on a stream may take, ms: whoever sleeps reads it late. At most 10 minutes;
   * default and least: 64·T1 (Timer B).
   */
  readonly answerMsMax?: number;
}

/** `Request` and `Response` are the messages of `wire/sip`. */
export type EdgeEvent<Request, Response> =
  | {
      /** A request that is new. Answer it with `respond`. Never ACK or CANCEL. */
      readonly kind: 'request';
      readonly transaction: TransactionKey;
      readonly request: Request;
      readonly origin: Origin;
    }
  | {
      /** An ACK for a 2xx: it belongs to no transaction, and is to be passed on without one. */
      readonly kind: 'ack';
      /** The INVITE's server transaction, if the 2xx came through it and its branch is the same; else undefined. */
      readonly invite: TransactionKey | undefined;
      readonly request: Request;
      readonly origin: Origin;
    }
  | {
      /** An INVITE that has no final response yet was cancelled. The CANCEL itself has been answered. */
      readonly kind: 'cancel';
      readonly invite: TransactionKey;
      readonly request: Request;
      readonly origin: Origin;
    }
  | {
      /** Of a client transaction; of an INVITE every 2xx. Retransmissions are absorbed, ACKs for others are sent. */
      readonly kind: 'response';
      readonly transaction: TransactionKey;
      readonly response: Response;
      readonly origin: Origin;
    }
  /** A client transaction ended without a final response: counts as a 408 (INVITE) or as nothing (others, RFC 4320). */
  | { readonly kind: 'timeout'; readonly transaction: TransactionKey }
  /** A client transaction ended with its flow: counts as a 503. */
  | { readonly kind: 'transport-error'; readonly transaction: TransactionKey }
  /** A client transaction lost its flow and waits for `attach`, or for a response on another flow. */
  | { readonly kind: 'detached'; readonly transaction: TransactionKey }
  /** Nothing was heard for Timer C. The CANCEL was sent; a final response or `timeout` follows. */
  | { readonly kind: 'timer-c'; readonly transaction: TransactionKey }
  /** A server transaction ended since the core did not answer: nobody waits for an answer any more. */
  | { readonly kind: 'unanswered'; readonly transaction: TransactionKey }
  /** The caller never acknowledged a final response. */
  | { readonly kind: 'ack-timeout'; readonly transaction: TransactionKey }
  /** The key is free again; the last event of every transaction. */
  | {
      readonly kind: 'terminated';
      readonly transaction: TransactionKey;
      readonly side: 'client' | 'server';
    }
  /** A response could not be sent anywhere. The transaction goes on (RFC 6026 §7.1). */
  | { readonly kind: 'unsent'; readonly transaction: TransactionKey }
  /** A stream has ended. Its client transactions have been told. */
  | { readonly kind: 'flow-lost'; readonly flow: SipFlow }
  /** Answer to `route` and `probe`. Undefined: there is no way. */
  | { readonly kind: 'routed'; readonly ticket: number; readonly flow: SipFlow | undefined }
  /** Something was dropped or refused below the core, for counters. */
  | {
      readonly kind: 'dropped';
      readonly reason:
        'malformed' | 'too-large' | 'stray-response' | 'too-many-transactions' | 'foreign-via' | 'stray-ack';
      readonly origin: Origin;
    };

/**
 * What the core asks of the edge. Each call may add events and outputs: drain `pollEvent` and `pollOutput` afterwards,
 * until both have none; a call never ends in another call of the core.
 */
export interface Edge<Request, Response> {
  pollEvent(): EdgeEvent<Request, Response> | undefined;

  // ---- client transactions ----
  /** Key of the new transaction; undefined: too many, or no such flow. An INVITE, or any other but ACK and CANCEL. */
  request(now: InstantMs, request: ClientRequest): TransactionKey | undefined;
  /** An INVITE that is not wanted any more: CANCEL goes out now, or at its first 1xx, with this Reason value. */
  cancel(now: InstantMs, transaction: TransactionKey, reason?: string): void;
  /** The transaction goes on on this flow. `resend`: the same bytes again. False: it has ended, or the flow has. */
  attach(now: InstantMs, transaction: TransactionKey, flow: SipFlow, resend: boolean): boolean;
  /** After a restart: an INVITE that was sent before, without a flow until `attach` or until something comes for it. */
  restoreClient(
    now: InstantMs,
    request: Pick<ClientRequest, 'method' | 'branch' | 'bytes'>,
    state: 'calling' | 'proceeding' | 'accepted',
  ): TransactionKey | undefined;
  /**
   * The request of a restored transaction as it was sent, now that it is known on which listener's flow: its ACK and
   * CANCEL must have the same topmost Via. The branch is the same.
   */
  amend(transaction: TransactionKey, bytes: Uint8Array): void;
  /** Ends a client transaction without a word; what comes for it is stray. */
  abandon(now: InstantMs, transaction: TransactionKey): void;
  /** Writes a request that has no transaction, an ACK for a 2xx. False: the flow is gone. */
  sendAck(now: InstantMs, flow: SipFlow, bytes: Uint8Array): boolean;

  // ---- server transactions ----
  /**
   * Sends a response on the way of RFC 3261 §18.2.2; a new connection is made only for whoever got a response below 300
   * from the core before, or gets one now. False: the transaction does not take it (any
   * more).
   */
  respond(now: InstantMs, transaction: TransactionKey, status: number, bytes: Uint8Array): boolean;
  /**
   * Answers whoever has proved nothing, once, and forgets the transaction (RFC 3261 §26.3.2.4): a response that is sent
   * again until it is acknowledged would let a forged source be written to, and what is kept would fill the tables.
   */
  reject(now: InstantMs, transaction: TransactionKey, bytes: Uint8Array): void;
  /** Its sender has been let in: a stream on which nobody ever is ends. */
  admit(flow: SipFlow): void;
  /** After a restart: an INVITE that was received before (with `received` and `rport` in it). */
  restoreServer(
    now: InstantMs,
    request: Request,
    listener: number,
    state: 'proceeding' | 'accepted',
    /** What is said to a retransmission; undefined: 100. */
    lastResponse: Uint8Array | undefined,
  ): TransactionKey | undefined;
  /**
   * Responses take this flow from now on; if it is gone, §18.2.2 again. A final response that was not acknowledged is said
   * again there.
   */
  redirect(now: InstantMs, transaction: TransactionKey, flow: SipFlow): void;
  /** Whether responses reach: answered by `routed`. Connects if need be; at once where nothing can be known (UDP). */
  probe(now: InstantMs, transaction: TransactionKey, ticket: number): void;
  /** An INVITE gets no 100 before the core says so (RFC 3261 §17.2.1 would have it after 200 ms at the latest). */
  holdTrying(transaction: TransactionKey): void;
  /** Whether this new request came already on another way, and is still being answered: 482 (RFC 3261 §8.2.2.2). */
  isMerged(transaction: TransactionKey): boolean;

  // ---- flows ----
  /** undefined: it is gone. */
  flowInfo(flow: SipFlow): FlowInfo | undefined;
  /** Own address for what is written on this flow; the flow must be there. */
  sentBy(flow: SipFlow): SentBy;
  /** Begins a new epoch of a UDP remote: its requests come with this flow, and requests on it go there. */
  openUdpFlow(listener: number, remote: SipAddress): SipFlow;
  /** The newest flow of a UDP remote, or a passing one, which ends by itself; begins no new epoch. */
  udpFlow(now: InstantMs, listener: number, remote: SipAddress): SipFlow;
  /** Name of a UDP flow that outlives a restart; undefined: the flow ends with the process. */
  placeOf(flow: SipFlow): string | undefined;
  /** The flow of a place again, in a new epoch; undefined: it is of no listener that there is. */
  openPlace(place: string): SipFlow | undefined;
  /** The flow will not be used again: a stream is closed, with this reason for logs. */
  closeFlow(now: InstantMs, flow: SipFlow, reason: string): void;
  /** Finds or makes a flow to somewhere else. Answered by `routed`, with a flow that is connected. */
  route(now: InstantMs, target: RouteTarget, ticket: number): void;
}

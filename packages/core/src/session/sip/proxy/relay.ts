/**
 * One request that goes to one place and whose answers come back: everything but a call to a user of ours, which the hub
 * decides. In-dialog requests, calls out by a trunk, and what has no other meaning here (RFC 3261 §16).
 */
import type { InstantMs } from '../../../base/index.js';
import type { CallId, SipFlow } from '../../../domain/index.js';
import type { SipRequest, SipResponse } from '../../../wire/sip/index.js';
import type { ClientOwner, ServerOwner, StackContext } from '../context.js';
import type { Origin, SentBy, TransactionKey } from '../edge-types.js';
import { forwardRequest, forwardResponse } from '../messages.js';
import { Breadth } from './breadth.js';
import type { Place } from './place.js';
import type { Trunk } from './trunks.js';
import type { Ways } from './ways.js';

export interface RelayParts {
  readonly server: TransactionKey;
  readonly request: SipRequest;
  readonly origin: Origin;
  readonly place: Place;
  /** undefined: as it came. */
  readonly requestUri: string | undefined;
  readonly routesRemoved: number;
  readonly routes: readonly string[];
  /** What is to be written into Record-Route, for the side it goes out on; undefined: nothing. */
  readonly recordRoutes: ((sentBy: SentBy) => readonly string[]) | undefined;
  readonly mayAssertIdentity: boolean;
  /** A device that is not there is woken and waited for. */
  readonly mayWait: boolean;
  /** It goes to this trunk, whose challenges are ours to answer. */
  readonly trunk: Trunk | undefined;
  /** The call that its dialog began with. */
  readonly call: CallId | undefined;
  onEnd(relay: Relay): void;
}

export class Relay implements ServerOwner, ClientOwner {
  readonly #context: StackContext;
  readonly #ways: Ways;
  readonly #parts: RelayParts;
  #server: TransactionKey | undefined;
  #client: TransactionKey | undefined;
  /** The caller hung up before there was a client transaction to cancel. */
  #isCancelled = false;
  #hasFinal = false;
  #wasAuthorized = false;
  /** A flow that breaks under the request is looked for once more. */
  #mayRetry = true;

  constructor(context: StackContext, ways: Ways, parts: RelayParts) {
    this.#context = context;
    this.#ways = ways;
    this.#parts = parts;
    this.#server = parts.server;
    context.serverOwners.set(parts.server, this);
  }

  start(now: InstantMs): void {
    const { request, mayWait } = this.#parts;
    if (request.method === 'INVITE') this.#context.answer(now, this.#parts.server, request, 100, 'Trying');
    this.#find(now, mayWait);
  }

  handleCancel(now: InstantMs, cancel: SipRequest): void {
    this.#isCancelled = true;
    if (this.#client !== undefined) this.#context.edge.cancel(now, this.#client, cancel.header('Reason'));
    else this.#fail(now, 487, 'Request Terminated');
  }

  handleServerEnd(): void {
    this.#server = undefined;
    this.#endIfDone();
  }

  handleResponse(now: InstantMs, transaction: TransactionKey, response: SipResponse, _origin: Origin): void {
    if (transaction !== this.#client) return;
    const { status } = response;
    if (status === 100) return;
    if (status >= 300 && this.#authorize(now, response)) return;
    if (status >= 200) this.#hasFinal = true;
    if (this.#server === undefined) return;
    if (status === 503) this.#fail(now, 500, 'Next Hop Unavailable');
    else this.#context.edge.respond(now, this.#server, status, forwardResponse(response));
  }

  handleFailure(
    now: InstantMs,
    transaction: TransactionKey,
    why: 'timeout' | 'transport-error' | 'timer-c',
  ): void {
    if (transaction !== this.#client || this.#hasFinal) return;
    const { request, place, mayWait } = this.#parts;
    if (why === 'transport-error' && this.#mayRetry && mayWait && place.kind === 'instance') {
      this.#mayRetry = false;
      this.#leaveClient();
      this.#find(now, mayWait);
    } else if (why === 'transport-error') this.#fail(now, 500, 'Next Hop Unavailable');
    else if (request.method === 'INVITE') this.#fail(now, 408, 'Request Timeout');
    // RFC 4320 §4.2: a 408 for anything else comes too late to help.
  }

  handleClientEnd(_now: InstantMs, transaction: TransactionKey): void {
    if (transaction !== this.#client) return;
    this.#client = undefined;
    this.#endIfDone();
  }

  /** Sends it when there is a flow to its place, or fails. */
  #find(now: InstantMs, mayWait: boolean, authorization?: readonly [name: string, value: string]): void {
    const { place, request } = this.#parts;
    const want = { place, method: request.method, requestBytes: request.bytes.length, mayWait };
    this.#ways.find(now, want, (later, flow) => this.#send(later, flow, authorization));
  }

  #send(
    now: InstantMs,
    flow: SipFlow | undefined,
    authorization?: readonly [name: string, value: string],
  ): void {
    if (this.#server === undefined) return this.#endIfDone();
    if (this.#isCancelled) return;
    const { request, place } = this.#parts;
    if (flow === undefined) {
      if (place.kind === 'trunk') this.#fail(now, 500, 'Trunk Unreachable');
      else this.#fail(now, 480, 'Temporarily Unavailable');
      return;
    }
    const { edge } = this.#context;
    const breadth = new Breadth(request, this.#context.limits.breadthMax);
    const sentBy = edge.sentBy(flow);
    const branch = `z9hG4bK-${this.#context.randomHex()}`;
    const bytes = forwardRequest(request, {
      branch,
      sentBy,
      requestUri: this.#parts.requestUri,
      routesRemoved: this.#parts.routesRemoved,
      routes: this.#parts.routes,
      recordRoutes: this.#parts.recordRoutes?.(sentBy) ?? [],
      realms: this.#context.options.domains,
      mayAssertIdentity: this.#parts.mayAssertIdentity,
      breadth: request.has('Max-Breadth') ? breadth.take() : undefined,
      extra: authorization === undefined ? [] : [authorization],
    });
    const { method } = request;
    this.#client = edge.request(now, { method, branch, bytes, flow, outlivesFlow: false });
    if (this.#client === undefined) this.#fail(now, 500, 'Next Hop Unavailable');
    else this.#context.clientOwners.set(this.#client, this);
  }

  /** RFC 3261 §22.3: a challenge of a trunk that knows us is ours to answer. True: the request goes out again. */
  #authorize(now: InstantMs, response: SipResponse): boolean {
    const { status } = response;
    const digest = this.#parts.trunk?.digest;
    if (digest === undefined || this.#isCancelled || (status !== 401 && status !== 407)) return false;
    const isProxy = status === 407;
    const challenges = response.headers(isProxy ? 'Proxy-Authenticate' : 'WWW-Authenticate');
    if (this.#wasAuthorized || !digest.handleChallenge(challenges, false)) return false;
    const { request, requestUri } = this.#parts;
    const value = digest.authorize(request.method, requestUri ?? request.uri);
    if (value === undefined) return false;
    this.#wasAuthorized = true;
    this.#leaveClient();
    this.#find(now, false, [isProxy ? 'Proxy-Authorization' : 'Authorization', value]);
    return true;
  }

  /** What ends with the old transaction is not ours any more. */
  #leaveClient(): void {
    if (this.#client !== undefined) this.#context.clientOwners.delete(this.#client);
    this.#client = undefined;
  }

  #fail(now: InstantMs, status: number, phrase: string): void {
    this.#hasFinal = true;
    if (this.#server === undefined) return;
    this.#context.answer(now, this.#server, this.#parts.request, status, phrase);
  }

  #endIfDone(): void {
    if (this.#server === undefined && this.#client === undefined) this.#parts.onEnd(this);
  }
}

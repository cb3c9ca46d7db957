/**
 * Finds a flow to somewhere else: asks for its addresses (RFC 3263), tries one after the other, and says which connection
 * was made. Several who want the same place share one attempt to connect to it.
 *
 * It owns no connection: it asks its host, the transport layer, for them, and is told what became of each.
 */
import { DeadlineHeap, type InstantMs } from '../../../base/index.js';
import { addressBytes } from '../../../wire/sip/index.js';
import type { SipFlow } from '../../../domain/index.js';
import type { RouteTarget } from '../edge-types.js';
import type { ResolvedTarget, SipTransport } from '../machine.js';
import { bare, defaultPort } from './response-route.js';

/** What came of an attempt to reach one target. A number: the connection that is being made. */
export type Attempt = { readonly flow: SipFlow } | { readonly connection: number } | 'impossible';

export interface RouterHost {
  /** A flow that is there, or the beginning of a connection. */
  tryTarget(now: InstantMs, target: ResolvedTarget, serverName: string | undefined): Attempt;
  resolve(ticket: number, target: RouteTarget): void;
  /** The connection has not been made in time. */
  giveUp(now: InstantMs, connection: number): void;
}

interface Search<Waiter> {
  readonly waiter: Waiter;
  readonly target: RouteTarget;
  readonly host: string;
  /** Not tried yet. */
  targets: ResolvedTarget[];
  /** What it waits for: a ticket of `resolve`, or a connection. */
  waitsFor: { readonly ticket: number } | { readonly connection: number } | undefined;
  /** Monotonic ms. */
  dueMs: number;
}

export interface RouterOptions {
  readonly connectMsMax: number;
  readonly datagramRequestBytesMax: number;
  readonly searchesMax: number;
  readonly hasDatagrams: boolean;
}

export class Router<Waiter> {
  readonly #options: RouterOptions;
  readonly #host: RouterHost;
  readonly #byTicket = new Map<number, Search<Waiter>>();
  readonly #byConnection = new Map<number, Search<Waiter>[]>();
  readonly #deadlines = new DeadlineHeap<Search<Waiter>>();
  #found: { readonly waiter: Waiter; readonly flow: SipFlow | undefined }[] = [];
  #searches = 0;
  #nextTicket = 1;

  constructor(options: RouterOptions, host: RouterHost) {
    this.#options = options;
    this.#host = host;
  }

  /** Searches that are under way. */
  get size(): number {
    return this.#searches;
  }

  get nextTimeoutMs(): number {
    return this.#deadlines.nextMs;
  }

  /** What has come to an end since the last call. */
  takeFound(): readonly { readonly waiter: Waiter; readonly flow: SipFlow | undefined }[] {
    const found = this.#found;
    if (found.length > 0) this.#found = [];
    return found;
  }

  search(now: InstantMs, target: RouteTarget, waiter: Waiter): void {
    if (this.#searches >= this.#options.searchesMax) {
      this.#found.push({ waiter, flow: undefined });
      return;
    }
    const host = bare(target.host);
    const search: Search<Waiter> = {
      waiter,
      target,
      host,
      targets: [],
      waitsFor: undefined,
      dueMs: Infinity,
    };
    this.#searches += 1;
    if (addressBytes(host) === undefined) {
      const ticket = this.#nextTicket++;
      this.#byTicket.set(ticket, search);
      this.#wait(now, search, { ticket });
      this.#host.resolve(ticket, target);
      return;
    }
    search.targets = this.#targetsOfAddress(target, host);
    this.#tryNext(now, search);
  }

  handleResolved(now: InstantMs, ticket: number, targets: readonly ResolvedTarget[]): void {
    const search = this.#byTicket.get(ticket);
    if (search === undefined) return;
    this.#byTicket.delete(ticket);
    search.targets = this.#isLong(search.target)
      ? targets.flatMap((target) =>
          target.transport === 'udp' ? [{ ...target, transport: 'tcp' as const }, target] : [target],
        )
      : [...targets];
    this.#tryNext(now, search);
  }

  handleOpened(connection: number, flow: SipFlow): void {
    for (const search of this.#takeWaiting(connection)) this.#finish(search, flow);
  }

  handleClosed(now: InstantMs, connection: number): void {
    for (const search of this.#takeWaiting(connection)) this.#tryNext(now, search);
  }

  handleTimeout(now: InstantMs): void {
    const { monotonic } = now;
    for (;;) {
      const search = this.#deadlines.takeDue(monotonic);
      if (search === undefined) return;
      const { waitsFor } = search;
      if (waitsFor === undefined || search.dueMs > monotonic) continue;
      if ('ticket' in waitsFor) {
        this.#byTicket.delete(waitsFor.ticket);
        this.#finish(search, undefined);
      } else {
        // The others who wait for it have waited less long, but it will not come for them either.
        this.#host.giveUp(now, waitsFor.connection);
        this.handleClosed(now, waitsFor.connection);
      }
    }
  }

  #tryNext(now: InstantMs, search: Search<Waiter>): void {
    const serverName = addressBytes(search.host) === undefined ? search.host : undefined;
    for (let target = search.targets.shift(); target !== undefined; target = search.targets.shift()) {
      const attempt = this.#host.tryTarget(now, target, serverName);
      if (attempt === 'impossible') continue;
      if ('flow' in attempt) return this.#finish(search, attempt.flow);
      const waiting = this.#byConnection.get(attempt.connection);
      if (waiting === undefined) this.#byConnection.set(attempt.connection, [search]);
      else waiting.push(search);
      return this.#wait(now, search, attempt);
    }
    this.#finish(search, undefined);
  }

  #wait(now: InstantMs, search: Search<Waiter>, waitsFor: NonNullable<Search<Waiter>['waitsFor']>): void {
    search.waitsFor = waitsFor;
    search.dueMs = now.monotonic + this.#options.connectMsMax;
    this.#deadlines.add(search.dueMs, search);
  }

  #finish(search: Search<Waiter>, flow: SipFlow | undefined): void {
    search.waitsFor = undefined;
    this.#searches -= 1;
    this.#found.push({ waiter: search.waiter, flow });
  }

  #takeWaiting(connection: number): readonly Search<Waiter>[] {
    const waiting = this.#byConnection.get(connection) ?? [];
    this.#byConnection.delete(connection);
    return waiting;
  }

  /** RFC 3263 §4.1: an address is asked nobody about. */
  #targetsOfAddress(target: RouteTarget, address: string): ResolvedTarget[] {
    const at = (transport: SipTransport): ResolvedTarget => ({
      transport,
      remote: { address, port: target.port ?? defaultPort(transport) },
    });
    if (target.isSecure) return [at('tls')];
    const chosen = target.transport ?? (this.#options.hasDatagrams ? 'udp' : 'tcp');
    // RFC 3261 §18.1.1: UDP after all where TCP is not spoken.
    return chosen === 'udp' && this.#isLong(target) ? [at('tcp'), at('udp')] : [at(chosen)];
  }

  #isLong(target: RouteTarget): boolean {
    return target.requestBytes > this.#options.datagramRequestBytesMax;
  }
}

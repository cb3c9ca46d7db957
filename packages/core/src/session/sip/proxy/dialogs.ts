/**
 * Requests within dialogs: the Route tokens that we wrote say where they go (RFC 3261 §16.4, §16.5). They are not
 * challenged: whoever has the token was in the dialog.
 */
import type { InstantMs } from '../../../base/index.js';
import type { SipRequest } from '../../../wire/sip/index.js';
import type { StackContext } from '../context.js';
import type { Origin, TransactionKey } from '../edge-types.js';
import { forwardRequest } from '../messages.js';
import type { OwnRoutes } from '../screening/own-names.js';
import type { SignedPlace } from './place.js';
import type { Relays } from './relays.js';
import type { Trunk, Trunks } from './trunks.js';
import type { Ways } from './ways.js';

/** Where an ACK goes; its Request-URI stays where none is given. */
export interface AckWay extends SignedPlace {
  readonly requestUri: string | undefined;
  readonly routesRemoved: number;
  readonly routes: readonly string[];
  readonly mayAssertIdentity: boolean;
}

export class Dialogs {
  readonly #context: StackContext;
  readonly #ways: Ways;
  readonly #relays: Relays;
  readonly #trunks: Trunks;

  constructor(context: StackContext, ways: Ways, relays: Relays, trunks: Trunks) {
    this.#context = context;
    this.#ways = ways;
    this.#relays = relays;
    this.#trunks = trunks;
  }

  /** @param routes with at least one place. */
  handleRequest(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    origin: Origin,
    routes: OwnRoutes,
    sender: Trunk | undefined,
  ): void {
    const destination = routes.places.at(-1)!;
    const { place, call } = destination;
    if (request.method === 'BYE') this.#note(destination, 'BYE');
    this.#relays.begin(now, {
      server: transaction,
      request,
      origin,
      place,
      requestUri: undefined,
      routesRemoved: routes.count,
      routes: [],
      recordRoutes: undefined,
      mayAssertIdentity: sender !== undefined,
      mayWait: true,
      trunk: place.kind === 'trunk' ? this.#trunks.find(place.name) : undefined,
      call,
    });
  }

  handleAck(now: InstantMs, request: SipRequest, routes: OwnRoutes, sender: Trunk | undefined): void {
    this.sendAck(now, request, {
      ...routes.places.at(-1)!,
      requestUri: undefined,
      routesRemoved: routes.count,
      routes: [],
      mayAssertIdentity: sender !== undefined,
    });
  }

  /** RFC 3261 §16.11: an ACK for a 2xx goes on without a transaction, and is not answered. */
  sendAck(now: InstantMs, request: SipRequest, to: AckWay): void {
    const { edge, options } = this.#context;
    const { place, requestUri, routesRemoved, routes, mayAssertIdentity } = to;
    const want = { place, method: 'ACK', requestBytes: request.bytes.length, mayWait: false };
    this.#ways.find(now, want, (later, flow) => {
      if (flow === undefined || edge.flowInfo(flow) === undefined) {
        // Whoever answered repeats the 2xx, and the caller this ACK.
        this.#note(to, 'ACK without a flow');
        return;
      }
      const bytes = forwardRequest(request, {
        branch: `z9hG4bK-${this.#context.randomHex()}`,
        sentBy: edge.sentBy(flow),
        ...(requestUri !== undefined && { requestUri }),
        routesRemoved,
        routes,
        realms: options.domains,
        mayAssertIdentity,
      });
      const isSent = edge.sendAck(later, flow, bytes);
      this.#note(to, isSent ? 'ACK' : 'ACK not sent');
    });
  }

  #note({ place, call }: SignedPlace, text: string): void {
    if (call === undefined) return;
    const to =
      place.kind === 'instance' ? place.aor : place.kind === 'trunk' ? `trunk ${place.name}` : 'the caller';
    this.#context.putCommand({
      kind: 'call-note',
      call,
      leg: undefined,
      text: `${text} to ${to}`.slice(0, 256),
    });
  }
}

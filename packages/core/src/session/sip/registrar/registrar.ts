/**
 * The registrar (RFC 3261 §10.3): REGISTERs of users who have proved to be themselves become commands to the hub, and
 * what the hub says becomes their answers.
 *
 * It keeps no binding. A 2xx is written to its flow before anything that the hub says after it, so that a call that
 * waited for the phone comes behind it.
 */
import type { InstantMs } from '../../../base/index.js';
import type { Aor, Binding, BindRefusal, CallEvent, SipFlow } from '../../../domain/index.js';
import {
  formatNameAddr,
  type HeaderList,
  type NameAddr,
  type SipRequest,
  type SipUri,
} from '../../../wire/sip/index.js';
import type { ServerOwner, StackContext } from '../context.js';
import type { Origin, TransactionKey } from '../edge-types.js';
import { readRegistration, type Registration } from './contacts.js';
import type { Locations } from './locations.js';

interface Waiting {
  readonly transaction: TransactionKey;
  readonly request: SipRequest;
  readonly origin: Origin;
  readonly aor: Aor;
  readonly flow: SipFlow;
  readonly registration: Registration;
}

type Header = HeaderList[number];

/** Shortest time for phones on UDP, whose flow is kept alive by nothing else, seconds. */
const UDP_SECONDS_MIN = 60;

/** A registration that comes a little late is still in time, ms. */
const UDP_GRACE_MS = 5_000;

const refusedStatus: Readonly<Record<BindRefusal, readonly [status: number, phrase: string]>> = {
  // RFC 3261 §10.3 step 7: an older CSeq of the same Call-ID fails as a whole.
  stale: [500, 'Out Of Order'],
  'too-many-bindings': [403, 'Too Many Bindings'],
  'too-many-users': [503, 'Too Many Users'],
  'storage-failed': [500, 'Storage Failed'],
  draining: [503, 'Server Is Leaving'],
};

export class Registrar {
  readonly #context: StackContext;
  readonly #locations: Locations;
  readonly #waiting = new Map<number, Waiting>();
  /** Flows of UDP whose expiry is watched. */
  readonly #watched = new Set<SipFlow>();
  /** Flows that a binding was asked for: the hub is told of their end. */
  readonly #boundFlows = new Set<SipFlow>();

  constructor(context: StackContext, locations: Locations) {
    this.#context = context;
    this.#locations = locations;
  }

  /** @param aor of the user whose password was given. */
  handleRegister(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    origin: Origin,
    aor: Aor,
  ): void {
    const context = this.#context;
    const flow = this.#flowFor(request, origin, aor);
    const registration = readRegistration(request, {
      contactsMax: context.limits.contactsMax,
      routesMax: context.limits.routesMax,
      secondsMin: this.#secondsMin(origin),
      secondsMax: this.#secondsMax,
      secondsDefault: Math.min(3_600, this.#secondsMax),
      place: context.edge.placeOf(flow),
    });
    if ('refusal' in registration) {
      const headers =
        registration.refusal === 'sip-brief-registration'
          ? [['Min-Expires', String(this.#secondsMin(origin))] as const]
          : registration.refusal === 'sip-push-service'
            ? [this.#featureCaps()]
            : [];
      this.#forget(now, flow);
      context.refuse(now, transaction, request, origin, registration.refusal, registration.detail, {
        headers,
      });
      return;
    }
    const ticket = context.takeTicket();
    const { changes, removeAll } = registration;
    this.#waiting.set(ticket, { transaction, request, origin, aor, flow, registration });
    const owner: ServerOwner = { handleServerEnd: () => this.#waiting.delete(ticket) };
    context.serverOwners.set(transaction, owner);
    if (flow !== 0 && changes.length > 0) this.#boundFlows.add(flow);
    context.putCommand({
      kind: 'bind',
      ticket,
      aor,
      run: request.callId,
      cseq: request.cseq.number,
      flow,
      changes,
      removeAll,
    });
  }

  /** Returns the user. */
  handleBound(now: InstantMs, event: Extract<CallEvent, { kind: 'bound' }>): Aor | undefined {
    const waiting = this.#waiting.get(event.ticket);
    this.#waiting.delete(event.ticket);
    const aor = waiting?.aor ?? event.bindings[0]?.aor;
    if (aor !== undefined) this.#locate(now, aor, event.bindings);
    // Its sender has given up; what is bound is bound all the same.
    if (waiting === undefined) return aor;
    this.#forget(now, waiting.flow);
    this.#context.answer(now, waiting.transaction, waiting.request, 200, 'OK', {
      headers: this.#okHeaders(now, waiting, event.bindings),
    });
    return aor;
  }

  handleBindRefused(now: InstantMs, ticket: number, reason: BindRefusal): void {
    const waiting = this.#waiting.get(ticket);
    if (waiting === undefined) return;
    this.#waiting.delete(ticket);
    const [status, phrase] = refusedStatus[reason];
    const headers = status === 503 ? [['Retry-After', '5'] as const] : [];
    this.#forget(now, waiting.flow);
    this.#context.answer(now, waiting.transaction, waiting.request, status, phrase, { headers });
  }

  /** Bindings that outlived a restart, each with its new flow. */
  restore(now: InstantMs, bindings: readonly Binding[]): void {
    const users = new Map<Aor, Binding[]>();
    for (const binding of bindings) {
      const flow = binding.place === undefined ? undefined : this.#context.edge.openPlace(binding.place);
      if (flow === undefined) continue;
      this.#boundFlows.add(flow);
      const { aor, instance, regId } = binding;
      this.#context.putCommand({ kind: 'flow-up', aor, instance, regId, flow });
      users.set(aor, [...(users.get(aor) ?? []), { ...binding, flow }]);
    }
    for (const [aor, list] of users) this.#locate(now, aor, list);
  }

  handleFlowLost(flow: SipFlow): void {
    this.#locations.removeFlow(flow);
    if (this.#boundFlows.delete(flow)) this.#context.putCommand({ kind: 'flow-lost', flow });
  }

  get #secondsMax(): number {
    const { options, limits } = this.#context;
    return options.registrationSecondsMax ?? limits.registrationSecondsMax;
  }

  #secondsMin(origin: Origin): number {
    const { options, limits } = this.#context;
    const min = options.registrationSecondsMin ?? limits.registrationSecondsMin;
    return origin.transport === 'udp' ? Math.min(min, UDP_SECONDS_MIN) : min;
  }

  /**
   * A stream is its own flow. On UDP a flow is what one run of one user keeps alive from one address: whoever else comes
   * from there, or comes back as another run, gets another.
   */
  #flowFor(request: SipRequest, origin: Origin, aor: Aor): SipFlow {
    if (origin.transport !== 'udp') return origin.flow;
    const known = origin.flow === 0 ? undefined : this.#locations.onFlow(origin.flow, aor);
    if (known?.target.run === request.callId) return origin.flow;
    return this.#context.edge.openUdpFlow(origin.listener, origin.remote);
  }

  /** Nothing tells when a UDP flow ends: one that no binding came of is closed. */
  #forget(now: InstantMs, flow: SipFlow): void {
    const { edge } = this.#context;
    if (this.#locations.hasFlow(flow) || edge.flowInfo(flow)?.transport !== 'udp') return;
    this.#boundFlows.delete(flow);
    edge.closeFlow(now, flow, 'not registered');
  }

  #locate(now: InstantMs, aor: Aor, bindings: readonly Binding[]): void {
    const { edge } = this.#context;
    const left = this.#locations.replace(
      aor,
      bindings,
      (flow) => flow !== 0 && edge.flowInfo(flow) !== undefined,
      now.wall,
    );
    // A stream that nobody uses any more may be registered on again.
    for (const flow of left) this.#forget(now, flow);
    for (const { target } of this.#locations.ofUser(aor)) this.#watch(now, target.flow);
  }

  /**
   * A live stream outlasts its binding. On UDP nothing tells whether anybody is there: a flow ends with the last binding
   * that was made on it.
   */
  #watch(now: InstantMs, flow: SipFlow): void {
    const { edge } = this.#context;
    if (this.#watched.has(flow) || edge.flowInfo(flow)?.transport !== 'udp') return;
    const expiresMs = this.#locations.expiryOf(flow);
    if (expiresMs === undefined) return;
    this.#watched.add(flow);
    this.#context.after(now, Math.max(0, expiresMs - now.wall) + UDP_GRACE_MS, (later) => {
      this.#watched.delete(flow);
      if ((this.#locations.expiryOf(flow) ?? 0) > later.wall) this.#watch(later, flow);
      else if (edge.flowInfo(flow) !== undefined) {
        edge.closeFlow(later, flow, 'expired');
        this.handleFlowLost(flow);
      }
    });
  }

  #okHeaders(now: InstantMs, waiting: Waiting, bindings: readonly Binding[]): HeaderList {
    const { request, registration, origin } = waiting;
    const headers: Header[] = [];
    for (const binding of bindings) {
      const own = registration.contacts[indexOfChange(registration, binding)];
      headers.push(['Contact', formatContact(binding, own, now.wall)]);
    }
    if (registration.changes.length > 0) {
      for (const path of request.paths ?? []) headers.push(['Path', path.text]);
    }
    if (registration.isOutbound) {
      headers.push(['Require', 'outbound']);
      const { options, limits } = this.#context;
      const seconds = options.flowTimerSeconds ?? limits.flowTimerSeconds;
      if (origin.transport !== 'udp') headers.push(['Flow-Timer', String(seconds)]);
    }
    headers.push(['Supported', 'path, outbound']);
    if (registration.wantsPush) headers.push(this.#featureCaps());
    return headers;
  }

  /** RFC 8599 §4.1.1. */
  #featureCaps(): Header {
    const { vapidPublicKey } = this.#context.options;
    const vapid = vapidPublicKey === undefined ? '' : `;+sip.vapid="${vapidPublicKey}"`;
    return ['Feature-Caps', `*;+sip.pns="webpush"${vapid};+sip.pnsreg="121"`];
  }
}

function indexOfChange({ changes }: Registration, binding: Binding): number {
  return changes.findIndex(
    ({ instance, regId, contact }) =>
      instance === binding.instance && regId === binding.regId && contact === binding.contact,
  );
}

/** A phone gets its own Contact back as it wrote it, push parameters and all: by it, it finds its own among them. */
function formatContact(binding: Binding, own: NameAddr | undefined, wallMs: number): string {
  const params = new Map<string, string | undefined>();
  if (binding.hasInstanceId) params.set('+sip.instance', `<${binding.instance}>`);
  if (binding.regId > 0) params.set('reg-id', String(binding.regId));
  params.set('expires', String(Math.max(0, Math.round((binding.expiresMs - wallMs) / 1_000))));
  const uri = (own?.uri as SipUri | undefined)?.text ?? binding.contact;
  return formatNameAddr({ uri, params });
}

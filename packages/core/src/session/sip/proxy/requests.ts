/**
 * New requests that somebody proved to have sent: calls to users, messages, what is asked of the server itself, and what
 * goes out by a trunk.
 */
import type { InstantMs } from '../../../base/index.js';
import type { Aor, Caller, CallEvent, SipUser } from '../../../domain/index.js';
import type { SipRequest } from '../../../wire/sip/index.js';
import { AddressBudget } from '../../address-budget.js';
import type { StackContext } from '../context.js';
import type { Origin, SentBy, TransactionKey } from '../edge-types.js';
import { recordRouteOf, sentByOf } from '../messages.js';
import type { Locations } from '../registrar/locations.js';
import type { OwnRoutes } from '../screening/own-names.js';
import { checkRequires } from '../screening/syntax.js';
import { placeOfTrunk, placeOfUser, type Calls } from './calls.js';
import type { AckWay } from './dialogs.js';
import type { Place } from './place.js';
import type { Relays } from './relays.js';
import type { Target, Targets } from './targets.js';
import type { Trunk } from './trunks.js';

/** Methods that make no sense without a dialog. */
const dialogOnly = new Set(['BYE', 'INFO', 'PRACK', 'UPDATE']);
/** Methods whose 2xx makes one, so that later requests are to come by us. */
const dialogMakers = new Set(['INVITE', 'NOTIFY', 'REFER', 'SUBSCRIBE']);

const allowed =
  'INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, SUBSCRIBE, NOTIFY, REFER';

export interface Sender {
  readonly trunk: Trunk | undefined;
  readonly user: SipUser | undefined;
}

interface Arrived {
  readonly transaction: TransactionKey;
  readonly request: SipRequest;
  readonly origin: Origin;
  readonly routes: OwnRoutes;
  readonly sender: Sender;
}

interface WaitingMessage {
  readonly transaction: TransactionKey;
  readonly request: SipRequest;
}

type MessageStored = Extract<CallEvent, { kind: 'message-stored' }>;

const messageStatus: Readonly<
  Record<NonNullable<MessageStored['reason']>, readonly [status: number, phrase: string]>
> = {
  'unknown-user': [404, 'Not Found'],
  'no-devices': [480, 'No Devices'],
  'inbox-full': [480, 'Inbox Full'],
  'storage-failed': [500, 'Storage Failed'],
  draining: [503, 'Server Is Leaving'],
};

export class Requests {
  readonly #context: StackContext;
  readonly #targets: Targets;
  readonly #calls: Calls;
  readonly #relays: Relays;
  readonly #locations: Locations;
  readonly #invites: AddressBudget;
  /** By user and caller. */
  readonly #invitesOfCallers: AddressBudget;
  readonly #messages = new Map<number, WaitingMessage>();

  constructor(context: StackContext, targets: Targets, calls: Calls, relays: Relays, locations: Locations) {
    this.#context = context;
    this.#targets = targets;
    this.#calls = calls;
    this.#relays = relays;
    this.#locations = locations;
    const { invitesPerUserMax, invitesPerCallerMax, invitesMax, budgetAddressesMax } = context.limits;
    this.#invitesOfCallers = new AddressBudget(invitesPerCallerMax, invitesMax, budgetAddressesMax);
    this.#invites = new AddressBudget(invitesPerUserMax, invitesMax, budgetAddressesMax);
  }

  handle(now: InstantMs, arrived: Arrived): void {
    const { transaction, request, origin, sender } = arrived;
    const { method } = request;
    if (sender.trunk === undefined && request.has('P-Asserted-Identity')) {
      this.#context.note('sip-asserted-identity', origin);
    }
    if (dialogOnly.has(method)) {
      this.#context.refuse(now, transaction, request, origin, 'sip-unknown-dialog');
      return;
    }
    const target = this.#targets.find(request, sender.trunk);
    switch (target.kind) {
      case 'refused':
        return this.#context.refuse(now, transaction, request, origin, target.refusal);
      case 'self':
        return this.#handleSelf(now, arrived);
      case 'trunk':
        return this.#relayToTrunk(now, arrived, target);
      case 'user':
        return this.#handleUser(now, arrived, target.aor);
    }
  }

  /**
   * A request within a dialog that names no Route, from a trunk: of a caller who does not keep to our Record-Route. It goes
   * by its Request-URI, as its INVITE did (RFC 3261 §16.5), to the phone that was heard of last.
   */
  handleRouteless(now: InstantMs, arrived: Arrived): void {
    const { transaction, request, origin, sender } = arrived;
    const target = this.#targets.find(request, sender.trunk);
    if (target.kind === 'user') return this.#relayToUser(now, arrived, target.aor);
    this.#context.refuse(now, transaction, request, origin, 'sip-unknown-dialog');
  }

  /** Where the ACK of such a caller goes; undefined: nowhere. */
  findRoutelessAck(request: SipRequest, trunk: Trunk): AckWay | undefined {
    const target = this.#targets.find(request, trunk);
    const location = target.kind === 'user' ? this.#locations.ofUser(target.aor).at(-1) : undefined;
    if (location === undefined) return undefined;
    const { aor, instance, contact, path } = location.target;
    const place = { kind: 'instance', aor, instance } as const;
    return {
      place,
      call: undefined,
      requestUri: contact,
      routesRemoved: 0,
      routes: path,
      mayAssertIdentity: true,
    };
  }

  handleMessageStored(now: InstantMs, { ticket, reason }: MessageStored): void {
    const waiting = this.#messages.get(ticket);
    if (waiting === undefined) return;
    this.#messages.delete(ticket);
    const [status, phrase] = reason === undefined ? ([202, 'Accepted'] as const) : messageStatus[reason];
    this.#context.answer(now, waiting.transaction, waiting.request, status, phrase);
  }

  #handleSelf(now: InstantMs, arrived: Arrived): void {
    const { transaction, request } = arrived;
    if (request.method === 'OPTIONS') this.#answerOptions(now, arrived);
    else {
      this.#context.answer(now, transaction, request, 405, 'Method Not Allowed', {
        headers: [['Allow', allowed]],
      });
    }
  }

  #handleUser(now: InstantMs, arrived: Arrived, aor: Aor): void {
    switch (arrived.request.method) {
      case 'INVITE':
        return this.#call(now, arrived, aor);
      case 'MESSAGE':
        return this.#keepMessage(arrived, aor);
      case 'OPTIONS':
        // A PBX that asks whether we are there asks us, and wakes nobody.
        return this.#answerOptions(now, arrived);
      default:
        return this.#relayToUser(now, arrived, aor);
    }
  }

  #call(now: InstantMs, arrived: Arrived, aor: Aor): void {
    const { transaction, request, origin, sender } = arrived;
    const caller = callerOf(request, sender);
    // First whoever calls too often: what is refused for that uses up nobody else's.
    const key = `${aor}\0${caller.aor ?? `${caller.trunk} ${caller.uri}`}`;
    if (!this.#invitesOfCallers.take(now, key) || !this.#invites.take(now, aor)) {
      this.#context.refuse(now, transaction, request, origin, 'sip-invite-rate', undefined, {
        headers: [['Retry-After', '60']],
      });
      return;
    }
    const { contacts } = request;
    if (contacts === undefined || contacts === '*') {
      const detail = 'Malformed Contact';
      this.#context.refuse(now, transaction, request, origin, 'sip-bad-request', detail);
      return;
    }
    const place = this.#placeOf(arrived);
    this.#calls.begin({ transaction, request, origin, aor, caller, place });
  }

  #keepMessage({ transaction, request, sender }: Arrived, aor: Aor): void {
    const ticket = this.#context.takeTicket();
    this.#messages.set(ticket, { transaction, request });
    this.#context.serverOwners.set(transaction, { handleServerEnd: () => this.#messages.delete(ticket) });
    this.#context.putCommand({
      kind: 'message',
      ticket,
      aor,
      caller: callerOf(request, sender),
      repeatKey: `${request.callId}\0${request.cseq.number}\0${request.from.tag ?? ''}`,
      contentType: request.contentType ?? 'text/plain',
      body: request.body,
      expiresSeconds: request.expires,
    });
  }

  #answerOptions(now: InstantMs, { transaction, request, origin }: Arrived): void {
    const fault = checkRequires(request);
    if (fault !== undefined) {
      this.#context.refuse(now, transaction, request, origin, fault.refusal, fault.detail, fault);
      return;
    }
    this.#context.answer(now, transaction, request, 200, 'OK', {
      headers: [
        ['Allow', allowed],
        ['Accept', '*/*'],
        ['Supported', 'path, outbound'],
      ],
    });
  }

  /** RFC 3261 §16.6 without a fork: a request that is no call goes to the phone that was heard of last. */
  #relayToUser(now: InstantMs, arrived: Arrived, aor: Aor): void {
    const { transaction, request } = arrived;
    const location = this.#locations.ofUser(aor).at(-1);
    if (location === undefined) {
      this.#context.answer(now, transaction, request, 480, 'Temporarily Unavailable');
      return;
    }
    const { instance, contact, path } = location.target;
    this.#relay(now, arrived, {
      place: { kind: 'instance', aor, instance },
      requestUri: contact,
      routes: path,
      trunk: undefined,
    });
  }

  #relayToTrunk(now: InstantMs, arrived: Arrived, target: Extract<Target, { kind: 'trunk' }>): void {
    const { trunk, requestUri } = target;
    this.#relay(now, arrived, {
      place: { kind: 'trunk', name: trunk.name, hop: trunk.options.uri, flow: 0, life: '' },
      requestUri,
      routes: [],
      trunk,
    });
  }

  #relay(
    now: InstantMs,
    arrived: Arrived,
    to: {
      readonly place: Place;
      readonly requestUri: string;
      readonly routes: readonly string[];
      readonly trunk: Trunk | undefined;
    },
  ): void {
    const { transaction, request, origin, sender, routes } = arrived;
    const back = this.#placeOf(arrived);
    const { tokens, options } = this.#context;
    const recordRoutes = (sentBy: SentBy) => [
      recordRouteOf(
        sentByOf(options.listeners[origin.listener]!),
        tokens.sign(back, request.callId),
        request.uri,
      ),
      recordRouteOf(sentBy, tokens.sign(to.place, request.callId), request.uri),
    ];
    this.#relays.begin(now, {
      server: transaction,
      request,
      origin,
      place: to.place,
      requestUri: to.requestUri,
      routesRemoved: routes.count,
      routes: to.routes,
      recordRoutes: dialogMakers.has(request.method) ? recordRoutes : undefined,
      mayAssertIdentity: sender.trunk !== undefined,
      mayWait: false,
      trunk: to.trunk,
      call: undefined,
    });
  }

  #placeOf({ request, origin, sender }: Arrived): Place {
    const { trunk, user } = sender;
    const { life } = this.#context;
    if (trunk !== undefined) return placeOfTrunk(trunk.name, request, trunk.options.uri, origin, life);
    return placeOfUser(this.#locations, origin, user!.aor, life);
  }
}

/** Who calls: what a trunk asserts, or the From, which has been proved. */
function callerOf(request: SipRequest, { trunk, user }: Sender): Caller {
  const asserted = trunk === undefined ? undefined : request.headers('P-Asserted-Identity')[0];
  const uri = asserted === undefined ? undefined : /<([^>]*)>/.exec(asserted)?.[1];
  return {
    uri: uri ?? request.from.uriText,
    displayName: request.from.display,
    aor: user?.aor,
    trunk: trunk?.name,
  };
}

/**
 * What the app asks of a device's machine: to subscribe, to publish, and to tell the server what its user has decided about a call.
 * Each is answered once, by its ticket. Knows of the connection only what it may say on it; when to connect is the machine's.
 */
import { type InstantMs } from '../base/index.js';
import type { ClientInput, ClientOutput } from '../session/mqtt-client/index.js';
import { CallIntents } from './calls.js';
import { Requests } from './requests.js';
import type { DeviceInput, DeviceOutput, RequestRefusal } from './types.js';

type Asked<Kind extends DeviceInput['kind']> = Extract<DeviceInput, { readonly kind: Kind }>;
type Answered<Kind extends ClientOutput['kind']> = Extract<ClientOutput, { readonly kind: Kind }>;

/** What is needed of the machine. */
export interface AppRequestsHost {
  put(output: DeviceOutput): void;
  /** The line is stopped or refused: nothing is asked any more. */
  isOver(): boolean;
  /** Publications that the server takes at once on the connection that is open; undefined: none is. */
  receiveMaximum(): number | undefined;
  /** Says something on the connection, which is open. */
  say(now: InstantMs, input: ClientInput): void;
}

export class AppRequests {
  readonly #host: AppRequestsHost;
  readonly #requests = new Requests();
  readonly #intents = new CallIntents();

  constructor(host: AppRequestsHost) {
    this.#host = host;
  }

  /** Something is written and not answered. */
  get isWaiting(): boolean {
    return this.#requests.isWaiting;
  }

  /** What the user has decided is not answered, written or not. */
  get isIntentWaiting(): boolean {
    return this.#intents.isWaiting;
  }

  subscribe(now: InstantMs, { ticket, filter, qos }: Asked<'subscribe'>): void {
    const refuse = (outcome: RequestRefusal): void => this.#host.put({ kind: 'subscribed', ticket, outcome });
    if (this.#host.isOver()) return refuse('stopped');
    if (!this.#requests.addSubscription(ticket, filter, qos)) return refuse('too-many');
    this.send(now);
  }

  publish(now: InstantMs, { ticket, publication }: Asked<'publish'>): void {
    const answer = (outcome: number | RequestRefusal): void => {
      this.#host.put({ kind: 'published', ticket, outcome });
    };
    if (this.#host.isOver()) return answer('stopped');
    if (publication.qos === 0) {
      if (this.#host.receiveMaximum() === undefined) return answer('not-connected');
      this.#host.say(now, { kind: 'publish', packetId: 0, publication, duplicate: false });
      return answer(0);
    }
    if (!this.#requests.addPublication(ticket, publication)) return answer('too-many');
    this.send(now);
  }

  decideCall(now: InstantMs, { ticket, call, intent }: Asked<'call-intent'>): void {
    if (this.#host.isOver()) return this.#host.put({ kind: 'call-intended', ticket, outcome: 'stopped' });
    const id = this.#intents.add(ticket, call, intent);
    if (id === undefined) return this.#host.put({ kind: 'call-intended', ticket, outcome: 'too-many' });
    this.#sayIntent(id);
    this.send(now);
  }

  /** A connection has opened: what holds, or was not answered, is said again by {@link send}. */
  handleOpened(sessionPresent: boolean): void {
    this.#requests.handleOpened(sessionPresent);
    for (const id of this.#intents.takeUnanswered()) this.#sayIntent(id);
  }

  handlePublished(now: InstantMs, { packetId, reasonCode, reason }: Answered<'published'>): void {
    const answer = this.#requests.handlePublished(packetId, reasonCode);
    // A negative ticket is an intent's.
    if (answer !== undefined && answer.ticket < 0) {
      this.#put(this.#intents.handlePublished(answer.ticket, answer.outcome, reason));
    } else if (answer !== undefined) this.#host.put({ kind: 'published', ...answer, ...withReason(reason) });
    this.send(now);
  }

  handleSubscribed(now: InstantMs, { packetId, reasonCodes, reason }: Answered<'subscribed'>): void {
    for (const answer of this.#requests.handleSubscribed(packetId, reasonCodes)) {
      this.#host.put({ kind: 'subscribed', ...answer, ...withReason(reason) });
    }
    this.send(now);
  }

  /** The answer on `$line/call`. */
  handleIntentAnswer(body: Uint8Array): void {
    this.#put(this.#intents.handleAnswer(body));
  }

  /** Says what can be said now. */
  send(now: InstantMs): void {
    for (;;) {
      const receiveMaximum = this.#host.receiveMaximum();
      const input = receiveMaximum === undefined ? undefined : this.#requests.next(receiveMaximum);
      if (input === undefined) return;
      this.#host.say(now, input);
    }
  }

  /** The line is over: whoever waits hears it. */
  refuseAll(): void {
    const { subscriptions, publications } = this.#requests.takeAll();
    for (const ticket of subscriptions) this.#put({ kind: 'subscribed', ticket, outcome: 'stopped' });
    for (const ticket of publications) {
      if (ticket >= 0) this.#put({ kind: 'published', ticket, outcome: 'stopped' });
    }
    for (const intended of this.#intents.takeAll()) this.#put(intended);
  }

  /** With the publications of the app, which go out next. */
  #sayIntent(id: number): void {
    if (this.#requests.addPublication(id, this.#intents.publication(id))) return;
    this.#put(this.#intents.end(id, 'too-many'));
  }

  #put(output: DeviceOutput | undefined): void {
    if (output !== undefined) this.#host.put(output);
  }
}

function withReason(reason: string | undefined): { readonly reason?: string } {
  return reason === undefined ? {} : { reason };
}

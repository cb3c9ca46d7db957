/**
 * Our registration at one trunk (RFC 3261 §10.2): made, kept up and made again, so that calls come back on its flow.
 *
 * Nobody waits for it: what fails is tried again, later each time.
 */
import { SECOND_MS, type InstantMs } from '../../../base/index.js';
import type { SipFlow } from '../../../domain/index.js';
import { buildRequest, type SipResponse, type SipUri } from '../../../wire/sip/index.js';
import type { ClientOwner, StackContext } from '../context.js';
import type { TransactionKey } from '../edge-types.js';
import { ownUri, viaOf } from '../messages.js';
import type { SipTrunkRegistration } from '../options.js';
import type { Trunk, Trunks } from './trunks.js';

/** What is asked for, seconds. */
const EXPIRES_SECONDS = 3_600;
/** Renewed when this part of its time is over. */
const RENEWAL_SHARE = 0.8;
/** The first repetition after a failure, ms; doubled by each further one. */
const RETRY_MS_MIN = 2 * SECOND_MS;
const RETRY_MS_MAX = 300 * SECOND_MS;

export class TrunkRegistration implements ClientOwner {
  readonly #context: StackContext;
  readonly #trunks: Trunks;
  readonly #trunk: Trunk;
  readonly #registration: SipTrunkRegistration;
  readonly #callId: string;
  readonly #tag: string;
  #cseq = 0;
  #expiresSeconds = EXPIRES_SECONDS;
  #failureCount = 0;
  #flow: SipFlow | undefined;
  #client: TransactionKey | undefined;
  #isAuthorized = false;
  /** Of the timer that counts; others have been overtaken. */
  #timer = 0;

  constructor(context: StackContext, trunks: Trunks, trunk: Trunk, registration: SipTrunkRegistration) {
    this.#context = context;
    this.#trunks = trunks;
    this.#trunk = trunk;
    this.#registration = registration;
    this.#callId = context.randomHex();
    this.#tag = context.randomHex().slice(0, 16);
  }

  start(now: InstantMs): void {
    this.#timer += 1;
    if (this.#flow !== undefined && this.#context.edge.flowInfo(this.#flow) !== undefined) {
      this.#send(now, this.#flow);
      return;
    }
    this.#trunks.route(now, this.#trunk.options.uri, 0, (later, flow) => {
      if (flow === undefined) this.#retry(later);
      else this.#send(later, flow);
    });
  }

  handleFlowLost(now: InstantMs, flow: SipFlow): void {
    if (flow !== this.#flow) return;
    this.#flow = undefined;
    this.#trunk.flow = undefined;
    // With a request under way its end decides.
    if (this.#client === undefined) this.#retry(now);
  }

  handleResponse(now: InstantMs, transaction: TransactionKey, response: SipResponse): void {
    if (transaction !== this.#client || response.status < 200) return;
    this.#client = undefined;
    const { status } = response;
    if (status < 300) this.#handleRegistered(now, response);
    else if (status === 401 || status === 407) this.#handleChallenge(now, response);
    else if (status === 423) this.#handleBrief(now, response);
    else this.#retry(now);
  }

  handleFailure(now: InstantMs, transaction: TransactionKey): void {
    if (transaction !== this.#client) return;
    this.#client = undefined;
    this.#retry(now);
  }

  #handleRegistered(now: InstantMs, response: SipResponse): void {
    this.#failureCount = 0;
    this.#trunk.flow = this.#flow;
    const contacts = response.contacts;
    const user = this.#user;
    const own =
      contacts === undefined || contacts === '*'
        ? undefined
        : contacts.find(({ uri }) => (uri as SipUri | undefined)?.user === user);
    const said = Number(own?.params.get('expires') ?? response.expires ?? this.#expiresSeconds);
    const seconds = Number.isFinite(said) && said > 0 ? said : this.#expiresSeconds;
    this.#schedule(now, Math.max(seconds * RENEWAL_SHARE * SECOND_MS, SECOND_MS));
  }

  #handleChallenge(now: InstantMs, response: SipResponse): void {
    const name = response.status === 401 ? 'WWW-Authenticate' : 'Proxy-Authenticate';
    const { digest } = this.#trunk;
    const mayRepeat = digest?.handleChallenge(response.headers(name), this.#isAuthorized) === true;
    if (mayRepeat && this.#flow !== undefined) this.#send(now, this.#flow, response.status === 407);
    else this.#retry(now);
  }

  #handleBrief(now: InstantMs, response: SipResponse): void {
    const min = Number(response.header('Min-Expires'));
    if (!Number.isInteger(min) || min <= this.#expiresSeconds || this.#flow === undefined) {
      this.#retry(now);
      return;
    }
    this.#expiresSeconds = min;
    this.#send(now, this.#flow);
  }

  #send(now: InstantMs, flow: SipFlow, isProxy = false): void {
    const { edge } = this.#context;
    this.#flow = flow;
    this.#cseq += 1;
    const { address } = this.#registration;
    const uri = `sip:${address.slice(address.indexOf('@') + 1)}`;
    const sentBy = edge.sentBy(flow);
    const branch = `z9hG4bK-${this.#context.randomHex()}`;
    const authorization = this.#trunk.digest?.authorize('REGISTER', uri);
    this.#isAuthorized = authorization !== undefined;
    const bytes = buildRequest({
      method: 'REGISTER',
      uri,
      vias: [viaOf(sentBy, branch)],
      from: `<sip:${address}>;tag=${this.#tag}`,
      to: `<sip:${address}>`,
      callId: this.#callId,
      cseq: this.#cseq,
      headers: [
        ['Contact', `<${ownUri(sentBy, this.#user, false)}>;expires=${this.#expiresSeconds}`],
        ['Expires', String(this.#expiresSeconds)],
        ...(authorization === undefined
          ? []
          : [[isProxy ? 'Proxy-Authorization' : 'Authorization', authorization] as const]),
      ],
    });
    this.#client = edge.request(now, { method: 'REGISTER', branch, bytes, flow, outlivesFlow: false });
    if (this.#client === undefined) this.#retry(now);
    else this.#context.clientOwners.set(this.#client, this);
  }

  #retry(now: InstantMs): void {
    this.#trunk.flow = undefined;
    const ms = Math.min(RETRY_MS_MIN * 2 ** this.#failureCount, RETRY_MS_MAX);
    this.#failureCount += 1;
    this.#schedule(now, ms);
  }

  #schedule(now: InstantMs, ms: number): void {
    this.#timer += 1;
    const timer = this.#timer;
    this.#context.after(now, ms, (later) => {
      if (timer === this.#timer) this.start(later);
    });
  }

  get #user(): string {
    return this.#registration.address.split('@', 1)[0]!;
  }
}

/**
 * What phones and callers of the simulated world have in common: a process that can be frozen or dead, one stream, a
 * registration on it, and digests. Speaks SIP by `wire/sip` alone.
 */
import { createHash } from 'node:crypto';
import type { Prng } from '../../src/base/index.js';
import type { SipAddress } from '../../src/session/sip/index.js';
import {
  buildRequest,
  buildResponse,
  formatCredentials,
  parseChallenge,
  parseMessage,
  SipFramer,
  type HeaderList,
  type SipRequest,
  type SipResponse,
} from '../../src/wire/sip/index.js';
import type { SimClock } from './clock.js';
import type { NetworkClient, SimNetwork, Stream } from './network.js';
import { DOMAIN } from './sim-server.js';

export type ProcessState = 'running' | 'frozen' | 'dead';

export interface AgentOptions {
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly random: Prng;
  /** User part of the AOR; the password is `secret-` with it. */
  readonly user: string;
  readonly address: SipAddress;
  /** undefined: it never registers. */
  readonly instance: string | undefined;
  readonly pushResource: string | undefined;
  /** Until it connects again after its stream was lost, ms: least and most. */
  readonly reconnectMs: readonly [number, number];
}

/** A time with a beginning and an end; Infinity: it goes on. */
export interface Interval {
  readonly fromMs: number;
  toMs: number;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** How long an app runs after it was woken, ms. */
const WINDOW_MS = 10_000;
/** From data on a socket until a frozen process runs again, ms. */
const THAW_MS = 20;
/** How long a REGISTER is waited for, ms. */
const REGISTER_MS = 8_000;
/** A user who is asked for a password takes as long, ms. */
const PASSWORD_MS = 600;

export abstract class UserAgent implements NetworkClient {
  readonly options: AgentOptions;
  process: ProcessState = 'running';
  stream: Stream | undefined;
  isRegistered = false;
  /** When it could be reached by the server. */
  readonly reachable: Interval[] = [];
  protected run = 0;
  protected isConnected = false;
  /** It is frozen when it has nothing to do. */
  protected sleeps = false;
  protected wakesByData = false;
  #framer = new SipFramer();
  #backlog: (() => void)[] = [];
  #cseq = 0;
  #branch = 0;
  #nonce: string | undefined;
  #nonceCount = 0;
  #registerBranch: string | undefined;
  #reconnectDueMs: number | undefined;
  #windowEndMs = 0;

  constructor(options: AgentOptions) {
    this.options = options;
  }

  get address(): SipAddress {
    return this.options.address;
  }

  get aor(): string {
    return `${this.options.user}@${DOMAIN}`;
  }

  /** Of this run: another one has another. */
  get contactUser(): string {
    return `${this.options.user}-${this.options.address.port}-${this.run}`;
  }

  get contact(): string {
    return `sip:${this.contactUser}@${this.address.address}:${this.address.port};transport=tcp`;
  }

  protected get nowMs(): number {
    return this.options.clock.nowMs;
  }

  /** Whether what the server sends is read. */
  get isReachable(): boolean {
    if (!this.isRegistered || this.stream?.isWhole !== true) return false;
    return this.process === 'running' || (this.process === 'frozen' && this.wakesByData);
  }

  // ---- the process ----

  /** What happens in the process: later if it is frozen, never if it dies first. */
  protected do(run: () => void): void {
    if (this.process === 'dead') return;
    if (this.process === 'frozen') this.#backlog.push(run);
    else {
      run();
      this.noteReach();
    }
  }

  protected timer(ms: number, run: () => void): void {
    const life = this.run;
    this.options.clock.after(ms, () => {
      if (life === this.run) this.do(run);
    });
  }

  /** Whoever watches is told when it became reachable, or ceased to be. */
  noteReach(): void {
    const last = this.reachable.at(-1);
    const isOpen = last !== undefined && last.toMs === Infinity;
    if (this.isReachable === isOpen) return;
    if (isOpen) last.toMs = this.nowMs;
    else this.reachable.push({ fromMs: this.nowMs, toMs: Infinity });
  }

  start(): void {
    this.run += 1;
    this.process = 'running';
    this.#nonce = undefined;
    this.#cseq = 0;
    this.openWindow();
    this.connect();
  }

  /** The process ends, with all that it knew. */
  die(): void {
    if (this.process === 'dead') return;
    this.process = 'dead';
    this.run += 1;
    this.#backlog = [];
    this.#reconnectDueMs = undefined;
    this.#dropStream();
    this.noteReach();
  }

  protected openWindow(): void {
    if (!this.sleeps) return;
    this.#windowEndMs = this.nowMs + WINDOW_MS;
    const life = this.run;
    this.options.clock.after(WINDOW_MS, () => {
      if (life !== this.run || this.process !== 'running' || this.nowMs < this.#windowEndMs) return;
      this.process = 'frozen';
      this.noteReach();
    });
  }

  /** It runs for a while: what has waited happens. */
  thaw(): void {
    if (this.process === 'dead') return;
    this.openWindow();
    if (this.process === 'running') return;
    this.process = 'running';
    for (const run of this.#backlog.splice(0)) this.do(run);
    this.noteReach();
  }

  /** Somebody looks at it, or a push came: it makes sure that it is there. */
  wake(): void {
    if (this.process === 'dead') return this.start();
    this.thaw();
    this.do(() => {
      if (this.stream === undefined) this.connect();
    });
  }

  // ---- the stream ----

  connect(): void {
    this.#reconnectDueMs = undefined;
    if (this.stream !== undefined) return;
    this.#framer = new SipFramer();
    this.stream = this.options.network.connect(this);
  }

  onConnected(stream: Stream): void {
    this.do(() => {
      if (stream !== this.stream) return;
      this.isConnected = true;
      this.register();
      this.handleConnected();
    });
  }

  onCut(): void {
    this.noteReach();
  }

  onStreamClosed(stream: Stream): void {
    if (this.process === 'frozen') this.options.clock.after(THAW_MS, () => this.thaw());
    this.do(() => {
      if (stream !== this.stream) return;
      this.#dropStream();
      this.handleStreamLost();
      this.#scheduleConnect();
    });
    this.noteReach();
  }

  protected handleConnected(): void {}

  protected handleRegistered(): void {}

  protected handleStreamLost(): void {}

  #dropStream(): void {
    const { stream } = this;
    this.stream = undefined;
    this.isConnected = this.isRegistered = false;
    if (stream !== undefined) this.options.network.closeByClient(stream);
  }

  #scheduleConnect(): void {
    const [least, most] = this.options.reconnectMs;
    const ms = this.options.random.nextInteger(least, most);
    const dueMs = this.nowMs + ms;
    this.#reconnectDueMs = dueMs;
    this.timer(ms, () => {
      if (this.#reconnectDueMs === dueMs) this.connect();
    });
  }

  onBytes(bytes: Uint8Array, stream: Stream | undefined): void {
    if (this.process === 'frozen' && this.wakesByData) this.options.clock.after(THAW_MS, () => this.thaw());
    this.do(() => {
      if (stream === undefined) {
        const message = parseMessage(bytes);
        if (message.kind !== 'fault') this.#handle(message, stream);
        return;
      }
      if (stream !== this.stream) return;
      this.#framer.push(bytes);
      for (let item = this.#framer.next(); item !== undefined; item = this.#framer.next()) {
        if (item.kind === 'request' || item.kind === 'response') this.#handle(item, stream);
        if (stream !== this.stream) return;
      }
    });
  }

  #handle(message: SipRequest | SipResponse, stream: Stream | undefined): void {
    if (message.kind === 'request') this.handleRequest(message, stream);
    else if (message.cseq.method === 'REGISTER') this.#handleRegisterAnswer(message);
    else this.handleResponse(message);
  }

  protected abstract handleRequest(request: SipRequest, stream: Stream | undefined): void;
  protected abstract handleResponse(response: SipResponse): void;

  /** False: there is no stream to send it on. */
  protected write(bytes: Uint8Array): boolean {
    const { stream } = this;
    if (stream === undefined || !this.isConnected) return false;
    this.options.network.writeToServer(stream, bytes);
    return true;
  }

  protected nextBranch(): string {
    return `z9hG4bK${this.options.user}${this.address.port}r${this.run}n${(this.#branch += 1)}`;
  }

  protected via(branch: string): string {
    return `SIP/2.0/TCP ${this.address.address}:${this.address.port};rport;branch=${branch}`;
  }

  protected respond(
    request: SipRequest,
    status: number,
    reason: string,
    toTag: string,
    headers: HeaderList = [],
  ): Uint8Array {
    return buildResponse(request, status, reason, { toTag, headers });
  }

  // ---- registration ----

  /** @param isAnonymous it forgets its password: the server asks, and its user takes a moment. */
  register(isAnonymous = false): void {
    const { instance } = this.options;
    if (instance === undefined || !this.isConnected) return;
    if (isAnonymous) this.#nonce = undefined;
    this.#sendRegister();
  }

  /** It registers anew, for whatever reason. */
  refresh(isAnonymous: boolean): void {
    if (this.process === 'dead') return this.start();
    this.thaw();
    this.do(() => {
      if (this.stream === undefined) this.connect();
      else this.register(isAnonymous);
    });
  }

  #sendRegister(): void {
    const { instance, pushResource } = this.options;
    const branch = this.nextBranch();
    this.#registerBranch = branch;
    const uri = `sip:${DOMAIN}`;
    const push = pushResource === undefined ? '' : `;pn-provider=webpush;pn-prid=${pushResource}`;
    const contact = `<${this.contact};ob${push}>;+sip.instance="<${instance}>";reg-id=1;expires=7200`;
    const headers: [string, string][] = [
      ['Contact', contact],
      ['Supported', 'outbound, path'],
    ];
    if (this.#nonce !== undefined)
      headers.push(['Authorization', this.credentials('REGISTER', uri, this.#nonce)]);
    this.write(
      buildRequest({
        method: 'REGISTER',
        uri,
        vias: [this.via(branch)],
        from: `<sip:${this.aor}>;tag=reg`,
        to: `<sip:${this.aor}>`,
        callId: `run-${this.contactUser}`,
        cseq: (this.#cseq += 1),
        headers,
      }),
    );
    this.timer(REGISTER_MS, () => {
      if (this.#registerBranch === branch && this.isConnected) this.#sendRegister();
    });
  }

  protected credentials(method: string, uri: string, nonce: string): string {
    const nc = (this.#nonceCount += 1).toString(16).padStart(8, '0');
    const cnonce = 'c0';
    const ha1 = sha256(`${this.options.user}:${DOMAIN}:secret-${this.options.user}`);
    const response = sha256(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${sha256(`${method}:${uri}`)}`);
    const fields = {
      username: this.options.user,
      realm: DOMAIN,
      nonce,
      uri,
      response,
      algorithm: 'SHA-256',
      qop: 'auth',
      nc,
      cnonce,
    };
    return formatCredentials({ scheme: 'Digest', fields: new Map(Object.entries(fields)) });
  }

  protected nonceOf(response: SipResponse, name: string): string {
    return parseChallenge(response.header(name)!)!.fields.get('nonce')!;
  }

  #handleRegisterAnswer(response: SipResponse): void {
    if (response.topVia.branch !== this.#registerBranch) return;
    this.#registerBranch = undefined;
    const { status } = response;
    if (status === 401) {
      const isAsked = this.#nonce === undefined && this.isRegistered;
      this.#nonce = this.nonceOf(response, 'WWW-Authenticate');
      this.#nonceCount = 0;
      this.timer(isAsked ? PASSWORD_MS : 0, () => {
        if (this.isConnected) this.#sendRegister();
      });
    } else if (status === 200) {
      this.isRegistered = true;
      this.handleRegistered();
    } else if (status >= 500) {
      // The disk or the order: it tries again.
      this.timer(1_000, () => this.register());
    }
  }
}

export function userOf(name: string): {
  aor: string;
  ha1: { 'sha-256': string };
  devices: readonly string[];
} {
  return {
    aor: `${name}@${DOMAIN}`,
    ha1: { 'sha-256': sha256(`${name}:${DOMAIN}:secret-${name}`) },
    devices: [],
  };
}

/**
 * A small world for the SIP stack: a virtual clock, phones and servers that speak in texts, and a hub that decides by
 * simple rules. Nothing here waits: after each step everything that follows at once has happened.
 */
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { decodeUtf8, encodeUtf8, Prng, type InstantMs } from '../../../src/base/index.js';
import type { CallEvent, SipUser } from '../../../src/domain/index.js';
import { DigestClient } from '../../../src/session/sip/digest/index.js';
import {
  SipStack,
  type SipCrypto,
  type SipListener,
  type SipOutput,
  type RefusalDetail,
  type SipRefusal,
  type SipStackOptions,
  type SipTransport,
  type SipTrunk,
} from '../../../src/session/sip/index.js';
import {
  parseMessage,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from '../../../src/wire/sip/index.js';
import { FakeHub } from './fake-hub.js';

export const DOMAIN = 'home.test';
export const SERVER = '192.0.2.1';

export const listeners: readonly SipListener[] = [
  { transport: 'tcp', advertised: { host: SERVER, port: 5060 }, trunksOnly: false },
  { transport: 'udp', advertised: { host: SERVER, port: 5060 }, trunksOnly: false },
  { transport: 'udp', advertised: { host: SERVER, port: 5070 }, trunksOnly: true },
  { transport: 'ws', advertised: { host: SERVER, port: 8600 }, trunksOnly: false },
];

export const pbx: SipTrunk = {
  name: 'pbx',
  uri: 'sip:192.0.2.10:5060;transport=udp',
  addresses: ['192.0.2.10'],
  numbers: ['+*', '*@pbx.test'],
  registration: undefined,
};

/** Random bytes that are the same in each run. */
function makeCrypto(): SipCrypto {
  const random = new Prng(7);
  const hash = (name: string, data: Uint8Array) => Uint8Array.from(createHash(name).update(data).digest());
  return {
    sha256: (data) => hash('sha256', data),
    md5: (data) => hash('md5', data),
    hmacSha256: (key, data) => Uint8Array.from(createHmac('sha256', key).update(data).digest()),
    randomBytes: (count) => Uint8Array.from({ length: count }, () => random.nextUint32() & 0xff),
  };
}

function userOf(name: string): SipUser {
  const hash = (algorithm: string): string =>
    createHash(algorithm).update(`${name}:${DOMAIN}:secret-${name}`).digest('hex');
  return { aor: `${name}@${DOMAIN}`, ha1: { 'sha-256': hash('sha256'), md5: hash('md5') }, devices: [] };
}

export class World {
  now: InstantMs = { monotonic: 0, wall: 1_700_000_000_000 };
  readonly hub = new FakeHub(() => this.now.wall);
  readonly users = new Map<string, SipUser>();
  readonly crypto = makeCrypto();
  /** Names of what was refused, in order. */
  readonly refusals: SipRefusal[] = [];
  /** What logs are told beside the names, of those that have more to tell. */
  readonly refusalDetails: RefusalDetail[] = [];
  /** Outputs that are for the host alone. */
  readonly others: SipOutput[] = [];
  /** Sees all bytes that leave. */
  onSend: ((bytes: Uint8Array) => void) | undefined;
  /** Sees all bytes that come. */
  onReceive: ((bytes: Uint8Array) => void) | undefined;
  stack: SipStack;
  readonly #options: SipStackOptions;
  readonly #peers: Peer[] = [];
  #lastConnection = 0;

  constructor(options: Partial<SipStackOptions> = {}) {
    for (const name of ['alice', 'bob', 'carol']) {
      const user = userOf(name);
      this.users.set(user.aor, user);
    }
    this.#options = {
      listeners,
      domains: [DOMAIN],
      findUser: (aor) => this.users.get(aor),
      trunks: [pbx],
      crypto: this.crypto,
      key: new Uint8Array(32).fill(9),
      parkMs: 45_000,
      ...options,
    };
    this.stack = new SipStack(this.#options);
  }

  /** Another life of the process: connections are gone, what the hub knows is told again. */
  restart(restored: CallEvent): void {
    for (const peer of this.#peers) peer.isOpen = false;
    this.stack = new SipStack(this.#options);
    this.tell(restored);
  }

  /** A phone that connects by a stream. */
  connect(address: string, transport: 'tcp' | 'ws' = 'tcp'): Peer {
    const connection = (this.#lastConnection += 1);
    const peer = new Peer(this, transport, { address, port: 40_000 + connection }, connection);
    this.#peers.push(peer);
    this.stack.handleInput(this.now, {
      kind: 'connection-opened',
      connection,
      listener: transport === 'tcp' ? 0 : 3,
      transport,
      remote: peer.remote,
    });
    this.settle();
    return peer;
  }

  /** Somebody on UDP. @param listener index. */
  datagrams(address: string, port = 5060, listener = 1): Peer {
    const peer = new Peer(this, 'udp', { address, port }, listener);
    this.#peers.push(peer);
    return peer;
  }

  tell(...events: CallEvent[]): void {
    this.stack.handleInput(this.now, { kind: 'events', events });
    this.settle();
  }

  input(input: Parameters<SipStack['handleInput']>[1]): void {
    this.stack.handleInput(this.now, input);
    this.settle();
  }

  /** Lets time pass, stopping at each deadline. */
  pass(ms: number): void {
    const end = this.now.monotonic + ms;
    for (;;) {
      const next = Math.max(this.stack.nextTimeoutMs(), this.now.monotonic);
      if (next > end) break;
      this.#setTime(next);
      this.stack.handleTimeout(this.now);
      this.settle();
      // A deadline that stays due would keep us here for ever.
      if (this.stack.nextTimeoutMs() <= this.now.monotonic) this.#setTime(this.now.monotonic + 1);
    }
    this.#setTime(end);
  }

  settle(): void {
    for (;;) {
      const output = this.stack.pollOutput();
      if (output === undefined) return;
      this.#handleOutput(output);
    }
  }

  #setTime(monotonic: number): void {
    this.now = { monotonic, wall: this.now.wall + (monotonic - this.now.monotonic) };
  }

  #handleOutput(output: SipOutput): void {
    switch (output.kind) {
      case 'commands': {
        const events = output.commands.flatMap((command) => this.hub.handle(command));
        if (events.length > 0) this.stack.handleInput(this.now, { kind: 'events', events });
        return;
      }
      case 'write':
        this.onSend?.(output.bytes);
        this.#peers.find((peer) => peer.isOn(output.connection))?.receive(output.bytes);
        return;
      case 'send':
        this.onSend?.(output.bytes);
        this.#peers
          .find((peer) => peer.isAt(output.listener, output.remote.address, output.remote.port))
          ?.receive(output.bytes);
        return;
      case 'refused':
        this.refusals.push(output.refusal);
        if (output.detail !== undefined) this.refusalDetails.push(output.detail);
        return;
      default:
        this.others.push(output);
    }
  }
}

export interface RequestParts {
  readonly uri?: string;
  readonly from?: string;
  readonly to?: string;
  readonly fromTag?: string;
  readonly toTag?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly branch?: string;
  readonly contact?: string | undefined;
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** What others take of a message is theirs to decide. */
const unbounded = { bodyBytesMax: Infinity, headBytesMax: Infinity, headerLinesMax: Infinity };

/** Somebody who speaks SIP. */
export class Peer {
  readonly transport: SipTransport;
  readonly remote: { readonly address: string; readonly port: number };
  isOpen = true;
  /** It takes no notice of what comes. */
  isDeaf = false;
  readonly #world: World;
  /** Of a stream its connection, on UDP the listener that it writes to. */
  readonly #channel: number;
  readonly #inbox: SipMessage[] = [];
  #rest = new Uint8Array(0);
  #branchCount = 0;

  constructor(world: World, transport: SipTransport, remote: Peer['remote'], channel: number) {
    this.#world = world;
    this.transport = transport;
    this.remote = remote;
    this.#channel = channel;
  }

  get hostPort(): string {
    return `${this.remote.address}:${this.remote.port}`;
  }

  isOn(connection: number): boolean {
    return this.isOpen && this.transport !== 'udp' && this.#channel === connection;
  }

  isAt(listener: number, address: string, port: number): boolean {
    return (
      this.transport === 'udp' &&
      this.#channel === listener &&
      this.remote.address === address &&
      this.remote.port === port
    );
  }

  receive(bytes: Uint8Array): void {
    if (this.isDeaf) return;
    const held = new Uint8Array(this.#rest.length + bytes.length);
    held.set(this.#rest);
    held.set(bytes, this.#rest.length);
    this.#rest = held;
    while (this.#rest.length > 0) {
      const message = parseMessage(this.#rest, unbounded);
      assert.notEqual(message.kind, 'fault', JSON.stringify(message));
      const parsed = message as SipMessage;
      this.#inbox.push(parsed);
      this.#rest = this.#rest.slice(parsed.bytes.length);
    }
  }

  send(text: string): void {
    this.sendBytes(encodeUtf8(text));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#world.onReceive?.(bytes);
    const remote = this.remote;
    this.#world.input(
      this.transport === 'udp'
        ? { kind: 'datagram', listener: this.#channel, remote, bytes }
        : { kind: 'bytes', connection: this.#channel, chunk: bytes },
    );
  }

  close(): void {
    this.isOpen = false;
    this.#world.input({ kind: 'connection-closed', connection: this.#channel });
  }

  /** A request as this peer would write it. */
  request(method: string, parts: RequestParts = {}): string {
    const branch = parts.branch ?? `z9hG4bK${this.#channel}x${(this.#branchCount += 1)}`;
    const to = parts.to ?? `sip:bob@${DOMAIN}`;
    const lines = [
      `${method} ${parts.uri ?? to} SIP/2.0`,
      `Via: SIP/2.0/${this.transport.toUpperCase()} ${this.hostPort};rport;branch=${branch}`,
      'Max-Forwards: 70',
      `From: <${parts.from ?? `sip:alice@${DOMAIN}`}>;tag=${parts.fromTag ?? 'from1'}`,
      `To: <${to}>${parts.toTag === undefined ? '' : `;tag=${parts.toTag}`}`,
      `Call-ID: ${parts.callId ?? 'call1'}`,
      `CSeq: ${parts.cseq ?? 1} ${method}`,
      ...('contact' in parts
        ? parts.contact === undefined
          ? []
          : [`Contact: ${parts.contact}`]
        : [`Contact: <sip:me@${this.hostPort};transport=${this.transport}>`]),
      ...(parts.headers ?? []),
      `Content-Length: ${encodeUtf8(parts.body ?? '').length}`,
    ];
    return `${lines.join('\r\n')}\r\n\r\n${parts.body ?? ''}`;
  }

  /** Sends a request, answers the challenge that comes, and returns the text that was sent last. */
  ask(name: string, method: string, parts: RequestParts = {}): string {
    this.send(this.request(method, parts));
    const challenge = this.response();
    assert.ok(
      challenge.status === 401 || challenge.status === 407,
      `${challenge.status} ${challenge.reason}`,
    );
    if (method === 'INVITE') this.send(this.ackOf(this.request(method, parts), challenge));
    const again = { ...parts, cseq: (parts.cseq ?? 1) + 1 };
    const text = this.request(method, {
      ...again,
      headers: [...(parts.headers ?? []), this.credentials(name, method, parts, challenge)],
    });
    this.send(text);
    return text;
  }

  credentials(name: string, method: string, parts: RequestParts, challenge: SipResponse): string {
    const isProxy = challenge.status === 407;
    const { crypto } = this.#world;
    const client = new DigestClient({ crypto, username: name, password: `secret-${name}` });
    const values = challenge.headers(isProxy ? 'Proxy-Authenticate' : 'WWW-Authenticate');
    assert.ok(client.handleChallenge(values, false));
    const uri = parts.uri ?? parts.to ?? `sip:bob@${DOMAIN}`;
    return `${isProxy ? 'Proxy-Authorization' : 'Authorization'}: ${client.authorize(method, uri)!}`;
  }

  /** The ACK for a final response other than 2xx. */
  ackOf(invite: string, response: SipResponse): string {
    const request = parseMessage(encodeUtf8(invite)) as SipRequest;
    return [
      `ACK ${request.uri} SIP/2.0`,
      `Via: ${response.topVia.text}`,
      'Max-Forwards: 70',
      `From: ${request.from.text}`,
      `To: ${response.to.text}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${response.cseq.number} ACK`,
      'Content-Length: 0',
      '\r\n',
    ].join('\r\n');
  }

  /** Registers a user of the world; returns the 2xx. */
  register(name: string, parts: RequestParts & { readonly contactParams?: string } = {}): SipResponse {
    const aor = `sip:${name}@${DOMAIN}`;
    const params = parts.contactParams ?? '';
    this.ask(name, 'REGISTER', {
      uri: `sip:${DOMAIN}`,
      from: aor,
      to: aor,
      callId: `run-${name}-${this.#channel}`,
      contact: `<sip:${name}@${this.hostPort};transport=${this.transport}>${params}`,
      ...parts,
    });
    return this.response();
  }

  /** Sends a response to a request that came. */
  reply(
    request: SipRequest,
    status: number,
    reason: string,
    options: { readonly tag?: string; readonly headers?: readonly string[]; readonly body?: string } = {},
  ): void {
    const isDialog = request.method === 'INVITE' && status > 100 && status < 300;
    const lines = [
      `SIP/2.0 ${status} ${reason}`,
      ...request.headers('Via').map((value) => `Via: ${value}`),
      ...(isDialog ? request.headers('Record-Route').map((value) => `Record-Route: ${value}`) : []),
      `From: ${request.from.text}`,
      `To: ${request.to.text}${status === 100 || request.to.tag !== undefined ? '' : `;tag=${options.tag ?? 'to1'}`}`,
      `Call-ID: ${request.callId}`,
      `CSeq: ${request.cseq.number} ${request.cseq.method}`,
      ...(isDialog ? [`Contact: <sip:device@${this.hostPort};transport=${this.transport}>`] : []),
      ...(options.headers ?? []),
      `Content-Length: ${(options.body ?? '').length}`,
    ];
    this.send(`${lines.join('\r\n')}\r\n\r\n${options.body ?? ''}`);
  }

  /** What came and was not taken yet, as `INVITE` or `180`. */
  get waiting(): string[] {
    return this.#inbox.map((message) =>
      message.kind === 'request' ? message.method : String(message.status),
    );
  }

  take(): SipMessage {
    const message = this.#inbox.shift();
    assert.ok(message !== undefined, 'nothing came');
    return message;
  }

  /** The next message, which must be a response. */
  response(): SipResponse {
    const message = this.take();
    assert.equal(message.kind, 'response', textOf(message));
    return message as SipResponse;
  }

  /** The next message, which must be a request of this method. */
  incoming(method: string): SipRequest {
    const message = this.take();
    assert.ok(message.kind === 'request' && message.method === method, textOf(message));
    return message;
  }

  clear(): void {
    this.#inbox.length = 0;
  }
}

export function textOf(message: SipMessage): string {
  return decodeUtf8(message.bytes, 0, message.bytes.length) ?? '';
}

/**
 * Calls by the hundred, by hand: one socket that speaks for many callers behind a trunk, with a client transaction for each
 * call, and phones that take them, lose their connection and come back. Each call is judged by what its caller heard.
 */
import { createSocket } from 'node:dgram';
import type { Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { authorize, RawMessage, token } from './raw-sip.js';
import { DOMAIN } from './sip-server.js';
import { sleep, until } from './support.js';

const T1_MS = 500;
const TIMER_F_MS = 64 * T1_MS;
/** Longer than a caller's Timer B: a server that a busy machine starts again may take longer than that. */
const INVITE_MS_MAX = 120_000;

/** What one caller knows of its call. */
export interface LoadedCall {
  readonly callId: string;
  readonly user: string;
  readonly startedMs: number;
  /** From a provisional response on the server owes it an end. */
  isPromised: boolean;
  /** Final status; undefined: none yet. 0: nothing at all came within two minutes. */
  status: number | undefined;
  endedMs: number | undefined;
  /** Provisional statuses, each once. */
  readonly provisionals: Set<number>;
  cancelled: boolean;
  /** Its BYE was answered. */
  isOver: boolean;
}

interface Leg {
  readonly call: LoadedCall;
  readonly invite: string;
  readonly via: string;
  readonly talkMs: number;
  bye: string | undefined;
}

function headerLine(name: string, value: string): string {
  return `${name}: ${value}`;
}

/** Callers behind a trunk, all of them by UDP from one port. */
export class CallLoad {
  readonly calls: LoadedCall[] = [];
  readonly #legs = new Map<string, Leg>();
  readonly #socket: DatagramSocket;
  readonly #port: number;
  readonly #serverPort: number;
  readonly #address: string;
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(socket: DatagramSocket, address: string, serverPort: number) {
    this.#socket = socket;
    this.#port = socket.address().port;
    this.#address = address;
    this.#serverPort = serverPort;
    socket.on('message', (bytes) => this.#handle(new RawMessage(bytes.toString('latin1'))));
    // A server that is down refuses datagrams; the transaction sends again.
    socket.on('error', () => {});
  }

  static async open(address: string, serverPort: number): Promise<CallLoad> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 }).bind(0, address);
    await once(socket, 'listening');
    return new CallLoad(socket, address, serverPort);
  }

  /** Those that were told that they are tried and have heard no end. */
  get waiting(): readonly LoadedCall[] {
    return this.calls.filter(({ status }) => status === undefined);
  }

  /** @param talkMs between the answer and the BYE. */
  call(user: string, talkMs = 500): LoadedCall {
    const number = this.calls.length;
    const callId = `load-${number}-${token()}`;
    const via = `SIP/2.0/UDP ${this.#address}:${this.#port};branch=z9hG4bK${token()}${number};rport`;
    const call: LoadedCall = {
      callId,
      user,
      startedMs: performance.now(),
      isPromised: false,
      status: undefined,
      endedMs: undefined,
      provisionals: new Set(),
      cancelled: false,
      isOver: false,
    };
    const invite = [
      `INVITE sip:${user}@${DOMAIN} SIP/2.0`,
      headerLine('Via', via),
      'Max-Forwards: 70',
      `From: <sip:caller${number}@pbx.test>;tag=f${number}`,
      `To: <sip:${user}@${DOMAIN}>`,
      headerLine('Call-ID', callId),
      'CSeq: 1 INVITE',
      `Contact: <sip:caller${number}@${this.#address}:${this.#port}>`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n');
    const leg: Leg = { call, invite, via, talkMs, bye: undefined };
    this.calls.push(call);
    this.#legs.set(callId, leg);
    this.#send(invite);
    this.#repeat(
      T1_MS,
      4_000,
      () => call.isPromised || call.status !== undefined,
      () => this.#send(invite),
      () => this.#end(call, 0),
      INVITE_MS_MAX,
    );
    return call;
  }

  cancel(call: LoadedCall): void {
    if (call.cancelled || call.status !== undefined || !call.isPromised) return;
    call.cancelled = true;
    const { invite } = this.#legs.get(call.callId)!;
    const cancel = invite
      .replace(/^INVITE/, 'CANCEL')
      .replace('CSeq: 1 INVITE', 'CSeq: 1 CANCEL')
      .replace(/Contact: .*\r\n/, '');
    this.#send(cancel);
    this.#repeat(
      T1_MS,
      4_000,
      () => call.status !== undefined,
      () => this.#send(cancel),
    );
  }

  /** Resolves when every call has heard its end, and those that were answered are hung up. */
  async settled(timeoutMs: number): Promise<void> {
    await until(
      () => this.calls.every(({ status, isOver }) => status !== undefined && (status !== 200 || isOver)),
      timeoutMs,
      () =>
        this.calls
          .filter(({ status, isOver }) => status === undefined || (status === 200 && !isOver))
          .map((call) => JSON.stringify({ ...call, provisionals: [...call.provisionals] }))
          .slice(0, 20)
          .join('\n'),
    );
  }

  /** How many ended with each status. */
  get counts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { status } of this.calls) {
      const name = String(status ?? 'none');
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  end(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#socket.close();
    return Promise.resolve();
  }

  #handle(message: RawMessage): void {
    if (message.status === 0) return this.#respond(message);
    const leg = this.#legs.get(message.header('Call-ID'));
    if (leg === undefined) return;
    const { call } = leg;
    if (message.method === 'BYE') {
      if (message.status >= 200) call.isOver = true;
      return;
    }
    if (message.method !== 'INVITE') return;
    if (message.status < 200) {
      call.isPromised = true;
      call.provisionals.add(message.status);
      return;
    }
    this.#end(call, message.status);
    if (message.status >= 300) {
      this.#send(this.#inDialog(leg, message, 'ACK', 1, leg.via, [], undefined));
      return;
    }
    const routes = message.all('Record-Route').toReversed();
    const target = /<([^>]+)>/.exec(message.header('Contact'))?.[1];
    this.#send(this.#inDialog(leg, message, 'ACK', 1, this.#via(), routes, target));
    if (leg.bye !== undefined) return;
    leg.bye = this.#inDialog(leg, message, 'BYE', 2, this.#via(), routes, target);
    this.#later(leg.talkMs, () => {
      this.#send(leg.bye!);
      this.#repeat(
        T1_MS,
        4_000,
        () => call.isOver,
        () => this.#send(leg.bye!),
        // RFC 3261 §15.1.1: a BYE without an answer ends the dialog all the same.
        () => (call.isOver = true),
      );
    });
  }

  #respond(request: RawMessage): void {
    if (request.method !== 'BYE') return;
    const leg = this.#legs.get(request.header('Call-ID'));
    if (leg !== undefined) leg.call.isOver = true;
    this.#send(
      [
        'SIP/2.0 200 OK',
        ...request.all('Via').map((value) => headerLine('Via', value)),
        headerLine('From', request.header('From')),
        headerLine('To', request.header('To')),
        headerLine('Call-ID', request.header('Call-ID')),
        headerLine('CSeq', request.header('CSeq')),
        'Content-Length: 0',
        '',
        '',
      ].join('\r\n'),
    );
  }

  #end(call: LoadedCall, status: number): void {
    if (call.status !== undefined) return;
    call.status = status;
    call.endedMs = performance.now();
  }

  #via(): string {
    return `SIP/2.0/UDP ${this.#address}:${this.#port};branch=z9hG4bK${token()};rport`;
  }

  #inDialog(
    { invite }: Leg,
    answer: RawMessage,
    method: string,
    cseq: number,
    via: string,
    routes: readonly string[],
    target: string | undefined,
  ): string {
    const first = /^INVITE (\S+)/.exec(invite)![1]!;
    return [
      `${method} ${target ?? first} SIP/2.0`,
      headerLine('Via', via),
      'Max-Forwards: 70',
      ...routes.map((route) => headerLine('Route', route)),
      headerLine('From', answer.header('From')),
      headerLine('To', answer.header('To')),
      headerLine('Call-ID', answer.header('Call-ID')),
      `CSeq: ${cseq} ${method}`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n');
  }

  #send(text: string): void {
    this.#socket.send(text, this.#serverPort, '127.0.0.1');
  }

  /** Again and again, until it is no longer needed or `giveUpMs` are over. */
  #repeat(
    ms: number,
    mostMs: number,
    isDone: () => boolean,
    run: () => void,
    giveUp?: () => void,
    giveUpMs = TIMER_F_MS,
  ): void {
    const endMs = performance.now() + giveUpMs;
    const next = (waitMs: number): void =>
      this.#later(waitMs, () => {
        if (isDone()) return;
        if (performance.now() >= endMs) return giveUp?.();
        run();
        next(Math.min(waitMs * 2, mostMs));
      });
    next(ms);
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}

export interface LoadedPhoneOptions {
  readonly user: string;
  readonly port: number;
  /** Between ringing and the answer, ms; undefined: it rings on. */
  readonly answerAfterMs: number | undefined;
  readonly reconnectMs: number;
}

/**
 * A phone that answers what rings, connects again when its connection is lost, and says there what it has said of a call
 * that is not over.
 */
export class LoadedPhone {
  readonly #options: LoadedPhoneOptions;
  readonly #run = token();
  readonly #instance = `urn:uuid:${crypto.randomUUID()}`;
  /** The last response to each INVITE, by branch; until its ACK or CANCEL. */
  readonly #responses = new Map<string, string>();
  readonly #seen = new Set<string>();
  #socket: Socket | undefined;
  #rest = '';
  #cseq = 0;
  #isEnded = false;
  isRegistered = false;
  /** INVITEs of different calls that came. */
  rang = 0;

  constructor(options: LoadedPhoneOptions) {
    this.#options = options;
    this.#connect();
  }

  async registered(timeoutMs = 60_000): Promise<void> {
    await until(
      () => this.isRegistered,
      timeoutMs,
      () => `${this.#options.user} is registered`,
    );
  }

  end(): Promise<void> {
    this.#isEnded = true;
    this.#socket?.destroy();
    return Promise.resolve();
  }

  /** It is away: without a connection, until it is told to come back. */
  leave(): void {
    this.#isEnded = true;
    this.#socket?.destroy();
  }

  comeBack(): void {
    this.#isEnded = false;
    this.#connect();
  }

  #connect(): void {
    const { port } = this.#options;
    const socket = connect({ port, host: '127.0.0.1' });
    this.#socket = socket;
    this.#rest = '';
    socket.on('connect', () => this.#register(undefined));
    socket.on('data', (bytes: Buffer) => {
      this.#rest += bytes.toString('latin1');
      this.#split();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isRegistered = false;
      if (this.#socket !== socket || this.#isEnded) return;
      void sleep(this.#options.reconnectMs).then(() => {
        if (!this.#isEnded) this.#connect();
      });
    });
  }

  get #contact(): string {
    return `<sip:${this.#options.user}-${this.#run}@127.0.0.1:5999;transport=tcp;ob>`;
  }

  #register(authorization: string | undefined): void {
    const { user } = this.#options;
    this.#cseq += 1;
    this.#socket?.write(
      [
        `REGISTER sip:${DOMAIN} SIP/2.0`,
        `Via: SIP/2.0/TCP 127.0.0.1:5999;branch=z9hG4bK${token()};rport`,
        'Max-Forwards: 70',
        `From: <sip:${user}@${DOMAIN}>;tag=r`,
        `To: <sip:${user}@${DOMAIN}>`,
        headerLine('Call-ID', `run-${this.#run}`),
        `CSeq: ${this.#cseq} REGISTER`,
        `Contact: ${this.#contact};+sip.instance="<${this.#instance}>";reg-id=1;expires=7200`,
        'Supported: outbound, path',
        ...(authorization === undefined ? [] : [authorization]),
        'Content-Length: 0',
        '',
        '',
      ].join('\r\n'),
    );
  }

  #split(): void {
    for (;;) {
      this.#rest = this.#rest.replace(/^(?:\r\n)+/, '');
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const message = new RawMessage(this.#rest.slice(0, end + 4));
      this.#rest = this.#rest.slice(end + 4 + Number(message.header('Content-Length') || 0));
      if (message.status === 0) this.#handleRequest(message);
      else if (message.method === 'REGISTER') this.#handleRegisterAnswer(message);
    }
  }

  #handleRegisterAnswer(answer: RawMessage): void {
    if (answer.status === 401) {
      this.#register(authorize(answer, this.#options.user, 'REGISTER', `sip:${DOMAIN}`));
    } else if (answer.status === 200) {
      this.isRegistered = true;
      for (const response of this.#responses.values()) this.#socket?.write(response);
    } else void sleep(1_000).then(() => this.#register(undefined));
  }

  #handleRequest(request: RawMessage): void {
    const branch = /branch=([^;,\s]+)/.exec(request.header('Via'))?.[1] ?? '';
    switch (request.method) {
      case 'INVITE':
        return this.#handleInvite(request, branch);
      case 'ACK':
        // That of a 2xx has a branch of its own.
        for (const [key, response] of this.#responses)
          if (response.includes(`\r\nCall-ID: ${request.header('Call-ID')}\r\n`)) this.#responses.delete(key);
        return;
      case 'CANCEL': {
        const response = this.#responses.get(branch);
        this.#respond(request, response === undefined ? 481 : 200, 'Whatever');
        if (response === undefined || response.startsWith('SIP/2.0 200')) return;
        this.#seen.add(`cancelled ${branch}`);
        this.#responses.set(branch, response.replace(/^SIP\/2\.0 .*/, 'SIP/2.0 487 Request Terminated'));
        this.#socket?.write(this.#responses.get(branch)!);
        return;
      }
      default:
        this.#respond(request, 200, 'OK');
    }
  }

  #handleInvite(request: RawMessage, branch: string): void {
    const callId = request.header('Call-ID');
    const known = this.#responses.get(branch);
    if (known !== undefined) {
      this.#socket?.write(known);
      return;
    }
    if (this.#seen.has(callId)) {
      // Another branch of a call that it has.
      this.#respond(request, 482, 'Loop Detected');
      return;
    }
    this.#seen.add(callId);
    this.rang += 1;
    const say = (status: number, phrase: string): void => {
      this.#responses.set(branch, this.#responseTo(request, status, phrase));
      this.#socket?.write(this.#responses.get(branch)!);
    };
    say(180, 'Ringing');
    const { answerAfterMs } = this.#options;
    if (answerAfterMs === undefined) return;
    void sleep(answerAfterMs).then(() => {
      if (this.#seen.has(`cancelled ${branch}`)) return;
      const repeat = (ms: number): void => {
        say(200, 'OK');
        void sleep(ms).then(() => {
          if (this.#responses.has(branch) && ms < 40_000 && !this.#isEnded) repeat(ms * 2);
        });
      };
      repeat(T1_MS);
    });
  }

  #respond(request: RawMessage, status: number, phrase: string): void {
    this.#socket?.write(this.#responseTo(request, status, phrase));
  }

  #responseTo(request: RawMessage, status: number, phrase: string): string {
    const to = request.header('To');
    return [
      `SIP/2.0 ${status} ${phrase}`,
      ...request.all('Via').map((value) => headerLine('Via', value)),
      ...request.all('Record-Route').map((value) => headerLine('Record-Route', value)),
      headerLine('From', request.header('From')),
      headerLine('To', to.includes(';tag=') ? to : `${to};tag=${this.#run}`),
      headerLine('Call-ID', request.header('Call-ID')),
      headerLine('CSeq', request.header('CSeq')),
      headerLine('Contact', this.#contact),
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n');
  }
}

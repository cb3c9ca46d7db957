/** A SIP phone of the tests' own: it sends what it is told, byte for byte, and shows what came. No stack of ours is in it. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';

export interface SipText {
  /** `REGISTER sip:…` or `SIP/2.0 200 OK`. */
  readonly first: string;
  readonly text: string;
  /** 0: a request. */
  readonly status: number;
  readonly method: string;
  /** Values of a header, in order. */
  all(name: string): readonly string[];
  header(name: string): string;
}

function parse(text: string): SipText {
  const [head = ''] = text.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  const all = (name: string): readonly string[] =>
    headers.filter(([key]) => key === name.toLowerCase()).map(([, value]) => value);
  const status = first.startsWith('SIP/2.0 ') ? Number(first.slice(8, 11)) : 0;
  return {
    first,
    text,
    status,
    method: status === 0 ? first.split(' ', 1)[0]! : (all('cseq')[0] ?? '').split(' ')[1]!,
    all,
    header: (name) => all(name)[0] ?? '',
  };
}

type Wire = { send(text: string): void; close(): void };

export class RawPhone {
  readonly user: string;
  readonly domain = 'example.org';
  readonly password: string;
  /** Of its REGISTERs: one life of the phone's process. */
  readonly run = randomBytes(8).toString('hex');
  readonly instance: string;
  readonly transport: string;
  readonly received: SipText[] = [];
  isClosed = false;
  #wire!: Wire;
  #host = '127.0.0.1:9';
  #cseq = 0;
  #rest = '';
  #waiters: (() => void)[] = [];

  private constructor(user: string, transport: string, instance: string, password: string) {
    this.user = user;
    this.transport = transport;
    this.instance = instance;
    this.password = password;
  }

  static async tcp(
    t: TestContext,
    user: string,
    port: number,
    instance: string = randomInstance(),
  ): Promise<RawPhone> {
    const phone = new RawPhone(user, 'TCP', instance, user);
    const socket = connectTcp(port, '127.0.0.1');
    await once(socket, 'connect');
    return phone.#take(t, socket);
  }

  static async tls(t: TestContext, user: string, port: number, ca: Buffer): Promise<RawPhone> {
    const phone = new RawPhone(user, 'TLS', randomInstance(), user);
    const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca });
    await once(socket, 'secureConnect');
    return phone.#take(t, socket);
  }

  static async udp(t: TestContext, user: string, port: number): Promise<RawPhone> {
    const phone = new RawPhone(user, 'UDP', randomInstance(), user);
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    phone.#host = `127.0.0.1:${socket.address().port}`;
    socket.on('message', (bytes) => phone.#note(bytes.toString()));
    phone.#wire = { send: (text) => socket.send(text, port, '127.0.0.1'), close: () => socket.close() };
    t.after(() => phone.close());
    return phone;
  }

  static async webSocket(t: TestContext, user: string, url: string): Promise<RawPhone> {
    const phone = new RawPhone(user, 'WS', randomInstance(), user);
    const socket = new WebSocket(`${url}/sip`, 'sip');
    await once(socket, 'open');
    // RFC 7118 §5
    phone.#host = `${randomBytes(6).toString('hex')}.invalid`;
    socket.on('message', (data: Buffer) => phone.#note(data.toString()));
    socket.on('close', () => phone.#handleClosed());
    phone.#wire = { send: (text) => socket.send(text), close: () => socket.terminate() };
    t.after(() => phone.close());
    return phone;
  }

  #take(t: TestContext, socket: Socket): this {
    this.#host = `127.0.0.1:${socket.localPort}`;
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.#rest += text;
      this.#split();
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#handleClosed());
    this.#wire = { send: (text) => socket.write(text), close: () => socket.destroy() };
    t.after(() => this.close());
    return this;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#wire.close();
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  #handleClosed(): void {
    this.isClosed = true;
    this.#wake();
  }

  #split(): void {
    for (;;) {
      this.#rest = this.#rest.replace(/^(\r\n)+/, '');
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#rest.slice(0, end))?.[1] ?? 0);
      if (this.#rest.length < end + 4 + length) return;
      this.#note(this.#rest.slice(0, end + 4 + length));
      this.#rest = this.#rest.slice(end + 4 + length);
    }
  }

  #note(text: string): void {
    if (text.trim() === '') return;
    this.received.push(parse(text));
    this.#wake();
  }

  /** The first message that is wanted, taken out of those received. Rejects when the connection closes first. */
  async next(isWanted: (message: SipText) => boolean): Promise<SipText> {
    for (;;) {
      const index = this.received.findIndex(isWanted);
      if (index >= 0) return this.received.splice(index, 1)[0]!;
      if (this.isClosed) throw new Error(`${this.user}: closed`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  response(method: string, status: number): Promise<SipText> {
    return this.next((message) => message.method === method && message.status === status);
  }

  request(method: string): Promise<SipText> {
    return this.next((message) => message.method === method && message.status === 0);
  }

  /** Any final response of the method. */
  final(method: string): Promise<SipText> {
    return this.next((message) => message.method === method && message.status >= 200);
  }

  send(text: string): void {
    this.#wire.send(text);
  }

  get address(): string {
    return `${this.user}@${this.domain}`;
  }

  get contact(): string {
    return `<sip:${this.user}@${this.#host};transport=${this.transport.toLowerCase()}>`;
  }

  via(branch = `z9hG4bK${randomBytes(8).toString('hex')}`): string {
    return `SIP/2.0/${this.transport} ${this.#host};branch=${branch};rport`;
  }

  /** Sends the request, and again with the digest when it is challenged; the final answer. */
  async ask(method: string, uri: string, headers: readonly string[], body = ''): Promise<SipText> {
    const callId =
      headers.find((line) => line.startsWith('Call-ID:')) ?? `Call-ID: ${randomBytes(8).toString('hex')}`;
    const others = headers.filter((line) => !line.startsWith('Call-ID:'));
    let authorization: readonly string[] = [];
    for (;;) {
      this.#cseq += 1;
      const cseq = this.#cseq;
      this.send(
        this.#build(method, uri, [...others, callId, `CSeq: ${cseq} ${method}`, ...authorization], body),
      );
      const answer = await this.next(
        (message) => message.status >= 200 && message.header('cseq') === `${cseq} ${method}`,
      );
      if ((answer.status !== 401 && answer.status !== 407) || authorization.length > 0) return answer;
      if (method === 'INVITE') this.acknowledge(answer, uri);
      authorization = [this.#authorize(answer, method, uri)];
    }
  }

  #build(method: string, uri: string, headers: readonly string[], body: string): string {
    return [
      `${method} ${uri} SIP/2.0`,
      `Via: ${this.via()}`,
      'Max-Forwards: 70',
      ...headers,
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n');
  }

  /** ACK for an answer that is no 2xx: of the same branch (RFC 3261 §17.1.1.3). */
  acknowledge(answer: SipText, uri: string): void {
    this.send(
      [
        `ACK ${uri} SIP/2.0`,
        `Via: ${answer.all('via').at(-1)!}`,
        'Max-Forwards: 70',
        `From: ${answer.header('from')}`,
        `To: ${answer.header('to')}`,
        `Call-ID: ${answer.header('call-id')}`,
        `CSeq: ${answer.header('cseq').split(' ')[0]} ACK`,
        'Content-Length: 0',
        '',
        '',
      ].join('\r\n'),
    );
  }

  #authorize(challenge: SipText, method: string, uri: string): string {
    const isProxy = challenge.status === 407;
    const text = challenge.header(isProxy ? 'proxy-authenticate' : 'www-authenticate');
    const field = (name: string): string | undefined =>
      new RegExp(`[ ,]${name}=(?:"([^"]*)"|([^, ]*))`, 'i')
        .exec(text)
        ?.slice(1)
        .find((one) => one !== undefined);
    const hash = (one: string): string =>
      createHash(field('algorithm') === 'SHA-256' ? 'sha256' : 'md5')
        .update(one)
        .digest('hex');
    const { realm, nonce, cnonce } = { realm: field('realm')!, nonce: field('nonce')!, cnonce: 'c0ffee' };
    const ha1 = hash(`${this.user}:${realm}:${this.password}`);
    const response = hash(`${ha1}:${nonce}:00000001:${cnonce}:auth:${hash(`${method}:${uri}`)}`);
    return (
      `${isProxy ? 'Proxy-Authorization' : 'Authorization'}: Digest username="${this.user}", realm="${realm}", ` +
      `nonce="${nonce}", uri="${uri}", algorithm=${field('algorithm') ?? 'MD5'}, cnonce="${cnonce}", qop=auth, nc=00000001, ` +
      `response="${response}"${field('opaque') === undefined ? '' : `, opaque="${field('opaque')!}"`}`
    );
  }

  register(expires = 3_600): Promise<SipText> {
    const outbound = this.transport === 'UDP' ? '' : ';reg-id=1';
    return this.ask('REGISTER', `sip:${this.domain}`, [
      `From: <sip:${this.address}>;tag=${randomBytes(4).toString('hex')}`,
      `To: <sip:${this.address}>`,
      `Call-ID: ${this.run}`,
      `Contact: ${this.contact}${outbound};+sip.instance="<${this.instance}>"`,
      'Supported: path, outbound',
      `Expires: ${expires}`,
    ]);
  }

  /** Calls somebody: the final answer, for which the caller owes the ACK. */
  invite(target: string, callId = randomBytes(8).toString('hex')): Promise<SipText> {
    return this.ask(
      'INVITE',
      `sip:${target}`,
      [
        `From: <sip:${this.address}>;tag=${randomBytes(4).toString('hex')}`,
        `To: <sip:${target}>`,
        `Call-ID: ${callId}`,
        `Contact: ${this.contact}`,
        'Content-Type: application/sdp',
      ],
      'v=0\r\n',
    );
  }

  /** Answers a request as a phone does. */
  respond(request: SipText, status: number, phrase: string): void {
    const to = request.header('to');
    const tag = to.includes(';tag=') || status === 100 ? '' : `;tag=${this.run.slice(0, 8)}`;
    this.send(
      [
        `SIP/2.0 ${status} ${phrase}`,
        ...request.all('via').map((via) => `Via: ${via}`),
        ...request.all('record-route').map((route) => `Record-Route: ${route}`),
        `From: ${request.header('from')}`,
        `To: ${to}${tag}`,
        `Call-ID: ${request.header('call-id')}`,
        `CSeq: ${request.header('cseq')}`,
        `Contact: ${this.contact}`,
        'Content-Length: 0',
        '',
        '',
      ].join('\r\n'),
    );
  }

  /** A request within the dialog that a 2xx to this phone's INVITE made. */
  within(answer: SipText, method: 'ACK' | 'BYE'): void {
    const remote = /<([^>]*)>/.exec(answer.header('contact'))![1]!;
    const cseq = Number(answer.header('cseq').split(' ')[0]) + (method === 'ACK' ? 0 : 1);
    this.send(
      this.#build(
        method,
        remote,
        [
          ...[...answer.all('record-route')].reverse().map((route) => `Route: ${route}`),
          `From: ${answer.header('from')}`,
          `To: ${answer.header('to')}`,
          `Call-ID: ${answer.header('call-id')}`,
          `CSeq: ${cseq} ${method}`,
        ],
        '',
      ),
    );
  }
}

export function randomInstance(): string {
  const hex = randomBytes(16).toString('hex');
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

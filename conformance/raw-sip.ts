/** SIP by hand, for what no honest program sends: requests from any local address, changed at will, and what comes back. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { DOMAIN, PASSWORD } from './sip-server.js';
import { until } from './support.js';

/** A message that came. */
export class RawMessage {
  readonly text: string;
  /** 0: a request. */
  readonly status: number;
  readonly phrase: string;

  constructor(text: string) {
    this.text = text;
    const [, status, phrase] = /^SIP\/2\.0 (\d{3}) ?(.*)\r\n/.exec(text) ?? [];
    this.status = Number(status ?? 0);
    this.phrase = phrase ?? '';
  }

  get answer(): string {
    return `${this.status} ${this.phrase}`;
  }

  all(name: string): string[] {
    const [head = ''] = this.text.split('\r\n\r\n', 1);
    const pattern = new RegExp(`^${name}: *(.*)$`, 'i');
    return head.split('\r\n').flatMap((line) => pattern.exec(line)?.[1] ?? []);
  }

  header(name: string): string {
    return this.all(name)[0] ?? '';
  }

  /** `INVITE`, also of a response. */
  get method(): string {
    return this.header('CSeq').split(' ')[1] ?? '';
  }
}

export interface RawRequest {
  readonly uri?: string;
  /** User parts, or URIs where a colon is in them. */
  readonly from?: string;
  readonly to?: string;
  readonly displayName?: string;
  readonly toTag?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly via?: string;
  readonly contact?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** Nothing here sends again: what comes while this process waits for the processor is not to be lost. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

const uriOf = (user: string): string => (user.includes(':') ? user : `sip:${user}@${DOMAIN}`);

export function token(): string {
  return randomBytes(6).toString('hex');
}

export class RawSip {
  readonly transport: 'TCP' | 'UDP';
  readonly address: string;
  readonly received: RawMessage[] = [];
  receivedBytes = 0;
  isClosed = false;
  /** Called with each request that comes. */
  onRequest: ((request: RawMessage) => void) | undefined;
  #port = 0;
  #rest = '';
  #send: (data: string | Uint8Array) => void = () => {};
  #end: () => void = () => {};

  private constructor(transport: 'TCP' | 'UDP', address: string) {
    this.transport = transport;
    this.address = address;
  }

  static async udp(port: number, address = '127.0.0.1'): Promise<RawSip> {
    const raw = new RawSip('UDP', address);
    const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES }).bind(0, address);
    await once(socket, 'listening');
    raw.#port = socket.address().port;
    socket.on('message', (bytes) => {
      raw.receivedBytes += bytes.length;
      raw.#take(bytes.toString('latin1'));
    });
    raw.#send = (data) => socket.send(data, port, '127.0.0.1');
    raw.#end = () => socket.close();
    return raw;
  }

  static async tcp(port: number, address = '127.0.0.1'): Promise<RawSip> {
    const raw = new RawSip('TCP', address);
    const socket = connect({ port, host: '127.0.0.1', localAddress: address });
    await once(socket, 'connect');
    raw.#port = socket.localPort!;
    socket.on('data', (bytes: Buffer) => {
      raw.receivedBytes += bytes.length;
      raw.#rest += bytes.toString('latin1');
      raw.#split();
    });
    socket.on('error', () => {});
    socket.on('close', () => (raw.isClosed = true));
    raw.#send = (data) => void socket.write(data);
    raw.#end = () => socket.destroy();
    return raw;
  }

  get port(): number {
    return this.#port;
  }

  get contact(): string {
    return `<sip:me@${this.address}:${this.#port};transport=${this.transport.toLowerCase()}>`;
  }

  end(): Promise<void> {
    if (!this.isClosed) this.#end();
    this.isClosed = true;
    return Promise.resolve();
  }

  send(data: string | Uint8Array): void {
    this.#send(data);
  }

  #take(text: string): void {
    const message = new RawMessage(text);
    if (message.status === 0 && this.onRequest !== undefined) this.onRequest(message);
    else this.received.push(message);
  }

  #split(): void {
    for (;;) {
      this.#rest = this.#rest.replace(/^(?:\r\n)+/, '');
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#rest.slice(0, end + 2))?.[1] ?? 0);
      if (this.#rest.length < end + 4 + length) return;
      const text = this.#rest.slice(0, end + 4 + length);
      this.#rest = this.#rest.slice(end + 4 + length);
      this.#take(text);
    }
  }

  /** The first message that is wanted, taken out of those that came. */
  async next(isWanted: (message: RawMessage) => boolean, what: string): Promise<RawMessage> {
    const find = (): number => this.received.findIndex(isWanted);
    const seen = (): string => this.received.map(({ text }) => text).join('\n');
    await until(
      () => find() >= 0,
      90_000,
      () => `${this.address}: ${what}; there are: ${seen()}`,
    );
    return this.received.splice(find(), 1)[0]!;
  }

  /** A final response of the call. */
  final(callId: string, method: string, cseq: number): Promise<RawMessage> {
    return this.next(
      (message) =>
        message.status >= 200 &&
        message.header('Call-ID') === callId &&
        message.header('CSeq') === `${cseq} ${method}`,
      `an answer to ${cseq} ${method}`,
    );
  }

  request(method: string, request: RawRequest): string {
    const { from = 'alice', to = 'bob', displayName = '', toTag, callId = token(), cseq = 1 } = request;
    const { body = '', headers = [], contact = this.contact } = request;
    const via =
      request.via ?? `${this.transport} ${this.address}:${this.#port};branch=z9hG4bK${token()};rport`;
    return [
      `${method} ${request.uri ?? uriOf(to)} SIP/2.0`,
      `Via: SIP/2.0/${via}`,
      'Max-Forwards: 70',
      `From: ${displayName}<${uriOf(from)}>;tag=f${callId.slice(0, 6)}`,
      `To: <${uriOf(to)}>${toTag === undefined ? '' : `;tag=${toTag}`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: ${contact}`,
      ...headers,
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n');
  }

  /** Sends a request without credentials; its final answer. */
  async ask(method: string, request: RawRequest): Promise<RawMessage> {
    const { callId = token(), cseq = 1 } = request;
    const text = this.request(method, { ...request, callId, cseq });
    this.send(text);
    const answer = await this.final(callId, method, cseq);
    if (method === 'INVITE' && answer.status >= 300) this.send(ackOf(text, answer));
    return answer;
  }

  /** The same, with the challenge answered as `user`. */
  async prove(user: string, method: string, request: RawRequest, password = PASSWORD): Promise<RawMessage> {
    const { callId = token(), cseq = 1, headers = [] } = request;
    const challenge = await this.ask(method, { ...request, callId, cseq });
    if (challenge.status !== 401 && challenge.status !== 407) return challenge;
    const credentials = authorize(
      challenge,
      user,
      method,
      request.uri ?? uriOf(request.to ?? 'bob'),
      password,
    );
    return this.ask(method, { ...request, callId, cseq: cseq + 1, headers: [...headers, credentials] });
  }

  register(user: string, parameters = '', seconds = 600): Promise<RawMessage> {
    return this.prove(user, 'REGISTER', {
      uri: `sip:${DOMAIN}`,
      from: user,
      to: user,
      contact: `<sip:${user}@${this.address}:${this.#port};transport=${this.transport.toLowerCase()}${parameters}>`,
      headers: [`Expires: ${seconds}`],
    });
  }

  respond(request: RawMessage, status: number, phrase: string): void {
    const to = request.header('To');
    this.send(
      [
        `SIP/2.0 ${status} ${phrase}`,
        ...request.all('Via').map((value) => `Via: ${value}`),
        ...request.all('Record-Route').map((value) => `Record-Route: ${value}`),
        `From: ${request.header('From')}`,
        `To: ${to}${to.includes(';tag=') ? '' : ';tag=callee'}`,
        `Call-ID: ${request.header('Call-ID')}`,
        `CSeq: ${request.header('CSeq')}`,
        `Contact: ${this.contact}`,
        'Content-Length: 0',
        '',
        '',
      ].join('\r\n'),
    );
  }
}

/** The header that answers a challenge. */
export function authorize(
  challenge: RawMessage,
  user: string,
  method: string,
  uri: string,
  password = PASSWORD,
): string {
  const name = challenge.status === 401 ? 'WWW-Authenticate' : 'Proxy-Authenticate';
  const nonce = /nonce="([^"]*)"/.exec(challenge.header(name))?.[1] ?? '';
  const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
  const cnonce = token();
  const ha1 = md5(`${user}:${DOMAIN}:${password}`);
  const response = md5(`${ha1}:${nonce}:00000001:${cnonce}:auth:${md5(`${method}:${uri}`)}`);
  return (
    `${challenge.status === 401 ? 'Authorization' : 'Proxy-Authorization'}: Digest username="${user}", ` +
    `realm="${DOMAIN}", nonce="${nonce}", uri="${uri}", algorithm=MD5, qop=auth, nc=00000001, ` +
    `cnonce="${cnonce}", response="${response}"`
  );
}

/** RFC 3261 §17.1.1.3. */
export function ackOf(invite: string, answer: RawMessage): string {
  const sent = new RawMessage(invite);
  return [
    invite.slice(0, invite.indexOf('\r\n')).replace('INVITE', 'ACK'),
    `Via: ${sent.header('Via')}`,
    'Max-Forwards: 70',
    `From: ${sent.header('From')}`,
    `To: ${answer.header('To')}`,
    `Call-ID: ${sent.header('Call-ID')}`,
    `CSeq: ${sent.header('CSeq').replace('INVITE', 'ACK')}`,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

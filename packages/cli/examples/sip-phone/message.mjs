/** SIP messages as an app needs them: read from a TCP stream, looked into, written. Nothing here is clever or fast. */
import { createHash, randomBytes } from 'node:crypto';

/** Names that may be written short (RFC 3261 §7.3.3). */
const shortNames = {
  v: 'via',
  f: 'from',
  t: 'to',
  i: 'call-id',
  m: 'contact',
  l: 'content-length',
  c: 'content-type',
};

export class Message {
  /** The first line: of a request `INVITE sip:… SIP/2.0`, of a response `SIP/2.0 180 Ringing`. */
  startLine;
  /** [name in lower case, value], in their order. */
  headers;
  body;

  constructor(startLine, headers, body = '') {
    this.startLine = startLine;
    this.headers = headers;
    this.body = body;
  }

  get isResponse() {
    return this.startLine.startsWith('SIP/2.0 ');
  }

  /** Of a request. */
  get method() {
    return this.startLine.split(' ')[0];
  }

  /** Of a response. */
  get status() {
    return Number(this.startLine.split(' ')[1]);
  }

  get reason() {
    return this.startLine.split(' ').slice(2).join(' ');
  }

  /** The first header of this name, or an empty text. */
  get(name) {
    return this.headers.find(([each]) => each === name)?.[1] ?? '';
  }

  all(name) {
    return this.headers.filter(([each]) => each === name).map(([, value]) => value);
  }

  /** What a transaction is known by: branch of the top Via. */
  get branch() {
    return parameter(this.get('via'), 'branch');
  }

  get cseqMethod() {
    return this.get('cseq').split(/\s+/)[1] ?? '';
  }

  toString() {
    const headers = this.headers.filter(([name]) => name !== 'content-length');
    headers.push(['content-length', String(Buffer.byteLength(this.body))]);
    return `${this.startLine}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${this.body}`;
  }
}

/** A header's parameter, `tag` of `<sip:a@b>;tag=1`; an empty text when it is not there. */
export function parameter(value, name) {
  return new RegExp(`;\\s*${name}="?([^;,"\\s]*)`, 'i').exec(value.replace(/<[^>]*>/, ''))?.[1] ?? '';
}

/** The URI of a header like `"Bob" <sip:bob@home.test>;tag=1`. */
export function uriOf(value) {
  return /<([^>]*)>/.exec(value)?.[1] ?? value.split(';')[0].trim();
}

/** Messages of a stream: bytes in as they come, whole messages out. */
export class Reader {
  #rest = Buffer.alloc(0);

  /** The messages that are whole now. */
  push(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const messages = [];
    for (;;) {
      // Line ends between messages are keepalives (RFC 5626 §3.5.1).
      let start = 0;
      while (this.#rest[start] === 13 || this.#rest[start] === 10) start++;
      this.#rest = this.#rest.subarray(start);
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return messages;
      const [startLine, ...lines] = this.#rest.toString('latin1', 0, end).split('\r\n');
      const headers = lines.map((line) => {
        const colon = line.indexOf(':');
        const name = line.slice(0, colon).trim().toLowerCase();
        return [shortNames[name] ?? name, line.slice(colon + 1).trim()];
      });
      const message = new Message(startLine, headers);
      const bodyEnd = end + 4 + Number(message.get('content-length') || 0);
      if (this.#rest.length < bodyEnd) return messages;
      message.body = this.#rest.toString('utf8', end + 4, bodyEnd);
      this.#rest = this.#rest.subarray(bodyEnd);
      messages.push(message);
    }
  }
}

/** A response with all that a response must copy from its request (RFC 3261 §8.2.6.2). */
export function responseTo(request, status, reason, { tag, headers = [], body = '' } = {}) {
  const copied = request.headers.filter(([name]) =>
    ['via', 'from', 'call-id', 'cseq', 'record-route'].includes(name),
  );
  const to = request.get('to');
  const tagged = tag === undefined || parameter(to, 'tag') !== '' ? to : `${to};tag=${tag}`;
  return new Message(`SIP/2.0 ${status} ${reason}`, [...copied, ['to', tagged], ...headers], body);
}

/** The value of Authorization for a challenge (RFC 8760: the algorithm that the server names). */
export function authorization(challenge, { method, uri, user, password }) {
  const field = (name) => new RegExp(`\\b${name}="?([^",\\s]*)`, 'i').exec(challenge)?.[1];
  const algorithm = field('algorithm') ?? 'MD5';
  const realm = /realm="([^"]*)"/i.exec(challenge)?.[1] ?? '';
  const nonce = /nonce="([^"]*)"/i.exec(challenge)?.[1] ?? '';
  const hash = (text) =>
    createHash(algorithm.toUpperCase() === 'SHA-256' ? 'sha256' : 'md5')
      .update(text)
      .digest('hex');
  const cnonce = token();
  const secret = hash(`${user}:${realm}:${password}`);
  const response = hash(`${secret}:${nonce}:00000001:${cnonce}:auth:${hash(`${method}:${uri}`)}`);
  const opaque = field('opaque');
  return (
    `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", ` +
    `algorithm=${algorithm}, qop=auth, nc=00000001, cnonce="${cnonce}"` +
    (opaque === undefined ? '' : `, opaque="${opaque}"`)
  );
}

/** Something nobody else has: tags, branches, Call-IDs. */
export function token() {
  return randomBytes(8).toString('hex');
}

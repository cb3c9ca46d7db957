/** One keep-alive connection of an application server: a request, its answer, the next. Only what a push needs of HTTP. */
import { once } from 'node:events';
import { connect } from 'node:net';

const HEADERS_END = Buffer.from('\r\n\r\n');

export class PushConnection {
  #socket;
  #received = Buffer.alloc(0);
  #waiting;
  #failed;

  static async open(port) {
    const connection = new PushConnection();
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    connection.#socket = socket;
    await once(socket, 'connect');
    socket.on('data', (bytes) => connection.#handleBytes(bytes));
    const fail = (error) => {
      connection.#failed = error ?? new Error('the server closed a connection');
      connection.#waiting?.reject(connection.#failed);
    };
    socket.on('error', fail);
    socket.on('close', () => fail());
    return connection;
  }

  /** Writes a whole request; resolves with the status of its answer. */
  send(request) {
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed);
        return;
      }
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close() {
    this.#failed = new Error('closed');
    this.#socket.destroy();
  }

  #handleBytes(bytes) {
    const received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    const end = received.indexOf(HEADERS_END);
    const head = end < 0 ? '' : received.latin1Slice(0, end);
    const bodyBytes = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (end < 0 || received.length < end + HEADERS_END.length + bodyBytes) {
      this.#received = received;
      return;
    }
    this.#received = Buffer.alloc(0);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    // An answer to nothing says why the server is about to close.
    if (waiting === undefined) this.#failed = new Error(`unasked for: ${head}`);
    else waiting.resolve(Number(head.slice(9, 12)));
  }
}

/** The bytes of a push but for its body. */
export function requestHead(endpoint, bodyBytes, authorization) {
  const { pathname, host } = new URL(endpoint);
  const lines = [
    `POST ${pathname} HTTP/1.1`,
    `Host: ${host}`,
    'TTL: 86400',
    'Urgency: normal',
    'Content-Type: application/octet-stream',
    'Content-Encoding: aes128gcm',
    `Content-Length: ${bodyBytes}`,
  ];
  if (authorization !== undefined) lines.push(`Authorization: ${authorization}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** A socket of Node, TCP or TLS, as a connection of the line. */
import type { Socket } from 'node:net';
import { hostLimits } from '../limits.js';
import type { TransportConnection, TransportHandler } from '../ports/index.js';

export class SocketConnection implements TransportConnection {
  readonly #socket: Socket;
  #handler: TransportHandler | undefined;
  #error: Error | undefined;
  readonly #ended: Promise<void>;

  /** @param socket connected, TLS handshake done; nobody has read from it. */
  constructor(socket: Socket, handler: TransportHandler) {
    this.#socket = socket;
    this.#handler = handler;
    socket.on('data', (chunk: Uint8Array) => this.#handler?.handleBytes(chunk));
    socket.on('error', (error) => (this.#error = error));
    this.#ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.#handler?.handleClosed(this.#error);
        resolve();
      });
    });
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  flush(): Promise<void> {
    if (!this.#socket.writable) return Promise.resolve();
    // Called back once all before it is written, or with an error once it cannot be.
    return new Promise((resolve) => this.#socket.write('', () => resolve()));
  }

  close(): Promise<void> {
    this.#handler = undefined;
    this.#socket.end();
    // Whoever does not answer the farewell is not waited for.
    const linger = setTimeout(() => this.#socket.destroy(), hostLimits.lingerMs);
    return this.#ended.finally(() => clearTimeout(linger));
  }
}

/** Resolves with a connection when the event says that the socket is ready. */
export function whenReady(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  handler: TransportHandler,
  signal: AbortSignal,
): Promise<TransportConnection> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      signal.removeEventListener('abort', abort);
      socket.removeListener('error', fail);
      socket.removeListener('close', fail);
      socket.removeListener(event, ready);
    };
    const fail = (error: unknown): void => {
      settle();
      // What may still come of a socket that is given up.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error instanceof Error ? error : new Error('the connection was closed before it was ready'));
    };
    const ready = (): void => {
      settle();
      resolve(new SocketConnection(socket, handler));
    };
    const abort = (): void => fail(signal.reason);
    socket.on('error', fail);
    socket.on('close', fail);
    socket.on(event, ready);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
}

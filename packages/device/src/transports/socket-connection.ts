/** A socket of Node, TCP or TLS, as a connection of the line. */
import type { Socket } from 'node:net';
import type { TransportConnection, TransportHandler } from '../ports/index.js';
import { NodeConnection, whenReady } from './node-connection.js';

class SocketConnection extends NodeConnection implements TransportConnection {
  readonly #socket: Socket;

  /** @param socket connected, TLS handshake done; nobody has read from it. */
  constructor(socket: Socket, handler: TransportHandler) {
    super(socket, handler);
    this.#socket = socket;
    socket.on('data', (chunk: Uint8Array) => this.handler?.handleBytes(chunk));
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
    return this.leave(
      () => this.#socket.end(),
      () => this.#socket.destroy(),
    );
  }
}

/** Resolves with a connection when the event says that the socket is ready. */
export function whenSocketReady(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  handler: TransportHandler,
  signal: AbortSignal,
): Promise<TransportConnection> {
  return whenReady(socket, event, signal, {
    connected: () => new SocketConnection(socket, handler),
    destroy: () => socket.destroy(),
  });
}

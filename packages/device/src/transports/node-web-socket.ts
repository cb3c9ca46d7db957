/** MQTT over WebSocket, in Node: `ws://host/mqtt` and `wss://host/mqtt`. Node 20 has no WebSocket of its own that is stable. */
import { WebSocket } from 'ws';
import { hostLimits } from '../limits.js';
import type { Transport, TransportConnection, TransportHandler } from '../ports/index.js';
import type { TlsOptions } from './tls.js';

/** MQTT 5.0 §6 */
const SUBPROTOCOL = 'mqtt';
const NORMAL_CLOSURE = 1000;

export function nodeWebSocketTransport(options: TlsOptions = {}): Transport {
  return {
    schemes: ['ws', 'wss'],
    open(url, handler, signal) {
      const target = new URL(url);
      if (target.pathname === '/') target.pathname = '/mqtt';
      const socket = new WebSocket(target, SUBPROTOCOL, { ...options, perMessageDeflate: false });
      return new Promise((resolve, reject) => {
        let localPort: number | undefined;
        const settle = (): void => {
          signal.removeEventListener('abort', abort);
          socket.removeListener('open', ready);
          socket.removeListener('error', fail);
        };
        const ready = (): void => {
          settle();
          resolve(new NodeWebSocketConnection(socket, localPort, handler));
        };
        const fail = (error: unknown): void => {
          settle();
          // What may still come of a socket that is given up: `terminate` tells of it as an error.
          socket.on('error', () => undefined);
          socket.terminate();
          reject(error as Error);
        };
        const abort = (): void => fail(signal.reason);
        socket.on('upgrade', (response) => (localPort = response.socket.localPort));
        socket.on('open', ready);
        socket.on('error', fail);
        signal.addEventListener('abort', abort);
        if (signal.aborted) abort();
      });
    },
  };
}

class NodeWebSocketConnection implements TransportConnection {
  readonly localPort: number | undefined;
  readonly #socket: WebSocket;
  #handler: TransportHandler | undefined;
  #error: Error | undefined;
  #lastSent: Promise<void> = Promise.resolve();
  readonly #ended: Promise<void>;

  constructor(socket: WebSocket, localPort: number | undefined, handler: TransportHandler) {
    this.localPort = localPort;
    this.#socket = socket;
    this.#handler = handler;
    // One buffer a message: binaryType stays 'nodebuffer'.
    socket.on('message', (data: Buffer) => this.#handler?.handleBytes(data));
    socket.on('error', (error) => (this.#error = error));
    this.#ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.#handler?.handleClosed(this.#error);
        resolve();
      });
    });
  }

  get unsentBytes(): number {
    return this.#socket.bufferedAmount;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    // Called back with an error if it cannot be sent any more, which the end of the connection tells, too.
    this.#lastSent = new Promise((resolve) => this.#socket.send(bytes, () => resolve()));
  }

  flush(): Promise<void> {
    return Promise.race([this.#lastSent, this.#ended]);
  }

  close(): Promise<void> {
    this.#handler = undefined;
    this.#socket.close(NORMAL_CLOSURE);
    const linger = setTimeout(() => this.#socket.terminate(), hostLimits.lingerMs);
    return this.#ended.finally(() => clearTimeout(linger));
  }
}

/** MQTT over WebSocket, in Node: `ws://host/mqtt` and `wss://host/mqtt`. Node 20 has no WebSocket of its own that is stable. */
import { WebSocket } from 'ws';
import type { Transport, TransportConnection, TransportHandler } from '../ports/index.js';
import { NodeConnection, whenReady } from './node-connection.js';
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
      let localPort: number | undefined;
      socket.on('upgrade', (response) => (localPort = response.socket.localPort));
      return whenReady(socket, 'open', signal, {
        connected: () => new NodeWebSocketConnection(socket, localPort, handler),
        destroy: () => socket.terminate(),
      });
    },
  };
}

class NodeWebSocketConnection extends NodeConnection implements TransportConnection {
  readonly localPort: number | undefined;
  readonly #socket: WebSocket;
  #lastSent: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, localPort: number | undefined, handler: TransportHandler) {
    super(socket, handler);
    this.localPort = localPort;
    this.#socket = socket;
    // One buffer a message: binaryType stays 'nodebuffer'.
    socket.on('message', (data: Buffer) => this.handler?.handleBytes(data));
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
    return Promise.race([this.#lastSent, this.ended]);
  }

  close(): Promise<void> {
    return this.leave(
      () => this.#socket.close(NORMAL_CLOSURE),
      () => this.#socket.terminate(),
    );
  }
}

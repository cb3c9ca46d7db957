/**
 * MQTT over the WebSocket that the host has: browsers, React Native, Electron's windows (MQTT 5.0 §6). One binary message for each
 * write; what comes may be cut anywhere.
 */
import { abortReason, throwIfAborted } from '../aborted.js';
import type { Transport, TransportConnection, TransportHandler } from '../ports/index.js';

/** As much of the WebSocket of browsers as is used; React Native's has all of it but `bufferedAmount`. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount?: number;
  addEventListener(type: EventType, listener: (event: EventLike) => void): void;
  removeEventListener(type: EventType, listener: (event: EventLike) => void): void;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
}

type EventType = 'open' | 'message' | 'close' | 'error';

interface EventLike {
  /** Of a message. */
  readonly data?: unknown;
  /** Of a close. */
  readonly code?: number;
  readonly reason?: string;
  readonly wasClean?: boolean;
}

export type WebSocketConstructor = new (url: string, protocols: string) => WebSocketLike;

/** MQTT 5.0 §6. */
const SUBPROTOCOL = 'mqtt';
const OPEN = 1;
const CLOSED = 3;
const NORMAL_CLOSURE = 1_000;
/** How often it is asked whether everything was taken: the WebSocket does not tell. */
const DRAIN_POLL_MS = 5;

/** Of `ws` and `wss` URLs. The host decides which certificates it trusts; why a connection failed it does not tell. */
export function webSocketTransport(WebSocket: WebSocketConstructor): Transport {
  return {
    schemes: ['ws', 'wss'],
    open: (url, handler, signal) => openSocket(WebSocket, url, handler, signal),
  };
}

function openSocket(
  WebSocket: WebSocketConstructor,
  url: URL,
  handler: TransportHandler,
  signal: AbortSignal,
): Promise<TransportConnection> {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const socket = new WebSocket(url.href, SUBPROTOCOL);
    socket.binaryType = 'arraybuffer';
    const leave = (): void => {
      signal.removeEventListener('abort', handleAbort);
      socket.removeEventListener('open', handleOpen);
      socket.removeEventListener('close', handleClose);
    };
    const handleAbort = (): void => {
      leave();
      socket.close();
      reject(abortReason(signal));
    };
    const handleOpen = (): void => {
      leave();
      const connection = new WebSocketConnection(socket);
      resolve(connection);
      // The handler is called once `open` has resolved, and not before.
      queueMicrotask(() => connection.listen(handler));
    };
    const handleClose = ({ code }: EventLike): void => {
      leave();
      reject(new Error(`no WebSocket connection to ${url.host} (${code ?? 'no code'})`));
    };
    signal.addEventListener('abort', handleAbort, { once: true });
    socket.addEventListener('open', handleOpen);
    socket.addEventListener('close', handleClose);
    // It has no text in a browser, and `close` follows it; unheard it would end a program in Node.
    socket.addEventListener('error', () => {});
  });
}

class WebSocketConnection implements TransportConnection {
  readonly localPort = undefined;
  readonly #socket: WebSocketLike;
  /** What came, or how it ended, before anybody listened. */
  #early: (() => void)[] = [];
  #handler: TransportHandler | null = null;
  #isClosing = false;
  /** Whoever waits for the end. */
  #enders: (() => void)[] = [];

  constructor(socket: WebSocketLike) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#deliver(() => this.#handleData(data)));
    socket.addEventListener('close', ({ code, reason, wasClean }) => {
      for (const end of this.#enders.splice(0)) end();
      const isPeace = wasClean === true && (code === NORMAL_CLOSURE || code === undefined);
      const cause = isPeace ? undefined : new Error(`WebSocket closed: ${code ?? 'no code'} ${reason ?? ''}`);
      this.#deliver(() => this.#handler?.handleClosed(cause));
    });
  }

  get unsentBytes(): number {
    return this.#socket.bufferedAmount ?? 0;
  }

  listen(handler: TransportHandler): void {
    if (this.#isClosing) return;
    this.#handler = handler;
    for (const event of this.#early.splice(0)) event();
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(bytes);
  }

  async flush(): Promise<void> {
    while (this.#socket.readyState === OPEN && this.unsentBytes > 0) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
  }

  close(): Promise<void> {
    this.#isClosing = true;
    this.#handler = null;
    this.#early = [];
    if (this.#socket.readyState === CLOSED) return Promise.resolve();
    return new Promise((resolve) => {
      this.#enders.push(resolve);
      // Sends what waits, then says goodbye (RFC 6455 §7.1.2).
      this.#socket.close(NORMAL_CLOSURE);
    });
  }

  #deliver(event: () => void): void {
    if (this.#isClosing) return;
    if (this.#handler === null) this.#early.push(event);
    else event();
  }

  #handleData(data: unknown): void {
    const handler = this.#handler;
    if (data instanceof ArrayBuffer) return handler?.handleBytes(new Uint8Array(data));
    // MQTT 5.0 §6 [MQTT-6.0.0-1]: whoever gets a message that is not binary leaves.
    void this.close();
    handler?.handleClosed(new Error('the server sent text where MQTT has bytes'));
  }
}

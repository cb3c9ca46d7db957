/** MQTT over TCP and TLS in React Native, by react-native-tcp-socket (6 and on), which the app brings. */
import { abortReason, throwIfAborted } from '../../aborted.js';
import type { Transport, TransportConnection, TransportHandler } from '../../ports/index.js';

/** As much of the module as is used. */
export interface TcpSocketModule {
  createConnection(options: TcpOptions, callback: () => void): TcpSocketLike;
  connectTLS(options: TcpOptions & { readonly ca?: unknown }, callback: () => void): TcpSocketLike;
}

interface TcpOptions {
  readonly host: string;
  readonly port: number;
}

interface TcpSocketLike {
  readonly localPort?: number | undefined;
  on(event: 'data', listener: (data: Uint8Array | string) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  setNoDelay(noDelay: boolean): unknown;
  write(data: Uint8Array, encoding: undefined, callback: (error?: unknown) => void): unknown;
  end(): unknown;
  destroy(): unknown;
}

export interface TcpSocketOptions {
  /** The only certificate authority to trust, as `require('./ca.pem')` gives it. Default: those of the device. */
  readonly ca?: unknown;
}

const PORT = 1_883;
const TLS_PORT = 8_883;

/** Of `mqtt` and `mqtts` URLs. */
export function tcpSocketTransport(tcpSocket: TcpSocketModule, { ca }: TcpSocketOptions = {}): Transport {
  return {
    schemes: ['mqtt', 'mqtts'],
    open: (url, handler, signal) => openSocket(tcpSocket, ca, url, handler, signal),
  };
}

function openSocket(
  tcpSocket: TcpSocketModule,
  ca: unknown,
  url: URL,
  handler: TransportHandler,
  signal: AbortSignal,
): Promise<TransportConnection> {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const isTls = url.protocol === 'mqtts:';
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = url.port === '' ? (isTls ? TLS_PORT : PORT) : Number(url.port);
    let connection: TcpConnection | undefined;
    let cause: unknown;
    const handleConnected = (): void => {
      // One that was given up may still come about.
      if (signal.aborted) return;
      signal.removeEventListener('abort', handleAbort);
      socket.setNoDelay(true);
      connection = new TcpConnection(socket, handler);
      resolve(connection);
    };
    const socket = isTls
      ? tcpSocket.connectTLS(ca === undefined ? { host, port } : { host, port, ca }, handleConnected)
      : tcpSocket.createConnection({ host, port }, handleConnected);
    const handleAbort = (): void => {
      socket.destroy();
      reject(abortReason(signal));
    };
    signal.addEventListener('abort', handleAbort, { once: true });
    socket.on('data', (data) => {
      // Text comes only where somebody has set an encoding, and nobody does.
      if (typeof data !== 'string') connection?.handleData(data);
    });
    // On some platforms nothing follows an error.
    const handleEnd = (): void => {
      signal.removeEventListener('abort', handleAbort);
      if (connection === undefined) reject(cause ?? new Error(`no connection to ${url.host}`));
      else connection.handleEnd(cause);
    };
    socket.on('error', (error) => {
      cause ??= error;
      handleEnd();
    });
    socket.on('close', handleEnd);
  });
}

class TcpConnection implements TransportConnection {
  unsentBytes = 0;
  readonly #socket: TcpSocketLike;
  readonly #handler: TransportHandler;
  #state: 'open' | 'closing' | 'closed' = 'open';
  /** Whoever waits until all is written, or the end. */
  #flushers: (() => void)[] = [];
  #enders: (() => void)[] = [];

  constructor(socket: TcpSocketLike, handler: TransportHandler) {
    this.#socket = socket;
    this.#handler = handler;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.unsentBytes += bytes.length;
    this.#socket.write(bytes, undefined, () => {
      this.unsentBytes -= bytes.length;
      if (this.unsentBytes === 0) callAll(this.#flushers);
    });
  }

  flush(): Promise<void> {
    if (this.#state === 'closed' || this.unsentBytes === 0) return Promise.resolve();
    return new Promise((resolve) => this.#flushers.push(resolve));
  }

  close(): Promise<void> {
    if (this.#state === 'closed') return Promise.resolve();
    return new Promise((resolve) => {
      this.#enders.push(resolve);
      if (this.#state === 'closing') return;
      this.#state = 'closing';
      this.#socket.end();
    });
  }

  handleData(data: Uint8Array): void {
    // Copied: a Buffer is a piece of something larger that is used again.
    if (this.#state === 'open') this.#handler.handleBytes(new Uint8Array(data));
  }

  /** Idempotent. */
  handleEnd(cause: unknown): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    callAll(this.#flushers);
    callAll(this.#enders);
    if (wasOpen) this.#handler.handleClosed(cause);
  }
}

function callAll(waiting: (() => void)[]): void {
  for (const call of waiting.splice(0)) call();
}

/**
 * The network of the simulated world: streams that can be cut, with or without a word, and datagrams that can be lost. All
 * that travels takes time, and what is under way when a stream is cut is gone.
 */
import type { Prng } from '../../src/base/index.js';
import type { SipAddress } from '../../src/session/sip/index.js';
import type { SimClock } from './clock.js';
import type { ServerObserver, SimServer } from './sim-server.js';

/** Who is at the other end. */
export interface NetworkClient {
  readonly address: SipAddress;
  onConnected(stream: Stream): void;
  /** Nothing passes any more; nobody knows yet. */
  onCut(): void;
  /** The stream is gone, or was never there. */
  onStreamClosed(stream: Stream): void;
  onBytes(bytes: Uint8Array, stream: Stream | undefined): void;
}

export interface Stream {
  readonly id: number;
  readonly client: NetworkClient;
  /** Bytes still pass. */
  isWhole: boolean;
  /** The server has it. */
  isServed: boolean;
  isServerTold: boolean;
  isClientTold: boolean;
}

export interface NetworkOptions {
  readonly random: Prng;
  /** One way, ms. */
  readonly latencyMs: number;
  /** Of datagrams that are lost, 0 … 1. */
  readonly loss: number;
}

/** After a stream was cut without a word, when each side notices, ms. */
const SERVER_NOTICES_MS = 20_000;
const CLIENT_NOTICES_MS = 8_000;

export class SimNetwork {
  readonly #clock: SimClock;
  readonly #options: NetworkOptions;
  readonly #streams = new Map<number, Stream>();
  readonly #datagramClients = new Map<string, NetworkClient>();
  readonly #pushes = new Map<string, () => void>();
  #lastId = 0;
  server!: SimServer;

  constructor(clock: SimClock, options: NetworkOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** Where pushes to a resource go. */
  setPushTarget(resource: string, wake: () => void): void {
    this.#pushes.set(resource, wake);
  }

  push(resource: string): void {
    this.#clock.after(40, () => this.#pushes.get(resource)?.());
  }

  listenForDatagrams(client: NetworkClient): void {
    this.#datagramClients.set(keyOf(client.address), client);
  }

  connect(client: NetworkClient): Stream {
    const stream: Stream = {
      id: (this.#lastId += 1),
      client,
      isWhole: true,
      isServed: false,
      isServerTold: false,
      isClientTold: false,
    };
    this.#travel(() => {
      if (!stream.isWhole) return;
      if (!this.server.isUp) {
        stream.isWhole = false;
        this.#tellClient(stream);
        return;
      }
      stream.isServed = true;
      this.#streams.set(stream.id, stream);
      const remote = { address: client.address.address, port: 30_000 + stream.id };
      this.server.input({
        kind: 'connection-opened',
        connection: stream.id,
        listener: 0,
        transport: 'tcp',
        remote,
      });
      this.#travel(() => {
        if (stream.isWhole) client.onConnected(stream);
      });
    });
    return stream;
  }

  writeToServer(stream: Stream, bytes: Uint8Array): void {
    this.#travel(() => {
      if (stream.isWhole) this.server.input({ kind: 'bytes', connection: stream.id, chunk: bytes });
    });
  }

  writeToClient(id: number, bytes: Uint8Array, observer: ServerObserver): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    observer.onSent(bytes, stream.client.address.address);
    this.#travel(() => {
      if (stream.isWhole) stream.client.onBytes(bytes, stream);
    });
  }

  sendToServer(client: NetworkClient, listener: number, bytes: Uint8Array): void {
    if (this.#isLost) return;
    this.#travel(() => this.server.input({ kind: 'datagram', listener, remote: client.address, bytes }));
  }

  sendToClient(_listener: number, remote: SipAddress, bytes: Uint8Array, observer: ServerObserver): void {
    observer.onSent(bytes, remote.address);
    const client = this.#datagramClients.get(keyOf(remote));
    if (client === undefined || this.#isLost) return;
    this.#travel(() => client.onBytes(bytes, undefined));
  }

  /** @param isSilent nobody is told for a while: a NAT has forgotten it. */
  cut(stream: Stream, isSilent = false): void {
    if (!stream.isWhole) return;
    stream.isWhole = false;
    stream.client.onCut();
    this.#clock.after(isSilent ? SERVER_NOTICES_MS : this.#options.latencyMs, () => this.#tellServer(stream));
    this.#clock.after(isSilent ? CLIENT_NOTICES_MS : this.#options.latencyMs, () => this.#tellClient(stream));
  }

  /** The client's process has died, or has closed it. */
  closeByClient(stream: Stream): void {
    stream.isClientTold = true;
    if (!stream.isWhole) return;
    stream.isWhole = false;
    this.#travel(() => this.#tellServer(stream));
  }

  closeByServer(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    const { server } = this;
    const { life } = server;
    this.#clock.after(0, () => {
      if (life === server.life) this.#tellServer(stream);
    });
    this.#travel(() => {
      stream.isWhole = false;
      this.#tellClient(stream);
    });
  }

  handleServerGone(): void {
    for (const stream of this.#streams.values()) {
      stream.isServerTold = true;
      const wasWhole = stream.isWhole;
      stream.isWhole = false;
      if (wasWhole) stream.client.onCut();
      if (wasWhole) this.#travel(() => this.#tellClient(stream));
    }
    this.#streams.clear();
  }

  get #isLost(): boolean {
    const { loss, random } = this.#options;
    return loss > 0 && random.nextFloat() < loss;
  }

  #travel(run: () => void): void {
    this.#clock.after(this.#options.latencyMs, run);
  }

  #tellServer(stream: Stream): void {
    if (stream.isServerTold || !stream.isServed) return;
    stream.isServerTold = true;
    this.#streams.delete(stream.id);
    this.server.input({ kind: 'connection-closed', connection: stream.id });
  }

  #tellClient(stream: Stream): void {
    if (stream.isClientTold) return;
    stream.isClientTold = true;
    stream.client.onStreamClosed(stream);
  }
}

function keyOf({ address, port }: SipAddress): string {
  return `${address}:${port}`;
}

/**
 * The listening sockets of a server with lines. They are the supervisor's, so that the ports stay open whatever
 * happens to the processes behind them. A connection is handed, unread, to the line that has the fewest on their way;
 * it is let go of here when the line has said that it has it. One that was on its way to a line that died is closed:
 * the line may have read from it.
 *
 * Not Node's cluster, which forgets such connections and leaves them open for ever, and which keeps the listening
 * sockets to itself, where their keepalives cannot be set.
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { ListenerConfig, ServerConfig } from '../config/config.js';
import { listen, listenerUrl } from '../listeners/listener.js';
import { applyTcpKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { TcpKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';

/** Who takes connections. */
export interface ConnectionTaker {
  /** Hands the socket's handle over; it stays open here. */
  giveConnection(listener: number, handle: object): void;
}

export interface FrontDoorOptions {
  readonly config: ServerConfig;
  readonly limits: RuntimeLimits;
  readonly log: Log;
}

/** An accepted connection that no line has taken yet. */
interface Arrival {
  readonly socket: Socket;
  readonly listener: number;
}

export class FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #servers: Server[] = [];
  #listeners: readonly ListenerConfig[];
  readonly #keepAliveWays: TcpKeepAlive['way'][] = [];
  /** Connections on their way to each line, oldest first. */
  readonly #takers = new Map<ConnectionTaker, Arrival[]>();
  /** Those that wait for a line. */
  #waiting: Arrival[] = [];
  /** Connections closed because too many waited; only grows. */
  refused = 0;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#listeners = options.config.listeners;
  }

  /** Resolves when all listen; rejects with LISTENER_ADDRESS_IN_USE or LISTENER_FAILED. */
  async open(): Promise<void> {
    const { config } = this.#options;
    const listeners: ListenerConfig[] = [];
    for (const [index, listener] of config.listeners.entries()) {
      const server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket, index));
      const port = await listen(server, listener, this.#options);
      this.#servers.push(server);
      listeners.push({ ...listener, port });
      this.#keepAliveWays.push(await this.#applyKeepAlive(server, listener));
    }
    this.#listeners = listeners;
  }

  get urls(): readonly string[] {
    return this.#listeners.map((listener) => listenerUrl(listener, listener.port));
  }

  /** With the ports really taken: what the lines are told. */
  get listeners(): readonly ListenerConfig[] {
    return this.#listeners;
  }

  /** How the connections of each listener come by their keepalives. */
  get keepAliveWays(): readonly TcpKeepAlive['way'][] {
    return this.#keepAliveWays;
  }

  /** The line takes connections from here on. */
  add(taker: ConnectionTaker): void {
    if (!this.#takers.has(taker)) this.#takers.set(taker, []);
    this.#distribute();
  }

  /** It takes no more; those on their way still reach it. */
  remove(taker: ConnectionTaker): void {
    const arrivals = this.#takers.get(taker);
    this.#takers.delete(taker);
    if (arrivals !== undefined && arrivals.length > 0) this.#leaving.set(taker, arrivals);
  }

  /** Lines that are leaving, with what is on its way to them. */
  readonly #leaving = new Map<ConnectionTaker, Arrival[]>();

  /** The line has taken so many. */
  handleTaken(taker: ConnectionTaker, count: number): void {
    const arrivals = this.#takers.get(taker) ?? this.#leaving.get(taker) ?? [];
    for (const { socket } of arrivals.splice(0, count)) socket.destroy();
    if (arrivals.length === 0) this.#leaving.delete(taker);
    this.#distribute();
  }

  /** The line has died. */
  handleDeath(taker: ConnectionTaker): void {
    const arrivals = this.#takers.get(taker) ?? this.#leaving.get(taker) ?? [];
    this.#takers.delete(taker);
    this.#leaving.delete(taker);
    for (const { socket } of arrivals) socket.destroy();
  }

  /** Nobody new comes in. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const { socket } of this.#waiting) socket.destroy();
    this.#waiting = [];
  }

  #accept(socket: Socket, listener: number): void {
    socket.on('error', ignoreError);
    this.#waiting.push({ socket, listener });
    this.#distribute();
    if (this.#waiting.length <= this.#options.limits.connectQueueMax) return;
    this.refused += 1;
    this.#waiting.pop()?.socket.destroy();
  }

  #distribute(): void {
    let given = 0;
    for (; given < this.#waiting.length; given += 1) {
      const taker = this.#leastBusy();
      if (taker === undefined) break;
      const arrival = this.#waiting[given]!;
      const handle = handleOf(arrival.socket);
      // Its peer has gone already.
      if (handle === undefined) continue;
      this.#takers.get(taker)!.push(arrival);
      taker.giveConnection(arrival.listener, handle);
    }
    if (given > 0) this.#waiting = this.#waiting.slice(given);
  }

  /** The line with the fewest connections on their way, in turn among equals; undefined: none takes more now. */
  #leastBusy(): ConnectionTaker | undefined {
    let best: ConnectionTaker | undefined;
    let bestCount: number = this.#options.limits.handoversMax;
    for (const [taker, arrivals] of this.#takers) {
      if (arrivals.length >= bestCount) continue;
      best = taker;
      bestCount = arrivals.length;
    }
    if (best !== undefined) {
      // To the end: the next one among equals is another.
      const arrivals = this.#takers.get(best)!;
      this.#takers.delete(best);
      this.#takers.set(best, arrivals);
    }
    return best;
  }

  async #applyKeepAlive(server: Server, { protocol }: ListenerConfig): Promise<TcpKeepAlive['way']> {
    const { config, limits } = this.#options;
    const idleMs = config.mqtt.tcpKeepAliveMs;
    const isMqtt = protocol === 'mqtt' || protocol === 'mqtts';
    if (!isMqtt || idleMs === undefined || config.behindProxy.length > 0) return 'off';
    const keepAlive = await applyTcpKeepAlive(server, {
      idleMs,
      intervalMs: limits.tcpKeepAliveIntervalMs,
      countMax: limits.tcpKeepAliveCountMax,
      programMsMax: limits.tcpKeepAliveProgramMsMax,
    });
    return keepAlive.way;
  }
}

/** Node does not offer it: a handle alone travels without a list of all sockets at either end. */
function handleOf(socket: Socket): object | undefined {
  return (socket as unknown as { readonly _handle?: object | null })._handle ?? undefined;
}

/** The connection closes by itself. */
function ignoreError(): void {}

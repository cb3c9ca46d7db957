/**
 * The ports of a server with lines. The supervisor binds them and keeps them, so that they stay open whatever happens
 * to the processes behind; it accepts nothing itself. Every line is given the bound sockets, listens on them, and
 * accepts what the others do not.
 *
 * Not Node's cluster. When it hands out connections, each waits for a round trip to its worker, and one on its way to
 * a worker that is killed stays open for ever; when it shares sockets, they are gone with the last worker.
 */
import { lookup } from 'node:dns/promises';
import { getSystemErrorMap } from 'node:util';
import * as net from 'node:net';
import type { Server } from 'node:net';
import type { ListenerConfig, ServerConfig } from '../config/config.js';
import { listenError, listenerUrl } from '../listeners/listener.js';
import { applyTcpKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { TcpKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { RuntimeLimits } from '../runtime/limits.js';

export interface FrontDoorOptions {
  readonly config: ServerConfig;
  readonly limits: RuntimeLimits;
}

/** A bound socket as Node has it inside; it travels to a child as it is. */
interface BoundSocket {
  getsockname(out: { port?: number }): number;
  close(): void;
}

/** What Node's cluster binds with. Node's own and not promised, but there since its first versions. */
interface NetInternals {
  _createServerHandle(
    address: string,
    port: number,
    family: 4 | 6,
    fd: undefined,
    flags: 0,
  ): BoundSocket | number;
}

export class FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #sockets: BoundSocket[] = [];
  readonly #listeners: ListenerConfig[] = [];
  readonly #keepAliveWays: TcpKeepAlive['way'][] = [];

  constructor(options: FrontDoorOptions) {
    this.#options = options;
  }

  /** Resolves when every port is taken; rejects with LISTENER_ADDRESS_IN_USE or LISTENER_FAILED. */
  async open(): Promise<void> {
    for (const listener of this.#options.config.listeners) {
      const { socket, port } = await bind(listener);
      this.#sockets.push(socket);
      this.#listeners.push({ ...listener, port });
      this.#keepAliveWays.push(await this.#applyKeepAlive(socket, listener));
    }
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

  /** In the order of the listeners. */
  get sockets(): readonly object[] {
    return this.#sockets;
  }

  /** Lets go of the ports; who listens on them still does. Idempotent. */
  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
  }

  async #applyKeepAlive(socket: BoundSocket, { protocol }: ListenerConfig): Promise<TcpKeepAlive['way']> {
    const { config, limits } = this.#options;
    const idleMs = config.mqtt.tcpKeepAliveMs;
    const isMqtt = protocol === 'mqtt' || protocol === 'mqtts';
    if (!isMqtt || idleMs === undefined || config.behindProxy.length > 0) return 'off';
    const keepAlive = await applyTcpKeepAlive({ _handle: socket } as unknown as Server, {
      idleMs,
      intervalMs: limits.tcpKeepAliveIntervalMs,
      countMax: limits.tcpKeepAliveCountMax,
      programMsMax: limits.tcpKeepAliveProgramMsMax,
    });
    return keepAlive.way;
  }
}

async function bind(
  listener: ListenerConfig,
): Promise<{ readonly socket: BoundSocket; readonly port: number }> {
  const { host, port } = listener;
  try {
    const { address, family } = await lookup(host);
    const internals = net as unknown as NetInternals;
    const socket = internals._createServerHandle(address, port, family === 6 ? 6 : 4, undefined, 0);
    if (typeof socket === 'number') throw systemError(socket);
    const name: { port?: number } = {};
    const failure = socket.getsockname(name);
    // The host tells of a port that is taken when one listens, and by then it has chosen another.
    if (failure === 0 && name.port !== undefined && (port === 0 || name.port === port)) {
      return { socket, port: name.port };
    }
    socket.close();
    throw Object.assign(new Error('the address is in use'), { code: 'EADDRINUSE' });
  } catch (error) {
    throw listenError(listener, error as NodeJS.ErrnoException);
  }
}

function systemError(errno: number): Error {
  const [code, message] = getSystemErrorMap().get(errno) ?? ['UNKNOWN', `error ${errno}`];
  return Object.assign(new Error(message), { code });
}

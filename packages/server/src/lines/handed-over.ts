/** Listeners of a line process: they do not listen, but are handed the connections that the supervisor accepts. */
import { Socket } from 'node:net';
import type { Server, SocketConstructorOpts } from 'node:net';
import type { ListenerConfig } from '../config/config.js';
import { inheritedKeepAlive, ownKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { TcpKeepAlive, TcpKeepAliveOptions } from '../listeners/tcp-keep-alive.js';

export class HandedOver {
  readonly #listeners: readonly ListenerConfig[];
  readonly #keepAliveWays: readonly TcpKeepAlive['way'][];
  readonly #servers = new Map<number, Server>();

  constructor(listeners: readonly ListenerConfig[], keepAliveWays: readonly TcpKeepAlive['way'][]) {
    this.#listeners = listeners;
    this.#keepAliveWays = keepAliveWays;
  }

  /** In place of listening: the server gets what the supervisor accepts for this listener. */
  readonly listen = (server: Server, config: ListenerConfig): Promise<number> => {
    this.#servers.set(this.#listeners.indexOf(config), server);
    // Node's HTTP servers begin to watch over slow peers with this event.
    server.emit('listening');
    return Promise.resolve(config.port);
  };

  /** The supervisor has set what connections inherit. */
  readonly applyTcpKeepAlive = (server: Server, options: TcpKeepAliveOptions): Promise<TcpKeepAlive> => {
    const [index] = [...this.#servers].find(([, one]) => one === server) ?? [-1];
    const isInherited = this.#keepAliveWays[index] === 'inherited';
    return Promise.resolve(isInherited ? inheritedKeepAlive : ownKeepAlive(options));
  };

  /** A connection, as its bare handle. One for MQTT is not read until its turn has come. */
  take(listener: number, handle: object): void {
    const protocol = this.#listeners[listener]?.protocol;
    const pauseOnCreate = protocol === 'mqtt' || protocol === 'mqtts';
    const options = { handle, pauseOnCreate, readable: true, writable: true } as SocketConstructorOpts;
    const socket = new Socket(options);
    const server = this.#servers.get(listener);
    if (server === undefined) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    server.emit('connection', socket);
  }
}

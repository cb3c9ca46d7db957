/** Listeners of a line process: they listen on sockets that the supervisor has bound, beside those of other lines. */
import type { Server } from 'node:net';
import type { ListenerConfig } from '../config/config.js';
import { inheritedKeepAlive, ownKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { TcpKeepAlive, TcpKeepAliveOptions } from '../listeners/tcp-keep-alive.js';

export class HandedOver {
  readonly #listeners: readonly ListenerConfig[];
  readonly #keepAliveWays: readonly TcpKeepAlive['way'][];
  readonly #sockets: Promise<object>[];
  readonly #give: ((socket: object) => void)[] = [];
  readonly #backlog: number;
  readonly #servers = new Map<Server, number>();

  constructor(
    listeners: readonly ListenerConfig[],
    keepAliveWays: readonly TcpKeepAlive['way'][],
    backlog: number,
  ) {
    this.#listeners = listeners;
    this.#keepAliveWays = keepAliveWays;
    this.#backlog = backlog;
    this.#sockets = listeners.map(() => new Promise((resolve) => this.#give.push(resolve)));
  }

  /** The supervisor has sent the socket of this listener. */
  take(listener: number, socket: object): void {
    this.#give[listener]?.(socket);
  }

  /** In place of listening on an address. */
  readonly listen = async (server: Server, config: ListenerConfig): Promise<number> => {
    const index = this.#listeners.indexOf(config);
    this.#servers.set(server, index);
    const socket = await this.#sockets[index];
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socket, this.#backlog, () => {
        server.off('error', reject);
        resolve();
      });
    });
    return config.port;
  };

  /** The supervisor has set what connections inherit. */
  readonly applyTcpKeepAlive = (server: Server, options: TcpKeepAliveOptions): Promise<TcpKeepAlive> => {
    const isInherited = this.#keepAliveWays[this.#servers.get(server) ?? -1] === 'inherited';
    return Promise.resolve(isInherited ? inheritedKeepAlive(options) : ownKeepAlive(options));
  };
}

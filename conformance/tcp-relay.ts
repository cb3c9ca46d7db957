/** A TCP relay on loopback that can cut its connections, as a network does: both ends get a reset. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export class TcpRelay {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #farPort: number;
  /** False: new connections are reset. */
  isOpen = true;

  private constructor(server: Server, farPort: number) {
    this.#server = server;
    this.#farPort = farPort;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (near: Socket) => this.#relay(near));
  }

  /** To a port of 127.0.0.1. A connection that the port refuses is refused in turn: reset. */
  static async start(port: number): Promise<TcpRelay> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpRelay(server, port);
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Resets all that there are; new ones are let in. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async end(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, 'close');
  }

  #relay(near: Socket): void {
    if (!this.isOpen) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port: this.#farPort, host: '127.0.0.1', noDelay: true });
    near.setNoDelay(true);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => other.resetAndDestroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.end();
      });
      one.pipe(other);
    }
  }
}

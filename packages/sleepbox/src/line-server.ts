/**
 * A Unix socket on which each line is a JSON object and is answered by one line. Bounded: line length,
 * connections, unsent answers. It knows no command; bad input is answered with a code, never thrown.
 */
import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

import { SleepboxError, type SleepboxErrorCode } from './errors.js';
import { limits } from './limits.js';

/** A request: any JSON object. `id`, when there is one, comes back in the answer. */
export type Request = Readonly<Record<string, unknown>>;
/** The fields of a good answer besides `ok` and `id`. */
export type Answer = Readonly<Record<string, unknown>>;

export class LineServer {
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  readonly #handle: (request: Request) => Answer | Promise<Answer>;
  readonly #onConnections: (count: number) => void;

  constructor(
    handle: (request: Request) => Answer | Promise<Answer>,
    onConnections: (count: number) => void = () => {},
  ) {
    this.#handle = handle;
    this.#onConnections = onConnections;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Resolves when clients can connect; the socket is its owner's alone. */
  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        chmodSync(path, 0o600);
        resolve();
      });
    });
  }

  /** Sends a line to everybody. */
  broadcast(message: Answer): void {
    for (const socket of this.#connections) this.#send(socket, message);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#connections) socket.destroySoon();
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#connections.size >= limits.controlConnectionsMax) {
      this.#send(
        socket,
        failure('TOO_MANY_CONNECTIONS', `at most ${limits.controlConnectionsMax}`, undefined),
      );
      socket.destroySoon();
      return;
    }
    this.#connections.add(socket);
    this.#onConnections(this.#connections.size);
    socket.on('close', () => {
      this.#connections.delete(socket);
      this.#onConnections(this.#connections.size);
    });
    let rest: Buffer = Buffer.alloc(0);
    let last = Promise.resolve(); // answers leave in the order of the requests
    socket.on('data', (chunk) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (
        let end = rest.indexOf(10);
        end >= 0 && end <= limits.controlLineBytesMax;
        end = rest.indexOf(10)
      ) {
        const line = rest.toString('utf8', 0, end).trim();
        rest = rest.subarray(end + 1);
        if (line !== '') last = last.then(async () => this.#send(socket, await this.#answer(line)));
      }
      if (rest.length <= limits.controlLineBytesMax) return;
      socket.removeAllListeners('data').resume();
      const message = `a line has at most ${limits.controlLineBytesMax} bytes`;
      last = last.then(() => {
        this.#send(socket, failure('LINE_TOO_LONG', message, undefined));
        socket.destroySoon();
      });
    });
    socket.on('end', () => {
      last = last.then(() => void socket.end());
    });
  }

  async #answer(line: string): Promise<Answer> {
    let request: unknown;
    try {
      request = JSON.parse(line);
    } catch {
      return failure('BAD_JSON', 'the line is not JSON', undefined);
    }
    if (typeof request !== 'object' || request === null || Array.isArray(request)) {
      return failure('BAD_JSON', 'the line is not a JSON object', undefined);
    }
    const { id } = request as Request;
    try {
      return { ...(id !== undefined && { id }), ok: true, ...(await this.#handle(request as Request)) };
    } catch (error) {
      if (error instanceof SleepboxError) return failure(error.code, error.message, id);
      throw error;
    }
  }

  #send(socket: Socket, message: Answer): void {
    if (socket.destroyed || !socket.writable) return;
    socket.write(`${JSON.stringify(message)}\n`);
    if (socket.writableLength > limits.controlBacklogBytesMax) socket.destroy();
  }
}

function failure(code: SleepboxErrorCode, message: string, id: unknown): Answer {
  return { ...(id !== undefined && { id }), ok: false, error: code, message };
}

/**
 * How the command line speaks to a supervisor on the same machine: a Unix socket in the data directory, for the
 * user alone. One line of JSON in, one out when it is done.
 */
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import { socketPath } from '../stores/lmdb/socket-path.js';

const controlSocketName = 'supervisor.sock';

/** A longer line is certainly no command. */
const LINE_BYTES_MAX = 1_024;

interface Answer {
  readonly done?: string;
  readonly error?: string;
}

export class ControlSocket {
  readonly #directory: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(directory: string, obey: (what: string) => Promise<string>) {
    this.#directory = directory;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      void serve(socket, obey);
    });
  }

  /** The directory exists, and belongs to this server. `obey` resolves with what was done. */
  static async open(directory: string, obey: (what: string) => Promise<string>): Promise<ControlSocket> {
    await rm(join(directory, controlSocketName), { force: true });
    const path = await socketPath(directory, controlSocketName);
    const control = new ControlSocket(directory, obey);
    const listening = once(control.#server, 'listening');
    const mask = process.umask(0o177);
    try {
      control.#server.listen(path);
    } finally {
      process.umask(mask);
    }
    await listening;
    return control;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await rm(join(this.#directory, controlSocketName), { force: true });
  }
}

async function serve(socket: Socket, obey: (what: string) => Promise<string>): Promise<void> {
  socket.on('error', () => socket.destroy());
  const line = await readLine(socket);
  if (line === undefined) {
    socket.destroy();
    return;
  }
  let answer: Answer;
  try {
    answer = { done: await obey((JSON.parse(line) as { command: string }).command) };
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  socket.end(`${JSON.stringify(answer)}\n`);
}

/**
 * Has the supervisor of this data directory carry out a command; resolves with what it did. Rejects when it failed, or
 * with ENOENT or ECONNREFUSED when there is no supervisor.
 */
export async function askSupervisor(directory: string, command: string): Promise<string> {
  const socket = connect(await socketPath(directory, controlSocketName));
  await once(socket, 'connect');
  socket.write(`${JSON.stringify({ command })}\n`);
  const line = await readLine(socket);
  socket.destroy();
  if (line === undefined) throw new Error('the server ended before it was done');
  const { done, error } = JSON.parse(line) as Answer;
  if (error !== undefined) throw new Error(error);
  return done ?? '';
}

/** The first line; undefined: there is none. */
function readLine(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (data: string) => {
      text += data;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > LINE_BYTES_MAX) resolve(undefined);
    });
    socket.on('close', () => resolve(undefined));
  });
}

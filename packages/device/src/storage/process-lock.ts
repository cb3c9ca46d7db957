/**
 * At most one live process, and one owner in it, holds a directory; a killed one holds nothing. The lock is a listening Unix socket
 * in the directory, which the kernel closes with its process, under a name that is never used again: so a dead one can be
 * removed safely. Each starter listens first and then looks for others; who finds a live one gives way. Of two that start in the same moment
 * never both win; it may be that neither does.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Paths of sockets are short: 108 bytes on Linux, 104 elsewhere, one of them the end. */
const PATH_BYTES_MAX = 103;
const NAME = /^lock\.(\d+)\.[0-9a-f]{8}$/;

export interface ProcessLock {
  release(): Promise<void>;
}

/** Who holds a directory that was asked for: its process id. */
export class HeldError extends Error {
  readonly pid: number;

  constructor(directory: string, pid: number) {
    super(`process ${pid} has ${directory} open`);
    this.pid = pid;
  }
}

/** @throws (rejects) HeldError, or what the system says of the directory, which must be there. */
export async function lockDirectory(directory: string): Promise<ProcessLock> {
  const path = await realpath(directory);
  if (process.platform === 'win32') return lockByPipe(path);
  const own = `lock.${process.pid}.${randomBytes(4).toString('hex')}`;
  const place = await placeOf(path, own);
  const server = await listen(join(place, own));
  const release = async (): Promise<void> => {
    await rm(join(place, own), { force: true });
    await new Promise((resolve) => server.close(resolve));
  };
  try {
    for (const name of await readdir(place)) {
      const pid = Number(NAME.exec(name)?.[1]);
      if (Number.isNaN(pid) || name === own) continue;
      if (await isAnswered(join(place, name))) throw new HeldError(path, pid);
      await rm(join(place, name), { force: true });
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { release };
}

/** The directory itself, or, where its path is too long for a socket's, one in the place for temporary files. */
async function placeOf(path: string, name: string): Promise<string> {
  if (Buffer.byteLength(join(path, name)) <= PATH_BYTES_MAX) return path;
  const digest = createHash('sha256').update(path).digest('hex').slice(0, 16);
  const place = join(tmpdir(), `wakeline-${digest}`);
  await mkdir(place, { recursive: true, mode: 0o700 });
  return place;
}

/** A named pipe of Windows goes with its process, and a second one of the same name is refused. */
async function lockByPipe(path: string): Promise<ProcessLock> {
  const digest = createHash('sha256').update(path.toLowerCase()).digest('hex').slice(0, 32);
  try {
    const server = await listen(String.raw`\\.\pipe\wakeline-${digest}`);
    return { release: () => new Promise((resolve) => server.close(() => resolve())) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw new HeldError(path, 0);
    throw error;
  }
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  // A lock must not keep a process running that has nothing else to do.
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** Whether a process listens there; a frozen one does, too. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      // Anything else (EAGAIN: its queue is full) comes from somebody alive.
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT');
    });
  });
}

/**
 * The lock of a data directory: at most one live process holds it, and a killed process holds nothing.
 *
 * Node has no `flock`, so the lock is a listening Unix socket inside the directory: the kernel closes it with the
 * process, whatever ended it. A fixed socket name would leave the old question of who may remove a stale one (two
 * starters that both find it stale can remove each other's). Therefore every starter uses a name that is never
 * used again, and starters settle it among themselves:
 *
 * 1. Listen under a temporary name, then rename to `lock.<pid>.<random>.sock`: whoever sees the name can connect.
 * 2. Then list the directory and connect to every other lock socket. Refused: its process is gone, and because no
 *    name is reused, removing it is safe. Answers `holder`: give up. Answers `candidate`: the greater name
 *    withdraws; the smaller waits until the other has decided.
 * 3. Whoever has asked everyone and is still there is the holder.
 *
 * Of two starters at least one lists after the other has listened, so never both become holder. Pathname sockets,
 * unlike abstract ones, also meet across network namespaces (two containers on one volume).
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { WakelineError } from '@wakeline/core/base';
import { shortPath } from './socket-path.js';

/** A live process that does not answer for so long is taken to hold the lock: it may be busy, but it is alive. */
const ANSWER_MS_MAX = 2_000;
/** How long another starter may take to decide. It only has to ask a few sockets. */
const DECISION_MS_MAX = 10_000;
/** How often to begin anew because another starter gave way and then failed. */
const ATTEMPTS_MAX = 20;
const LOCK_NAME = /^lock\.(\d+)\.[0-9a-f]{16}\.sock$/;
const UNFINISHED_NAME = /^lock\.\d+\.[0-9a-f]{16}\.sock\.new$/;
/** A starter renames its socket within milliseconds; one this old has been killed. */
const UNFINISHED_MS_MIN = 60_000;

type Answer =
  | { readonly state: 'gone' }
  | { readonly state: 'holder' }
  /** `decision` resolves when the other starter has become holder, or has gone. */
  | { readonly state: 'candidate'; readonly decision: Promise<'holder' | 'gone'> };

export class DirectoryLock {
  readonly #directory: string;
  /** A prefix for socket paths that is short enough whatever the directory's length. */
  readonly #socketDirectory: string;
  readonly #handle: FileHandle;
  readonly #ownerPid: number;
  #name = '';
  #server: Server | undefined;
  #isHolder = false;
  /** Connections of others, open until they have their answer. */
  readonly #asking = new Set<Socket>();

  private constructor(directory: string, handle: FileHandle, ownerPid: number) {
    this.#directory = directory;
    this.#ownerPid = ownerPid;
    this.#handle = handle;
    this.#socketDirectory = shortPath(directory, handle);
  }

  /**
   * Takes the lock of an existing directory, or rejects with STORE_LOCKED, naming the process that has it.
   *
   * @param ownerPid the process to end when the directory is wanted by another.
   */
  static async acquire(directory: string, ownerPid = process.pid): Promise<DirectoryLock> {
    const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    const lock = new DirectoryLock(directory, handle, ownerPid);
    try {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) if (await lock.#try()) return lock;
      throw lockedError(directory, undefined);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The process that holds the directory at this moment, if any. Takes nothing and changes nothing. */
  static async holderPid(directory: string): Promise<number | undefined> {
    const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (const name of await lockNames(directory)) {
        const answer = await ask(join(shortPath(directory, handle), name));
        if (answer.state !== 'gone') return pidOf(name);
      }
      return undefined;
    } finally {
      await handle.close();
    }
  }

  /** Gives the lock back. Doing it twice is no error. */
  async release(): Promise<void> {
    await this.#withdraw();
    await this.#handle.close();
  }

  /** One round; false when a starter that we gave way to has failed and it is worth trying again. */
  async #try(): Promise<boolean> {
    await this.#listen();
    for (const name of await lockNames(this.#directory)) {
      if (name === this.#name) continue;
      const answer = await ask(join(this.#socketDirectory, name));
      if (answer.state === 'gone') {
        await rm(join(this.#directory, name), { force: true });
        continue;
      }
      if (answer.state === 'holder') throw lockedError(this.#directory, pidOf(name));
      const givesWay = name < this.#name;
      if (givesWay) await this.#withdraw();
      if ((await answer.decision) === 'holder') throw lockedError(this.#directory, pidOf(name));
      if (givesWay) return false;
    }
    this.#isHolder = true;
    await this.#removeUnfinished();
    for (const socket of this.#asking) socket.end('holder\n');
    return true;
  }

  async #listen(): Promise<void> {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.resume();
      this.#asking.add(socket);
      socket.on('close', () => this.#asking.delete(socket));
      if (this.#isHolder) socket.end('holder\n');
      else socket.write('candidate\n');
    });
    // A lock must not keep alive a process that has nothing else to do.
    server.unref();
    this.#server = server;
    this.#name = `lock.${this.#ownerPid}.${randomBytes(8).toString('hex')}.sock`;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(join(this.#socketDirectory, `${this.#name}.new`), resolve);
    });
    await rename(join(this.#directory, `${this.#name}.new`), join(this.#directory, this.#name));
  }

  /** Removes what starters have left that were killed between their two names. */
  async #removeUnfinished(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!UNFINISHED_NAME.test(name)) continue;
      const path = join(this.#directory, name);
      const file = await stat(path).catch(() => undefined);
      if (file !== undefined && Date.now() - file.mtimeMs > UNFINISHED_MS_MIN)
        await rm(path, { force: true });
    }
  }

  async #withdraw(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#isHolder = false;
    // The name first: who still finds it must find it answering.
    await rm(join(this.#directory, this.#name), { force: true });
    await rm(join(this.#directory, `${this.#name}.new`), { force: true });
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#asking) socket.destroy();
    await closed;
  }
}

/** Connects to a lock socket and reads its state. */
function ask(path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let text = '';
    let decide: ((decision: 'holder' | 'gone') => void) | undefined;
    // Alive but silent, or without an answer: on the safe side, it is held.
    const onTimeout = (): void => {
      settle('holder');
      socket.destroy();
    };
    let timer = setTimeout(onTimeout, ANSWER_MS_MAX);
    const settle = (state: 'holder' | 'gone'): void => {
      clearTimeout(timer);
      resolve({ state });
      decide?.(state);
    };
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => {
      text += data;
      if (text.includes('holder\n')) settle('holder');
      else if (decide === undefined && text.includes('candidate\n')) {
        clearTimeout(timer);
        timer = setTimeout(onTimeout, DECISION_MS_MAX);
        resolve({
          state: 'candidate',
          decision: new Promise((resolveDecision) => (decide = resolveDecision)),
        });
      }
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Anything but "nobody listens there" (EAGAIN: its queue is full) comes from somebody alive.
      const isGone = ['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE'].includes(error.code ?? '');
      settle(isGone ? 'gone' : 'holder');
    });
    socket.on('close', () => settle('gone'));
  });
}

async function lockNames(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => LOCK_NAME.test(name)).sort();
}

function pidOf(name: string): number {
  return Number(LOCK_NAME.exec(name)?.[1]);
}

function lockedError(directory: string, pid: number | undefined): WakelineError {
  const holder = pid === undefined ? 'another process that is starting' : `process ${pid}`;
  return new WakelineError(
    'STORE_LOCKED',
    `the data directory ${directory} is in use by ${holder}; stop it first`,
    {
      retryable: true,
    },
  );
}

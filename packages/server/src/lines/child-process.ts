/** One process of a supervisor: started, spoken to, watched until its end. */
import { fork } from 'node:child_process';
import type { ChildProcess, SendHandle } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ServerConfig } from '../config/config.js';
import { RuntimeError, runtimeErrorCodes } from '../runtime/errors.js';
import type { RuntimeErrorCode } from '../runtime/errors.js';
import type { TcpKeepAlive } from '../listeners/tcp-keep-alive.js';
import type { FrontDoor } from './front-door.js';
import type { ProcessCommand, ProcessReport } from './process-messages.js';
import { WakelineError } from '@wakeline/core/base';
import type { ErrorCode } from '@wakeline/core/base';

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ServerChild {
  readonly name: string;
  /** Resolves with the addresses it listens on; rejects with what it said, or that it ended, before. */
  readonly ready: Promise<readonly string[]>;
  readonly ended: Promise<ProcessEnd>;
  /** Monotonic ms at which it was ready; undefined: it is not yet. */
  readyMs: number | undefined;
  /** It was told to end: its end is no fault. */
  isLeaving = false;
  /** It could not start, for this reason. */
  failure: Error | undefined;
  readonly #process: ChildProcess;

  constructor(
    child: ChildProcess,
    name: string,
    config: ServerConfig,
    keepAliveWays: readonly TcpKeepAlive['way'][],
    sockets: readonly object[],
    onReport: (from: ServerChild, report: ProcessReport) => void,
  ) {
    this.name = name;
    this.#process = child;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    this.ready = new Promise((resolve, reject) => {
      child.on('message', (report: ProcessReport) => {
        if (report.kind === 'ready') {
          this.readyMs = performance.now();
          resolve(report.urls);
        } else if (report.kind === 'failed') {
          this.failure = errorOf(report.code, report.message);
          reject(this.failure);
        } else if (report.kind === 'listening') {
          this.send({ kind: 'start', config, name, keepAliveWays });
          this.giveSockets(sockets);
        } else onReport(this, report);
      });
      child.once('error', reject);
      void this.ended.then(({ code, signal }) =>
        reject(new Error(`the process ${name} ended before it was ready (${signal ?? code})`)),
      );
    });
    // Whoever does not wait for it hears of its end.
    this.ready.catch(() => undefined);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  send(command: ProcessCommand): void {
    // A process that is ending takes nothing more, and its end is seen elsewhere.
    if (this.#process.connected) this.#process.send(command, () => undefined);
  }

  /** Gives a line the bound sockets to listen on, in the order of the listeners. */
  giveSockets(sockets: readonly object[]): void {
    for (const [listener, socket] of sockets.entries()) {
      const command: ProcessCommand = { kind: 'socket', listener };
      if (this.#process.connected) this.#process.send(command, socket as SendHandle, {}, () => undefined);
    }
  }

  /** Sends what only a process that works understands: at once, or as soon as it does. */
  sendWhenReady(command: ProcessCommand): void {
    if (this.readyMs !== undefined) this.send(command);
    else
      this.ready.then(
        () => this.send(command),
        // It ends by itself.
        () => undefined,
      );
  }

  /** Asks it to end by this command; resolves when it has, and kills it after `timeMs`. */
  async end(command: ProcessCommand, timeMs: number): Promise<void> {
    this.isLeaving = true;
    this.sendWhenReady(command);
    const timer = setTimeout(() => this.kill(), timeMs);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.isLeaving = true;
    this.#process.kill('SIGKILL');
  }
}

export function forkHub(
  config: ServerConfig,
  onReport: (from: ServerChild, report: ProcessReport) => void,
): ServerChild {
  const child = fork(mainOf('hub-main.js'), { serialization: 'advanced' });
  return new ServerChild(child, 'hub', config, [], [], onReport);
}

export function forkLine(
  name: string,
  config: ServerConfig,
  door: FrontDoor,
  onReport: (from: ServerChild, report: ProcessReport) => void,
): ServerChild {
  // Of several processes that wait at one socket, each takes one connection and gives the others a chance.
  const env = { ...process.env, UV_TCP_SINGLE_ACCEPT: '1' };
  const child = fork(mainOf('line-main.js'), { serialization: 'advanced', env });
  return new ServerChild(child, name, config, door.keepAliveWays, door.sockets, onReport);
}

function mainOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

/** The error as the process had it. */
function errorOf(code: string | undefined, message: string): Error {
  if (code === undefined) return new Error(message);
  if (Object.hasOwn(runtimeErrorCodes, code)) return new RuntimeError(code as RuntimeErrorCode, message);
  return new WakelineError(code as ErrorCode, message);
}

/**
 * Starts the program and passes on what it writes. One object per launch. It must not decide anything: when
 * to launch, freeze or kill is the machine's affair.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';

import { SleepboxError } from './errors.js';
import { limits } from './limits.js';

/** What becomes of the program's output: shown as its own, told line by line, or thrown away. */
export type OutputMode = 'inherit' | 'events' | 'ignore';

/** One line of output, without its end. */
export type OutputListener = (stream: 'stdout' | 'stderr', line: string) => void;

/** How the program ended. */
export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Checks that a command can be started, so that a mistyped name is not relaunched for ever.
 * @throws SleepboxError COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE
 */
export function checkCommand(command: string, path: string | undefined = process.env['PATH']): void {
  const candidates = command.includes('/')
    ? [command]
    : (path ?? '').split(delimiter).map((one) => join(one || '.', command));
  let exists = false;
  for (const candidate of candidates) {
    try {
      if (!statSync(candidate).isFile()) continue;
      exists = true;
      accessSync(candidate, constants.X_OK);
      return;
    } catch {
      // the next one
    }
  }
  if (exists) throw new SleepboxError('COMMAND_NOT_EXECUTABLE', `${command} may not be executed`);
  throw new SleepboxError('COMMAND_NOT_FOUND', `${command}: there is no such command`);
}

export class Program {
  readonly #child: ChildProcess;
  /** Settles when the leader has ended and its output has been told, or a second later. */
  readonly ended: Promise<ProgramExit>;

  constructor(
    command: readonly string[],
    options: {
      readonly env: Readonly<Record<string, string | undefined>>;
      readonly cwd?: string;
      readonly output: OutputMode;
      readonly onOutput: OutputListener;
      /** The leader has ended; its output may still be coming. The rest of its tree should be ended now. */
      readonly onLeaderEnd: () => void;
    },
  ) {
    const [file = '', ...args] = command;
    const piped = options.output === 'events' ? 'pipe' : options.output;
    this.#child = spawn(file, args, {
      stdio: [options.output === 'inherit' ? 'inherit' : 'ignore', piped, piped],
      // A session of its own: the terminal's Ctrl-C is for sleepbox, which ends the program in order.
      detached: true,
      env: { ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    if (this.#child.stdout) splitLines(this.#child.stdout, (line) => options.onOutput('stdout', line));
    if (this.#child.stderr) splitLines(this.#child.stderr, (line) => options.onOutput('stderr', line));
    this.ended = new Promise((resolve) => {
      let exit: ProgramExit = { code: 127, signal: null };
      this.#child.on('error', () => {
        if (this.#child.pid !== undefined) return;
        options.onLeaderEnd();
        resolve(exit);
      });
      this.#child.on('exit', (code, signal) => {
        exit = { code, signal };
        options.onLeaderEnd();
        setTimeout(() => resolve(exit), 1_000).unref(); // an escaped grandchild may hold the pipes open
      });
      this.#child.on('close', () => resolve(exit));
    });
  }

  /** Undefined: it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }
}

/** Calls back for each line; a line that is too long comes in pieces, an unfinished last one at the end. */
function splitLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    rest += chunk;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      onLine(rest.slice(0, end).replace(/\r$/, ''));
      rest = rest.slice(end + 1);
    }
    while (rest.length > limits.outputLineBytesMax) {
      onLine(rest.slice(0, limits.outputLineBytesMax));
      rest = rest.slice(limits.outputLineBytesMax);
    }
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}

/** Real programs as peers: started, read line by line, ended; and a `wakeline up` whose log and end can be examined. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { until, wakelineBin } from './support.js';

/** How long a test waits for a program to say or do something, ms: much longer than it takes on a machine that does much else. */
export const PATIENCE_MS = 60_000;

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called with each line of standard output as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Program {
  readonly name: string;
  /** Whole lines of standard output so far. */
  readonly lines: string[] = [];
  /** Resolves when the program has ended and all its output is here. */
  readonly ended: Promise<ProgramEnd>;
  stdout = '';
  stderr = '';
  isRunning = true;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #rest = '';

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    this.name = `${command} ${args.join(' ')}`;
    this.#child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) {
        this.lines.push(line);
        options.onLine?.(line);
      }
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) => {
        this.isRunning = false;
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    // Whoever does not await it must not be ended by it.
    this.ended.catch(() => {});
  }

  get pid(): number {
    return this.#child.pid!;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Closes standard input. */
  endInput(): void {
    this.#child.stdin.end();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves when a line of standard output matches, counted from line `from`. */
  async line(pattern: RegExp, from = 0): Promise<string> {
    const find = (): string | undefined => this.lines.slice(from).find((line) => pattern.test(line));
    await until(
      () => {
        const isFound = find() !== undefined;
        if (!isFound && !this.isRunning)
          throw new Error(`${this.name} ended without ${pattern}: ${this.stdout}${this.stderr}`);
        return isFound;
      },
      PATIENCE_MS,
      () => `${this.name} says ${pattern}; it said: ${this.stdout}${this.stderr}`,
    );
    return find()!;
  }

  /** Resolves with what it has written into a file, once that is whole. */
  async file(path: string, isWhole: (text: string) => boolean): Promise<string> {
    const said = (): string => `${this.name} writes ${path}; it said: ${this.stdout}${this.stderr}`;
    let text = '';
    await until(
      () => {
        if (!this.isRunning) throw new Error(`ended before: ${said()}`);
        text = existsSync(path) ? readFileSync(path, 'utf8') : '';
        return isWhole(text);
      },
      PATIENCE_MS,
      said,
    );
    return text;
  }

  /** Ends it if it still runs. Rejects when it does not obey; it is killed then. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<ProgramEnd> {
    if (!this.isRunning) return this.ended;
    this.#child.kill(signal);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(resolve, PATIENCE_MS, 'late')));
    const end = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (end !== 'late') return end;
    this.#child.kill('SIGKILL');
    const last = this.lines.slice(-20).join('\n');
    throw new Error(`${this.name} did not end by ${signal}; it said: ${last}\n${this.stderr.slice(-2_000)}`);
  }
}

/** Runs a program to its end. */
export function runProgram(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramEnd> {
  const program = new Program(command, args, options);
  program.endInput();
  return program.ended;
}

/** The `wakeline` command of this tree. */
export function wakeline(args: readonly string[], options: ProgramOptions = {}): Program {
  return new Program(process.execPath, [wakelineBin, ...args], options);
}

/** `wakeline up` with these arguments, ready; and its listeners' URLs in the order of `--listen`. */
export async function startWakeline(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<{ readonly server: Program; readonly urls: readonly URL[] }> {
  const server = wakeline(['up', ...args], options);
  const ready = await server.line(/^wakeline: ready /);
  const urls = ready.split(' ').filter((word) => word.includes('://'));
  return { server, urls: urls.map((url) => new URL(url)) };
}

/** Python of the distribution, which has the distribution's modules. */
export const SYSTEM_PYTHON = '/usr/bin/python3';

/**
 * Undefined when the programs are there, else why a test that needs them is skipped. A name with a dot is a module
 * of {@link SYSTEM_PYTHON}.
 */
export function whyMissing(...names: readonly string[]): string | undefined {
  const missing = names.filter((name) => {
    const look = name.includes('.') ? `${SYSTEM_PYTHON} -c 'import ${name}'` : `command -v ${name}`;
    return spawnSync('sh', ['-c', look]).status !== 0;
  });
  if (missing.length === 0) return undefined;
  return `NOT TESTED: ${missing.join(', ')} not installed; tools/peers.sh installs the peers`;
}

/** Resident memory of a process, MiB: now and at its highest. */
export function residentMiB(pid: number): { readonly now: number; readonly highest: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name: string): number =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1_024);
  return { now: field('VmRSS'), highest: field('VmHWM') };
}

/** The value below which the share of all values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Ours, without what would configure Wakeline, npm or a test runner behind the test's back. */
function cleanEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !name.startsWith('WAKELINE_') && !name.startsWith('npm_') && name !== 'NODE_TEST_CONTEXT',
    ),
  );
}

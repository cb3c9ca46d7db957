/**
 * SIPp: one run of a scenario of the folder `sipp` (or of its own), and what came of it. Its exit code alone says little:
 * what counts is read from its statistics file. A scenario tells moments with `<log message="mark NAME [timestamp] …"/>`.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE_MS, Program } from './program.js';
import { freeMediaPort, freePort, until } from './support.js';

export interface SippOptions {
  /** Where it writes; made when missing. One run each. */
  readonly directory: string;
  /** A file of the folder `sipp` without `.xml`, or `stock:uac` and the like for one of SIPp's own. */
  readonly scenario: string;
  /** HOST:PORT that it sends to; callees need none. */
  readonly server?: string;
  readonly transport?: 'udp' | 'tcp';
  /** User part of the Request-URI. */
  readonly service?: string;
  /** What stands for `@NAME@` in the scenario's file. */
  readonly replacements?: Readonly<Record<string, string>> | undefined;
  /** `[NAME]` in the scenario. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Length of each `<pause/>`, ms. */
  readonly holdMs?: number;
  readonly calls?: number;
  readonly callsPerSecond?: number;
  /** Its own address. */
  readonly localAddress?: string;
  /** Its own port; default: a free one. */
  readonly localPort?: number;
  /** User and password, of a caller that is challenged. */
  readonly credentials?: readonly [string, string] | undefined;
  /** `uri` of the credentials; default: what it sends to, which no request names. */
  readonly credentialsUri?: string | undefined;
  /** Users by line for `[field0]` (`-inf`). */
  readonly users?: readonly string[];
  /** Ended by force after this time, ms; default: {@link PATIENCE_MS} and the pauses. */
  readonly timeoutMs?: number;
  readonly more?: readonly string[];
}

/** A moment that the scenario told. */
export interface SippMark {
  readonly name: string;
  /** Wall clock, ms with fractions. */
  readonly atMs: number;
  /** What follows the timestamp. */
  readonly detail: string;
}

export interface SippOutcome {
  readonly created: number;
  readonly successful: number;
  readonly failed: number;
  readonly retransmissions: number;
  readonly marks: readonly SippMark[];
}

export class Sipp {
  readonly localPort: number;
  readonly #options: SippOptions;
  readonly #program: Program;

  private constructor(options: SippOptions, localPort: number, program: Program) {
    this.#options = options;
    this.localPort = localPort;
    this.#program = program;
  }

  static async start(options: SippOptions): Promise<Sipp> {
    const { directory, scenario, server, transport = 'udp', service = 'service', calls = 1 } = options;
    const { localAddress = '127.0.0.1', holdMs = 0, callsPerSecond = 10, keys = {}, credentials } = options;
    mkdirSync(directory, { recursive: true });
    const localPort = options.localPort ?? (await freePort());
    const mediaPort = await freeMediaPort();
    const args = scenario.startsWith('stock:')
      ? ['-sn', scenario.slice('stock:'.length)]
      : ['-sf', writeScenario(options)];
    args.push('-t', transport === 'udp' ? 'u1' : 't1', '-i', localAddress, '-p', String(localPort));
    args.push('-mi', localAddress, '-mp', String(mediaPort), '-rtp_echo', '-nostdin');
    args.push('-m', String(calls), '-r', String(callsPerSecond), '-d', String(holdMs), '-s', service);
    args.push('-trace_logs', '-log_file', 'log', '-trace_err', '-error_file', 'errors');
    args.push('-trace_stat', '-stf', 'statistics.csv', '-trace_msg', '-message_file', 'messages');
    args.push('-key', 'rtp_port', String(mediaPort));
    for (const [name, value] of Object.entries(keys)) args.push('-key', name, value);
    if (credentials !== undefined) args.push('-au', credentials[0], '-ap', credentials[1]);
    if (options.credentialsUri !== undefined) args.push('-auth_uri', options.credentialsUri);
    args.push(...(options.more ?? []));
    if (server !== undefined) args.push(server);
    const program = new Program('sipp', args, { cwd: directory });
    program.endInput();
    return new Sipp(options, localPort, program);
  }

  /** Resolves when its own port is bound. */
  async listens(): Promise<void> {
    const { transport = 'udp' } = this.#options;
    const port = this.localPort.toString(16).toUpperCase().padStart(4, '0');
    const bound = new RegExp(`:${port} \\S+ ${transport === 'udp' ? '07' : '0A'} `);
    await until(
      () => bound.test(readFileSync(`/proc/${this.#program.pid}/net/${transport}`, 'latin1')),
      PATIENCE_MS,
      () => `SIPp listens: ${this.tell()}`,
    );
  }

  /** The moments told so far. */
  get marks(): readonly SippMark[] {
    return this.#read('log')
      .split('\n')
      .flatMap((line) => {
        const match = /^mark (\S+) .*?(\d{9,}\.\d+)\s*(.*)$/.exec(line);
        if (match === null) return [];
        return [{ name: match[1], atMs: Number(match[2]) * 1_000, detail: match[3] }];
      });
  }

  /** Resolves when the scenario has come to this moment. */
  async mark(name: string, timeoutMs = PATIENCE_MS): Promise<SippMark> {
    const find = (): SippMark | undefined => this.marks.find((mark) => mark.name === name);
    await until(
      () => {
        if (find() !== undefined) return true;
        if (!this.#program.isRunning) throw new Error(`SIPp ended before ${name}: ${this.tell()}`);
        return false;
      },
      timeoutMs,
      () => `SIPp comes to ${name}: ${this.tell()}`,
    );
    return find()!;
  }

  /** Resolves when it has ended, by itself or by force when its time is over. */
  async outcome(): Promise<SippOutcome> {
    const { holdMs = 0, timeoutMs = PATIENCE_MS + 4 * holdMs } = this.#options;
    const overtime = setTimeout(() => this.#program.signal('SIGKILL'), timeoutMs);
    await this.#program.ended;
    clearTimeout(overtime);
    const [head = '', ...rows] = this.#read('statistics.csv').trimEnd().split('\n');
    const columns = head.split(';');
    const last = rows.at(-1)?.split(';') ?? [];
    const figure = (name: string): number => Number(last[columns.indexOf(name)] ?? Number.NaN);
    return {
      created: figure('TotalCallCreated'),
      successful: figure('SuccessfulCall(C)'),
      failed: figure('FailedCall(C)'),
      retransmissions: figure('Retransmissions(C)'),
      marks: this.marks,
    };
  }

  /** The outcome, when all its calls went as the scenario says; rejects otherwise. */
  async success(): Promise<SippOutcome> {
    const outcome = await this.outcome();
    const { calls = 1 } = this.#options;
    assert.equal(outcome.successful, calls, `calls that went well: ${this.tell()}`);
    assert.equal(outcome.failed, 0, this.tell());
    assert.equal((await this.#program.ended).code, 0, this.tell());
    return outcome;
  }

  async end(): Promise<void> {
    await this.#program.end();
  }

  /** What it received and sent, for a failure's message. */
  tell(): string {
    const { scenario } = this.#options;
    return [
      `scenario ${scenario}`,
      this.#read('errors').slice(-2_000),
      this.#read('messages').slice(-6_000),
      this.#program.stderr.slice(-1_000),
    ].join('\n');
  }

  #read(name: string): string {
    const path = join(this.#options.directory, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

/** The scenario's file as this run needs it: with credentials for what is challenged, where there are some. */
function writeScenario({ directory, scenario, replacements = {}, credentials }: SippOptions): string {
  const read = (name: string): string =>
    readFileSync(new URL(`../sipp/${name}.xml`, import.meta.url), 'utf8');
  const isUser = credentials !== undefined;
  const text = read(scenario)
    .replace('<!-- @PRELUDE@ -->\n', isUser ? read('prelude') : '')
    .replaceAll(/^ *@CREDENTIALS@\n/gm, isUser ? '      [authentication]\n' : '')
    .replaceAll(/@([A-Z_]+)@/g, (_, name: string) => {
      const value = replacements[name];
      if (value === undefined) throw new Error(`${scenario} wants a replacement for @${name}@`);
      return value;
    });
  writeFileSync(join(directory, `${scenario}.xml`), text);
  return `${scenario}.xml`;
}

/** The time between two moments of a run, ms. */
export function betweenMs(marks: readonly SippMark[], from: string, to: string): number {
  const at = (name: string): number => marks.find((mark) => mark.name === name)?.atMs ?? Number.NaN;
  return at(to) - at(from);
}

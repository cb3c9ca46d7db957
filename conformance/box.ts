/** A program in `wakeline sleepbox`, as a phone: its timeline as it comes, and the user's hand on it (`sleepbox ctl`). */
import assert from 'node:assert/strict';
import { PATIENCE_MS, runProgram, wakeline } from './program.js';
import type { Program } from './program.js';
import { sleep, until, wakelineBin } from './support.js';

/** A line of the box's timeline; which fields are there depends on the type. */
export interface BoxEvent {
  readonly at: string;
  readonly elapsedMs: number;
  readonly type: string;
  readonly cause: string;
  readonly pid: number;
  readonly because: string;
  /** What a sleep was begun by. */
  readonly by: string;
  readonly action: string;
  readonly timeoutMs: number;
  readonly latencyMs: number;
  readonly stream: string;
  readonly line: string;
  readonly summary: {
    readonly relaunches: number;
    readonly wakes: Readonly<Record<string, number>>;
    readonly awakeMs: number;
    readonly audioMs: number;
    readonly receivedBytes: number;
    readonly sentBytes: number;
  };
}

export interface BoxOptions {
  readonly name: string;
  /** Where the box's runtime files are; the test's own. */
  readonly runtimeDirectory: string;
  readonly command: readonly string[];
  readonly profile?: 'ios-voip' | 'linux-phone';
  readonly modes?: string;
  readonly window?: string;
  /** Only connections to this port of 127.0.0.1 wake it; what steers the program does not. */
  readonly wakePort: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly onOutput?: (line: string) => void;
}

export class Box {
  readonly events: BoxEvent[] = [];
  readonly program: Program;
  readonly #options: BoxOptions;

  constructor(options: BoxOptions) {
    this.#options = options;
    const { name, profile = 'ios-voip', modes = 'voip,audio', window = '10s', wakePort } = options;
    const flags = ['--json', '--name', name, '--profile', profile, '--modes', modes, '--window', window];
    flags.push('--wake', `tcp:127.0.0.1:${wakePort}`);
    this.program = wakeline(['sleepbox', ...flags, '--', ...options.command], {
      env: { XDG_RUNTIME_DIR: options.runtimeDirectory, ...options.env },
      onLine: (line) => {
        const event = JSON.parse(line) as BoxEvent;
        this.events.push(event);
        if (event.type === 'output') options.onOutput?.(event.line);
      },
    });
    this.program.endInput();
  }

  /** Whether the program is frozen now. */
  get isAsleep(): boolean {
    return this.events.findLast(({ type }) => ['asleep', 'wake', 'launch'].includes(type))?.type === 'asleep';
  }

  /** The program's process as last launched. */
  get pid(): number {
    const launch = this.events.findLast(({ type }) => type === 'launch');
    assert(launch, 'the program was launched');
    return launch.pid;
  }

  count(type: string): number {
    return this.events.filter((event) => event.type === type).length;
  }

  wakes(cause?: string): readonly BoxEvent[] {
    return this.events.filter((event) => event.type === 'wake' && (cause ?? event.cause) === event.cause);
  }

  async asleep(timeoutMs = PATIENCE_MS): Promise<void> {
    await this.until(() => this.isAsleep, 'asleep', timeoutMs);
  }

  async until(condition: () => boolean, what: string, timeoutMs = PATIENCE_MS): Promise<void> {
    await until(
      () => {
        if (!this.program.isRunning) throw new Error(`the box ended before: ${what}; ${this.tell()}`);
        return condition();
      },
      timeoutMs,
      () => `${this.#options.name}: ${what}; ${this.tell()}`,
    );
  }

  /** Takes it as often as it sleeps before this is done: a busy machine may need longer than a window to start a program. */
  async heldUntil<T>(done: Promise<T>): Promise<T> {
    let isDone = false;
    const hold = async (): Promise<void> => {
      while (!isDone) {
        if (this.isAsleep) await this.take().catch(() => {}); // it may have ended: `done` says why
        await sleep(100);
      }
    };
    // No hand is left on its way: it would wake the program later, when nothing is to.
    const holding = hold();
    try {
      return await done;
    } finally {
      isDone = true;
      await holding;
    }
  }

  /** The user takes the phone, which sleeps; resolves when that is seen in the timeline, too. */
  async take(): Promise<void> {
    const wakes = this.count('wake');
    await this.ctl('wake');
    await this.until(() => this.count('wake') > wakes, 'taken');
  }

  /** The user takes the phone (`wake`) or puts it away (`sleep`). */
  async ctl(command: 'wake' | 'sleep'): Promise<void> {
    const args = [wakelineBin, 'sleepbox', 'ctl', command, '--name', this.#options.name];
    const env = { XDG_RUNTIME_DIR: this.#options.runtimeDirectory };
    const end = await runProgram(process.execPath, args, { env });
    assert.equal(end.code, 0, end.stderr);
  }

  /** Ends program and box; the timeline then has its summary. */
  async end(): Promise<void> {
    await this.program.end('SIGTERM');
  }

  /** The last of what happened, for a failure's message. */
  tell(): string {
    const last = this.events.slice(-40).map((event) => {
      const { at: _at, type, ...rest } = event;
      return `${type} ${type === 'output' ? event.line : JSON.stringify(rest)}`;
    });
    return `${last.join('\n')}\n${this.program.stderr}`;
  }
}

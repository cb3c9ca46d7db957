/**
 * The box: a thin shell around `BoxMachine`. It carries out the machine's orders one after the other (processes,
 * freezer, watcher, sockets) and tells it what came of them. Policy does not belong here.
 */
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { BoxMachine } from './box-machine.js';
import type { BoxInput, BoxOutput } from './box-types.js';
import { type ControlCommand, parseControlCommand } from './control-protocol.js';
import { showDesktopNotification } from './desktop-notification.js';
import { SleepboxError } from './errors.js';
import type { BoxEvent, BoxStatus, BoxSummary, DownReason } from './events.js';
import { type Freezer, openFreezer } from './freezer.js';
import { Guardian } from './guardian.js';
import { type Answer, LineServer, type Request } from './line-server.js';
import { limits } from './limits.js';
import { Nat, natHost } from './nat.js';
import { type ResolvedOptions, resolveOptions, type SleepboxOptions } from './options.js';
import { checkCommand, Program } from './program.js';
import { openBoxDirectory, removeBoxDirectory, writeBoxRecord } from './runtime-directory.js';
import type { ConnectionSample } from './sockets.js';
import type { Watcher } from './watcher.js';
import { openWatcher } from './watcher-choice.js';
import { ProcWatcher } from './watcher-proc.js';

/** A timeline event with its moment: wall clock (ISO 8601) and milliseconds since the box began. */
export type TimelineEvent = BoxEvent & { readonly at: string; readonly elapsedMs: number };

/**
 * One program as on a sleeping phone. Emits `event` with each `TimelineEvent` (as an async iterator:
 * `on(box, 'event')` of node:events) and `down` with the exit code when all is over.
 */
export class Sleepbox extends EventEmitter<{ event: [TimelineEvent]; down: [number] }> {
  readonly #options: ResolvedOptions;
  readonly #machine: BoxMachine;
  readonly #startedAt = performance.now();
  readonly #finished: Promise<number>;
  #resolveFinished: (exitCode: number) => void = () => {};
  #freezer: Freezer | undefined;
  #watcher: Watcher | undefined;
  #guardian: Guardian | undefined;
  #nat: Nat | undefined;
  #directory: string | undefined;
  #programServer: LineServer | undefined;
  #ctlServer: LineServer | undefined;
  #watched: readonly ConnectionSample[] | undefined;
  #isNetworkCut = false;
  #orders: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #isStarted = false;
  readonly #waiters = new Set<(event?: TimelineEvent) => void>();

  /** @throws SleepboxError BAD_OPTION, BAD_DURATION, BELOW_FLOOR, NO_COMMAND */
  constructor(options: SleepboxOptions) {
    super();
    this.#options = resolveOptions(options);
    this.#machine = new BoxMachine(this.#options.policy);
    this.#finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
  }

  /** The box's name, by which `ctl` finds it. */
  get name(): string {
    return this.#options.policy.name;
  }

  /** Path of the program's control socket; undefined before `start`. */
  get socketPath(): string | undefined {
    return this.#directory && join(this.#directory, 'program.sock');
  }

  /** The box's account of itself, so far. */
  get summary(): BoxSummary {
    return this.#machine.summary(this.#now());
  }

  /** Resolves with the exit code of `sleepbox` when the box is down and everything is cleaned up. */
  get finished(): Promise<number> {
    return this.#finished;
  }

  /** Pids of processes that the box runs besides the program: for measuring what it costs. */
  get servicePids(): number[] {
    const watcherPid = (this.#watcher as { pid?: number } | undefined)?.pid;
    return [watcherPid, this.#guardian?.pid, this.#nat?.pid].filter((pid) => pid !== undefined);
  }

  /** Present state; callable at any time. */
  status(): BoxStatus {
    return this.#machine.status(this.#now());
  }

  /**
   * Makes the box ready and launches the program; once. Resolves when it has been launched.
   * @throws SleepboxError NOT_LINUX, NO_FREEZER, NO_HELPER, NO_NAT, NAME_TAKEN, RUNTIME_DIRECTORY,
   * HOST_NOT_FOUND, COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE; then nothing is left behind
   */
  async start(): Promise<void> {
    if (process.platform !== 'linux') throw new SleepboxError('NOT_LINUX', 'sleepbox needs Linux');
    if (this.#isStarted) throw new SleepboxError('NOT_NOW', 'a box is started once');
    this.#isStarted = true;
    const { command, freezer, root, nat } = this.#options;
    checkCommand(command[0] ?? '', this.#options.env['PATH']);
    try {
      this.#directory = openBoxDirectory(root, this.name);
      this.#freezer = openFreezer(freezer);
      this.#writeRecord();
      if (nat !== undefined) {
        this.#nat = await Nat.open(nat, this.#directory, ({ code, message }) =>
          this.#emitEvent({ type: 'warning', code, message }),
        );
      }
      this.#guardian = new Guardian(this.#freezer, this.#directory, this.#nat?.pid);
      this.#programServer = new LineServer(
        (request) => this.#handleControl(request),
        (connections) => this.#tell({ type: 'program-connected', connections }),
      );
      this.#ctlServer = new LineServer((request) => this.#handleCtl(request));
      await this.#programServer.listen(join(this.#directory, 'program.sock'));
      await this.#ctlServer.listen(join(this.#directory, 'ctl.sock'));
      this.#watcher = await openWatcher(this.#options.watcher, (error) => this.#handleWatcherFailure(error));
    } catch (error) {
      await this.#cleanUp();
      throw error;
    }
    const { policy } = this.#options;
    this.#emitEvent({
      type: 'start',
      name: this.name,
      profile: policy.profileName,
      freezer: this.#freezer.kind,
      watcher: this.#watcher.kind,
      windowMs: policy.windowMs,
      modes: policy.hasAudio ? 'voip,audio' : 'voip',
      command,
      socket: this.socketPath ?? '',
    });
    if (nat !== undefined && this.#nat !== undefined) {
      this.#emitEvent({
        type: 'nat',
        idleMs: nat.idleMs,
        loose: nat.loose === true,
        host: natHost,
        address: this.#nat.address,
        outside: this.#nat.isOutsideReached,
        pid: this.#nat.pid ?? 0,
      });
    }
    this.#tell({ type: 'start' });
    await this.#orders;
  }

  /**
   * Puts the program to sleep now, as a phone does when its user locks it. Resolves when it sleeps; it may be woken
   * again at once by data.
   * @throws SleepboxError NOT_NOW when there is no program, or it ends meanwhile
   */
  async sleep(): Promise<void> {
    if (this.#machine.phase === 'asleep') return;
    this.#requireProgram();
    if (this.#machine.phase === 'waking') await this.#waitFor(() => this.#machine.phase === 'awake');
    const asleep = this.#waitFor((event) => event?.type === 'asleep');
    this.#tell({ type: 'user-sleep' });
    await asleep;
  }

  /**
   * The user takes the phone: wakes the program, or begins a new window. Resolves when it runs.
   * @throws SleepboxError NOT_NOW when there is no program
   */
  async wake(): Promise<void> {
    this.#requireProgram();
    if (this.#machine.phase === 'awake') {
      this.#tell({ type: 'user-wake' });
      return;
    }
    // By the phase: a freeze that is given up has no event of its own.
    const awake = this.#waitFor(() => this.#machine.phase === 'awake');
    this.#tell({ type: 'user-wake' });
    await awake;
  }

  /** Ends the program (TERM, then KILL) and the box. Idempotent; resolves with the exit code when all is clean. */
  async stop(reason: DownReason = 'stopped'): Promise<number> {
    if (!this.#isStarted) return 0;
    this.#tell({ type: 'stop', reason });
    return this.#finished;
  }

  // --- the machine's inputs and outputs ---------------------------------------------------------------------

  #now(): number {
    return performance.now();
  }

  #tell(input: BoxInput): void {
    this.#machine.handleInput(this.#now(), input);
    this.#drain();
  }

  #drain(): void {
    for (let output = this.#machine.pollOutput(); output !== undefined; output = this.#machine.pollOutput()) {
      if (output.type === 'event' && output.event.type === 'down') this.#emitCost();
      if (output.type === 'event') this.#emitEvent(output.event);
      else if (output.type === 'tell') this.#programServer?.broadcast(output.message);
      else this.#order(output);
    }
    for (const look of this.#waiters) look();
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const at = this.#machine.nextTimeoutMs();
    if (at === Infinity) return;
    const waitMs = Math.min(Math.max(0, at - this.#now()), 2 ** 31 - 1);
    this.#timer = setTimeout(() => {
      this.#machine.handleTimeout(this.#now());
      this.#drain();
    }, Math.ceil(waitMs));
  }

  /** Orders are carried out one at a time: a freeze is over before the next launch begins. */
  #order(output: BoxOutput): void {
    // SIGKILL must not wait behind an order that hangs.
    if (output.type === 'kill') {
      this.#kill(output.signal);
      return;
    }
    this.#orders = this.#orders
      .then(() => this.#carryOut(output))
      .catch((error: unknown) => this.#handleOrderFailure(output, error));
  }

  async #carryOut(output: BoxOutput): Promise<void> {
    const { freezer, watcher } = this.#parts();
    switch (output.type) {
      case 'launch':
        return this.#launch(freezer);
      case 'look':
        return this.#tell({ type: 'snapshot', snapshot: await watcher.look(freezer.pids()) });
      case 'freeze': {
        await freezer.freeze();
        return this.#tell({ type: 'frozen', snapshot: await watcher.look(freezer.pids()) });
      }
      case 'watch': {
        this.#watched = output.connections;
        const connections = await watcher.watch(output.connections, (connection, at) =>
          this.#handleArrival(connection, at),
        );
        return this.#tell({ type: 'watched', connections });
      }
      case 'thaw': {
        this.#watched = undefined;
        await watcher.release();
        if (output.network && this.#isNetworkCut) await this.#changeNetwork('uncut');
        freezer.thaw();
        return this.#tell({ type: 'thawed' });
      }
      case 'network':
        return this.#changeNetwork(output.action);
      case 'down':
        try {
          await this.#cleanUp();
        } finally {
          this.#resolveFinished(output.exitCode);
          this.emit('down', output.exitCode);
        }
    }
  }

  #handleOrderFailure(output: BoxOutput, error: unknown): void {
    if (output.type === 'freeze') return this.#tell({ type: 'freeze-failed' });
    const code = error instanceof SleepboxError ? error.code : 'WATCHER_FAILED';
    this.#emitEvent({ type: 'warning', code, message: `${output.type}: ${(error as Error).message}` });
    // The watcher has failed and been replaced: the same again with the new one.
    if (code === 'WATCHER_FAILED' && this.#watcher instanceof ProcWatcher && output.type !== 'down')
      this.#order(output);
  }

  #parts(): { freezer: Freezer; watcher: Watcher } {
    if (this.#freezer === undefined || this.#watcher === undefined) {
      throw new SleepboxError('NOT_NOW', 'the box has not been started');
    }
    return { freezer: this.#freezer, watcher: this.#watcher };
  }

  #requireProgram(): void {
    const { phase } = this.#machine;
    if (
      phase === 'starting' ||
      phase === 'relaunching' ||
      phase === 'stopping' ||
      phase === 'down' ||
      !this.#isStarted
    ) {
      throw new SleepboxError('NOT_NOW', `the box is ${phase}`);
    }
  }

  #emitEvent(event: BoxEvent): void {
    const elapsedMs = Math.round((this.#now() - this.#startedAt) * 10) / 10;
    if (event.type === 'notification' && this.#options.notify)
      showDesktopNotification(event.title, event.body);
    const timed = { at: new Date().toISOString(), elapsedMs, ...event };
    this.emit('event', timed);
    for (const look of this.#waiters) look(timed);
  }

  #emitCost(): void {
    const detail = this.#watcher?.cost();
    if (detail !== undefined)
      this.#emitEvent({ type: 'watcher', watcher: this.#watcher?.kind ?? '', detail });
  }

  /** Looks at each event, and once more after each turn of the machine. */
  #waitFor(isThere: (event?: TimelineEvent) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (event?: TimelineEvent): void => {
        if (isThere(event)) resolve();
        else if (event?.type === 'exit') reject(new SleepboxError('NOT_NOW', 'the program has ended'));
        else return;
        this.#waiters.delete(look);
      };
      this.#waiters.add(look);
    });
  }

  // --- carrying out -----------------------------------------------------------------------------------------

  #launch(freezer: Freezer): void {
    const { command, env, policy } = this.#options;
    const program = new Program(freezer.wrap(this.#nat?.wrap(command) ?? command), {
      env: {
        ...env,
        SLEEPBOX_SOCKET: this.socketPath,
        SLEEPBOX_WINDOW_MS: String(policy.windowMs),
        SLEEPBOX_KEEPALIVE_MIN_MS: String(policy.keepaliveMsMin),
        ...(this.#nat !== undefined && { SLEEPBOX_HOST: natHost }),
      },
      ...(this.#options.cwd !== undefined && { cwd: this.#options.cwd }),
      output: this.#options.output,
      onOutput: (stream, line) => this.#emitEvent({ type: 'output', stream, line }),
      // What the leader leaves behind ends with it, frozen or not.
      onLeaderEnd: () => this.#endTree(),
    });
    const { pid } = program;
    if (pid !== undefined) {
      freezer.handleLaunched(pid);
      this.#guardian?.handleLaunched(pid);
      this.#writeRecord(pid);
      this.#tell({ type: 'launched', pid });
    }
    void program.ended.then(async ({ code, signal }) => {
      this.#watched = undefined;
      await this.#watcher?.release().catch(() => {});
      await this.#waitForEmptyTree();
      this.#isNetworkCut = false;
      this.#tell({ type: 'exited', code, signal });
    });
  }

  #kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    // TERM must reach a program that runs, so it goes behind the thaw before it.
    if (signal === 'SIGKILL') return this.#endTree();
    this.#orders = this.#orders.then(() => this.#freezer?.signal('SIGTERM')).catch(() => this.#endTree());
  }

  /** A frozen process of cgroup version 1 dies only when it is thawed. */
  #endTree(): void {
    this.#freezer?.signal('SIGKILL');
    this.#freezer?.thaw();
  }

  async #waitForEmptyTree(): Promise<void> {
    const { freezer } = this.#parts();
    const endsAt = this.#now() + limits.freezeMsMax;
    while (freezer.directory !== undefined && freezer.pids().length > 0 && this.#now() < endsAt) {
      this.#endTree(); // it may have forked meanwhile
      await delay(5);
    }
  }

  async #changeNetwork(action: 'cut' | 'uncut' | 'destroy'): Promise<void> {
    const { freezer, watcher } = this.#parts();
    const sockets = await watcher.network(action, freezer.pids());
    const wasCut = this.#isNetworkCut;
    this.#isNetworkCut = action === 'cut';
    if (action === 'cut' && wasCut) return; // only new sockets of an awake program
    if (sockets === undefined) {
      const message = `the network cannot be ${action === 'destroy' ? 'destroyed' : 'cut'} without the helper; data will be acknowledged and wait`;
      return this.#emitEvent({ type: 'warning', code: 'NO_HELPER', message });
    }
    const state = action === 'cut' ? 'cut' : action === 'uncut' ? 'restored' : 'destroyed';
    this.#emitEvent({ type: 'network', state, sockets });
  }

  #handleArrival(connection: ConnectionSample, at: number): void {
    this.#watched = undefined;
    this.#tell({ type: 'arrived', connection, at });
  }

  /** The helper is gone: go on by polling, from where it stopped. */
  #handleWatcherFailure(error: SleepboxError): void {
    const watcher = new ProcWatcher();
    this.#watcher = watcher;
    this.#emitEvent({ type: 'watcher', watcher: watcher.kind, detail: error.message });
    const watched = this.#watched;
    if (watched === undefined || this.#machine.phase !== 'asleep') return;
    this.#orders = this.#orders.then(async () => {
      if (this.#machine.phase !== 'asleep') return;
      const now = await watcher.watch(watched, (connection, at) => this.#handleArrival(connection, at));
      const arrived = now.find((one) => one.unreadBytes > 0);
      if (arrived !== undefined) this.#handleArrival(arrived, this.#now());
    });
  }

  #writeRecord(programPid?: number): void {
    if (this.#directory === undefined || this.#freezer === undefined) return;
    writeBoxRecord(this.#directory, {
      name: this.name,
      command: this.#options.command,
      freezer: this.#freezer.kind,
      ...(programPid !== undefined && { programPid }),
    });
  }

  async #cleanUp(): Promise<void> {
    clearTimeout(this.#timer);
    const cost = this.#watcher?.cost();
    if (cost !== undefined)
      this.#emitEvent({ type: 'watcher', watcher: this.#watcher?.kind ?? '', detail: cost });
    this.#watcher?.close();
    await this.#freezer?.remove();
    this.#guardian?.close();
    await this.#nat?.close();
    this.#programServer?.close();
    this.#ctlServer?.close();
    if (this.#directory !== undefined) removeBoxDirectory(this.#directory);
  }

  // --- control sockets --------------------------------------------------------------------------------------

  #handleControl(request: Request): Answer {
    const command: ControlCommand = parseControlCommand(request, this.#options.policy.keepaliveMsMin);
    if (command.type === 'state') return { state: this.status() };
    if (command.type === 'mark' && this.#machine.markCount >= limits.marksMax) {
      throw new SleepboxError('TOO_MANY_MARKS', `a program may mark ${limits.marksMax} connections`);
    }
    this.#tell(command);
    return {};
  }

  async #handleCtl(request: Request): Promise<Answer> {
    switch (request['cmd']) {
      case 'status':
        break;
      case 'sleep':
        await this.sleep();
        break;
      case 'wake':
        await this.wake();
        break;
      case 'stop':
        // Answered before it is done: the socket ends with the box.
        setImmediate(() => void this.stop());
        break;
      default:
        throw new SleepboxError('UNKNOWN_COMMAND', 'sleep, wake, status or stop');
    }
    return { status: this.status() };
  }
}

/** Waits for the next event of a type; for programs and tests. Rejects with NOT_NOW when the box is down first. */
export function waitForEvent<Type extends BoxEvent['type']>(
  box: Sleepbox,
  type: Type,
  isWanted: (event: TimelineEvent & { type: Type }) => boolean = () => true,
): Promise<TimelineEvent & { type: Type }> {
  return new Promise((resolve, reject) => {
    const listener = (event: TimelineEvent): void => {
      if (event.type === type && isWanted(event as TimelineEvent & { type: Type })) {
        resolve(event as TimelineEvent & { type: Type });
      } else if (event.type === 'summary') {
        reject(new SleepboxError('NOT_NOW', `the box is down before "${type}"`));
      } else {
        return;
      }
      box.off('event', listener);
    };
    box.on('event', listener);
  });
}

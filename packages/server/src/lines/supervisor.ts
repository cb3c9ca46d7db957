/**
 * The supervisor of a server with lines: owns the ports and sees to it that one hub process and N line
 * processes run. It speaks no protocol, keeps no connection and opens no store.
 *
 * What dies is started again: at once when it had lived, later and later when it dies at once. A hub that says why it
 * cannot start (another server has the data directory) ends the server. A hub is replaced by ending the old one first,
 * because the store has one owner; a line by starting the new one first.
 */
import type { ServerConfig } from '../config/config.js';
import { createLogger } from '../telemetry/index.js';
import { runtimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import type { RunningServer } from '../runtime/server.js';
import { forkHub, forkLine } from './child-process.js';
import type { ProcessEnd, ServerChild } from './child-process.js';
import { ControlSocket } from './control-socket.js';
import { FrontDoor } from './front-door.js';
import type { ProcessReport } from './process-messages.js';

export interface RunningLines extends RunningServer {
  readonly hubPid: number;
  readonly linePids: readonly number[];
  /** Ends the hub process and starts another, from the code that is on disk now. Resolves when that is ready. */
  restartHub(): Promise<void>;
  /**
   * Starts new line processes and retires the old ones, which close `restartFlowsPerSecond` connections each second.
   * Resolves when the last old one has ended. Rejects when new ones do not start; the old ones then stay.
   */
  restartLines(): Promise<void>;
}

/** Starts hub and lines. Resolves when all accept; rejects as `startServer` does, having ended what was started. */
export async function startLines(config: ServerConfig): Promise<RunningLines> {
  const supervisor = new Supervisor(config);
  try {
    await supervisor.start();
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  return supervisor;
}

/** How often a process of this role has died at once, one after the other. */
interface Deaths {
  count: number;
}

class Supervisor implements RunningLines {
  readonly failed: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #config: ServerConfig;
  readonly #log: Log;
  #hub: ServerChild | undefined;
  readonly #hubDeaths: Deaths = { count: 0 };
  /** By name; one that has died and waits to be started again is missing. */
  readonly #lines = new Map<string, ServerChild>();
  readonly #lineDeaths = new Map<string, Deaths>();
  readonly #retiring = new Set<ServerChild>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #door: FrontDoor;
  #control: ControlSocket | undefined;
  #isStarted = false;
  #stopped: Promise<void> | undefined;
  #hubRestart: Promise<void> | undefined;
  #linesRestart: Promise<void> | undefined;
  readonly #handleHangUp = (): void => this.reloadTls();
  readonly #handleUpgrade = (): void => {
    this.restartHub().catch((error: unknown) => this.#log.error({ err: error }, 'hub not restarted'));
  };

  constructor(config: ServerConfig) {
    this.#config = config;
    this.#log = createLogger({ level: config.logLevel }).child({ process: 'supervisor' });
    this.#door = new FrontDoor({ config, limits: runtimeLimits });
    let fail: (error: Error) => void = () => {};
    this.failed = new Promise((resolve) => (fail = resolve));
    this.#fail = fail;
  }

  get addresses(): RunningServer['addresses'] {
    const { urls } = this.#door;
    return this.#config.listeners.map(({ protocol }, index) => ({ protocol, url: urls[index] ?? '' }));
  }

  get hubPid(): number {
    return this.#hub?.pid ?? 0;
  }

  get linePids(): readonly number[] {
    return [...this.#lines.values()].map(({ pid }) => pid);
  }

  async start(): Promise<void> {
    await this.#startHub().ready;
    const names = Array.from({ length: this.#config.lines }, (_, index) => `line-${index + 1}`);
    // The hub first: whoever has the directory is told, and not who has the port.
    await this.#door.open();
    await Promise.all(names.map((name) => this.#startLine(name).ready));
    this.#control = await ControlSocket.open(this.#config.dataDirectory, (what) => this.#obey(what));
    process.on('SIGHUP', this.#handleHangUp);
    process.on('SIGUSR2', this.#handleUpgrade);
    this.#isStarted = true;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  reloadTls(): void {
    for (const line of [...this.#lines.values(), ...this.#retiring]) line.send({ kind: 'reload-tls' });
  }

  restartHub(): Promise<void> {
    this.#hubRestart ??= this.#restartHub().finally(() => (this.#hubRestart = undefined));
    return this.#hubRestart;
  }

  restartLines(): Promise<void> {
    this.#linesRestart ??= this.#replaceLines([...this.#lines.keys()]).finally(
      () => (this.#linesRestart = undefined),
    );
    return this.#linesRestart;
  }

  // Starting and watching.

  #startHub(): ServerChild {
    const hub = forkHub(this.#config, (from, report) => this.#handleReport(from, report));
    this.#hub = hub;
    void hub.ended.then((end) => {
      if (this.#hub === hub) this.#hub = undefined;
      this.#handleEnd(hub, end, this.#hubDeaths, () => this.#startHub());
    });
    return hub;
  }

  #startLine(name: string): ServerChild {
    const line = this.#forkLine(name);
    this.#lines.set(name, line);
    return line;
  }

  #forkLine(name: string): ServerChild {
    const config = { ...this.#config, listeners: this.#door.listeners };
    const line = forkLine(name, config, this.#door, (from, report) => this.#handleReport(from, report));
    let deaths = this.#lineDeaths.get(name);
    if (deaths === undefined) this.#lineDeaths.set(name, (deaths = { count: 0 }));
    const counted = deaths;
    void line.ended.then((end) => {
      this.#retiring.delete(line);
      if (this.#lines.get(name) !== line) return;
      this.#lines.delete(name);
      this.#handleEnd(line, end, counted, () => {
        // Another may have taken its place by a restart of all.
        if (!this.#lines.has(name)) this.#startLine(name);
      });
    });
    return line;
  }

  /** Starts another in the place of a process that has died. */
  #handleEnd(child: ServerChild, end: ProcessEnd, deaths: Deaths, startAgain: () => void): void {
    if (child.isLeaving || this.#stopped !== undefined || !this.#isStarted) return;
    const { name, pid } = child;
    if (name === 'hub' && child.failure !== undefined) {
      this.#giveUp(child.failure);
      return;
    }
    const livedMs = child.readyMs === undefined ? 0 : performance.now() - child.readyMs;
    deaths.count = livedMs >= runtimeLimits.restartLivedMs ? 0 : deaths.count + 1;
    const { restartDelayMs, restartDelayMsMax } = runtimeLimits;
    const delayMs =
      deaths.count === 0 ? 0 : Math.min(restartDelayMs * 2 ** (deaths.count - 1), restartDelayMsMax);
    const fields = { name, pid, code: end.code, signal: end.signal, err: child.failure, delayMs };
    this.#log.error(fields, 'a process died; another is started in its place');
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#stopped === undefined) startAgain();
    }, delayMs);
    this.#timers.add(timer);
  }

  #giveUp(error: Error): void {
    this.#log.error({ err: error }, 'the hub cannot start; the server stops');
    void this.stop().finally(() => this.#fail(error));
  }

  #handleReport(from: ServerChild, report: ProcessReport): void {
    if (report.kind === 'foreign-hub' && this.#lines.get(from.name) === from) {
      this.#replaceLines([from.name]).catch((error: unknown) =>
        this.#log.error({ err: error, line: from.name }, 'line not replaced'),
      );
    }
  }

  // Replacing.

  async #restartHub(): Promise<void> {
    const old = this.#hub;
    // It has just died, and another is under way.
    if (old === undefined || this.#stopped !== undefined) return;
    this.#log.info({ pid: old.pid }, 'hub restarts');
    await old.end({ kind: 'leave' }, runtimeLimits.linkLeaveMs + runtimeLimits.stopMs);
    if (this.#stopped !== undefined) return;
    const hub = this.#startHub();
    await hub.ready;
    this.#log.info({ pid: hub.pid }, 'hub restarted');
  }

  async #replaceLines(names: readonly string[]): Promise<void> {
    if (this.#stopped !== undefined) return;
    this.#log.info({ lines: names.length }, 'lines restart');
    const fresh = names.map((name) => this.#forkLine(name));
    try {
      await Promise.all(fresh.map(({ ready }) => ready));
      const dead = fresh.find(({ isAlive }) => !isAlive);
      if (dead !== undefined) throw new Error(`the new process ${dead.name} has died at once`);
      if (this.#stopped !== undefined) throw new Error('the server stops');
    } catch (error) {
      for (const line of fresh) line.kill();
      throw error;
    }
    const old: ServerChild[] = [];
    for (const line of fresh) {
      const before = this.#lines.get(line.name);
      if (before !== undefined) old.push(before);
      this.#lines.set(line.name, line);
    }
    const flowsPerSecond = this.#config.restartFlowsPerSecond / Math.max(1, old.length);
    for (const line of old) {
      this.#retiring.add(line);
      line.isLeaving = true;
      line.sendWhenReady({ kind: 'retire', flowsPerSecond });
    }
    await Promise.all(old.map(({ ended }) => ended));
    this.#log.info({ lines: names.length }, 'lines restarted');
  }

  async #obey(what: string): Promise<string> {
    if (what === 'restart-hub') {
      await this.restartHub();
      return 'the hub process was restarted';
    }
    if (what === 'restart-lines') {
      await this.restartLines();
      return 'the line processes were restarted';
    }
    throw new Error(`no such command: ${what}`);
  }

  // Leaving.

  async #stop(): Promise<void> {
    process.off('SIGHUP', this.#handleHangUp);
    process.off('SIGUSR2', this.#handleUpgrade);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#door.close();
    this.#hub?.send({ kind: 'drain' });
    const lines = [...this.#lines.values(), ...this.#retiring];
    // A little more than a process takes for itself, and in all less than the ten seconds that are promised.
    await Promise.all(lines.map((line) => line.end({ kind: 'stop' }, runtimeLimits.stopMs + 300)));
    await this.#hub?.end({ kind: 'stop' }, 1_000);
    await this.#control?.close();
  }
}

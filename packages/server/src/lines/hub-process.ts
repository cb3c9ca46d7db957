/**
 * The hub process of a server with lines: store, hub and the links to the lines. It holds no socket of a device, so
 * that it can be ended and started again while all of them sleep on.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerConfig } from '../config/config.js';
import { hostClock } from '../runtime/clock.js';
import { Deadline } from '../runtime/deadline.js';
import { hubFailureExitCode } from '../runtime/errors.js';
import { HubSide } from '../runtime/hub-side.js';
import { runtimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import { openStore } from '../runtime/open-store.js';
import type { LmdbStore } from '../stores/lmdb/index.js';
import { socketPath } from '../stores/lmdb/socket-path.js';
import { createLogger, sumMetrics } from '../telemetry/index.js';
import type { MetricValues } from '../telemetry/index.js';
import { LineLinks } from './line-links.js';
import { failureOf, hubSocketName, leaveSignalsToSupervisor, report } from './process-messages.js';
import type { ProcessCommand } from './process-messages.js';
import { programVersion } from '../runtime/program-version.js';

/** Runs this process as the hub of a supervisor. */
export function runHubProcess(): void {
  leaveSignalsToSupervisor();
  let hub: HubProcess | undefined;
  process.on('message', (command: ProcessCommand) => {
    if (command.kind === 'start') hub ??= new HubProcess(command.config, command.name);
    else hub?.handle(command);
  });
  // The supervisor was killed. What is promised is on disk; whoever starts the server again must find it unlocked.
  process.on('disconnect', () => process.exit(hubFailureExitCode));
  void report({ kind: 'listening' });
}

class HubProcess {
  readonly #config: ServerConfig;
  readonly #log: Log;
  #store: LmdbStore | undefined;
  #side: HubSide | undefined;
  #links: LineLinks | undefined;
  readonly #started: Promise<boolean>;
  #isEnding = false;

  constructor(config: ServerConfig, name: string) {
    this.#config = config;
    this.#log = createLogger({ level: config.logLevel }).child({ process: name });
    this.#started = this.#start();
  }

  handle(command: ProcessCommand): void {
    switch (command.kind) {
      case 'drain':
        this.#side?.driver.tell({ kind: 'drain' });
        return;
      case 'leave':
        void this.#end(true);
        return;
      case 'stop':
        void this.#end(false);
        break;
      default:
    }
  }

  /** False when it could not start; then the process is about to end. */
  async #start(): Promise<boolean> {
    try {
      await this.#open();
      await report({ kind: 'ready', urls: [] });
      return true;
    } catch (error) {
      await report(failureOf(error));
      await this.#store?.close().catch(() => undefined);
      process.exit(1);
    }
  }

  async #open(): Promise<void> {
    const { dataDirectory: directory } = this.#config;
    const store = await openStore(this.#log, { directory, ownerPid: process.ppid });
    this.#store = store;
    // Nobody else can be listening there: the directory is ours.
    await rm(join(directory, hubSocketName), { force: true });
    const path = await socketPath(directory, hubSocketName);
    const side: HubSide = new HubSide({
      config: this.#config,
      store,
      clock: hostClock,
      random: undefined,
      log: this.#log,
      limits: runtimeLimits,
      onTimeline: undefined,
      publicUrl: () => this.#config.publicUrl,
      figures: { lines: () => this.#links?.lineCount ?? 0 },
      onFailed: () => void this.#fail(),
    });
    this.#side = side;
    const links = new LineLinks({
      hub: side.driver,
      version: programVersion(),
      clock: hostClock,
      limits: runtimeLimits,
      log: this.#log,
      answer: (what, value) => this.#answer(what, value),
    });
    this.#links = links;
    await side.start(links, (request) => links.request(request));
    await links.listen(path);
  }

  async #answer(what: string, value: unknown): Promise<unknown> {
    const side = this.#side!;
    switch (what) {
      case 'find-token':
        return side.findApiToken(String(value));
      case 'idle':
        return side.driver.whenIdle();
      case 'metrics': {
        const lines = (await this.#links!.askAll('metrics', runtimeLimits.linkMetricsMs)) as MetricValues[];
        return sumMetrics([await side.metrics.values(), ...lines]);
      }
      case 'backup':
        return side.backup!();
      default:
        throw new Error(`nobody here answers ${what}`);
    }
  }

  /** With `lines` these are told, and keep their connections. */
  async #end(lines: boolean): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (!(await this.#started)) return;
    const side = this.#side!;
    const links = this.#links!;
    const deadline = new Deadline(runtimeLimits.stopMs);
    if (lines) {
      const sent = new Deadline(runtimeLimits.linkLeaveMs);
      await sent.over(links.leave());
      sent.cancel();
    }
    await deadline.over(side.driver.whenIdle());
    links.stop();
    await deadline.over(links.whenClosed());
    side.stop();
    deadline.cancel();
    await this.#store!.close();
    process.exit(0);
  }

  /** The state on disk is right, the one in memory may not be: the supervisor starts another process. */
  async #fail(): Promise<void> {
    this.#isEnding = true;
    this.#links?.stop();
    await this.#store?.close().catch((error: unknown) => this.#log.error({ err: error }, 'store not closed'));
    process.exit(hubFailureExitCode);
  }
}

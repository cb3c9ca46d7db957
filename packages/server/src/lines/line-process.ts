/**
 * A line process: sockets, TLS, sessions and the HTTP API, with the hub at the other end of a link. It keeps its
 * connections while the hub process is away.
 */
import { HttpError } from '../http/errors.js';
import type { BackupMade, BackupRefused } from '../http/options.js';
import { hostClock } from '../runtime/clock.js';
import { Deadline } from '../runtime/deadline.js';
import { hubFailureExitCode } from '../runtime/errors.js';
import { runtimeLimits } from '../runtime/limits.js';
import { LineSide } from '../runtime/line-side.js';
import type { Log } from '../runtime/log.js';
import { socketPath } from '../stores/lmdb/socket-path.js';
import { createLogger, createMetrics } from '../telemetry/index.js';
import type { ApiToken } from '@wakeline/core/domain';
import { HandedOver } from './handed-over.js';
import { HubAwayError, HubLink } from './hub-link.js';
import { failureOf, hubSocketName, leaveSignalsToSupervisor, report } from './process-messages.js';
import type { ProcessCommand } from './process-messages.js';
import { programVersion } from '../runtime/program-version.js';

/** Runs this process as a line of a supervisor. */
export function runLineProcess(): void {
  leaveSignalsToSupervisor();
  let line: LineProcess | undefined;
  let handedOver: HandedOver | undefined;
  process.on('message', (command: ProcessCommand, handle: unknown) => {
    switch (command.kind) {
      case 'socket':
        handedOver?.take(command.listener, handle as object);
        return;
      case 'start': {
        const { config, keepAliveWays } = command;
        handedOver = new HandedOver(config.listeners, keepAliveWays, runtimeLimits.acceptBacklog);
        void LineProcess.start(command, handedOver).then(
          (started) => {
            // First of all: what the supervisor says next is for it.
            line = started;
            started.reportReady();
          },
          async (error: unknown) => {
            await report(failureOf(error));
            process.exit(1);
          },
        );
        return;
      }
      default:
        line?.handle(command);
    }
  });
  // The supervisor was killed: nobody would hand over connections, or end this process.
  process.on('disconnect', () => process.exit(hubFailureExitCode));
  void report({ kind: 'listening' });
}

type StartCommand = Extract<ProcessCommand, { kind: 'start' }>;

class LineProcess {
  readonly #log: Log;
  readonly #link: HubLink;
  readonly #side: LineSide;
  #isEnding = false;
  #retireTimer: NodeJS.Timeout | undefined;

  private constructor({ config, name }: StartCommand, path: string, handedOver: HandedOver) {
    this.#log = createLogger({ level: config.logLevel }).child({ process: name });
    this.#link = new HubLink({
      path,
      name,
      version: programVersion(),
      clock: hostClock,
      limits: runtimeLimits,
      log: this.#log,
      answer: (what) => {
        if (what === 'metrics') return metrics.values();
        throw new Error(`nobody here answers ${what}`);
      },
      onForeignHub: (hello) => {
        this.#log.error(
          { hub: hello.version },
          'the hub speaks another link protocol; this line is replaced',
        );
        void report({ kind: 'foreign-hub' });
      },
    });
    this.#side = new LineSide({
      config,
      hub: this.#link,
      clock: hostClock,
      log: this.#log,
      limits: runtimeLimits,
      shareCount: config.lines,
      findApiToken: (sha256) => this.#ask('find-token', sha256) as Promise<ApiToken | undefined>,
      metricsText: () => this.#ask('metrics') as Promise<string>,
      backup: () => this.#ask('backup') as Promise<BackupMade | BackupRefused>,
      isHubReady: () => this.#link.isJoined,
      listen: handedOver.listen,
      applyTcpKeepAlive: handedOver.applyTcpKeepAlive,
    });
    const metrics = createMetrics({
      figures: {
        probingListeners: () => this.#side.probingListeners,
        connectsWaiting: () => this.#side.connectsWaiting,
        connectsRefused: () => this.#side.connectsRefused,
        flowsResumed: () => this.#link.counters.flowsResumed,
        flowsEndedByLoss: () => this.#link.counters.flowsEndedByLoss,
      },
    });
  }

  /** Resolves when all listeners accept. Whether there is a hub does not matter: connections wait for it. */
  static async start(start: StartCommand, handedOver: HandedOver): Promise<LineProcess> {
    const path = await socketPath(start.config.dataDirectory, hubSocketName);
    const line = new LineProcess(start, path, handedOver);
    line.#link.start(line.#side.pump);
    await line.#side.start();
    return line;
  }

  reportReady(): void {
    void report({ kind: 'ready', urls: this.#side.addresses.map(({ url }) => url) });
  }

  handle(command: ProcessCommand): void {
    switch (command.kind) {
      case 'stop':
        void this.#end();
        return;
      case 'retire':
        this.#retire(command.flowsPerSecond);
        return;
      case 'reload-tls':
        this.#side.reload();
        break;
      default:
    }
  }

  async #ask(what: string, value?: unknown): Promise<unknown> {
    try {
      return await this.#link.ask(what, value);
    } catch (error) {
      if (error instanceof HubAwayError) throw new HttpError('hub-away');
      throw error;
    }
  }

  /** Closes connections slowly: every close wakes a device that sleeps. */
  #retire(flowsPerSecond: number): void {
    if (this.#isEnding || this.#retireTimer !== undefined) return;
    this.#log.info({ flows: this.#side.pump.flowCount, flowsPerSecond }, 'line retires');
    this.#link.retire();
    this.#side.stopAccepting();
    let credit = 0;
    let lastMs = hostClock().monotonic;
    this.#retireTimer = setInterval(() => {
      const nowMs = hostClock().monotonic;
      credit = Math.min(credit + ((nowMs - lastMs) / 1_000) * flowsPerSecond, Math.max(1, flowsPerSecond));
      lastMs = nowMs;
      const count = Math.floor(credit);
      credit -= count;
      if (count > 0) this.#side.pump.shutDownSome(count);
      if (this.#side.pump.flowCount === 0) void this.#end();
    }, retireTickMs);
  }

  async #end(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    clearInterval(this.#retireTimer);
    this.#side.stopAccepting();
    const deadline = new Deadline(runtimeLimits.stopMs);
    await this.#side.takeLeave(deadline, () => this.#link.ask('idle'));
    await this.#side.stop(deadline);
    deadline.cancel();
    this.#link.stop();
    process.exit(0);
  }
}

/** Between two batches of connections that are closed. */
const retireTickMs = 100;

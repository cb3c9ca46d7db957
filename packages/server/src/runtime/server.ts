/**
 * A whole server in one process: the hub side with its store and the line side with its sockets, put together,
 * started in order and stopped in order.
 *
 * Start: open the store (which locks the directory), let the hub recover, open the listeners, be ready. Stop:
 * accept nothing new, finish what was promised, tell the devices, close the store; within `stopMs` whatever the
 * peers do. A process that is killed instead loses nothing that was acknowledged.
 */
import type { ControlReply } from '@wakeline/core/domain';
import type { TimelineEvent } from '@wakeline/core/hub';
import type { Random, Store } from '@wakeline/core/ports';
import type { ListenerProtocol, ServerConfig } from '../config/config.js';
import type { HubRequest } from '../http/options.js';
import { createLogger } from '../telemetry/index.js';
import { hostClock } from './clock.js';
import { callFigures } from './call-figures.js';
import type { CallHost, CreateSipStack } from './call-host.js';
import type { Clock } from './clock.js';
import { Deadline } from './deadline.js';
import { RuntimeError } from './errors.js';
import { HubSide } from './hub-side.js';
import { runtimeLimits } from './limits.js';
import type { RuntimeLimits } from './limits.js';
import { LineSide } from './line-side.js';
import type { Log } from './log.js';
import { openStore } from './open-store.js';

/** What tests and embedders put in place of the host's own. */
export interface ServerDependencies {
  /** Default: LMDB in the data directory. Closed by the server. */
  readonly store?: Store;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Default: standard error, at the configured level. */
  readonly log?: Log;
  readonly limits?: Partial<RuntimeLimits>;
  /** Default: a `SipStack`. */
  readonly createSipStack?: CreateSipStack;
  /** Authorities whose certificates are believed of foreign push services and trunks, PEM; default: the host's. */
  readonly authorities?: string;
  /** Told of every step of every message. Costs time: not for production. */
  readonly onTimeline?: (event: TimelineEvent) => void;
}

export interface RunningServer {
  /** Where it listens, in the order of the configuration, with the ports really taken. */
  readonly addresses: readonly { readonly protocol: ListenerProtocol; readonly url: string }[];
  /** Leaves in good order; resolves when the store is closed, at most about `stopMs` later. Idempotent. */
  stop(): Promise<void>;
  /**
   * Resolves when the server cannot go on (HUB_FAILED, SIP_STACK_FAILED); it has stopped by then. The process is to end with
   * `hubFailureExitCode` and be started anew: the state on disk is right, the one in memory may not be.
   */
  readonly failed: Promise<Error>;
  /** Reads certificates anew, as SIGHUP does; without a TLS listener nothing happens. */
  reloadTls(): void;
}

/**
 * Starts a server. Resolves when all listeners accept. Rejects, having let go of everything, with STORE_LOCKED,
 * STORE_FORMAT, LISTENER_ADDRESS_IN_USE, LISTENER_FAILED, TLS_FILES_UNUSABLE or the host's own error.
 */
export async function startServer(
  config: ServerConfig,
  dependencies: ServerDependencies = {},
): Promise<RunningServer> {
  const log = dependencies.log ?? createLogger({ level: config.logLevel });
  const calls = config.sip.domains.length > 0 ? await import('./call-host.js') : undefined;
  const store = dependencies.store ?? (await openStore(log, { directory: config.dataDirectory }));
  const server = new Server(config, store, log, dependencies, calls?.CallHost);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

class Server implements RunningServer {
  readonly failed: Promise<Error>;
  readonly #store: Store;
  readonly #limits: RuntimeLimits;
  readonly #hubSide: HubSide;
  readonly #lineSide: LineSide;
  readonly #calls: CallHost | undefined;
  #hasFailed = false;
  #stopped: Promise<void> | undefined;
  readonly #fail: (error: Error) => void;
  readonly #handleHangUp = (): void => this.reloadTls();

  constructor(
    config: ServerConfig,
    store: Store,
    log: Log,
    dependencies: ServerDependencies,
    /** undefined: no SIP is served, and its modules are not loaded. */
    Calls: typeof CallHost | undefined,
  ) {
    this.#store = store;
    const clock = dependencies.clock ?? hostClock;
    const limits = { ...runtimeLimits, ...dependencies.limits };
    this.#limits = limits;
    let fail: (error: Error) => void = () => {};
    this.failed = new Promise((resolve) => (fail = resolve));
    this.#fail = fail;
    const hubSide = new HubSide({
      config,
      store,
      clock,
      random: dependencies.random,
      log,
      limits,
      onTimeline: dependencies.onTimeline,
      publicUrl: () => this.#lineSide.publicUrl,
      figures: {
        ...callFigures(() => this.#calls),
        probingListeners: () => this.#lineSide.probingListeners,
        connectsWaiting: () => this.#lineSide.connectsWaiting,
        connectsRefused: () => this.#lineSide.connectsRefused,
        lines: () => 0,
        flowsResumed: () => 0,
        flowsEndedByLoss: () => 0,
      },
      onFailed: (error) => {
        this.#lineSide.pump.stop();
        this.#calls?.stop();
        this.#handleFailure('HUB_FAILED', 'the hub failed', error);
      },
    });
    this.#hubSide = hubSide;
    if (Calls !== undefined) {
      this.#calls = new Calls({
        config: config.sip,
        hub: hubSide.driver,
        clock,
        limits,
        log,
        findUser: (aor) => hubSide.findUser(aor),
        createStack: dependencies.createSipStack,
        authorities: dependencies.authorities,
        onFailed: (error) => this.#handleFailure('SIP_STACK_FAILED', 'the SIP stack failed', error),
      });
    }
    this.#lineSide = new LineSide({
      config,
      hub: hubSide.driver,
      clock,
      log,
      limits,
      shareCount: 1,
      findApiToken: (sha256) => hubSide.findApiToken(sha256),
      metricsText: () => hubSide.metrics.text(),
      backup: hubSide.backup,
      isHubReady: () => true,
      sip: this.#calls?.side,
    });
  }

  get addresses(): RunningServer['addresses'] {
    return this.#lineSide.addresses;
  }

  async start(): Promise<void> {
    const { pump } = this.#lineSide;
    const request = (asked: HubRequest): Promise<ControlReply> => pump.request(asked);
    await this.#hubSide.start(pump, request, this.#calls?.side);
    await this.#calls?.takeKey(request);
    this.#calls?.warnOfLockedOut(this.#hubSide.usersMissingAlgorithms());
    await this.#lineSide.start();
    // Without TLS, too: the signal's default would end the process.
    process.on('SIGHUP', this.#handleHangUp);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  reloadTls(): void {
    this.#lineSide.reload();
  }

  #handleFailure(code: 'HUB_FAILED' | 'SIP_STACK_FAILED', who: string, cause: unknown): void {
    this.#hasFailed = true;
    const what = cause instanceof Error ? cause.message : String(cause);
    const error = new RuntimeError(code, `${who}: ${what}`, cause);
    void this.stop().finally(() => this.#fail(error));
  }

  async #stop(): Promise<void> {
    const lineSide = this.#lineSide;
    const { driver } = this.#hubSide;
    const wasReady = lineSide.isReady;
    process.off('SIGHUP', this.#handleHangUp);
    lineSide.stopAccepting();
    const deadline = new Deadline(this.#limits.stopMs);
    if (wasReady && !this.#hasFailed) {
      driver.tell({ kind: 'drain' });
      const callsLeft = this.#calls?.takeLeave() ?? Promise.resolve();
      await lineSide.takeLeave(deadline, () => driver.whenIdle());
      await deadline.over(callsLeft);
      await deadline.over(driver.whenIdle());
    }
    lineSide.pump.stop();
    this.#calls?.stop();
    this.#hubSide.stop();
    await lineSide.stop(deadline);
    deadline.cancel();
    await this.#store.close();
  }
}

/**
 * A whole server: store, hub, its driver, pump, HTTP API and listeners, put together, started in order and stopped in order.
 *
 * Start: open the store (which locks the directory), let the hub recover, open the listeners, be ready. Stop:
 * accept nothing new, finish what was promised, tell the devices, close the store; within `stopMs` whatever the
 * peers do. A process that is killed instead loses nothing that was acknowledged.
 */
import { randomBytes, randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { limits as coreLimits } from '@wakeline/core/base';
import { openAccess } from '@wakeline/core/domain';
import type { AccessRules } from '@wakeline/core/domain';
import { Hub } from '@wakeline/core/hub';
import type { TimelineEvent } from '@wakeline/core/hub';
import type { Random, Store } from '@wakeline/core/ports';
import { MqttSession } from '@wakeline/core/session/mqtt';
import type { ListenerProtocol, ServerConfig } from '../config/config.js';
import { createHttpApi } from '../http/index.js';
import type { HttpApi, HttpApiOptions } from '../http/index.js';
import { AddressList } from '../listeners/addresses.js';
import { Gate } from '../listeners/gate.js';
import { openHttpListener } from '../listeners/http-listener.js';
import type { Listener, ListenerContext } from '../listeners/listener.js';
import { openMqttListener } from '../listeners/mqtt-listener.js';
import { LmdbStore, openLmdbStore } from '../stores/lmdb/index.js';
import { createLogger, createMetrics } from '../telemetry/index.js';
import type { Metrics } from '../telemetry/index.js';
import { ensureAdminToken } from './admin-token.js';
import { Authenticator } from './authenticator.js';
import { Backups, backupsDirectory } from './backups.js';
import { hostClock } from './clock.js';
import type { Clock } from './clock.js';
import { DiskWatch } from './disk-watch.js';
import { RuntimeError } from './errors.js';
import { descriptorsMax } from './host-limits.js';
import { HubDriver } from './hub-driver.js';
import { runtimeLimits } from './limits.js';
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';
import { Pump } from './pump.js';

/** What tests and embedders put in place of the host's own. */
export interface ServerDependencies {
  /** Default: LMDB in the data directory. Closed by the server. */
  readonly store?: Store;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Default: standard error, at the configured level. */
  readonly log?: Log;
  readonly limits?: Partial<RuntimeLimits>;
  /** Told of every step of every message. Costs time: not for production. */
  readonly onTimeline?: (event: TimelineEvent) => void;
}

export interface RunningServer {
  /** Where it listens, in the order of the configuration, with the ports really taken. */
  readonly addresses: readonly { readonly protocol: ListenerProtocol; readonly url: string }[];
  /** Leaves in good order; resolves when the store is closed, at most about `stopMs` later. Idempotent. */
  stop(): Promise<void>;
  /**
   * Resolves when the server cannot go on (HUB_FAILED); it has stopped by then. The process is to end with
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
  const store = dependencies.store ?? (await openLmdbStore({ directory: config.dataDirectory }));
  const server = new Server(config, store, dependencies);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** Who may connect to a server that only this machine reaches may see its figures, too. */
function defaultAccessOf({ listeners, behindProxy }: ServerConfig): AccessRules {
  const isPrivate = listeners.every(({ isLoopback }) => isLoopback) && behindProxy.length === 0;
  return isPrivate ? { ...openAccess, subscribe: [...openAccess.subscribe, '$SYS/#'] } : openAccess;
}

function readVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const hostRandom: Random = { fill: (target) => randomFillSync(target) };

class Server implements RunningServer {
  readonly failed: Promise<Error>;
  readonly #config: ServerConfig;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: RuntimeLimits;
  readonly #hub: Hub;
  readonly #metrics: Metrics;
  readonly #driver: HubDriver;
  readonly #pump: Pump;
  readonly #gate: Gate;
  readonly #disk: DiskWatch | undefined;
  #api: HttpApi | undefined;
  readonly #listeners: Listener[] = [];
  #sweepTimer: NodeJS.Timeout | undefined;
  #isReady = false;
  #hasFailed = false;
  #stopped: Promise<void> | undefined;
  readonly #fail: (error: Error) => void;
  readonly #handleHangUp = (): void => this.reloadTls();

  constructor(config: ServerConfig, store: Store, dependencies: ServerDependencies) {
    this.#config = config;
    this.#store = store;
    this.#clock = dependencies.clock ?? hostClock;
    this.#log = dependencies.log ?? createLogger({ level: config.logLevel });
    this.#limits = { ...runtimeLimits, ...dependencies.limits };
    let fail: (error: Error) => void = () => {};
    this.failed = new Promise((resolve) => (fail = resolve));
    this.#fail = fail;
    this.#hub = new Hub({
      store,
      random: dependencies.random ?? hostRandom,
      anonymousDevices: config.anonymousDevices,
      defaultAccess: defaultAccessOf(config),
      version: readVersion(),
      sessionExpirySecondsMax: config.mqtt.sessionExpirySecondsMax,
      limits: config.limits,
      ...(dependencies.onTimeline === undefined ? {} : { onTimeline: dependencies.onTimeline }),
    });
    this.#metrics = createMetrics({
      statistics: () => this.#hub.statistics(),
      probingListeners: () => this.#listeners.filter(({ isProbing }) => isProbing).length,
    });
    this.#driver = new HubDriver({
      hub: this.#hub,
      store,
      clock: this.#clock,
      log: this.#log,
      onCommitted: (durationMs) => this.#metrics.observeCommit(durationMs),
      onFailed: (error) => {
        this.#pump.stop();
        this.#handleHubFailure(error);
      },
    });
    this.#pump = this.#makePump();
    this.#gate = this.#makeGate();
    this.#disk = this.#makeDiskWatch();
  }

  get addresses(): RunningServer['addresses'] {
    return this.#listeners.map(({ protocol, url }) => ({ protocol, url }));
  }

  async start(): Promise<void> {
    this.#hub.recover(this.#clock());
    this.#driver.start(this.#pump);
    this.#pump.start();
    await this.#disk?.start();
    const { dataDirectory } = this.#config;
    await ensureAdminToken(
      dataDirectory,
      this.#clock().wall,
      (request) => this.#pump.request(request),
      this.#log,
    );
    this.#api = await this.#makeHttpApi();
    await this.#openListeners(this.#api);
    this.#sweepTimer = setInterval(() => this.#gate.sweep(), this.#limits.sweepMs);
    // Without TLS, too: the signal's default would end the process.
    process.on('SIGHUP', this.#handleHangUp);
    this.#isReady = true;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  reloadTls(): void {
    for (const listener of this.#listeners) listener.reloadTls();
  }

  #makePump(): Pump {
    const { mqtt } = this.#config;
    const sessionOptions = {
      maxPacketBytes: mqtt.packetBytesMax,
      messageBytesMax: this.#config.limits.messageBytesMax ?? coreLimits.messageBytesMax,
      maxInflightInbound: this.#limits.inboundInflightMax,
      sessionExpirySecondsMax: mqtt.sessionExpirySecondsMax,
      connectTimeoutMs: mqtt.connectTimeoutMs,
      ...(mqtt.serverKeepAliveSeconds !== undefined && {
        serverKeepAliveSeconds: mqtt.serverKeepAliveSeconds,
      }),
      ...(mqtt.keepAliveSecondsMax !== undefined && { keepAliveMsMax: mqtt.keepAliveSecondsMax * 1_000 }),
      keepAliveRequired: mqtt.keepAliveRequired,
    };
    // Silence is no sign of death only where somebody else watches the path.
    const probedOptions =
      mqtt.silenceMsMax === undefined
        ? sessionOptions
        : { ...sessionOptions, silenceMsMax: mqtt.silenceMsMax };
    const authenticator = new Authenticator({
      users: this.#config.users,
      anonymousDevices: this.#config.anonymousDevices,
      limits: this.#limits,
      clock: this.#clock,
    });
    return new Pump({
      hub: this.#driver,
      clock: this.#clock,
      limits: this.#limits,
      log: this.#log,
      createSession: (now, peer, isPathProbed) =>
        new MqttSession(now, peer, isPathProbed ? probedOptions : sessionOptions),
      authenticate: (credentials) => authenticator.authenticate(credentials),
    });
  }

  #makeGate(): Gate {
    const { connectionsPerAddressMax, connectsPerSecondPerAddressMax, handshakesMax, mqtt } = this.#config;
    const descriptors = descriptorsMax();
    return new Gate({
      clock: this.#clock,
      limits: this.#limits,
      connectionsMax:
        descriptors === undefined
          ? this.#limits.connectionsMaxUnknown
          : Math.max(1, descriptors - this.#limits.descriptorReserve),
      connectionsPerAddressMax,
      connectsPerSecondPerAddressMax,
      handshakesMax,
      handshakeMs: mqtt.connectTimeoutMs,
    });
  }

  /** Only a store on a disk can run out of it. */
  #makeDiskWatch(): DiskWatch | undefined {
    const store = this.#store;
    if (store.freeSpace === undefined) return undefined;
    return new DiskWatch({
      freeBytes: async () => (await store.freeSpace!()).freeBytes,
      floorBytes: this.#config.limits.diskFloorBytes ?? coreLimits.diskFloorBytes,
      limits: this.#limits,
      log: this.#log,
      onChange: (appendsAllowed) => this.#driver.tell({ kind: 'disk', appendsAllowed }),
    });
  }

  /** Undefined for a store that has no copy to give. */
  #makeBackup(): HttpApiOptions['backup'] {
    const store = this.#store;
    if (!(store instanceof LmdbStore)) return undefined;
    const backups = new Backups({
      store,
      directory: join(this.#config.dataDirectory, backupsDirectory),
      freeBytes: async (directory) => {
        const { bavail, bsize } = await statfs(directory);
        return bavail * bsize;
      },
      floorBytes: this.#config.limits.diskFloorBytes ?? coreLimits.diskFloorBytes,
      now: () => this.#clock().wall,
      log: this.#log,
    });
    return () => backups.make();
  }

  #makeHttpApi(): Promise<HttpApi> {
    return createHttpApi({
      request: (request) => this.#pump.request(request),
      findApiToken: (sha256) => this.#hub.findApiToken(sha256),
      openApi: this.#config.openApi,
      isReady: () => this.#isReady,
      metricsText: () => this.#metrics.text(),
      backup: this.#makeBackup(),
      random: (bytes) => randomBytes(bytes),
      now: () => this.#clock().wall,
      log: this.#log,
      behindProxy: this.#config.behindProxy,
      messageBytesMax: this.#config.limits.messageBytesMax,
    });
  }

  async #openListeners(api: HttpApi): Promise<void> {
    const context: ListenerContext = {
      gate: this.#gate,
      limits: this.#limits,
      log: this.#log,
      clock: this.#clock,
      proxies: new AddressList(this.#config.behindProxy),
      insecure: this.#config.insecure,
      tcpKeepAliveMs: this.#config.mqtt.tcpKeepAliveMs,
      attachMqtt: (socket) => void this.#pump.attach(socket),
    };
    const httpOptions = {
      handle: api.handle.bind(api),
      anonymousDevices: this.#config.anonymousDevices,
      packetBytesMax: this.#config.mqtt.packetBytesMax,
    };
    for (const listener of this.#config.listeners) {
      const isHttp = listener.protocol === 'http' || listener.protocol === 'https';
      this.#listeners.push(
        isHttp
          ? await openHttpListener(listener, context, httpOptions)
          : await openMqttListener(listener, context),
      );
    }
  }

  #handleHubFailure(cause: unknown): void {
    this.#hasFailed = true;
    const what = cause instanceof Error ? cause.message : String(cause);
    const error = new RuntimeError('HUB_FAILED', `the hub failed: ${what}`, cause);
    void this.stop().finally(() => this.#fail(error));
  }

  async #stop(): Promise<void> {
    const wasReady = this.#isReady;
    this.#isReady = false;
    process.off('SIGHUP', this.#handleHangUp);
    this.#disk?.stop();
    for (const listener of this.#listeners) listener.stopAccepting();
    const deadline = new Deadline(this.#limits.stopMs);
    if (wasReady && !this.#hasFailed) await this.#takeLeave(deadline);
    this.#pump.stop();
    this.#driver.stop();
    clearInterval(this.#sweepTimer);
    await deadline.over(Promise.all(this.#listeners.map((listener) => listener.close())));
    deadline.cancel();
    await this.#store.close();
  }

  /** Finishes what was begun and tells the devices; what is not done by the deadline is left to their retries. */
  async #takeLeave(deadline: Deadline): Promise<void> {
    const pump = this.#pump;
    pump.pauseReading();
    this.#driver.tell({ kind: 'drain' });
    const requestsDone = this.#api?.close() ?? Promise.resolve();
    // Commits under way first: their senders are told that it is safe, and need not send again. A disk that hangs
    // must not take away the time for the goodbyes.
    const commitDeadline = new Deadline(this.#limits.stopMs / 2);
    await commitDeadline.over(this.#driver.whenIdle());
    commitDeadline.cancel();
    pump.shutDownSessions();
    await deadline.over(Promise.all([pump.whenEmpty(), requestsDone]));
    await deadline.over(this.#driver.whenIdle());
  }
}

/** A point in time by which several steps together have to be done. */
class Deadline {
  readonly #expired: Promise<void>;
  #timer: NodeJS.Timeout | undefined;

  constructor(delayMs: number) {
    this.#expired = new Promise((resolve) => {
      this.#timer = setTimeout(resolve, delayMs);
    });
  }

  /** Resolves with the step, or at the deadline; a step that fails is over, too. */
  async over(step: Promise<unknown>): Promise<void> {
    await Promise.race([step.catch(() => undefined), this.#expired]);
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }
}

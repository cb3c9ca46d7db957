/**
 * The half of a server that owns the store: hub, its driver, the watch over the disk, backups, the hub's figures. The
 * other half ({@link LineSide}) may be in this process or in others.
 */
import { randomFillSync } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { limits as coreLimits } from '@wakeline/core/base';
import { openAccess } from '@wakeline/core/domain';
import type { AccessRules, ApiToken, ControlReply, SipUser } from '@wakeline/core/domain';
import { Hub } from '@wakeline/core/hub';
import type { TimelineEvent } from '@wakeline/core/hub';
import type { Random, Store } from '@wakeline/core/ports';
import type { ServerConfig } from '../config/config.js';
import { ownEndpointHash } from '../http/endpoint-urls.js';
import type { HttpApiOptions, HubRequest } from '../http/options.js';
import { LmdbStore } from '../stores/lmdb/index.js';
import type { Metrics, ProcessFigures } from '../telemetry/index.js';
import { createMetrics } from '../telemetry/index.js';
import { ensureAdminToken } from './admin-token.js';
import { Backups, backupsDirectory } from './backups.js';
import type { Clock } from './clock.js';
import { DiskWatch } from './disk-watch.js';
import { HubDriver } from './hub-driver.js';
import type { HubClient } from './hub-port.js';
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';
import type { CallClient } from './sip-side.js';
import { programVersion } from './program-version.js';

/** Who may connect to a server that only this machine reaches may see its figures, too. */
function defaultAccessOf({ listeners, behindProxy }: ServerConfig): AccessRules {
  const isPrivate = listeners.every(({ isLoopback }) => isLoopback) && behindProxy.length === 0;
  return isPrivate ? { ...openAccess, subscribe: [...openAccess.subscribe, '$SYS/#'] } : openAccess;
}

export interface HubSideOptions {
  readonly config: ServerConfig;
  /** Open; closed by whoever opened it. */
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random | undefined;
  readonly log: Log;
  readonly limits: RuntimeLimits;
  readonly onTimeline: ((event: TimelineEvent) => void) | undefined;
  /** How the HTTP listeners are reached from outside; undefined: they are not. */
  readonly publicUrl: () => string | undefined;
  /** What the figures show beside the hub's own. */
  readonly figures: Partial<ProcessFigures>;
  /** Called once, when the hub threw. Nothing reaches it any more. */
  readonly onFailed: (error: unknown) => void;
}

const hostRandom: Random = { fill: (target) => randomFillSync(target) };

export class HubSide {
  readonly driver: HubDriver;
  readonly metrics: Metrics;
  readonly #options: HubSideOptions;
  readonly #hub: Hub;
  readonly #disk: DiskWatch | undefined;
  /** Undefined for a store that has no copy to give. */
  readonly backup: HttpApiOptions['backup'];

  constructor(options: HubSideOptions) {
    const { config, store, clock, random, log, onTimeline } = options;
    this.#options = options;
    this.#hub = new Hub({
      store,
      random: random ?? hostRandom,
      anonymousDevices: config.anonymousDevices,
      defaultAccess: defaultAccessOf(config),
      version: programVersion(),
      sessionExpirySecondsMax: config.mqtt.sessionExpirySecondsMax,
      limits: config.limits,
      ...(config.sip.domains.length > 0 && {
        calls: {
          users: config.sip.users,
          algorithms: config.sip.challenge,
          parkMs: config.sip.parkMs,
          ownEndpoint: (url) => ownEndpointHash(options.publicUrl(), url),
        },
      }),
      ...(onTimeline === undefined ? {} : { onTimeline }),
    });
    this.metrics = createMetrics({
      statistics: () => this.#hub.statistics(),
      figures: options.figures,
    });
    this.driver = new HubDriver({
      hub: this.#hub,
      store,
      clock,
      log,
      onCommitted: (durationMs) => this.metrics.observeCommit(durationMs),
      onFailed: options.onFailed,
    });
    this.#disk = this.#makeDiskWatch();
    this.backup = this.#makeBackup();
  }

  /** Recovers, and begins to serve the clients; resolves when there is an admin token. `request` asks the hub. */
  async start(
    client: HubClient,
    request: (request: HubRequest) => Promise<ControlReply>,
    callClient?: CallClient,
  ): Promise<void> {
    const { clock, config, log } = this.#options;
    this.#hub.recover(clock());
    this.driver.start(client, callClient);
    await this.#disk?.start();
    await ensureAdminToken(config.dataDirectory, clock().wall, request, log);
  }

  /** The token with this hash; undefined: there is none, or it was revoked. */
  findApiToken(sha256: string): ApiToken | undefined {
    return this.#hub.findApiToken(sha256);
  }

  /** The user of SIP with this address; undefined: there is none. */
  findUser(aor: string): SipUser | undefined {
    return this.#hub.findUser(aor);
  }

  /** Users of SIP who cannot log in by all that phones are asked for, in the order of their addresses. */
  usersMissingAlgorithms(): readonly string[] {
    return this.#hub.usersMissingAlgorithms();
  }

  /** Lets go of every timer; what was committed is safe. Idempotent. */
  stop(): void {
    this.#disk?.stop();
    this.driver.stop();
  }

  /** Only a store on a disk can run out of it. */
  #makeDiskWatch(): DiskWatch | undefined {
    const { config, store, limits, log } = this.#options;
    if (store.freeSpace === undefined) return undefined;
    return new DiskWatch({
      freeBytes: async () => (await store.freeSpace!()).freeBytes,
      floorBytes: config.limits.diskFloorBytes ?? coreLimits.diskFloorBytes,
      limits,
      log,
      onChange: (appendsAllowed) => this.driver.tell({ kind: 'disk', appendsAllowed }),
    });
  }

  #makeBackup(): HttpApiOptions['backup'] {
    const { clock, config, store, log } = this.#options;
    if (!(store instanceof LmdbStore)) return undefined;
    const backups = new Backups({
      store,
      directory: join(config.dataDirectory, backupsDirectory),
      freeBytes: async (directory) => {
        const { bavail, bsize } = await statfs(directory);
        return bavail * bsize;
      },
      floorBytes: config.limits.diskFloorBytes ?? coreLimits.diskFloorBytes,
      now: () => clock().wall,
      log,
    });
    return () => backups.make();
  }
}

/**
 * Everything that calls need of the host, put together: the SIP stack with its driver, names, connections that it asks
 * for, and pushes to foreign endpoints.
 */
import { createHmac } from 'node:crypto';
import type { Machine } from '@wakeline/core/base';
import type { Aor, ControlReply, SipUser } from '@wakeline/core/domain';
import { SipStack } from '@wakeline/core/session/sip';
import type { SipInput, SipOutput, SipStackOptions, SipTrunk } from '@wakeline/core/session/sip';
import type { SipConfig, SipTrunkConfig } from '../config/config.js';
import type { HubRequest } from '../http/options.js';
import { SocketConnector } from '../listeners/sip-connector.js';
import { WebPushRoute } from '../routes/web-push-route.js';
import type { Clock } from './clock.js';
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';
import { hostSipCrypto } from './sip-crypto.js';
import { SipResolver } from './sip-resolver.js';
import { SipSide } from './sip-side.js';
import type { CallHub } from './sip-side.js';

export type CreateSipStack = (options: SipStackOptions) => Machine<SipInput, SipOutput>;

/** Addresses that the warning names; it tells the count of all. */
const LOCKED_OUT_NAMED_MAX = 10;

export interface CallHostOptions {
  readonly config: SipConfig;
  readonly hub: CallHub;
  readonly clock: Clock;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  readonly findUser: (aor: string) => SipUser | undefined;
  /** Default: a `SipStack`. */
  readonly createStack: CreateSipStack | undefined;
  readonly authorities: string | undefined;
  /** Called once, when the stack threw. */
  readonly onFailed: (error: unknown) => void;
}

export class CallHost {
  readonly side: SipSide;
  readonly route: WebPushRoute;
  readonly #options: CallHostOptions;
  /** Signs Route tokens, nonces and To-tags. */
  #key: Uint8Array | undefined;

  constructor(options: CallHostOptions) {
    this.#options = options;
    const { config, hub, clock, limits, log, authorities } = options;
    this.route = new WebPushRoute({ limits, allowed: config.pushEndpoints, log, authorities });
    const resolver = new SipResolver({
      limits,
      nowMs: () => clock().monotonic,
      random: () => Math.random(),
      log,
    });
    this.side = new SipSide({
      createStack: (listeners) => this.#createStack(listeners),
      hub,
      clock,
      limits,
      log,
      connector: new SocketConnector({ limits, log, authorities }),
      resolve: resolver.resolve,
      push: this.route.push,
      onFailed: options.onFailed,
    });
  }

  /** Makes the stack's key of the store's: it has to outlive the process. To be called before the stack begins. */
  async takeKey(request: (request: HubRequest) => Promise<ControlReply>): Promise<void> {
    const reply = await request({ kind: 'get-seal-key' });
    if (reply.kind !== 'seal-key') throw new Error('the store gives no key for calls');
    this.#key = createHmac('sha256', reply.key).update('wakeline sip').digest();
  }

  /**
   * Warns of users who were made while others were asked for: they are kept, and their phones are refused. Those of
   * domains that are not served any more are of no concern.
   */
  warnOfLockedOut(missingAlgorithms: readonly Aor[]): void {
    const { config, log } = this.#options;
    const lockedOut = missingAlgorithms.filter((aor) =>
      config.domains.includes(aor.slice(aor.lastIndexOf('@') + 1)),
    );
    if (lockedOut.length === 0) return;
    log.warn(
      {
        count: lockedOut.length,
        first: lockedOut.slice(0, LOCKED_OUT_NAMED_MAX),
        challenge: config.challenge,
      },
      'phones of some users of SIP are refused: the passwords were made without an algorithm of sip.challenge. ' +
        'Make each again: PUT /v1/users/ADDRESS with the password that the phone has, or "wakeline users add ADDRESS" ' +
        'for a new one; "wakeline users" shows which',
    );
  }

  /** New calls are refused for a while, then all connections close; resolves when they have. */
  async takeLeave(): Promise<void> {
    this.side.drain();
    await new Promise((resolve) => setTimeout(resolve, this.#options.limits.sipLeaveMs));
    await this.side.leave();
  }

  /** Lets go of every socket and timer. Idempotent. */
  stop(): void {
    this.side.stop();
    this.route.close();
  }

  #createStack(listeners: SipStackOptions['listeners']): Machine<SipInput, SipOutput> {
    const { config, findUser, createStack } = this.#options;
    if (this.#key === undefined) throw new Error('the stack begins before its key was taken');
    const options: SipStackOptions = {
      listeners,
      domains: config.domains,
      findUser,
      algorithms: config.challenge,
      trunks: config.trunks.map(trunkOf),
      crypto: hostSipCrypto,
      key: this.#key,
      parkMs: config.parkMs,
      registrationSecondsMin: config.registrationSecondsMin,
      registrationSecondsMax: config.registrationSecondsMax,
      flowTimerSeconds: config.flowTimerSeconds,
    };
    return createStack === undefined ? new SipStack(options) : createStack(options);
  }
}

function trunkOf({ name, uri, from, register, numbers }: SipTrunkConfig): SipTrunk {
  return { name, uri, addresses: from, numbers, registration: register };
}

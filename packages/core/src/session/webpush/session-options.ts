/** How a session of Mozilla's push protocol is configured. */
import type { MintEndpoint } from '../../domain/index.js';
import type { AddressBudget } from '../address-budget.js';
import type { BroadcastTable } from './broadcasts.js';

/** One object shared by all sessions of a process. */
export interface WebPushSessionOptions {
  /** Makes an endpoint for a register; its randomness and hash are the host's. */
  readonly mintEndpoint: MintEndpoint;
  readonly broadcasts: BroadcastTable;
  /** User agents that are given a new secret. */
  readonly newAgents: AddressBudget;
  /** Default: `webPushLimits.helloTimeoutMsMax`. */
  readonly helloTimeoutMs?: number;
  /** Silence after which the server pings; undefined: it never does. */
  readonly pingAfterMs: number | undefined;
  /** Default: `webPushLimits.pingIntervalMsMin`. */
  readonly pingIntervalMsMin?: number;
}

/**
 * The parts of a session's state that need no field of their own: yes or no, and what few connections have at a time. A
 * field costs every sleeping line eight bytes.
 */
import type { MintedEndpoint } from '../../domain/index.js';
import { FIRST_FLAG, FlaggedOutbox } from '../flagged-outbox.js';
import type { BroadcastSubscriptions } from './broadcasts.js';

/** Where a connection is between its first byte and its close. */
export const State = {
  awaitingHello: 0,
  /** The driver makes the identity. */
  authenticating: 1,
  /** The hub was told, and has not answered. */
  opening: 2,
  open: 3,
  closed: 4,
} as const;
export type State = (typeof State)[keyof typeof State];

/** A register or unregister that the hub has not answered. */
export interface WaitingRequest {
  readonly channelId: string;
  /** Of a register. */
  readonly endpoint: MintedEndpoint | undefined;
}

/** What only some connections have. */
export interface RareParts {
  /** By ticket. */
  requests: Map<number, WaitingRequest> | null;
  broadcasts: BroadcastSubscriptions | null;
  /** Sequence numbers of repeats that are not acknowledged. */
  repeats: Set<number> | null;
  /** Notifications without a place in the inbox that came on the connection. */
  passingCount: number;
}

const Flag = { pinged: FIRST_FLAG, hasPinged: FIRST_FLAG << 1 } as const;

/** A base class and not a part, as {@link FlaggedOutbox}. */
export abstract class SessionState extends FlaggedOutbox {
  /** null: none of them. */
  protected rare: RareParts | null = null;

  /** To be written to. */
  protected get rareParts(): RareParts {
    return (this.rare ??= { requests: null, broadcasts: null, repeats: null, passingCount: 0 });
  }

  /** The server has pinged, and nothing has come since. */
  protected get awaitsPong(): boolean {
    return this.hasFlag(Flag.pinged);
  }

  protected set awaitsPong(value: boolean) {
    this.putFlag(Flag.pinged, value);
  }

  /** The client has pinged on this connection. */
  protected get hasPinged(): boolean {
    return this.hasFlag(Flag.hasPinged);
  }

  protected set hasPinged(value: boolean) {
    this.putFlag(Flag.hasPinged, value);
  }
}

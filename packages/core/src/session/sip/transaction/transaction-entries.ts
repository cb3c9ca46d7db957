/** What the transaction layer keeps of each transaction beside its machine. */
import type { SipFlow } from '../../../domain/index.js';
import type { SipRequest } from '../../../wire/sip/index.js';
import type { TransactionKey } from '../edge-types.js';
import type { ResponseRoute } from '../transport/index.js';
import type { InviteClientTransaction } from './invite-client-transaction.js';
import type { InviteServerTransaction } from './invite-server-transaction.js';
import type { NonInviteClientTransaction } from './non-invite-client-transaction.js';
import type { NonInviteServerTransaction } from './non-invite-server-transaction.js';

export interface ServerEntry {
  readonly side: 'server';
  readonly key: TransactionKey;
  readonly machine: InviteServerTransaction | NonInviteServerTransaction;
  readonly request: SipRequest;
  readonly route: ResponseRoute;
  readonly mergeKey: string | undefined;
  /** Said to a retransmission. */
  lastResponse: Uint8Array | undefined;
  /** There was no way for the last response. */
  isUnsent: boolean;
  alarm: Alarm | undefined;
}

export interface ClientEntry {
  readonly side: 'client';
  readonly key: TransactionKey;
  readonly machine: InviteClientTransaction | NonInviteClientTransaction;
  readonly branch: string;
  bytes: Uint8Array;
  /** A CANCEL of ours: the core does not know it. */
  readonly isInternal: boolean;
  flow: SipFlow;
  /** Value of the Reason header of a CANCEL. */
  reason: string | undefined;
  alarm: Alarm | undefined;
}

export type Entry = ServerEntry | ClientEntry;

/** What lies in the heap until it is due: without its transaction if that is over, so that the rest of it can go. */
export interface Alarm {
  /** Monotonic ms. */
  readonly dueMs: number;
  entry: Entry | undefined;
}

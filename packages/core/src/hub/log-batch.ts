/** What goes into the log, and what one commit does to it: filled by {@link InboxLog}, carried by the commit queue. */
import type { Chunk } from './chunk.js';
import type { Inbox, Touch } from './inbox.js';

/** One inbox to which a publication goes. */
export interface Recipient {
  readonly inbox: Inbox;
  /** {@link RecipientFlag} bits, without `subscriptionIds`. */
  readonly flags: number;
  readonly subscriptionIds: readonly number[];
  /** `groupHash` of the shared subscription by which it gets the publication; 0: by none. */
  readonly group: number;
}

/** A copy forward under way: which entry moves where once the commit is synced. */
export interface Move {
  readonly inbox: Inbox;
  readonly entry: number;
  readonly sequence: number;
  readonly from: Chunk;
  readonly to: Chunk;
  readonly offset: number;
}

/** A waiting message that the batch ends: taken out of its inbox, and kept until the batch is synced or has failed. */
export interface Withdrawal {
  readonly inbox: Inbox;
  readonly entry: number;
  /** The replace key under which it waited. */
  readonly key: string | undefined;
}

/** What one commit takes out of and puts into the log. */
export interface LogBatch {
  readonly chunks: Chunk[];
  readonly touches: Touch[];
  readonly deleted: Chunk[];
  readonly moves: Move[];
  readonly withdrawals: Withdrawal[];
}

export function emptyBatch(): LogBatch {
  return { chunks: [], touches: [], deleted: [], moves: [], withdrawals: [] };
}

/** A recipient that still waits for a record which is copied forward. */
export interface Survivor {
  readonly inbox: Inbox;
  readonly entry: number;
  readonly sequence: number;
  readonly flags: number;
  readonly ids: readonly number[];
  readonly group: number;
}

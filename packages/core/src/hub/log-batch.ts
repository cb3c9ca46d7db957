/** What one commit does to the log: filled by {@link InboxLog}, carried by the commit queue. */
import type { Chunk } from './chunk.js';
import type { Inbox, Touch } from './inbox.js';

/** A copy forward under way: which entry moves where once the commit is synced. */
export interface Move {
  readonly inbox: Inbox;
  readonly entry: number;
  readonly sequence: number;
  readonly from: Chunk;
  readonly to: Chunk;
  readonly offset: number;
}

/** What one commit takes out of and puts into the log. */
export interface LogBatch {
  readonly chunks: Chunk[];
  readonly touches: Touch[];
  readonly deleted: Chunk[];
  readonly moves: Move[];
}

export function emptyBatch(): LogBatch {
  return { chunks: [], touches: [], deleted: [], moves: [] };
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

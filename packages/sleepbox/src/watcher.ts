/**
 * The port through which a box sees its program's sockets. Two implementations: `watcher-helper.ts` (exact and
 * free of cost while asleep) and `watcher-proc.ts` (works everywhere, polls).
 */
import type { ConnectionSample, SocketSnapshot } from './sockets.js';

/** Something came to a watched connection; the watcher has stopped watching by itself. `at`: performance.now() ms. */
export type ArrivalListener = (connection: ConnectionSample, at: number) => void;

/** Calls do not overlap: the box makes the next one after the one before is answered. */
export interface Watcher {
  /** Shown on the timeline. */
  readonly kind: 'helper' | 'proc-poll';
  /** All sockets of these processes. Leaves nothing behind in them. */
  look(pids: readonly number[]): Promise<SocketSnapshot>;
  /**
   * Waits for these connections of a frozen program; answers with their state after waiting has begun, so that nothing
   * is missed between. One call of `onArrival` at most; then, or by `release`, watching has ended.
   */
  watch(
    connections: readonly ConnectionSample[],
    onArrival: ArrivalListener,
  ): Promise<readonly ConnectionSample[]>;
  /** Ends watching; after the answer the program may run. Idempotent. */
  release(): Promise<void>;
  /** Changes what the network can do to the sockets of these processes; answers how many, undefined: not able to. */
  network(action: 'cut' | 'uncut' | 'destroy', pids: readonly number[]): Promise<number | undefined>;
  /** A sentence about what watching has cost so far; undefined: nothing worth saying. */
  cost(): string | undefined;
  close(): void;
}

/**
 * Time as core sees it: a value handed in with every call, never read from the host.
 *
 * Two clocks travel together because they answer different questions. Timers compare `monotonic`, which never
 * jumps; time-to-live and anything that must mean the same after a restart compares `wall`.
 */

/** One reading of both clocks. */
export interface InstantMs {
  /** Milliseconds since an arbitrary start; never goes back. For timers. */
  readonly monotonic: number;
  /** Milliseconds since 1970-01-01T00:00:00Z; may jump. For TTLs and everything that is stored. */
  readonly wall: number;
}

/** "No timeout": what `nextTimeoutMs` returns when a machine waits for nothing. */
export const NEVER = Infinity;

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** What a monotonic time is by the wall clock as that is now: it may have been set since the time was chosen. */
export function wallOf(now: InstantMs, monotonicMs: number): number {
  return Math.round(monotonicMs - now.monotonic + now.wall);
}

/**
 * When to look whether a wall-clock deadline has come, as monotonic ms: the wall clock may jump, so it is looked at once a
 * minute at least. Infinity stays what it is.
 */
export function lookAtMs(now: InstantMs, wallDueMs: number): number {
  if (wallDueMs === Infinity) return NEVER;
  return now.monotonic + Math.min(Math.max(0, wallDueMs - now.wall), MINUTE_MS);
}

/** The host's two clocks as core wants them: read once per event and handed in. */
import type { InstantMs } from '@wakeline/core/base';

/** Reads both clocks. */
export type Clock = () => InstantMs;

/** Monotonic since the process began, wall since 1970. */
export function hostClock(): InstantMs {
  return { monotonic: performance.now(), wall: Date.now() };
}

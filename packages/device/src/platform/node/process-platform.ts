/** A plain process: it is not put to sleep, and never in the background. */
import { randomInt } from 'node:crypto';
import type { InstantMs } from '@wakeline/core/base';
import type { Platform } from '../../ports/index.js';

const WINDOW_MS = 10_000;
const RANDOM_MAX = 2 ** 32;

export const nodeClock = {
  now(): InstantMs {
    return { monotonic: performance.now(), wall: Date.now() };
  },
  setTimer(callback: () => void, ms: number): () => void {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  random(): number {
    return randomInt(RANDOM_MAX);
  },
};

export function processPlatform(): Platform {
  return {
    ...nodeClock,
    activity: 'active',
    networkKey: undefined,
    windowMs: WINDOW_MS,
    wakeGapMsMin: 0,
    start: () => undefined,
    stop: () => Promise.resolve(),
    handleOpen: () => Promise.resolve(),
    handleDone: () => undefined,
  };
}

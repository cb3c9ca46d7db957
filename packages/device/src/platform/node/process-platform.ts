/** A plain process: it is not put to sleep, and never in the background. */
import { randomInt } from 'node:crypto';
import type { InstantMs } from '@wakeline/core/base';
import type { Platform, PlatformHandler } from '../../ports/index.js';
import { readNetworkKey } from './network-key.js';

const WINDOW_MS = 10_000;
/** How late another network is noticed, ms. */
const NETWORK_LOOK_MS = 5_000;
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

export interface ProcessPlatformOptions {
  /** Names the network that the machine is on; undefined: it is not known now. Default: on Linux by the gateway, elsewhere never. */
  readonly readNetworkKey?: () => Promise<string | undefined>;
}

export function processPlatform(options: ProcessPlatformOptions = {}): Platform {
  const watch = new NetworkWatch(options.readNetworkKey ?? readNetworkKey);
  return {
    ...nodeClock,
    activity: 'active',
    networkKey: undefined,
    windowMs: WINDOW_MS,
    wakeGapMsMin: 0,
    start: (handler) => watch.start(handler),
    stop: () => watch.stop(),
    handleOpen: () => Promise.resolve(),
    handleDone: () => undefined,
  };
}

/** Looks now and then which network the machine is on. */
class NetworkWatch {
  readonly #read: () => Promise<string | undefined>;
  #handler: PlatformHandler | undefined;
  #timer: NodeJS.Timeout | undefined;
  #key: string | undefined;

  constructor(read: () => Promise<string | undefined>) {
    this.#read = read;
  }

  async start(handler: PlatformHandler): Promise<void> {
    this.#handler = handler;
    await this.#look();
  }

  stop(): Promise<void> {
    this.#handler = undefined;
    clearTimeout(this.#timer);
    return Promise.resolve();
  }

  async #look(): Promise<void> {
    const key = await this.#read();
    if (this.#handler === undefined) return;
    if (key !== undefined && key !== this.#key) {
      this.#key = key;
      this.#handler.handleNetwork(key);
    }
    this.#timer = setTimeout(() => void this.#look(), NETWORK_LOOK_MS);
    // The line keeps a process running, looking does not.
    this.#timer.unref();
  }
}

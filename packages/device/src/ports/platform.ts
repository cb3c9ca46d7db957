/**
 * What a platform knows and does beside sockets and storage: clocks, chance, networks, what the app does, and sleep.
 */
import type { InstantMs } from '@wakeline/core/base';
import type { Activity } from '@wakeline/core/domain';
import type { TransportConnection } from './transport.js';

/** What a platform tells the line, from `start` to `stop`. */
export interface PlatformHandler {
  /**
   * The device is on another network: a name that tells one from another; '': on some, and no telling which; undefined: on none. The same
   * again is nothing new. The first word after a start without `networkKey` names the network that the device is on already.
   */
  handleNetwork(key: string | undefined): void;
  /** The app has gone to the background or come back, the device sleeps or does not. */
  handleActivity(activity: Activity): void;
  /** The sleeping device was woken by the platform itself: time to look at what is due. Timers may have stood still. */
  handleWake(): void;
}

export interface Platform {
  /** What holds from the start, before {@link start} tells otherwise. */
  readonly activity: Activity;
  /** As for {@link PlatformHandler.handleNetwork}; undefined here: it cannot tell networks from each other. */
  readonly networkKey: string | undefined;
  /** How long the app runs after a wake, ms. */
  readonly windowMs: number;
  /**
   * While the device sleeps the app cannot have itself woken more often than this, ms (on iOS 600,000); 0: as often as it
   * likes.
   */
  readonly wakeGapMsMin: number;
  /** Both clocks; the monotonic one goes on while the device sleeps. */
  now(): InstantMs;
  /** Calls back once, at the earliest after so many ms, at most 2^31 − 1. Returns how to take it back. */
  setTimer(callback: () => void, ms: number): () => void;
  /** 32 unpredictable bits. */
  random(): number;
  /** Begins to tell. Nothing is connected before it has resolved, where it is a promise, which never rejects. */
  start(handler: PlatformHandler): void | Promise<void>;
  /** Ends everything that `start` began. Never rejects. */
  stop(): Promise<void>;
  /** The main connection is there: what arrives on it is to wake the device. Resolves when that holds. Never rejects. */
  handleOpen(connection: TransportConnection): Promise<void>;
  /** Everything of this wake is done and written: the device may sleep, now. */
  handleDone(): void;
}

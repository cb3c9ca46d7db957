/**
 * A React Native app as the line sees it: in front or in the background by AppState, its network by NetInfo where the app brings it.
 * What happens in the background is the system's decision: an iPhone suspends the app within half a minute, and its connections with
 * it; Android lets it run while a foreground service does. Whoever has the app woken by other means calls {@link AppPlatform.wake}.
 */
import type { InstantMs } from '@wakeline/core/base';
import type { Activity } from '@wakeline/core/domain';
import type { Platform, PlatformHandler, TransportConnection } from '../../ports/index.js';
import { WokenClock } from '../woken-clock.js';

/** As much of React Native's `AppState` as is used. */
export interface AppStateLike {
  readonly currentState: string | null;
  addEventListener(type: 'change', listener: (state: string) => void): { remove(): void };
}

/** As much of the default export of `@react-native-community/netinfo` as is used. */
export interface NetInfoLike {
  addEventListener(listener: (state: NetInfoStateLike) => void): () => void;
}

export interface NetInfoStateLike {
  readonly type: string;
  readonly isConnected: boolean | null;
  readonly details: Readonly<Record<string, unknown>> | null;
}

export interface AppPlatformOptions {
  readonly appState: AppStateLike;
  /** Without it, networks are not told from each other, and their loss shows by silence only. */
  readonly netInfo?: NetInfoLike | undefined;
  /**
   * What to tell the server of an app in the background: `background`, that it runs there, or `asleep`, that something wakes it, by
   * {@link AppPlatform.wake}, for `windowMs`. Default: `background`.
   */
  readonly inBackground?: 'background' | 'asleep' | undefined;
  /** Default: 10 s. */
  readonly windowMs?: number | undefined;
  /** How often the app may have itself woken at most while it is asleep, ms. Default: 0, as often as it likes. */
  readonly wakeGapMsMin?: number | undefined;
  /** Tells that what a wake brought is done, for the completion handler of whatever woke the app. */
  readonly onDone?: (() => void) | undefined;
}

const WINDOW_MS = 10_000;

export class AppPlatform implements Platform {
  readonly networkKey = undefined;
  readonly windowMs: number;
  readonly wakeGapMsMin: number;
  readonly #options: AppPlatformOptions;
  readonly #clock = new WokenClock(() => globalThis.performance.now(), Date.now);
  #stops: (() => void)[] = [];
  #handler: PlatformHandler | undefined;

  constructor(options: AppPlatformOptions) {
    this.#options = options;
    this.windowMs = options.windowMs ?? WINDOW_MS;
    this.wakeGapMsMin = options.wakeGapMsMin ?? 0;
  }

  get activity(): Activity {
    return this.#activityOf(this.#options.appState.currentState) ?? 'active';
  }

  now(): InstantMs {
    return this.#clock.now();
  }

  setTimer(callback: () => void, ms: number): () => void {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  }

  /** For the waits between attempts; not for keys. React Native has no better one of its own. */
  random(): number {
    return Math.floor(Math.random() * 0x1_0000_0000);
  }

  start(handler: PlatformHandler): void {
    this.#handler = handler;
    const { appState, netInfo } = this.#options;
    const subscription = appState.addEventListener('change', (state) => {
      const activity = this.#activityOf(state);
      if (activity === undefined) return;
      handler.handleActivity(activity);
      // Timers stood still while it was suspended.
      if (activity === 'active') handler.handleWake();
    });
    this.#stops.push(() => subscription.remove());
    if (netInfo === undefined) return;
    this.#stops.push(netInfo.addEventListener((state) => this.#handleNetwork(handler, state)));
  }

  /** Something has woken the app: a push, a background task, the user's answer to a call. */
  wake(): void {
    this.#handler?.handleWake();
  }

  stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    this.#handler = undefined;
    return Promise.resolve();
  }

  handleOpen(_connection: TransportConnection): Promise<void> {
    return Promise.resolve();
  }

  handleDone(): void {
    this.#options.onDone?.();
  }

  /** Undefined: it says nothing, as `inactive`, which an iPhone passes through, and Android never has. */
  #activityOf(state: string | null): Activity | undefined {
    if (state === 'active') return 'active';
    return state === 'background' ? (this.#options.inBackground ?? 'background') : undefined;
  }

  #handleNetwork(handler: PlatformHandler, { type, isConnected, details }: NetInfoStateLike): void {
    // Null: not known yet.
    if (isConnected === null) return;
    handler.handleNetwork(isConnected ? networkKeyOf(type, details) : undefined);
  }
}

/**
 * A name for a network: that of a radio cell's operator or of a Wi-Fi station, where the app may know it. Else none, since what is true
 * of one Wi-Fi is not of another.
 */
function networkKeyOf(type: string, details: NetInfoStateLike['details']): string {
  const part =
    type === 'wifi' ? (details?.bssid ?? details?.ssid) : type === 'cellular' ? details?.carrier : '';
  return typeof part === 'string' && part !== '' ? `${type}:${part}` : '';
}

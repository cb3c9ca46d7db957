/**
 * A page as the line sees it: in front, hidden, frozen or put away; with a network or without. A page is never woken by what arrives
 * for it: while it is frozen or put away it is not there, says so, and comes back when it runs again.
 */
import type { InstantMs } from '@wakeline/core/base';
import type { Activity } from '@wakeline/core/domain';
import type { Platform, PlatformHandler, TransportConnection } from '../../ports/index.js';
import { WokenClock } from '../woken-clock.js';

interface EventTargetLike {
  addEventListener(type: string, listener: (event: { readonly persisted?: boolean }) => void): void;
  removeEventListener(type: string, listener: (event: { readonly persisted?: boolean }) => void): void;
}

/** As much of a window as is used. */
export interface PageLike extends EventTargetLike {
  /** A worker has none: it is never hidden. */
  readonly document?: EventTargetLike & { readonly visibilityState: string };
  readonly navigator: {
    readonly onLine: boolean;
    /** Network Information, where there is some. */
    readonly connection?: EventTargetLike & { readonly type?: string };
  };
  readonly performance: { now(): number };
  readonly crypto: { getRandomValues(array: Uint32Array): unknown };
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: never): void;
}

/** What the machine takes for "some network, and no telling which". */
const SOME_NETWORK = '';
/** Pages have no wake window; this is what a device has that says nothing. */
const WINDOW_MS = 10_000;

/** The page life cycle of a browser, or of a window of Electron. */
export class PagePlatform implements Platform {
  readonly networkKey = undefined;
  readonly windowMs = WINDOW_MS;
  readonly wakeGapMsMin = 0;
  readonly #page: PageLike;
  readonly #clock: WokenClock;
  /** What `start` began to listen to. */
  #listeners: (readonly [EventTargetLike, string, (event: { readonly persisted?: boolean }) => void])[] = [];
  #isPutAway = false;
  #networkType: string | undefined;

  constructor(page: PageLike) {
    this.#page = page;
    this.#clock = new WokenClock(() => page.performance.now(), Date.now);
  }

  get activity(): Activity {
    return this.#page.document?.visibilityState === 'hidden' ? 'background' : 'active';
  }

  now(): InstantMs {
    return this.#clock.now();
  }

  setTimer(callback: () => void, ms: number): () => void {
    const timer = this.#page.setTimeout(callback, ms);
    return () => this.#page.clearTimeout(timer as never);
  }

  random(): number {
    const array = new Uint32Array(1);
    this.#page.crypto.getRandomValues(array);
    return array[0]!;
  }

  start(handler: PlatformHandler): void {
    const { document, navigator } = this.#page;
    const { connection } = navigator;
    const tellNetwork = (): void => {
      handler.handleNetwork(navigator.onLine && !this.#isPutAway ? SOME_NETWORK : undefined);
    };
    const putAway = (): void => {
      this.#isPutAway = true;
      tellNetwork();
    };
    const takeBack = (): void => {
      if (!this.#isPutAway) return;
      this.#isPutAway = false;
      tellNetwork();
      handler.handleWake();
    };
    this.#networkType = connection?.type;
    if (document !== undefined) {
      this.#listen(document, 'visibilitychange', () => {
        handler.handleActivity(this.activity);
        if (this.activity === 'active') handler.handleWake();
      });
      this.#listen(document, 'freeze', putAway);
      this.#listen(document, 'resume', takeBack);
    }
    this.#listen(this.#page, 'pagehide', putAway);
    this.#listen(this.#page, 'pageshow', takeBack);
    this.#listen(this.#page, 'online', tellNetwork);
    this.#listen(this.#page, 'offline', tellNetwork);
    if (connection !== undefined) {
      this.#listen(connection, 'change', () => {
        // It changes with the bandwidth, too, and names no network: only that it is another kind.
        if (connection.type === this.#networkType) return;
        this.#networkType = connection.type;
        handler.handleNetwork(undefined);
        tellNetwork();
      });
    }
    if (!navigator.onLine) tellNetwork();
  }

  stop(): Promise<void> {
    for (const [target, type, listener] of this.#listeners) target.removeEventListener(type, listener);
    this.#listeners = [];
    return Promise.resolve();
  }

  handleOpen(_connection: TransportConnection): Promise<void> {
    return Promise.resolve();
  }

  handleDone(): void {}

  #listen(
    target: EventTargetLike,
    type: string,
    listener: (event: { readonly persisted?: boolean }) => void,
  ): void {
    target.addEventListener(type, listener);
    this.#listeners.push([target, type, listener]);
  }
}

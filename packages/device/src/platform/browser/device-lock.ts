/**
 * One tab holds the line of a device: two would take it from each other for ever. By the Web Locks that all pages of an origin share,
 * which a browser lets go of when the page is gone, however it went.
 */
import { DeviceError } from '../../errors.js';

/** As much of `navigator.locks` as is used. */
export interface LockManagerLike {
  request(
    name: string,
    options: { readonly ifAvailable?: boolean; readonly signal?: AbortSignal },
    callback: (lock: unknown) => Promise<void> | undefined,
  ): Promise<unknown>;
}

/** What to do when another tab has the line: refuse with STORAGE_LOCKED, or wait until it is closed. */
export type OtherTab = 'refuse' | 'wait';

export class DeviceLock {
  readonly #locks: LockManagerLike | undefined;
  readonly #name: string;
  readonly #otherTab: OtherTab;
  readonly #controller = new AbortController();
  #release: (() => void) | undefined;
  #released: Promise<unknown> = Promise.resolve();

  constructor(locks: LockManagerLike | undefined, deviceId: string, otherTab: OtherTab) {
    this.#locks = locks;
    this.#name = `wakeline:${deviceId}`;
    this.#otherTab = otherTab;
  }

  /** Resolves when this page has it. Rejects with STORAGE_LOCKED or STORAGE_FAILED. */
  async take(): Promise<void> {
    const locks = this.#locks;
    if (locks === undefined) {
      const text = 'this page has no Web Locks, which keep its tabs apart: serve it by https';
      throw new DeviceError('STORAGE_FAILED', text);
    }
    await new Promise<void>((resolve, reject) => {
      const hold = (lock: unknown): Promise<void> | undefined => {
        if (lock === null) {
          const text = 'another tab of this browser has the line of this device';
          reject(new DeviceError('STORAGE_LOCKED', text, { retryable: true }));
          return undefined;
        }
        return new Promise((release) => {
          this.#release = release;
          resolve();
        });
      };
      const options =
        this.#otherTab === 'wait' ? { signal: this.#controller.signal } : { ifAvailable: true as const };
      this.#released = locks.request(this.#name, options, hold).catch((error: unknown) => {
        reject(new DeviceError('STORAGE_FAILED', 'the line was not waited for any longer', { cause: error }));
      });
    });
  }

  /** Also ends the waiting. Resolves when another tab may have it. */
  async release(): Promise<void> {
    if (this.#release === undefined) this.#controller.abort();
    this.#release?.();
    await this.#released;
  }
}

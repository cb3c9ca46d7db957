/**
 * What outlives the app, between the machine and the storage: read once, written one after another, and who waits for the end of
 * a message to be stored is told when the cursor that has it is.
 */
import {
  isCursorValue,
  isNetworkKnowledge,
  type CursorValue,
  type NetworkKnowledge,
} from '@wakeline/core/device';
import { DeviceError } from '../errors.js';
import { hostLimits } from '../limits.js';
import type { Storage, StoredName } from '../ports/index.js';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: DeviceError) => void;
}

export class StoredState {
  readonly #storage: Storage;
  readonly #warn: (warning: DeviceError) => void;
  /** Writes come one after another. */
  #writing: Promise<void> = Promise.resolve();
  #isCursorUnderWay = false;
  #hasCursorFailed = false;
  /** Who waits for a cursor that is not asked for yet. */
  #waiters: Waiter[] = [];

  constructor(storage: Storage, warn: (warning: DeviceError) => void) {
    this.#storage = storage;
    this.#warn = warn;
  }

  /** @throws (rejects) DeviceError STORAGE_LOCKED, STORAGE_FAILED */
  async open(): Promise<{
    readonly cursor: CursorValue | undefined;
    readonly knowledge: NetworkKnowledge | undefined;
    readonly push: string | undefined;
  }> {
    await this.#storage.open();
    const cursor = parseJson(await this.#storage.get('cursor'));
    const knowledge = parseJson(await this.#storage.get('keepalive'));
    return {
      cursor: isCursorValue(cursor) ? cursor : undefined,
      knowledge: isNetworkKnowledge(knowledge) ? knowledge : undefined,
      push: await this.#storage.get('push'),
    };
  }

  /** Resolves when every end told so far is stored. Call before the machine is told of the end, and {@link settle} after. */
  nextStored(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** The machine has said all that follows from what it was told. Without a cursor to come there is nothing to wait for. */
  settle(): void {
    if (this.#isCursorUnderWay || this.#hasCursorFailed) return;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** @param tell whether it is on disk: the machine may then ask for the next one. */
  async storeCursor(cursor: CursorValue, tell: (isStored: boolean) => void): Promise<void> {
    this.#isCursorUnderWay = true;
    this.#hasCursorFailed = false;
    const covered = this.#waiters;
    this.#waiters = [];
    const isStored = await this.#write('cursor', JSON.stringify(cursor));
    if (isStored) for (const { resolve } of covered) resolve();
    else this.#waiters.unshift(...covered);
    this.#isCursorUnderWay = false;
    this.#hasCursorFailed = !isStored;
    tell(isStored);
    this.settle();
  }

  storeKnowledge(knowledge: NetworkKnowledge): void {
    void this.#write('keepalive', JSON.stringify(knowledge));
  }

  /** @throws (rejects) DeviceError STORAGE_FAILED, of which the app is warned, too */
  async storePush(text: string): Promise<void> {
    if (await this.#write('push', text)) return;
    throw new DeviceError('STORAGE_FAILED', 'push could not be stored', { retryable: true });
  }

  /** Waits for what is being stored, and lets go of the storage. */
  async close(): Promise<void> {
    let last;
    do {
      last = this.#writing;
      await last;
    } while (last !== this.#writing);
    const closed = new DeviceError('CLOSED', 'the line was closed before the end of the message was stored');
    for (const { reject } of this.#waiters.splice(0)) reject(closed);
    await this.#storage.close();
  }

  #write(name: StoredName, text: string): Promise<boolean> {
    const written = this.#writing.then(async () => {
      try {
        if (text.length > hostLimits.storedBytesMax)
          throw new Error(`${text.length} characters are too many`);
        await this.#storage.set(name, text);
        return true;
      } catch (error) {
        this.#warn(
          new DeviceError('STORAGE_FAILED', `${name} could not be stored`, { cause: error, retryable: true }),
        );
        return false;
      }
    });
    this.#writing = written.then(() => undefined);
    return written;
  }
}

/** What cannot be read is as good as not there: it is learned anew, or comes again. */
function parseJson(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

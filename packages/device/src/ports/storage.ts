/**
 * Where a device keeps what must outlive its app: a few small texts by name. One storage belongs to one device in one
 * process.
 */

/** The names that are ever used. */
export type StoredName =
  /** What of the inbox was handled. Lost: repeats reach the app. */
  | 'cursor'
  /** What the keepalive policy knows of networks. Lost: it is learned anew. */
  | 'keepalive'
  /** Endpoints and keys of Web Push, secret. Lost: what was sealed for them cannot be read. */
  | 'push';

export interface Storage {
  /** Before everything else, once: takes hold of it. Rejects with STORAGE_LOCKED if another process has it, or STORAGE_FAILED. */
  open(): Promise<void>;
  /** Undefined: nothing is stored under this name. */
  get(name: StoredName): Promise<string | undefined>;
  /**
   * Puts a text (at most 64 KiB) in the place of the last one, wholly or not at all, also over a crash. For `cursor` and `push` it
   * resolves when the text would survive a loss of power, as far as the platform can tell. Not called again before it is settled.
   */
  set(name: StoredName, text: string): Promise<void>;
  /** Lets go of it; an `open` that waits rejects. Idempotent. Never rejects. */
  close(): Promise<void>;
}

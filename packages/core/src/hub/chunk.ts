/** A piece of the message log: what is stored under one key, and how much of it is still wanted. */

/** Length of a log key: the position as an unsigned 48-bit big-endian integer. */
const LOG_KEY_BYTES = 6;

export class Chunk {
  /** Index in the log's table of chunks; what an entry refers to. */
  readonly slot: number;
  /** Place in the log; ascending. 0: never stored. */
  readonly position: number;
  readonly isDurable: boolean;
  /** null: to be read from the store. */
  bytes: Uint8Array | null;
  /** Bytes written. */
  used = 0;
  /** Recipients that have not finished. */
  live = 0;
  isCommitted = false;
  /** Copied forward by a commit that is under way and deletes it. */
  isLeaving = false;

  constructor(slot: number, position: number, isDurable: boolean, bytes: Uint8Array | null) {
    this.slot = slot;
    this.position = position;
    this.isDurable = isDurable;
    this.bytes = bytes;
  }
}

export function logKey(position: number): Uint8Array {
  const key = new Uint8Array(LOG_KEY_BYTES);
  let rest = position;
  for (let index = LOG_KEY_BYTES - 1; index >= 0; index--) {
    key[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return key;
}

export function logPosition(key: Uint8Array): number {
  let position = 0;
  for (const byte of key) position = position * 256 + byte;
  return position;
}

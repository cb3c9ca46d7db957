/**
 * An outbox with the yes-or-no state of its session in one number: a field for each would cost every sleeping line eight bytes.
 * A base class and not a part, as {@link Outbox}.
 */
import { Outbox } from './outbox.js';

/** Flags of a session begin here; the ones below are for what every session has. */
export const FIRST_FLAG = 2;
const FULL = 1;

export abstract class FlaggedOutbox extends Outbox {
  #flags = 0;

  /** The socket takes more. */
  protected get isWritable(): boolean {
    return !this.hasFlag(FULL);
  }

  protected set isWritable(value: boolean) {
    this.putFlag(FULL, !value);
  }

  protected hasFlag(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  protected putFlag(flag: number, value: boolean): void {
    this.#flags = value ? this.#flags | flag : this.#flags & ~flag;
  }
}

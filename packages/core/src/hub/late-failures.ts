/**
 * Messages with a receipt that devices have acknowledged lately: a device may say afterwards that its application could do
 * nothing with one. Bounded, and in memory only: after a restart such a message stays acknowledged.
 */
import type { Limits } from '../base/limits.js';

export class LateFailures {
  readonly #countMax: number;
  /** Message ids by device number and sequence number, oldest first. */
  readonly #messageIds = new Map<string, Uint8Array>();

  constructor(limits: Limits) {
    this.#countMax = limits.lateFailuresMax;
  }

  /** The device has acknowledged the message. */
  note(deviceNumber: number, sequence: number, messageId: Uint8Array): void {
    this.#messageIds.set(keyOf(deviceNumber, sequence), messageId.slice());
    if (this.#messageIds.size <= this.#countMax) return;
    const [oldest] = this.#messageIds.keys();
    if (oldest !== undefined) this.#messageIds.delete(oldest);
  }

  /** The message's id, once; undefined: it has no receipt, or was acknowledged too long ago, or not at all. */
  take(deviceNumber: number, sequence: number): Uint8Array | undefined {
    const key = keyOf(deviceNumber, sequence);
    const messageId = this.#messageIds.get(key);
    this.#messageIds.delete(key);
    return messageId;
  }
}

function keyOf(deviceNumber: number, sequence: number): string {
  return `${deviceNumber}:${sequence}`;
}

/**
 * The version of a notification: the inbox's epoch and the message's sequence number in it, so that a repeat has the
 * same one, on whatever connection and after whatever crash, and no two messages of any device ever share one.
 */
const VERSION = /^([0-9a-f]{16})\.([1-9]\d{0,9})$/;
const SEQUENCE_MAX = 0xffff_ffff;

/** @param epoch 16 hex digits. */
export function versionOf(epoch: string, sequence: number): string {
  return `${epoch}.${sequence}`;
}

/**
 * For a message that has no place in the inbox and comes once: `count` is how many of them came on the connection, which
 * began at `openedMs` (wall clock).
 */
export function passingVersion(epoch: string, openedMs: number, count: number): string {
  return `${epoch}.p${openedMs}.${count}`;
}

/** The sequence number in it; 0: the version is none of this epoch. */
export function sequenceIn(version: string, epoch: string): number {
  const match = VERSION.exec(version);
  if (match === null || match[1] !== epoch) return 0;
  const sequence = Number(match[2]);
  return sequence <= SEQUENCE_MAX ? sequence : 0;
}

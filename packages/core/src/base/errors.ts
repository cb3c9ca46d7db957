/**
 * The one error class of the project and the table of its codes.
 *
 * Errors are for the caller's own mistakes and for what the host refuses (a disk, a port). What a peer sends
 * wrong is a {@link Refusal} value instead, so that one bad packet never unwinds a turn.
 */

/**
 * Every error code with its meaning. docs/errors.md carries the same table; a test compares the two both ways.
 */
export const errorCodes = {
  STORE_CLOSED: 'the store was closed while a commit was waiting',
  STORE_COMMIT_FAILED: 'the store could not commit; nothing of the batch is to be relied on',
  STORE_CORRUPT: 'a stored value cannot be read back as what it should be',
  STORE_FORMAT: 'the data directory was written by another format version',
  STORE_LOCKED: 'another process has the data directory open',
  STORE_UNUSABLE: 'the data directory cannot be used',
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface WakelineErrorOptions {
  readonly cause?: unknown;
  /** Whether the same call may succeed later without anything being mended. Default: false. */
  readonly retryable?: boolean;
}

/** Carries a stable `code`; the message is for people and may change. */
export class WakelineError extends Error {
  override readonly name = 'WakelineError';
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: WakelineErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/**
 * The server's own error codes: what is wrong with how it was started or with its host.
 *
 * A code never changes its meaning; the message is for people and may change. What a peer does wrong is a
 * refusal instead (core's `refusals`, and http/errors.ts for the HTTP API). docs/errors.md carries this table.
 */

export const serverErrorCodes = {
  CONFIG_INVALID: 'the configuration has mistakes; each is listed with its place and what to do',
  CONFIG_UNREADABLE: 'the configuration file, or a file it names, cannot be read',
} as const;

export type ServerErrorCode = keyof typeof serverErrorCodes;

export interface ServerErrorOptions {
  readonly cause?: unknown;
  /** Whether the same call may succeed later without anything being mended. Default: false. */
  readonly retryable?: boolean;
}

/** Carries a stable `code` of {@link serverErrorCodes}. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code: ServerErrorCode;
  readonly retryable: boolean;

  constructor(code: ServerErrorCode, message: string, options: ServerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** Why a command ends without having done its work. */
import { exitCodes } from './exit-codes.js';
import type { ExitCodeName } from './exit-codes.js';

export interface CliErrorOptions {
  readonly cause?: unknown;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** The server's or the library's own code, for machines. */
  readonly code?: string | undefined;
}

/** Ends the command with one of the exit codes; message and hint go to standard error. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exit: ExitCodeName;
  readonly hint: string | undefined;
  readonly code: string | undefined;

  constructor(exit: ExitCodeName, message: string, options: CliErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exit = exit;
    this.hint = options.hint;
    this.code = options.code;
  }

  get exitCode(): number {
    return exitCodes[this.exit].code;
  }
}

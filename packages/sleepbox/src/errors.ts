/**
 * The errors of sleepbox. A program's or a user's bad input is answered with a code; an exception with one of
 * these codes means that the box cannot do what it was asked.
 */

/** Every code with its meaning; docs/sleepbox.md lists the same, and a test compares the two. */
export const sleepboxErrors = {
  BAD_OPTION: 'an option is unknown, lacks its value or has one that is not allowed',
  BAD_DURATION: 'a duration is not written like 10s or 500ms, or is out of range',
  NO_COMMAND: 'there is no command after the options',
  COMMAND_NOT_FOUND: 'the command does not exist',
  COMMAND_NOT_EXECUTABLE: 'the command exists and may not be executed',
  NOT_LINUX: 'sleepbox needs Linux',
  NO_FREEZER: 'the cgroup freezer was asked for and may not be used',
  FREEZE_FAILED: 'the kernel did not report the program frozen in time',
  NO_NAT: 'the NAT cannot be built, or has ended; the message names what is missing',
  NO_HELPER: 'the helper was asked for and can neither be found nor be compiled',
  WATCHER_FAILED: 'the helper that watches the sockets ended or stopped answering',
  HOST_NOT_FOUND: 'the host of --wake tcp:HOST:PORT has no address',
  NAME_TAKEN: 'a running box has this name',
  RUNTIME_DIRECTORY: 'the runtime directory cannot be made, or belongs to somebody else',
  NOT_RUNNING: 'no box of this name, or none at all, is running',
  SEVERAL_RUNNING: 'several boxes are running and none was named',
  BAD_JSON: 'a line on the control socket is not a JSON object',
  LINE_TOO_LONG: 'a line on the control socket is longer than allowed; the connection is closed',
  TOO_MANY_CONNECTIONS: 'too many connections to the control socket',
  UNKNOWN_COMMAND: 'the control socket does not know this command',
  BAD_ARGUMENT: 'a field of a control command is missing or has a wrong value',
  BELOW_FLOOR: 'the keep-alive timeout is shorter than the profile allows',
  TOO_MANY_MARKS: 'the program has marked as many connections as it may',
  NOT_NOW: 'the box is not in a state in which this can be done',
} as const;

/** One of the stable codes. */
export type SleepboxErrorCode = keyof typeof sleepboxErrors;

/** The one error class of sleepbox. Decide by `code`, never by the text. */
export class SleepboxError extends Error {
  readonly code: SleepboxErrorCode;
  /** Whether the same call may succeed later without any change. */
  readonly retryable: boolean;

  constructor(code: SleepboxErrorCode, message: string, options?: { cause?: unknown; retryable?: boolean }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SleepboxError';
    this.code = code;
    this.retryable = options?.retryable ?? false;
  }
}

/** Why a server could not start or could not go on. Codes are stable; docs/errors.md carries the table. */

export const runtimeErrorCodes = {
  HUB_FAILED: 'the hub broke one of its own rules; the process must end and start anew (exit code 70)',
  LISTENER_ADDRESS_IN_USE: 'another program listens on the address and port',
  LISTENER_FAILED: 'the host does not let the server listen on the address',
  SIP_STACK_FAILED:
    'the SIP stack broke one of its own rules; the process must end and start anew (exit code 70)',
  TLS_FILES_UNUSABLE: 'the certificate or key file cannot be read or used',
} as const;
export type RuntimeErrorCode = keyof typeof runtimeErrorCodes;

/** Exit code of a process whose hub or SIP stack failed (EX_SOFTWARE of sysexits.h): a supervisor should start it again. */
export const hubFailureExitCode = 70;

/** Carries a stable `code` of {@link runtimeErrorCodes}. None is worth retrying before something is mended. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;
  readonly retryable = false;

  constructor(code: RuntimeErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

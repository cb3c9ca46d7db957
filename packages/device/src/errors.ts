/**
 * What an app can be told: each error has a stable code. The message is for people and may change. docs/errors.md carries
 * this table.
 */

export const deviceErrorCodes = {
  CLOSED: 'the line was closed, by the app or because the server refused the device',
  CONSUMER_TAKEN: 'messages or calls go to one handler or one loop, and there is one already',
  CRYPTO_MISSING: 'the platform has no cryptography for Web Push, and none was given',
  HANDLER_FAILED: 'a handler of the app threw; its message comes again with a later connection',
  KEEPALIVE_COSTLY: 'the chosen keepalive policy has a cost that is worth knowing',
  MESSAGE_INVALID: 'a topic, filter, body or property is not allowed',
  NOT_CONNECTED: 'there is no connection, and what was asked does not wait for one any longer',
  NOT_MQTT: 'what answers at the URL does not speak MQTT; it is tried again all the same',
  OPTION_INVALID: 'an option is unknown, missing or not allowed',
  REFUSED: 'the server refused what was asked; reasonCode or refusal says why',
  STORAGE_FAILED: 'what must outlive the app cannot be read or written',
  STORAGE_LOCKED: 'another process, or another line of this one, has the storage of this device open',
  TOO_MANY: 'as many requests wait as may',
} as const;

export type DeviceErrorCode = keyof typeof deviceErrorCodes;

export interface DeviceErrorOptions {
  readonly cause?: unknown;
  /** Whether the same call may succeed later without anything being mended. Default: false. */
  readonly retryable?: boolean;
  /** Of the server, in MQTT 5.0 (§2.4). */
  readonly reasonCode?: number;
  /** Of the server, one of the refusals in docs/errors.md. */
  readonly refusal?: string | undefined;
  /** Of the server, in its own words: at most 256 characters, fit to be shown. */
  readonly reason?: string | undefined;
}

/** The one error class of the package. Decide by `code`, never by the text. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly code: DeviceErrorCode;
  readonly retryable: boolean;
  readonly reasonCode: number | undefined;
  readonly refusal: string | undefined;
  readonly reason: string | undefined;

  constructor(code: DeviceErrorCode, message: string, options: DeviceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.reasonCode = options.reasonCode;
    this.refusal = options.refusal;
    this.reason = options.reason;
  }
}

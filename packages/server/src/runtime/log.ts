/** What the runtime asks of a logger: the part of pino's interface that it uses. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

function ignore(): void {}

/** Says nothing: the default of embedded servers and tests. */
export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** What the supervisor and its processes tell each other, over the channel that Node gives a child. */
import type { ServerConfig } from '../config/config.js';
import type { TcpKeepAlive } from '../listeners/tcp-keep-alive.js';

/** From the supervisor. */
export type ProcessCommand =
  /** First of all: what to do, and as what. */
  | {
      readonly kind: 'start';
      readonly config: ServerConfig;
      readonly name: string;
      /** Of each listener. */
      readonly keepAliveWays: readonly TcpKeepAlive['way'][];
    }
  /** To the hub: take nobody new, the server is leaving. */
  | { readonly kind: 'drain' }
  /** Finish what was begun, say goodbye, end. */
  | { readonly kind: 'stop' }
  /** To the hub: answer what the lines have asked, then end; the lines stay. */
  | { readonly kind: 'leave' }
  /** To a line: accept nobody new, close so many connections each second, end after the last one. */
  | { readonly kind: 'retire'; readonly flowsPerSecond: number }
  | { readonly kind: 'reload-tls' }
  /** To a line: the bound socket that comes with it is for this listener. */
  | { readonly kind: 'socket'; readonly listener: number };

/** To the supervisor. */
export type ProcessReport =
  /** It listens to commands. */
  | { readonly kind: 'listening' }
  /** It works; a line names the addresses it listens on. */
  | { readonly kind: 'ready'; readonly urls: readonly string[] }
  /** It could not start, and ends. */
  | { readonly kind: 'failed'; readonly code: string | undefined; readonly message: string }
  /** From a line: the hub speaks another version of the link. */
  | { readonly kind: 'foreign-hub' };

/** Name of the hub's socket in the data directory. */
export const hubSocketName = 'hub.sock';

/** Sends and resolves when the channel has taken it, or is gone. */
export function report(message: ProcessReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

/** A failure as a report. */
export function failureOf(error: unknown): ProcessReport {
  const { code } = error as { code?: unknown };
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'failed', code: typeof code === 'string' ? code : undefined, message };
}

/**
 * Signals of a terminal or a service manager reach the whole group: what they ask for, the supervisor decides.
 */
export function leaveSignalsToSupervisor(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, ignore);
}

function ignore(): void {}

/** What connections in Node have in common, whatever their socket: how they come about, and how they end. */
import type { EventEmitter } from 'node:events';
import { abortReason } from '../aborted.js';
import { hostLimits } from '../limits.js';
import type { TransportHandler } from '../ports/index.js';

/** Its handler hears of the end when the socket says `close`, with what it said by `error` before. */
export abstract class NodeConnection {
  /** Undefined: it was told to close. */
  protected handler: TransportHandler | undefined;
  protected readonly ended: Promise<void>;
  #error: Error | undefined;

  constructor(socket: EventEmitter, handler: TransportHandler) {
    this.handler = handler;
    socket.on('error', (error: Error) => (this.#error = error));
    this.ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.handler?.handleClosed(this.#error);
        resolve();
      });
    });
  }

  /** Whoever does not answer the farewell is not waited for: the socket is then destroyed. */
  protected leave(sayFarewell: () => void, destroy: () => void): Promise<void> {
    this.handler = undefined;
    sayFarewell();
    const linger = setTimeout(destroy, hostLimits.lingerMs);
    return this.ended.finally(() => clearTimeout(linger));
  }
}

/** What becomes of a socket that is being connected. */
export interface Outcome<Connection> {
  readonly connected: () => Connection;
  readonly destroy: () => void;
}

/** Resolves with the connection when the event says that the socket is ready; made at once, so that it misses nothing. */
export function whenReady<Connection>(
  socket: EventEmitter,
  event: string,
  signal: AbortSignal,
  { connected, destroy }: Outcome<Connection>,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      signal.removeEventListener('abort', abort);
      socket.removeListener('error', fail);
      socket.removeListener('close', fail);
      socket.removeListener(event, ready);
    };
    const fail = (error: unknown): void => {
      settle();
      // What may still come of a socket that is given up.
      socket.on('error', () => undefined);
      destroy();
      reject(error instanceof Error ? error : new Error('the connection was closed before it was ready'));
    };
    const ready = (): void => {
      settle();
      resolve(connected());
    };
    const abort = (): void => fail(abortReason(signal));
    socket.on('error', fail);
    socket.on('close', fail);
    socket.on(event, ready);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
}

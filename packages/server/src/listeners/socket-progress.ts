/** How far a socket's bytes have come, finer than Node's own count, which moves only with whole writes. */
import type { Socket } from 'node:net';

/** libuv's count of bytes that the host has not taken; not in Node's types, absent when the handle is gone. */
interface HandleHolder {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

/** Changes whenever the host took bytes or more were queued. */
export function progressOf(socket: Socket): number {
  const holder = socket as HandleHolder;
  return socket.writableLength + (holder._handle?.writeQueueSize ?? 0);
}

/** Tells that two socket objects are one connection: TLS puts a second one over the one that was accepted. */
import type { Socket } from 'node:net';

/** The four numbers of a live connection, which no other has at the same time. */
export function connectionKey(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}

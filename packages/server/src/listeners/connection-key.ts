/** Tells that two socket objects are one connection: TLS puts a second one over the one that was accepted. */
import type { Socket } from 'node:net';
import { forgetAddresses } from './addresses.js';

/** The four numbers of a live connection, which no other has at the same time. */
export function connectionKey(socket: Socket): string {
  const key = `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
  forgetAddresses(socket);
  return key;
}

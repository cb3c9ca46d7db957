/** Takes the PROXY header off the front of a socket and leaves the rest unread. */
import type { Socket } from 'node:net';
import { parseProxyHeader } from './proxy-protocol.js';
import type { ProxyHeader } from './proxy-protocol.js';

export type CompleteProxyHeader = Extract<ProxyHeader, { kind: 'header' }>;

/**
 * Calls `done` once with the header, the socket then being paused with the bytes behind the header unread; or with
 * undefined when what came is no header of at most `bytesMax`. Not called when the socket closes first.
 */
export function readProxyHeader(
  socket: Socket,
  bytesMax: number,
  done: (header: CompleteProxyHeader | undefined) => void,
): void {
  let received: Buffer = Buffer.alloc(0);
  const handleData = (chunk: Buffer): void => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const header = parseProxyHeader(received, bytesMax);
    if (header.kind === 'incomplete') return;
    socket.off('data', handleData);
    socket.pause();
    if (header.kind === 'malformed') {
      done(undefined);
      return;
    }
    const rest = received.subarray(header.length);
    if (rest.length > 0) socket.unshift(rest);
    done(header);
  };
  socket.on('data', handleData);
}

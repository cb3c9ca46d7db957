/**
 * Lets a TLS server of Node begin with a connection when its peer's first bytes have been read.
 *
 * Over a socket of which nothing was read Node keeps a buffer of 64 KiB for each connection, over one that was read in part
 * a buffer of the size of that part (docs/adr/0010). `TlsHandshakes` does the same where no server of Node's is needed; HTTPS needs
 * `https.Server` for its parsers and timeouts.
 */
import type { Server, Socket } from 'node:net';

/** Call before anybody else listens for its connections. A peer that says nothing for `silenceMs` is left. */
export function beginWithFirstBytes(server: Server, silenceMs: number): void {
  const begin = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    socket.setTimeout(silenceMs);
    socket.on('timeout', destroySilent);
    socket.once('readable', () => {
      socket.setTimeout(0);
      socket.off('timeout', destroySilent);
      // Its peer has left without a word.
      if (socket.readableLength === 0) socket.destroy();
      else for (const listener of begin) listener.call(server, socket);
    });
  });
}

/** Shared by all sockets: one function, no closure per connection. */
function destroySilent(this: Socket): void {
  this.destroy();
}

/**
 * TLS over connections that another server accepted, until each handshake is over.
 *
 * It stands in the place of Node's `tls.Server`, which would leave with every connection a cleared timer, listeners that
 * have nothing more to hear, and a copy of its options: half a kilobyte for each sleeping line. What that class does
 * for its sockets and is needed here is done here: one deadline for all handshakes instead of a timer for each, the
 * certificate that may be replaced, and errors that end the connection.
 */
import { createSecureContext, TLSSocket } from 'node:tls';
import type { SecureContext, SecureContextOptions } from 'node:tls';
import type { Clock } from '../runtime/clock.js';
import type { FlowReceiver } from '../runtime/flow-socket.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { TcpFlowSocket } from './tcp-flow-socket.js';

export interface TlsHandshakesOptions {
  readonly clock: Clock;
  readonly limits: Pick<RuntimeLimits, 'tlsHandshakeMs'>;
}

/** Node's own name: errors after the handshake are told as `error` once this was called, as by `tls.Server`. */
interface ControlledSocket {
  _releaseControl?: () => void;
}

export class TlsHandshakes {
  readonly #options: TlsHandshakesOptions;
  #secureContext: SecureContext;
  /** Oldest first. */
  readonly #underWay = new Set<Handshake>();
  #timer: NodeJS.Timeout | undefined;

  /** Throws when the certificate and its key are of no use. */
  constructor(secureContext: SecureContextOptions, options: TlsHandshakesOptions) {
    this.#options = options;
    this.#secureContext = serverContext(secureContext);
  }

  /** Handshakes that begin from now on show this certificate. Throws as the constructor does; then the old one stays. */
  setSecureContext(secureContext: SecureContextOptions): void {
    this.#secureContext = serverContext(secureContext);
  }

  /**
   * Speaks TLS over the accepted socket, as a server. `proceed` gets the secured stream, of which nothing has been read;
   * when the handshake fails or takes longer than `tlsHandshakeMs`, the connection is closed instead.
   */
  begin(flowSocket: TcpFlowSocket, proceed: (stream: TLSSocket) => void): void {
    const { socket } = flowSocket;
    const handshake = new Handshake(this.#underWay, flowSocket, this.#nowMs);
    this.#timer ??= setTimeout(() => this.#sweep(), this.#options.limits.tlsHandshakeMs);
    if (socket.readableLength > 0) this.#secure(handshake, proceed);
    else {
      socket.once('readable', () => {
        if (socket.readableLength > 0) this.#secure(handshake, proceed);
        else socket.destroy(); // its peer has left without a word
      });
    }
  }

  /** Closes the connections whose handshake is under way. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const handshake of this.#underWay) handshake.flowSocket.socket.destroy();
  }

  /**
   * TLS takes over a socket of which a part has been read: Node then keeps a buffer of the size of that part for each
   * connection, and not the 64 KiB that it would read into by itself.
   */
  #secure(handshake: Handshake, proceed: (stream: TLSSocket) => void): void {
    const { flowSocket } = handshake;
    const stream = new TLSSocket(flowSocket.socket, { isServer: true, secureContext: this.#secureContext });
    // It waits for somebody who wants to log keys.
    stream.removeAllListeners('newListener');
    stream.on('error', destroyBroken);
    stream.once('secure', () => {
      handshake.end();
      (stream as ControlledSocket)._releaseControl?.();
      proceed(stream);
    });
    flowSocket.handleSecuring();
  }

  get #nowMs(): number {
    return this.#options.clock().monotonic;
  }

  /** Closes those that take too long, and comes back when the next one would. */
  #sweep(): void {
    this.#timer = undefined;
    const nowMs = this.#nowMs;
    for (const { flowSocket, sinceMs } of this.#underWay) {
      const leftMs = sinceMs + this.#options.limits.tlsHandshakeMs - nowMs;
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.#sweep(), Math.ceil(leftMs));
        return;
      }
      flowSocket.socket.destroy();
    }
  }
}

/** A connection in its handshake, which nothing but its end is heard of. */
class Handshake implements FlowReceiver {
  readonly flowSocket: TcpFlowSocket;
  readonly sinceMs: number;
  readonly #all: Set<Handshake>;

  constructor(all: Set<Handshake>, flowSocket: TcpFlowSocket, sinceMs: number) {
    this.#all = all;
    this.flowSocket = flowSocket;
    this.sinceMs = sinceMs;
    all.add(this);
    flowSocket.receiver = this;
  }

  /** The handshake is over, one way or the other. */
  end(): void {
    this.#all.delete(this);
    this.flowSocket.receiver = undefined;
  }

  handleSocketClosed(): void {
    this.end();
  }

  handleSocketBytes(): void {}

  handleSocketDrained(): void {}

  handleSocketPong(): void {}
}

/** As `tls.Server` makes it: the server chooses the cipher, and sessions are this server's own. */
function serverContext(options: SecureContextOptions): SecureContext {
  return createSecureContext({ ...options, honorCipherOrder: true, sessionIdContext: 'wakeline' });
}

/** After the handshake Node tells a broken record and leaves the connection open, deaf for good. */
function destroyBroken(this: TLSSocket): void {
  this.destroy();
}

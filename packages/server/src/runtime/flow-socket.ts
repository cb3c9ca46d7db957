/**
 * A connection as the pump sees it: bytes in, bytes out, no matter whether TCP, TLS or WebSocket carries them.
 *
 * Implementations hold no state but the socket and {@link FlowSocket.receiver}, and share their handlers: an idle
 * device must cost no closure.
 */
import type { Farewell, Link, PathProbing } from '@wakeline/core/domain';

/** The pump's flows speak one of the links; SIP has connections that no single device owns. */
export type SocketLink = Link | 'sip';

/** The pump's side of a connection. Calls come one at a time, and none after `handleSocketClosed`. */
export interface FlowReceiver {
  /** The chunk is the receiver's from here on. */
  handleSocketBytes(chunk: Uint8Array): void;
  /** All bytes given to `write` have left the process. */
  handleSocketDrained(): void;
  /** The peer answered {@link FlowSocket.ping}, or pinged itself. */
  handleSocketPong(): void;
  /** The connection is gone, by whichever side. */
  handleSocketClosed(): void;
}

export interface FlowSocket {
  /** What is to be spoken on it. */
  readonly link: SocketLink;
  /** Peer address and port for people, e.g. `192.0.2.1:51234` or `[2001:db8::1]:51234`. */
  readonly peer: string;
  /** Peer address alone, for limits. */
  readonly address: string;
  /** The host asks the peer's host now and then whether it is there (TCP keepalives), and closes when it is not. */
  readonly isPathProbed: boolean;
  /**
   * The peer says no more. The host closes the connection once everything unsent is taken; whoever sees this on a
   * connection that is still there destroys it, since half-open connections are of no use to any link.
   */
  readonly hasPeerEnded: boolean;
  /** Set once by whoever takes the connection over; bytes are not read before. */
  receiver: FlowReceiver | undefined;
  /** Queues the bytes; never fails visibly (a broken socket ends in `handleSocketClosed`). Keeps a reference. */
  write(bytes: Uint8Array): void;
  /** Bytes given to `write` that the process still holds. */
  readonly unsentBytes: number;
  /** A number that changes whenever the host took bytes off the process or its queue changed. */
  progressMark(): number;
  /** Whoever has taken it over ends it by itself when it takes too long to prove itself. */
  handleTimedByOwner(): void;
  /** The device proved itself: the connection no longer counts as an unfinished handshake. */
  handleOpened(): void;
  /** Stops reading; at most what is under way still arrives. */
  pause(): void;
  resume(): void;
  /** Asks the peer for a sign of life; nothing, where the transport has no way to. */
  ping(): void;
  /** When the host asks the peer's host for a sign of life. Nothing, where the transport or this host has no way to. */
  probePath(after: PathProbing): void;
  /**
   * Sends what is queued, then says goodbye, with these words if the transport has any. The caller destroys the socket
   * when that takes too long.
   */
  end(farewell?: Farewell): void;
  /** Closes at once and for good. */
  destroy(): void;
}

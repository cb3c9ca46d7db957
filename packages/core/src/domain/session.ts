/**
 * A link's session as whoever drives it sees it: bytes and events go in, commands and bytes come out. Every link's
 * session has this shape, so that the driver knows no protocol.
 */
import type { Machine } from '../base/machine.js';
import type { Identity, Refusal } from './device.js';
import type { LinkCommand, LinkEvent } from './link.js';

/** In. */
export type SessionInput =
  /** What one read of the socket gave; may be reused by the host after the call. */
  | { readonly kind: 'bytes'; readonly chunk: Uint8Array }
  | { readonly kind: 'events'; readonly events: readonly LinkEvent[] }
  /** Answers to `authenticate` and `authenticate-agent`. */
  | {
      readonly kind: 'authenticated';
      readonly identity: Identity;
      /** Of an `agent`: the secret made for this connection, of which the identity has the hash. */
      readonly freshSecret?: string;
    }
  | { readonly kind: 'denied'; readonly reason: Refusal }
  /** The peer answered a `ping` of its transport, or sent one itself. */
  | { readonly kind: 'pong' }
  /** The peer or the network ended the connection. Last input. */
  | { readonly kind: 'socket-closed' }
  | { readonly kind: 'socket-full' }
  | { readonly kind: 'socket-drained' }
  /** The server is going: say so, and close. */
  | { readonly kind: 'shutdown' };

/** Out, in the order in which it is to be done. */
export type SessionOutput =
  /** Check the credentials; answer with `authenticated` or `denied`. At most once. */
  | {
      readonly kind: 'authenticate';
      readonly clientId: string;
      readonly username: string | undefined;
      readonly password: Uint8Array | undefined;
    }
  /**
   * A user agent presents the secret that it was given once, or none. Make it an identity of kind `agent`, and a fresh
   * secret; answer with `authenticated` or `denied`. At most once.
   */
  | { readonly kind: 'authenticate-agent'; readonly secret: string | undefined }
  /** For the hub, in order; one batch per input. */
  | { readonly kind: 'commands'; readonly commands: readonly LinkCommand[] }
  /** Everything to send for this input; the bytes belong to the receiver. */
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  /** Ask the peer for a sign of life by its transport's own means, where it has any; the answer is `pong`. */
  | { readonly kind: 'ping' }
  /** When the transport is to ask the peer's host for a sign of life, from here on. */
  | { readonly kind: 'probe-path'; readonly after: PathProbing }
  /** Send what was written, then end the connection. Last output. `reason` is for logs and counters. */
  | {
      readonly kind: 'close';
      readonly reason: Refusal | undefined;
      readonly farewell?: Farewell | undefined;
    };

/**
 * After which silence, ms, the peer's host is asked for a sign of life by the transport's own means that never reach the
 * peer's app (TCP keepalives), where it has any. `usual`: as for every connection of the listener.
 */
export type PathProbing = number | 'never' | 'usual';

/** What a transport with a farewell of its own (a WebSocket's close frame, RFC 6455 §7.4) is to say in it. */
export interface Farewell {
  /** 1000 … 4999. */
  readonly code: number;
  /** At most 123 bytes of UTF-8. */
  readonly text: string;
}

export interface FlowSession extends Machine<SessionInput, SessionOutput> {
  /** False while the session would only have to store what is read: what is not read costs the peer's memory. */
  readonly wantsInput: boolean;
}

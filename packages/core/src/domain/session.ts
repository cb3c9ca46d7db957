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
  /** Answers to `authenticate`. */
  | { readonly kind: 'authenticated'; readonly identity: Identity }
  | { readonly kind: 'denied'; readonly reason: Refusal }
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
  /** For the hub, in order; one batch per input. */
  | { readonly kind: 'commands'; readonly commands: readonly LinkCommand[] }
  /** Everything to send for this input; the bytes belong to the receiver. */
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  /** Send what was written, then end the connection. Last output. `reason` is for logs and counters. */
  | { readonly kind: 'close'; readonly reason: Refusal | undefined };

export interface FlowSession extends Machine<SessionInput, SessionOutput> {
  /** False while the session would only have to store what is read: what is not read costs the peer's memory. */
  readonly wantsInput: boolean;
}

/**
 * What the pump knows of a session: a machine that turns bytes into commands and events into bytes. Written down
 * structurally, so that any link's session fits and the pump is tested without one.
 */
import type { InstantMs, Machine } from '@wakeline/core/base';
import type { Identity, LinkCommand, LinkEvent, Refusal } from '@wakeline/core/domain';

export type SessionInput =
  | { readonly kind: 'bytes'; readonly chunk: Uint8Array }
  | { readonly kind: 'events'; readonly events: readonly LinkEvent[] }
  | { readonly kind: 'authenticated'; readonly identity: Identity }
  | { readonly kind: 'denied'; readonly reason: Refusal }
  | { readonly kind: 'socket-closed' }
  | { readonly kind: 'socket-full' }
  | { readonly kind: 'socket-drained' }
  | { readonly kind: 'shutdown' };

export type SessionOutput =
  | {
      readonly kind: 'authenticate';
      readonly clientId: string;
      readonly username: string | undefined;
      readonly password: Uint8Array | undefined;
    }
  | { readonly kind: 'commands'; readonly commands: readonly LinkCommand[] }
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  | { readonly kind: 'close'; readonly reason: string | undefined };

export interface FlowSession extends Machine<SessionInput, SessionOutput> {
  /** False while the session would only have to store what is read: what is not read costs the peer's memory. */
  readonly wantsInput: boolean;
}

/** Makes the session of a new flow. */
export type SessionFactory = (now: InstantMs, peer: string) => FlowSession;

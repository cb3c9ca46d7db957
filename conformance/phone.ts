/** What tests ask of a phone, whichever program it is. */
import type { Box } from './box.js';

/** Packets of one call. */
export interface CallVoice {
  readonly sentPackets: number;
  readonly receivedPackets: number;
}

export interface Phone {
  /** `user@domain`. */
  readonly address: string;
  readonly box: Box;
  /** How much it has told so far: what `from` counts from. */
  readonly position: number;
  /** Resolves when the registrar has taken it in. */
  registered(from?: number, timeoutMs?: number): Promise<void>;
  /** Resolves when a call rings. */
  incoming(from?: number, timeoutMs?: number): Promise<void>;
  /** Calls that began to ring. */
  countIncoming(from?: number): number;
  /** The user takes the phone, which wakes it, and takes the call. */
  answer(): Promise<void>;
  /** Resolves when an answered call is over. */
  voice(from?: number): Promise<CallVoice>;
  /** SIGKILL to the program; a box launches it again. */
  crash(): void;
  end(): Promise<void>;
  /** The last of what it told, for a failure's message. */
  tell(): string;
}

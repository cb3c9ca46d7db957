/** One connection of SIP: its socket, what waits to be read, and how long its peer has taken nothing. */
import type { SipInput } from '@wakeline/core/session/sip';
import type { FlowReceiver, FlowSocket } from './flow-socket.js';

export interface SipConnectionOwner {
  handleConnectionBytes(connection: SipConnection, chunk: Uint8Array): void;
  handleConnectionClosed(connection: SipConnection): void;
}

export class SipConnection implements FlowReceiver {
  readonly number: number;
  readonly socket: FlowSocket;
  /** Reads that wait, oldest first; undefined: none, and the socket is read. */
  held: Uint8Array[] | undefined = undefined;
  /** What the stack is to be told first, when it was not there at the time. */
  opening: SipInput | undefined = undefined;
  isEnding = false;
  readonly #owner: SipConnectionOwner;
  #hasProved = false;
  /** Monotonic ms of the last time that something moved, or of the begin of the end. */
  #sinceMs = 0;
  #progress = 0;

  constructor(owner: SipConnectionOwner, number: number, socket: FlowSocket) {
    this.#owner = owner;
    this.number = number;
    this.socket = socket;
  }

  /** The stack has let its peer in: it no longer counts as an unfinished handshake. */
  proveItself(): void {
    if (this.#hasProved) return;
    this.#hasProved = true;
    this.socket.handleOpened();
  }

  /** Something is unsent from here on. */
  watch(nowMs: number): void {
    this.#sinceMs = nowMs;
    this.#progress = this.socket.progressMark();
  }

  beginEnd(nowMs: number): void {
    this.isEnding = true;
    this.held = undefined;
    this.#sinceMs = nowMs;
    // Read on, so that the peer's farewell is seen.
    this.socket.resume();
  }

  /** How a watched connection is doing. */
  look(nowMs: number, lingerMs: number, stallMs: number): 'fine' | 'waiting' | 'overdue' | 'stalled' {
    if (this.isEnding) return nowMs - this.#sinceMs >= lingerMs ? 'overdue' : 'waiting';
    if (this.socket.unsentBytes === 0) return 'fine';
    if (this.socket.hasPeerEnded) return 'overdue';
    const progress = this.socket.progressMark();
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs >= stallMs ? 'stalled' : 'waiting';
  }

  handleSocketBytes(chunk: Uint8Array): void {
    this.#owner.handleConnectionBytes(this, chunk);
  }

  handleSocketClosed(): void {
    this.#owner.handleConnectionClosed(this);
  }

  handleSocketDrained(): void {}

  handleSocketPong(): void {}
}

/**
 * A TCP or TLS connection as a {@link FlowSocket}. Handlers are shared; the socket points back at its flow socket.
 *
 * A sleeping line keeps one listener per event at most: a second one makes Node keep a list.
 */
import type { Socket } from 'node:net';
import type { FlowReceiver, FlowSocket } from '../runtime/flow-socket.js';
import type { Admission } from './gate.js';
import { progressOf } from './socket-progress.js';

const flowSocketKey = Symbol('flow socket');
interface OwnedSocket extends Socket {
  [flowSocketKey]?: TcpFlowSocket;
}

export class TcpFlowSocket implements FlowSocket {
  readonly peer: string;
  readonly isPathProbed: boolean;
  receiver: FlowReceiver | undefined = undefined;
  readonly #socket: Socket;
  readonly #admission: Admission;

  /** Takes the socket over; its bytes flow once the caller resumes it or returns to the event loop. */
  constructor(socket: Socket, admission: Admission, peer: string, isPathProbed: boolean) {
    this.peer = peer;
    this.isPathProbed = isPathProbed;
    this.#socket = socket;
    this.#admission = admission;
    const owned: OwnedSocket = socket;
    owned[flowSocketKey] = this;
    owned.on('data', handleData);
    // Node's own listener only forbids to write from then on, and ours destroys.
    owned.removeAllListeners('end');
    owned.on('end', handleEnd);
    if (socket === admission.socket) admission.onClosed = this;
    else owned.on('close', handleClose);
    owned.removeAllListeners('error');
    owned.on('error', handleError);
  }

  get address(): string {
    return this.#admission.address ?? '';
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (!socket.writable) return;
    if (!socket.write(bytes) && socket.listenerCount('drain') === 0) socket.on('drain', handleDrain);
  }

  progressMark(): number {
    return progressOf(this.#socket);
  }

  handleOpened(): void {
    this.#admission.finishHandshake();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The connection is gone. */
  handleClosed(): void {
    const { receiver } = this;
    this.receiver = undefined;
    receiver?.handleSocketClosed();
  }
}

function handleData(this: OwnedSocket, chunk: Buffer): void {
  this[flowSocketKey]?.receiver?.handleSocketBytes(chunk);
}

function handleDrain(this: OwnedSocket): void {
  this[flowSocketKey]?.receiver?.handleSocketDrained();
}

/** A peer that says no more hears no more: half-open connections are of no use to any link. */
function handleEnd(this: OwnedSocket): void {
  this.destroy();
}

function handleClose(this: OwnedSocket): void {
  this[flowSocketKey]?.handleClosed();
}

/** `close` follows and says all that matters: a broken connection is nobody's fault. */
function handleError(): void {}

/** An MQTT WebSocket as a {@link FlowSocket}: binary messages are bytes of a stream [MQTT-6.0.0-2]. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { FlowReceiver, FlowSocket } from '../runtime/flow-socket.js';
import type { Admission } from './gate.js';
import { progressOf } from './socket-progress.js';

const flowSocketKey = Symbol('flow socket');
interface Owned {
  [flowSocketKey]?: WebSocketFlowSocket;
}
type OwnedWebSocket = WebSocket & Owned;
type OwnedSocket = Socket & Owned;

const sendOptions = { binary: true, compress: false } as const;

/** RFC 6455 §7.4.1: normal closure, and data of a kind that is not accepted. */
const normalClosure = 1000;
const unsupportedData = 1003;

export class WebSocketFlowSocket implements FlowSocket {
  readonly peer: string;
  readonly isPathProbed = false;
  /** `ws` ends such a connection itself. */
  readonly hasPeerEnded = false;
  receiver: FlowReceiver | undefined = undefined;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #admission: Admission;
  #unopenedBytesLeft: number;

  /**
   * `socket` is what carries the WebSocket. It may bring `unopenedBytesMax` until the device is let in: an unfinished
   * message is kept by `ws`, where the session's own limit does not see it.
   */
  constructor(
    webSocket: WebSocket,
    socket: Socket,
    admission: Admission,
    peer: string,
    unopenedBytesMax: number,
  ) {
    this.peer = peer;
    this.#unopenedBytesLeft = unopenedBytesMax;
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#admission = admission;
    const owned: OwnedWebSocket = webSocket;
    owned[flowSocketKey] = this;
    owned.on('message', handleMessage);
    owned.on('close', handleClose);
    owned.on('error', handleError);
    const ownedSocket: OwnedSocket = socket;
    ownedSocket[flowSocketKey] = this;
    ownedSocket.on('drain', handleDrain);
    ownedSocket.on('data', handleUnopenedData);
  }

  get address(): string {
    return this.#admission.address;
  }

  get unsentBytes(): number {
    return this.#webSocket.bufferedAmount;
  }

  write(bytes: Uint8Array): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.send(bytes, sendOptions);
  }

  progressMark(): number {
    return progressOf(this.#socket);
  }

  /** Counts what arrives before {@link handleOpened}. */
  countUnopened(bytes: number): void {
    // A WebSocket that is closing keeps nothing; its peer is to get the close frame.
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    this.#unopenedBytesLeft -= bytes;
    if (this.#unopenedBytesLeft < 0) this.destroy();
  }

  handleOpened(): void {
    this.#socket.off('data', handleUnopenedData);
    this.#admission.finishHandshake();
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  end(): void {
    this.#webSocket.close(normalClosure);
  }

  destroy(): void {
    this.#webSocket.terminate();
    this.#socket.destroy();
  }
}

function handleMessage(this: WebSocket & Owned, data: unknown, isBinary: boolean): void {
  if (!isBinary) {
    // [MQTT-6.0.0-1]
    this.close(unsupportedData);
    return;
  }
  // The default binary type: one Buffer per message.
  this[flowSocketKey]?.receiver?.handleSocketBytes(data as Buffer);
}

function handleDrain(this: OwnedSocket): void {
  this[flowSocketKey]?.receiver?.handleSocketDrained();
}

function handleUnopenedData(this: OwnedSocket, chunk: Buffer): void {
  this[flowSocketKey]?.countUnopened(chunk.length);
}

function handleClose(this: WebSocket & Owned): void {
  const flowSocket = this[flowSocketKey];
  if (flowSocket === undefined) return;
  this[flowSocketKey] = undefined;
  flowSocket.receiver?.handleSocketClosed();
}

/** `close` follows. */
function handleError(): void {}

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
  receiver: FlowReceiver | undefined = undefined;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #admission: Admission;

  /** `socket` is what carries the WebSocket. */
  constructor(webSocket: WebSocket, socket: Socket, admission: Admission, peer: string) {
    this.peer = peer;
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
  }

  get address(): string {
    return this.#admission.address ?? '';
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

  handleOpened(): void {
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

function handleClose(this: WebSocket & Owned): void {
  const flowSocket = this[flowSocketKey];
  if (flowSocket === undefined) return;
  this[flowSocketKey] = undefined;
  flowSocket.receiver?.handleSocketClosed();
}

/** `close` follows. */
function handleError(): void {}

/**
 * A WebSocket as a {@link FlowSocket}. With MQTT, binary messages are bytes of a stream [MQTT-6.0.0-2]. With Mozilla's push
 * protocol each text message is a chunk of its own, and what is written are texts with a line feed behind each. With SIP
 * each message of either kind is one SIP message, and so is each write (RFC 7118 §4.2).
 */
import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { Farewell } from '@wakeline/core/domain';
import { FRAME_END } from '@wakeline/core/wire/webpush';
import type { WebSocket } from 'ws';
import type { FlowReceiver, FlowSocket, SocketLink } from '../runtime/flow-socket.js';
import type { Admission } from './gate.js';
import { progressOf } from './socket-progress.js';

const flowSocketKey = Symbol('flow socket');
interface Owned {
  [flowSocketKey]?: WebSocketFlowSocket;
}
type OwnedWebSocket = WebSocket & Owned;
type OwnedSocket = Socket & Owned;

const binaryOptions = { binary: true, compress: false } as const;
const textOptions = { binary: false, compress: false } as const;

/** RFC 6455 §7.4.1: normal closure, and data of a kind that is not accepted. */
const normalClosure = 1000;
const unsupportedData = 1003;

export class WebSocketFlowSocket implements FlowSocket {
  readonly link: SocketLink;
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
    link: SocketLink,
    webSocket: WebSocket,
    socket: Socket,
    admission: Admission,
    peer: string,
    unopenedBytesMax: number,
  ) {
    this.link = link;
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
    if (link !== 'webpush') return;
    // `ws` answers a ping itself. One of the peer's is a sign of life as good as a pong.
    owned.on('pong', handleLife);
    owned.on('ping', handleLife);
  }

  get address(): string {
    return this.#admission.address;
  }

  get unsentBytes(): number {
    return this.#webSocket.bufferedAmount;
  }

  write(bytes: Uint8Array): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    if (this.link === 'webpush') this.#sendTexts(bytes);
    // Programs in browsers expect text wherever the message is one.
    else if (this.link === 'sip' && isUtf8(bytes)) this.#webSocket.send(bytes, textOptions);
    else this.#webSocket.send(bytes, binaryOptions);
  }

  /** The host gets them with one call, however many there are. */
  #sendTexts(bytes: Uint8Array): void {
    const socket = this.#socket;
    socket.cork();
    let start = 0;
    for (let end = bytes.indexOf(FRAME_END); end >= 0; end = bytes.indexOf(FRAME_END, start)) {
      this.#webSocket.send(bytes.subarray(start, end), textOptions);
      start = end + 1;
    }
    socket.uncork();
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

  handleTimedByOwner(): void {
    this.#admission.leaveTimeToOwner();
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

  ping(): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.ping();
  }

  /** Its proxy, if it has one, would answer for it: nothing is sent below the WebSocket. */
  probePath(): void {}

  end(farewell?: Farewell): void {
    this.#webSocket.close(farewell?.code ?? normalClosure, farewell?.text);
  }

  destroy(): void {
    this.#webSocket.terminate();
    this.#socket.destroy();
  }
}

function handleMessage(this: WebSocket & Owned, data: unknown, isBinary: boolean): void {
  const flowSocket = this[flowSocketKey];
  if (flowSocket === undefined) return;
  if (flowSocket.link !== 'sip' && isBinary !== (flowSocket.link === 'mqtt')) {
    // [MQTT-6.0.0-1]
    this.close(unsupportedData);
    return;
  }
  // The default binary type, which is that of texts too: one Buffer per message.
  flowSocket.receiver?.handleSocketBytes(data as Buffer);
}

function handleDrain(this: OwnedSocket): void {
  this[flowSocketKey]?.receiver?.handleSocketDrained();
}

function handleUnopenedData(this: OwnedSocket, chunk: Buffer): void {
  this[flowSocketKey]?.countUnopened(chunk.length);
}

function handleLife(this: WebSocket & Owned): void {
  this[flowSocketKey]?.receiver?.handleSocketPong();
}

function handleClose(this: WebSocket & Owned): void {
  const flowSocket = this[flowSocketKey];
  if (flowSocket === undefined) return;
  this[flowSocketKey] = undefined;
  flowSocket.receiver?.handleSocketClosed();
}

/** `close` follows. */
function handleError(): void {}

/**
 * A TCP or TLS connection as a {@link FlowSocket}, from the accepted socket on. It is its own place in the gate's
 * counts, and handlers are shared: beside its socket a sleeping line is this one object, and keeps one listener per
 * event, since a second one makes Node keep a list.
 */
import type { Socket } from 'node:net';
import type { PathProbing } from '@wakeline/core/domain';
import type { FlowReceiver, FlowSocket, SocketLink } from '../runtime/flow-socket.js';
import type { Peer } from './addresses.js';
import { formatAddress } from '../config/listener-url.js';
import { Admission } from './gate.js';
import type { Gate } from './gate.js';
import { progressOf } from './socket-progress.js';
import type { TcpKeepAlive } from './tcp-keep-alive.js';

const flowSocketKey = Symbol('flow socket');
interface OwnedSocket extends Socket {
  [flowSocketKey]?: TcpFlowSocket;
}

export class TcpFlowSocket extends Admission implements FlowSocket {
  readonly link: SocketLink;
  peer = '';
  receiver: FlowReceiver | undefined = undefined;
  readonly #keepAlive: TcpKeepAlive | undefined;
  /** What is read and written: the accepted socket, or TLS over it. */
  #stream: Socket;

  /** Nothing is read before {@link open}. */
  constructor(gate: Gate, socket: Socket, keepAlive: TcpKeepAlive | undefined, link: SocketLink = 'mqtt') {
    super(gate, socket);
    this.link = link;
    this.#keepAlive = keepAlive;
    this.#stream = socket;
    socket.on('error', ignoreError);
  }

  /** Its bytes flow from here on, once the caller has set {@link receiver} and resumed it. */
  open(stream: Socket, peer: Peer): void {
    const text = formatAddress(peer.address, peer.port);
    // Looking into a text that was put together makes it one piece, which is smaller.
    text.charCodeAt(0);
    this.peer = text;
    this.#stream = stream;
    const owned: OwnedSocket = stream;
    owned[flowSocketKey] = this;
    owned.on('data', handleData);
  }

  /** TLS over the accepted socket hears of the socket's errors itself, from here on. */
  handleSecuring(): void {
    this.socket.off('error', ignoreError);
  }

  get isPathProbed(): boolean {
    return this.#keepAlive !== undefined && this.#keepAlive.way !== 'off';
  }

  get hasPeerEnded(): boolean {
    return this.#stream.readableEnded;
  }

  get unsentBytes(): number {
    return this.#stream.writableLength;
  }

  write(bytes: Uint8Array): void {
    const stream = this.#stream;
    if (!stream.writable) return;
    if (!stream.write(bytes) && stream.listenerCount('drain') === 0) stream.on('drain', handleDrain);
  }

  progressMark(): number {
    return progressOf(this.#stream);
  }

  handleTimedByOwner(): void {
    this.leaveTimeToOwner();
  }

  handleOpened(): void {
    this.finishHandshake();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** TCP has keepalives of its own, which the listener sees to. */
  ping(): void {}

  probePath(after: PathProbing): void {
    this.#keepAlive?.probe(this.socket, after);
  }

  end(): void {
    this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  /** The accepted socket is closed; so is, or will be, TLS over it: neither of the two outlives the other. */
  override handleClosed(): void {
    super.handleClosed();
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

/** `close` follows and says all that matters: a broken connection is nobody's fault. */
function ignoreError(): void {}

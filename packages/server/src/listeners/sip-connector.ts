/**
 * Connections that the SIP stack asks for: to trunks, and to where a request names. TLS is verified against the name that
 * was looked for (RFC 5922 §4), or against the address where there is none.
 */
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { SipAddress } from '@wakeline/core/session/sip';
import { formatAddress } from '../config/listener-url.js';
import type { FlowReceiver, FlowSocket } from '../runtime/flow-socket.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import type { SipConnector } from '../runtime/sip-side.js';
import { limitKey } from '@wakeline/core/base';
import { progressOf } from './socket-progress.js';

export interface SocketConnectorOptions {
  readonly limits: Pick<RuntimeLimits, 'sipConnectMs' | 'sipConnectsMax'>;
  readonly log: Log;
  /** Authorities whose certificates are believed, PEM; default: the host's. */
  readonly authorities?: string | undefined;
}

export class SocketConnector implements SipConnector {
  readonly #options: SocketConnectorOptions;
  readonly #underWay = new Set<Socket>();

  constructor(options: SocketConnectorOptions) {
    this.#options = options;
  }

  connect(
    transport: 'tcp' | 'tls',
    remote: SipAddress,
    serverName: string | undefined,
    done: (socket: FlowSocket | undefined) => void,
  ): void {
    const { limits, log, authorities } = this.#options;
    const peer = formatAddress(remote.address, remote.port);
    if (this.#underWay.size >= limits.sipConnectsMax) {
      log.warn({ peer, reason: 'sipConnectsMax' }, 'SIP connection not made');
      // Never within the call: the stack is in the middle of what it says.
      setImmediate(done, undefined);
      return;
    }
    const target = { host: remote.address, port: remote.port, noDelay: true };
    const socket =
      transport === 'tcp'
        ? connectTcp(target)
        : connectTls({
            ...target,
            minVersion: 'TLSv1.2',
            ...(serverName !== undefined && { servername: serverName }),
            ...(authorities !== undefined && { ca: authorities }),
          });
    this.#underWay.add(socket);
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), limits.sipConnectMs);
    let why: Error | undefined;
    const handleError = (error: Error): void => void (why = error);
    const handleClose = (): void => {
      clearTimeout(timer);
      this.#underWay.delete(socket);
      log.info({ peer, transport, err: why }, 'SIP connection not made');
      done(undefined);
    };
    socket.on('error', handleError);
    socket.once('close', handleClose);
    socket.once(transport === 'tcp' ? 'connect' : 'secureConnect', () => {
      clearTimeout(timer);
      this.#underWay.delete(socket);
      socket.off('close', handleClose);
      socket.pause();
      done(new OutgoingFlowSocket(socket, peer, limitKey(remote.address)));
    });
  }

  close(): void {
    for (const socket of this.#underWay) socket.destroy();
  }
}

/** A connection that we made: no gate has counted it. */
class OutgoingFlowSocket implements FlowSocket {
  readonly link = 'sip';
  readonly peer: string;
  readonly address: string;
  readonly isPathProbed = false;
  receiver: FlowReceiver | undefined = undefined;
  readonly #socket: Socket;

  constructor(socket: Socket, peer: string, address: string) {
    this.#socket = socket;
    this.peer = peer;
    this.address = address;
    socket.on('data', (chunk: Buffer) => this.receiver?.handleSocketBytes(chunk));
    socket.on('drain', () => this.receiver?.handleSocketDrained());
    socket.on('close', () => {
      const { receiver } = this;
      this.receiver = undefined;
      receiver?.handleSocketClosed();
    });
    // A listener of data makes it flow: not before somebody hears it.
    socket.pause();
  }

  get hasPeerEnded(): boolean {
    return this.#socket.readableEnded;
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  progressMark(): number {
    return progressOf(this.#socket);
  }

  handleTimedByOwner(): void {}

  handleOpened(): void {}

  probePath(): void {}

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  ping(): void {}

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

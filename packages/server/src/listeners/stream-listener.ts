/**
 * MQTT and SIP over TCP and TLS: `mqtt://`, `mqtts://`, `sip+tcp://`, `sips://`, with the PROXY protocol in front where a
 * proxy is named.
 *
 * A connection passes, in this order: the gate, the PROXY header, the limits of its own address, TLS, and then
 * belongs to the pump or to SIP. Until it has proved itself (a finished CONNECT, a SIP message that was answered) it
 * counts as a handshake and may be closed for a newer one.
 */
import { createServer as createTcpServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { ListenerConfig } from '../config/config.js';
import type { FlowSocket, SocketLink } from '../runtime/flow-socket.js';
import { peerOf } from './addresses.js';
import type { Peer } from './addresses.js';
import { isProxyRequired, listen, listenerUrl } from './listener.js';
import type { Listener, ListenerContext } from './listener.js';
import { readProxyHeader } from './proxy-reader.js';
import { TcpFlowSocket } from './tcp-flow-socket.js';
import { applyTcpKeepAlive } from './tcp-keep-alive.js';
import type { TcpKeepAlive } from './tcp-keep-alive.js';
import { readTlsFiles } from './tls-files.js';
import { TlsHandshakes } from './tls-handshakes.js';
import { TlsReloader } from './tls-reloader.js';

/** Who speaks on the connections. */
export interface StreamTaker {
  readonly link: SocketLink;
  /** Takes a connection over, and sets its receiver at once. */
  readonly attach: (socket: FlowSocket, peer: Peer) => void;
}

/** Opens the listener; rejects with LISTENER_ADDRESS_IN_USE, LISTENER_FAILED or TLS_FILES_UNUSABLE. */
export async function openStreamListener(
  config: ListenerConfig,
  context: ListenerContext,
  taker: StreamTaker,
): Promise<Listener> {
  const acceptor = new StreamAcceptor(config, context, taker);
  const server = createTcpServer({ noDelay: true, pauseOnConnect: true }, (socket) =>
    acceptor.accept(socket),
  );
  const port = await listen(server, config, context).catch((error: unknown) => {
    acceptor.close();
    throw error;
  });
  await acceptor.beginProbing(server);
  let closed: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    closed ??= new Promise((resolve) => server.close(() => resolve()));
    return closed;
  };
  return {
    protocol: config.protocol,
    port,
    isProbing: acceptor.isProbing,
    url: listenerUrl(config, port),
    stopAccepting: () => void stop(),
    close: () => {
      const isFree = stop();
      acceptor.close();
      return isFree;
    },
    reloadTls: () => acceptor.reloadTls(),
  };
}

class StreamAcceptor {
  readonly #taker: StreamTaker;
  readonly #context: ListenerContext;
  readonly #isProxyRequired: boolean;
  readonly #tls: TlsHandshakes | undefined;
  readonly #reloader: TlsReloader | undefined;
  #keepAlive: TcpKeepAlive | undefined;

  constructor(config: ListenerConfig, context: ListenerContext, taker: StreamTaker) {
    this.#context = context;
    this.#taker = taker;
    this.#isProxyRequired = isProxyRequired(config, context);
    if (config.tls === undefined) return;
    this.#tls = new TlsHandshakes(readTlsFiles(config.tls), context);
    this.#reloader = new TlsReloader(this.#tls, config.tls, context.limits.tlsReloadPollMs, context.log);
  }

  get isProbing(): boolean {
    return this.#keepAlive !== undefined && this.#keepAlive.way !== 'off';
  }

  /** Connections accepted from here on have TCP keepalives, if they are asked for and this host has a way. */
  async beginProbing(server: Server): Promise<void> {
    const { tcpKeepAliveMs: idleMs, proxies, limits, log } = this.#context;
    // A proxy answers for itself, whether its client is there or not.
    if (idleMs === undefined || !proxies.isEmpty) return;
    const apply = this.#context.applyTcpKeepAlive ?? applyTcpKeepAlive;
    this.#keepAlive = await apply(server, {
      idleMs,
      intervalMs: limits.tcpKeepAliveIntervalMs,
      countMax: limits.tcpKeepAliveCountMax,
      programMsMax: limits.tcpKeepAliveProgramMsMax,
    });
    if (!this.isProbing) log.info({}, tcpKeepAliveMissing);
  }

  accept(socket: Socket): void {
    const { gate, proxies, limits } = this.#context;
    const flowSocket = new TcpFlowSocket(gate, socket, this.#keepAlive, this.#taker.link);
    if (!gate.admit(flowSocket)) return;
    const { address, port } = peerOf(socket);
    if (address === '') {
      socket.destroy();
      return;
    }
    this.#keepAlive?.apply(socket);
    flowSocket.beginHandshake();
    if (!proxies.has(address)) {
      if (this.#isProxyRequired) socket.destroy();
      else this.#proceed(flowSocket, { address, port });
      return;
    }
    socket.resume();
    readProxyHeader(socket, limits.proxyHeaderBytesMax, (header) => {
      if (header === undefined) socket.destroy();
      else this.#proceed(flowSocket, header.source ?? { address, port });
    });
  }

  reloadTls(): void {
    this.#reloader?.reload();
  }

  close(): void {
    this.#reloader?.stop();
    this.#tls?.close();
  }

  #proceed(flowSocket: TcpFlowSocket, peer: Peer): void {
    // A proxy's own health check says whose connection it is: nobody's. It is not counted.
    if (!this.#context.proxies.has(peer.address) && !flowSocket.claim(peer.address)) return;
    this.#context.connects.enter(flowSocket, peer.address, () => this.#secure(flowSocket, peer));
  }

  #secure(flowSocket: TcpFlowSocket, peer: Peer): void {
    if (this.#tls === undefined) this.#attach(flowSocket, flowSocket.socket, peer);
    else this.#tls.begin(flowSocket, (stream) => this.#attach(flowSocket, stream, peer));
  }

  #attach(flowSocket: TcpFlowSocket, stream: Socket, peer: Peer): void {
    flowSocket.open(stream, peer);
    this.#taker.attach(flowSocket, peer);
    stream.resume();
  }
}

const tcpKeepAliveMissing =
  'no TCP keepalives: neither perl nor python3 is there to set them, and this Node cannot; devices keep their own';

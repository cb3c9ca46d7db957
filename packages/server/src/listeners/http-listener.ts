/**
 * HTTP and HTTPS: hands requests to the API and makes WebSockets into flows: MQTT at `/mqtt`, Mozilla's push protocol
 * at `/`, SIP at `/sip` (RFC 7118).
 *
 * The limits against slow peers are Node's own (headers, whole request, silence); what this adds is the gate, the
 * guard against foreign web pages, and the address behind a named proxy (X-Forwarded-For).
 */
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { isIP, Socket } from 'node:net';
import { plainAddress } from '@wakeline/core/base';
import { webPushFrameLimits } from '@wakeline/core/wire/webpush';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { ListenerConfig } from '../config/config.js';
import type { FlowSocket, SocketLink } from '../runtime/flow-socket.js';
import { formatAddress } from '../config/listener-url.js';
import type { AddressList, Peer } from './addresses.js';
import { isLocalRequest } from './browser-guard.js';
import { connectionKey } from './connection-key.js';
import { beginWithFirstBytes } from './first-bytes.js';
import { Admission, admissionOf } from './gate.js';
import { isProxyRequired, listen, listenerUrl } from './listener.js';
import type { Listener, ListenerContext } from './listener.js';
import { readTlsFiles } from './tls-files.js';
import { TlsReloader } from './tls-reloader.js';
import { WebSocketFlowSocket } from './web-socket-flow-socket.js';

export interface HttpListenerOptions {
  /** Answers a request, and itself keeps foreign web pages away; never throws. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Devices need no credential: WebSockets of foreign web pages are refused on loopback. */
  readonly anonymousDevices: boolean;
  /** Largest MQTT packet. */
  readonly packetBytesMax: number;
  /** Takes over a WebSocket that speaks SIP; undefined: there is no SIP. */
  readonly attachSip?: ((socket: FlowSocket, peer: Peer) => void) | undefined;
}

/** Opens the listener; rejects with LISTENER_ADDRESS_IN_USE, LISTENER_FAILED or TLS_FILES_UNUSABLE. */
export async function openHttpListener(
  config: ListenerConfig,
  context: ListenerContext,
  options: HttpListenerOptions,
): Promise<Listener> {
  const front = new HttpFront(config, context, options);
  const port = await listen(front.server, config, context).catch((error: unknown) => {
    front.stop();
    throw error;
  });
  let closed: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    closed ??= new Promise((resolve) => front.server.close(() => resolve()));
    return closed;
  };
  return {
    protocol: config.protocol,
    port,
    isProbing: false,
    url: listenerUrl(config, port),
    stopAccepting: () => {
      void stop();
      front.server.closeIdleConnections();
    },
    close: () => {
      const isFree = stop();
      front.stop();
      return isFree;
    },
    reloadTls: () => front.reloader?.reload(),
  };
}

class HttpFront {
  readonly server: HttpServer | HttpsServer;
  readonly reloader: TlsReloader | undefined;
  readonly #context: ListenerContext;
  readonly #isGuarded: boolean;
  readonly #isProxyRequired: boolean;
  readonly #attachSip: HttpListenerOptions['attachSip'];
  readonly #webSockets: Readonly<Record<SocketLink, WebSocketServer>>;
  /** HTTPS connections by their ends: requests come on another socket object than the admitted one. */
  readonly #admissions: Map<string, Admission> | undefined;

  constructor(config: ListenerConfig, context: ListenerContext, options: HttpListenerOptions) {
    const { limits } = context;
    this.#context = context;
    this.#isGuarded = config.isLoopback && options.anonymousDevices;
    this.#isProxyRequired = isProxyRequired(config, context);
    this.#attachSip = options.attachSip;
    this.#webSockets = {
      mqtt: webSocketServer('mqtt', options.packetBytesMax + limits.webSocketSlackBytes),
      webpush: webSocketServer('webpush', webPushFrameLimits.frameBytesMax),
      sip: webSocketServer('sip', limits.sipWebSocketBytesMax),
    };
    const httpOptions = {
      noDelay: true,
      maxHeaderSize: limits.httpHeaderBytesMax,
      headersTimeout: limits.httpHeadersMs,
      requestTimeout: limits.httpRequestMs,
      keepAliveTimeout: limits.httpKeepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, limits.httpHeadersMs),
    };
    if (config.tls === undefined) {
      this.server = createHttpServer(httpOptions);
    } else {
      this.#admissions = new Map();
      const server = createHttpsServer({
        ...httpOptions,
        ...readTlsFiles(config.tls),
        handshakeTimeout: limits.tlsHandshakeMs,
      });
      beginWithFirstBytes(server, limits.tlsHandshakeMs);
      server.on('secureConnection', (socket) =>
        this.#admissions?.get(connectionKey(socket))?.finishHandshake(),
      );
      this.server = server;
      this.reloader = new TlsReloader(server, config.tls, limits.tlsReloadPollMs, context.log);
    }
    this.server.timeout = limits.httpSilenceMs;
    this.server.prependListener('connection', (socket: Socket) => this.#accept(socket));
    this.server.on('request', options.handle);
    this.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#handleUpgrade(request, socket, head),
    );
  }

  stop(): void {
    this.reloader?.stop();
    this.server.closeAllConnections();
    for (const admission of this.#admissions?.values() ?? []) admission.socket.destroy();
  }

  #accept(socket: Socket): void {
    const admission = new Admission(this.#context.gate, socket);
    if (!this.#context.gate.admit(admission)) return;
    socket.on('error', ignoreError);
    const address = plainAddress(socket.remoteAddress ?? '');
    if (address === '') {
      socket.destroy();
      return;
    }
    const isProxy = this.#context.proxies.has(address);
    if (!isProxy && this.#isProxyRequired) {
      socket.destroy();
      return;
    }
    if (!isProxy && !admission.claim(address)) return;
    if (this.#admissions === undefined) return;
    const key = connectionKey(socket);
    this.#admissions.set(key, admission);
    socket.once('close', () => this.#admissions?.delete(key));
    admission.beginHandshake();
  }

  #handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', ignoreError);
    const link = this.#linkOf(request);
    if (typeof link === 'object') {
      refuseUpgrade(socket, link.refusal);
      return;
    }
    const admission = socket instanceof Socket ? this.#admissionOf(socket) : undefined;
    if (admission === undefined || !(socket instanceof Socket)) {
      socket.destroy();
      return;
    }
    const remote = plainAddress(socket.remoteAddress ?? '');
    const address = clientAddress(remote, request.headers['x-forwarded-for'], this.#context.proxies);
    if (address !== remote && !admission.claim(address)) return;
    // The silence limit is for HTTP: a device may be silent for hours.
    socket.setTimeout(0);
    admission.beginHandshake();
    this.#context.connects.enter(admission, address, () =>
      this.#openWebSocket(link, request, socket, head, admission, address),
    );
  }

  #openWebSocket(
    link: SocketLink,
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    admission: Admission,
    address: string,
  ): void {
    const { tcpKeepAliveMs, proxies } = this.#context;
    // A proxy answers for itself. Where there is none, the kernels keep the path, and no program is woken for it.
    if (link !== 'mqtt' && tcpKeepAliveMs !== undefined && proxies.isEmpty) {
      socket.setKeepAlive(true, tcpKeepAliveMs);
    }
    this.#webSockets[link].handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      socket.off('error', ignoreError);
      const peer = formatAddress(address, socket.remotePort ?? 0);
      const { webSocketUnopenedBytesMax } = this.#context.limits;
      const flowSocket = new WebSocketFlowSocket(
        link,
        webSocket,
        socket,
        admission,
        peer,
        webSocketUnopenedBytesMax,
      );
      if (link === 'sip') this.#attachSip?.(flowSocket, { address, port: socket.remotePort ?? 0 });
      else this.#context.attach(flowSocket);
    });
  }

  #admissionOf(socket: Socket): Admission | undefined {
    return admissionOf(socket) ?? this.#admissions?.get(connectionKey(socket));
  }

  /** What is to be spoken on the WebSocket, or the status line of the answer when the request may not become one. */
  #linkOf(request: IncomingMessage): SocketLink | { readonly refusal: string } {
    const link = links.get((request.url ?? '').split('?', 1)[0]!);
    if (link === undefined || (link === 'sip' && this.#attachSip === undefined)) {
      return { refusal: '404 Not Found' };
    }
    if (this.#isGuarded && !isLocalRequest(request.headers)) return { refusal: '403 Forbidden' };
    const offered = request.headers['sec-websocket-protocol'];
    // KUnifiedPush offers no subprotocol.
    if (offered === undefined && link === 'webpush') return link;
    const names = (offered ?? '').split(',').map((name) => name.trim());
    // [MQTT-6.0.0-3]
    return names.includes(subprotocols[link]) ? link : { refusal: '400 Bad Request' };
  }
}

const links: ReadonlyMap<string, SocketLink> = new Map([
  ['/mqtt', 'mqtt'],
  ['/', 'webpush'],
  ['/sip', 'sip'],
]);

/** [MQTT-6.0.0-3], [MQTT-6.0.0-4], RFC 7118 §4.1 */
const subprotocols: Readonly<Record<SocketLink, string>> = {
  mqtt: 'mqtt',
  webpush: 'push-notification',
  sip: 'sip',
};

function webSocketServer(link: SocketLink, maxPayload: number): WebSocketServer {
  const subprotocol = subprotocols[link];
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    handleProtocols: (offered: Set<string>) => (offered.has(subprotocol) ? subprotocol : false),
  });
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/**
 * Who is behind a connection: its own address, or, when that is a named proxy, the last address in
 * X-Forwarded-For that is not one. Earlier entries are what the client itself claims.
 */
export function clientAddress(
  remote: string,
  forwardedFor: string | readonly string[] | undefined,
  proxies: AddressList,
): string {
  if (!proxies.has(remote) || forwardedFor === undefined) return remote;
  const entries = String(forwardedFor)
    .split(',')
    .map((entry) => plainAddress(entry.trim()));
  let address = remote;
  for (const entry of entries.reverse()) {
    if (isIP(entry) === 0) return address;
    address = entry;
    if (!proxies.has(entry)) return address;
  }
  return address;
}

/** Sockets close by themselves after an error; what a peer did to its own connection is not worth a log line. */
function ignoreError(): void {}

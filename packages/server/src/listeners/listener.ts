/** What all listeners share: how they begin to listen, what they need, and how they end. */
import type { Server } from 'node:net';
import type { ListenerConfig } from '../config/config.js';
import { formatAddress } from '../config/listener-url.js';
import type { Clock } from '../runtime/clock.js';
import { RuntimeError } from '../runtime/errors.js';
import type { FlowSocket } from '../runtime/flow-socket.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import type { AddressList } from './addresses.js';
import type { ConnectQueue } from './connect-queue.js';
import type { Gate } from './gate.js';
import type { applyTcpKeepAlive } from './tcp-keep-alive.js';

export interface ListenerContext {
  readonly gate: Gate;
  /** Where connections wait that are to speak MQTT, Web Push or SIP. */
  readonly connects: ConnectQueue;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  readonly clock: Clock;
  /** Peers that speak for others. */
  readonly proxies: AddressList;
  /** Plain connections to a public address from others than the proxies are taken too. */
  readonly insecure: boolean;
  /** Silence after which TCP keepalives are sent on plain and TLS connections of MQTT and SIP, ms; undefined: none are. */
  readonly tcpKeepAliveMs: number | undefined;
  /** Makes a server get connections, and resolves with its port; default: it listens. */
  readonly listen?: (server: Server, config: ListenerConfig) => Promise<number>;
  /** Puts keepalives on a server's connections; default: {@link applyTcpKeepAlive}, for a server of this process. */
  readonly applyTcpKeepAlive?: typeof applyTcpKeepAlive;
  /** Takes over a connection of a device that speaks MQTT or Web Push. */
  readonly attach: (socket: FlowSocket) => void;
}

/** A listener that accepts. */
export interface Listener {
  readonly protocol: ListenerConfig['protocol'];
  /** The port that was really taken. */
  readonly port: number;
  /** TCP keepalives are sent on its connections. */
  readonly isProbing: boolean;
  /** With the port that was really taken. */
  readonly url: string;
  /** Accepts no more; connections stay. */
  stopAccepting(): void;
  /** Ends what is still open and resolves when the port is free. Idempotent. */
  close(): Promise<void>;
  /** Reads certificate and key anew; a listener without TLS does nothing. */
  reloadTls(): void;
}

/** Resolves with the port taken; rejects with LISTENER_ADDRESS_IN_USE or LISTENER_FAILED. */
export function listen(
  server: Server,
  config: ListenerConfig,
  context: Pick<ListenerContext, 'limits' | 'log' | 'listen'>,
): Promise<number> {
  if (context.listen !== undefined) return context.listen(server, config);
  const { host, port } = config;
  return new Promise((resolve, reject) => {
    const handleStartError = (error: NodeJS.ErrnoException): void => reject(listenError(config, error));
    server.once('error', handleStartError);
    server.listen({ host, port, backlog: context.limits.acceptBacklog }, () => {
      server.off('error', handleStartError);
      server.on('error', (error: NodeJS.ErrnoException) => logAcceptError(context.log, config, error));
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : port);
    });
  });
}

/** `mqtt://[::1]:1883` */
export function listenerUrl(config: ListenerConfig, port: number): string {
  return `${config.protocol}://${formatAddress(config.host, port)}`;
}

/** Whether a peer must come through a proxy: the listener is plain, public, and allowed only because of the proxy. */
export function isProxyRequired(config: ListenerConfig, context: ListenerContext): boolean {
  return config.tls === undefined && !config.isLoopback && !context.proxies.isEmpty && !context.insecure;
}

/** What became of an attempt to listen, in words that help. */
export function listenError(config: ListenerConfig, error: NodeJS.ErrnoException): RuntimeError {
  const url = listenerUrl(config, config.port);
  switch (error.code) {
    case 'EADDRINUSE':
      return new RuntimeError(
        'LISTENER_ADDRESS_IN_USE',
        `cannot listen on ${url}: another program uses this address and port`,
        error,
      );
    case 'EACCES':
      return new RuntimeError(
        'LISTENER_FAILED',
        `cannot listen on ${url}: the port needs a privilege`,
        error,
      );
    case 'EADDRNOTAVAIL':
      return new RuntimeError(
        'LISTENER_FAILED',
        `cannot listen on ${url}: this machine does not have the address`,
        error,
      );
    default:
      return new RuntimeError('LISTENER_FAILED', `cannot listen on ${url}: ${error.message}`, error);
  }
}

/**
 * Out of descriptors (EMFILE, ENFILE), libuv closes what it cannot take and goes on accepting, so that logging is
 * all that is left to do; `connectionsMax` normally acts first.
 */
function logAcceptError(log: Log, config: ListenerConfig, error: NodeJS.ErrnoException): void {
  log.error({ err: error, listener: listenerUrl(config, config.port) }, 'accepting a connection failed');
}

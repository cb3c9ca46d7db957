/**
 * SIP over UDP: one socket, datagrams in and out. There is nothing to accept and nothing to wait for: what the host cannot
 * keep is lost, and SIP sends it again.
 */
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { lookup } from 'node:dns/promises';
import type { ListenerConfig } from '../config/config.js';
import { plainAddress } from '@wakeline/core/base';
import type { Peer } from './addresses.js';
import { listenError, listenerUrl } from './listener.js';
import type { Listener, ListenerContext } from './listener.js';

export interface UdpListener extends Listener {
  /** Hands a datagram to the host. What becomes of it is not known; that the host refused it is counted. */
  send(remote: Peer, bytes: Uint8Array): void;
}

export interface DatagramTaker {
  /** The bytes are the taker's. */
  readonly handleDatagram: (remote: Peer, bytes: Uint8Array) => void;
  /** The host did not take a datagram: no route, too long, or no room. */
  readonly handleSendError: (error: NodeJS.ErrnoException) => void;
}

/** Opens the listener; rejects with LISTENER_ADDRESS_IN_USE or LISTENER_FAILED. */
export async function openUdpListener(
  config: ListenerConfig,
  context: Pick<ListenerContext, 'limits' | 'log'>,
  taker: DatagramTaker,
): Promise<UdpListener> {
  const socket = await bind(config, context.limits.sipReceiveBufferBytes);
  const { port } = socket.address();
  const isDual = socket.address().family === 'IPv6';
  socket.on('error', (error: NodeJS.ErrnoException) =>
    context.log.error({ err: error, listener: listenerUrl(config, port) }, 'datagrams could not be read'),
  );
  let isSilent = false;
  socket.on('message', (bytes, { address, port: remotePort }) => {
    // Port 0 cannot be answered.
    if (!isSilent && remotePort !== 0) {
      taker.handleDatagram({ address: plainAddress(address), port: remotePort }, bytes);
    }
  });
  let closed: Promise<void> | undefined;
  return {
    protocol: config.protocol,
    port,
    isProbing: false,
    url: listenerUrl(config, port),
    // Transactions under way go on; new calls are refused by who speaks here.
    stopAccepting: () => {},
    close: () => {
      isSilent = true;
      closed ??= new Promise((resolve) => socket.close(() => resolve()));
      return closed;
    },
    reloadTls: () => {},
    send: ({ address, port: remotePort }, bytes) => {
      if (closed !== undefined) return;
      // A socket of IPv6 reaches IPv4 by mapped addresses.
      const host = isDual && !isIPv6(address) ? `::ffff:${address}` : address;
      try {
        socket.send(bytes, remotePort, host, (error) => {
          if (error !== null) taker.handleSendError(error);
        });
      } catch (error) {
        // Node throws for a port that is none.
        taker.handleSendError(error as NodeJS.ErrnoException);
      }
    },
  };
}

async function bind(config: ListenerConfig, receiveBufferBytes: number): Promise<Socket> {
  const { host, port } = config;
  try {
    const { address, family } = await lookup(host);
    const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', recvBufferSize: receiveBufferBytes });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.bind({ address, port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        resolve();
      });
    });
    return socket;
  } catch (error) {
    throw listenError(config, error as NodeJS.ErrnoException);
  }
}

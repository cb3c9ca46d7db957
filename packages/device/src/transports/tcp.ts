/** MQTT over TCP, in Node: `mqtt://host:port`. */
import { connect } from 'node:net';
import type { Transport } from '../ports/index.js';
import { whenSocketReady } from './socket-connection.js';

const PORT = 1883;

export function tcpTransport(): Transport {
  return {
    schemes: ['mqtt'],
    open(url, handler, signal) {
      const socket = connect({ host: hostOf(url), port: Number(url.port || PORT), noDelay: true });
      return whenSocketReady(socket, 'connect', handler, signal);
    },
  };
}

/** The host as sockets want it: an IPv6 address stands in brackets in a URL. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

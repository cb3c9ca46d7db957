/** MQTT over TLS, in Node: `mqtts://host:port`. The server's certificate is checked against its host. */
import { isIP } from 'node:net';
import { connect, type SecureContextOptions } from 'node:tls';
import type { Transport } from '../ports/index.js';
import { whenSocketReady } from './socket-connection.js';
import { hostOf } from './tcp.js';

/** What may be set of TLS: roots of one's own, and a certificate of the device's. As in `node:tls`. */
export type TlsOptions = Pick<SecureContextOptions, 'ca' | 'cert' | 'key' | 'passphrase'>;

const PORT = 8883;

export function tlsTransport(options: TlsOptions = {}): Transport {
  return {
    schemes: ['mqtts'],
    open(url, handler, signal) {
      const host = hostOf(url);
      const socket = connect({
        ...options,
        host,
        port: Number(url.port || PORT),
        // An address is no name to indicate (RFC 6066 §3).
        ...(isIP(host) === 0 && { servername: host }),
      });
      socket.setNoDelay(true);
      return whenSocketReady(socket, 'secureConnect', handler, signal);
    },
  };
}

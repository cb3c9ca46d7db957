/** Reads a listener's URL, `mqtt://127.0.0.1:1883` or `https://[::]:8643`, and says what is wrong with it. */
import { isIP } from 'node:net';
import { nearestName } from '@wakeline/core/base';
import { listenerProtocols } from './config.js';
import type { ListenerProtocol } from './config.js';

export interface ListenerAddress {
  readonly protocol: ListenerProtocol;
  readonly host: string;
  readonly port: number;
  readonly isLoopback: boolean;
}

const EXAMPLE = 'write it like mqtt://127.0.0.1:1883 or https://[::]:8643';

/** The address, or a sentence for the person who wrote the URL. */
export function parseListenerUrl(url: string): ListenerAddress | string {
  const match = /^([a-zA-Z][\w+.-]*):\/\/(\[[^\]]*\]|[^/?#:@[\]]*)(?::(\d*))?(\/?)(.*)$/.exec(url.trim());
  if (match === null) return `"${url}" is no listener URL; ${EXAMPLE}`;
  const [, scheme = '', written = '', portText, , rest = ''] = match;
  const protocol = listenerProtocols.find((known) => known === scheme.toLowerCase());
  if (protocol === undefined) {
    return `"${url}": the protocol "${scheme}" is not known; ${meantBy(scheme)}?`;
  }
  if (rest !== '') return `"${url}": a listener has no user, path or query; ${EXAMPLE}`;
  const host = written.startsWith('[') ? written.slice(1, -1) : written;
  if (written.startsWith('[') ? isIP(host) !== 6 : !isHostName(host)) {
    return `"${url}": "${written}" is no address or host name; 0.0.0.0 and [::] mean every address`;
  }
  const port = Number(portText);
  if (portText === undefined || portText === '') return `"${url}": the port is missing; ${EXAMPLE}`;
  if (port > 65_535) return `"${url}": ${portText} is no port; choose 0 (any free one) … 65535`;
  return { protocol, host, port, isLoopback: isLoopbackHost(host) };
}

function meantBy(scheme: string): string {
  // SIP's own scheme leaves the transport open, and one letter more means TLS.
  if (scheme.toLowerCase() === 'sip') return 'did you mean sip+tcp, sip+udp, or sips for TLS';
  const near = nearestName(scheme, listenerProtocols);
  return near === undefined ? `one of ${listenerProtocols.join(', ')}` : `did you mean ${near}`;
}

/** Also an IPv4 address. */
export function isHostName(host: string): boolean {
  if (/^[\d.]+$/.test(host)) return isIP(host) === 4;
  return host.length <= 253 && /^(?!-)[\w-]{1,63}(\.(?!-)[\w-]{1,63})*\.?$/.test(host);
}

/** Whether only this machine can reach `host` (without brackets): `localhost` and below, 127.0.0.0/8, ::1. */
export function isLoopbackHost(host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  const version = isIP(name);
  if (version === 4) return name.startsWith('127.');
  if (version !== 6) return false;
  return /^(0{0,4}:){2,7}0{0,3}1$/.test(name) || /^::ffff:127(\.\d+){3}$/.test(name);
}

/** `host:port`, with brackets around IPv6. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

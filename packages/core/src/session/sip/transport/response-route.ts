/**
 * The way that the responses to one request take (RFC 3261 §18.2.2, RFC 3581 §4): the connection it came on; when that is
 * gone, a new one to where the topmost Via says; on UDP always the latter. `maddr` is ignored: it would let a stranger
 * choose whom we write to.
 */
import type { SipFlow } from '../../../domain/index.js';
import type { Via } from '../../../wire/sip/index.js';
import type { SipAddress, SipTransport } from '../machine.js';

export interface ResponseRoute {
  readonly transport: SipTransport;
  /** Index of the listener that the request came to. */
  readonly listener: number;
  /** `received`, with the port of `rport` on UDP, else that of the sent-by. */
  readonly address: SipAddress;
  /** Host and port of the sent-by, tried last; undefined: it is what `address` is. */
  readonly sentBy: { readonly host: string; readonly port: number | undefined } | undefined;
  /** Connection of the request, or what took its place; 0: none yet. */
  flow: SipFlow;
  /**
   * The core has let its sender in, so a new connection may be made for it. For anybody else none is: whoever writes a Via
   * would choose whom we connect to, and what we write there.
   */
  isScreened: boolean;
}

/** Default ports (RFC 3261 §18.2.2, RFC 7118). */
export function defaultPort(transport: SipTransport): number {
  switch (transport) {
    case 'udp':
    case 'tcp':
      return 5060;
    case 'tls':
      return 5061;
    case 'ws':
      return 80;
    case 'wss':
      return 443;
  }
}

/** Of the topmost Via after `markSource`. `transport`: of the connection, which the Via may name wrongly. */
export function responseRouteOf(
  via: Via,
  transport: SipTransport,
  listener: number,
  flow: SipFlow,
): ResponseRoute {
  const host = via.received ?? via.host;
  const port = via.port ?? defaultPort(transport);
  return {
    transport,
    listener,
    address: { address: bare(host), port: transport === 'udp' ? (via.rport ?? port) : port },
    sentBy: via.received === undefined ? undefined : { host: via.host, port: via.port },
    flow,
    isScreened: false,
  };
}

/** Without brackets. */
export function bare(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

/** How the SIP stack sees a listener: its transport, and what it is to write into Via and Record-Route. */
import { hostname } from 'node:os';
import type { SipListener, SipTransport } from '@wakeline/core/session/sip';
import type { ListenerConfig, ListenerProtocol } from '../config/config.js';

const transports: Readonly<Partial<Record<ListenerProtocol, SipTransport>>> = {
  http: 'ws',
  https: 'wss',
  'sip+tcp': 'tcp',
  'sip+udp': 'udp',
  sips: 'tls',
};

/** `port`: the one that was really taken. */
export function sipListenerOf(config: ListenerConfig, port: number): SipListener {
  const { protocol, host, advertised, trunksOnly } = config;
  const transport = transports[protocol];
  if (transport === undefined) throw new Error(`a ${protocol} listener speaks no SIP`);
  return {
    transport,
    advertised: {
      host: advertised?.host ?? (isAnyHost(host) ? hostname() : host),
      port: advertised === undefined || advertised.port === 0 ? port : advertised.port,
    },
    trunksOnly: trunksOnly === true,
  };
}

/** It is on every address of this machine: its name is the best guess of what others call it. */
function isAnyHost(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

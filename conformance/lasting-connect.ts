/** The CONNECT of a device whose session outlives its connections, without a keep alive. */
import { noProperties } from '@wakeline/core/wire/mqtt';
import type { ConnectPacket } from '@wakeline/core/wire/mqtt';

export function lastingConnect(clientId: string): ConnectPacket {
  return {
    type: 'connect',
    protocolVersion: 4,
    clean: false,
    keepAliveSeconds: 0,
    clientId,
    username: undefined,
    password: undefined,
    will: undefined,
    properties: noProperties,
  };
}

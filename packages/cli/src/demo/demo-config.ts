/** The demo's server: loopback, ports that are free, a data directory of its own, silent but for errors. */
import { join } from 'node:path';
import { hashSipPassword, loadConfig, sipPasswordLine } from '@wakeline/server/config';
import type { ServerConfig } from '@wakeline/server/config';
import { DOMAIN, PASSWORD } from './sip-phones.js';

/** Whatever the user's own environment configures is not the demo's. */
export function demoConfig(directory: string): ServerConfig {
  return loadConfig({
    flags: {
      data: join(directory, 'data'),
      listen: ['http://127.0.0.1:0', 'mqtt://127.0.0.1:0', 'sip+tcp://127.0.0.1:0'],
      logLevel: 'error',
    },
    environment: {
      WAKELINE_SIP_DOMAINS: DOMAIN,
      WAKELINE_SIP_USERS: JSON.stringify(['ann', 'bob'].map(user)),
    },
    workingDirectory: directory,
    homeDirectory: directory,
  });
}

/** MD5 alone: baresip refuses a challenge that names anything newer beside it. */
function user(name: string): object {
  const address = `${name}@${DOMAIN}`;
  return { address, password: sipPasswordLine(hashSipPassword(address, PASSWORD, ['md5'])) };
}

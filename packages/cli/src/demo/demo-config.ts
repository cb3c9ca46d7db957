/** The demo's server: loopback, ports that are free, a data directory of its own, silent but for errors. */
import { join } from 'node:path';
import { loadConfig } from '@wakeline/server/config';
import type { ServerConfig } from '@wakeline/server/config';

/** Whatever the user's own environment configures is not the demo's. */
export function demoConfig(directory: string): ServerConfig {
  return loadConfig({
    flags: {
      data: join(directory, 'data'),
      listen: ['http://127.0.0.1:0', 'mqtt://127.0.0.1:0'],
      logLevel: 'error',
    },
    environment: {},
    workingDirectory: directory,
    homeDirectory: directory,
  });
}

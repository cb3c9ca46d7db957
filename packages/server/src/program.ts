/** What `wakeline up` runs, to be bundled into few files (tools/bundle.ts): reading hundreds takes most of a small server's start. */
import type { ServerConfig } from './config/index.js';
import type { RunningLines } from './lines/index.js';

export { loadConfig } from './config/index.js';
export type { ServerConfig } from './config/index.js';
export type { RunningLines } from './lines/index.js';
export { startServer } from './runtime/server.js';
export type { RunningServer } from './runtime/server.js';

/** As `startLines` of `./lines`, whose modules a server of one process does not load. */
export async function startLines(config: ServerConfig): Promise<RunningLines> {
  return (await import('./lines/index.js')).startLines(config);
}

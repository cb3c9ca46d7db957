/** The servers that are compared; entries as in ../mqtt/servers.mjs. `countWaiting`: messages in all inboxes. */
import { fileURLToPath } from 'node:url';
import { peerVersions, wakelineUp, wakelineVersion } from '../mqtt/servers.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export const servers = {
  wakeline: {
    title: 'Wakeline',
    isNode: true,
    command: ({ port, directory, upFlags }) => wakelineUp(`http://127.0.0.1:${port}`, directory, upFlags),
    version: wakelineVersion,
    countWaiting: async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/v1/statistics`);
      return (await response.json()).waitingMessages;
    },
  },
  bare: {
    title: 'bare Node, a file',
    isNode: true,
    command: ({ port, directory }) => ownServer('bare', port, directory),
    version: async () => process.version,
  },
  fastify: {
    title: 'fastify, LevelDB',
    isNode: true,
    needsPackages: true,
    command: ({ port, directory }) => ownServer('fastify', port, directory),
    version: () => peerVersions('level'),
  },
};

function ownServer(kind, port, directory) {
  const args = [here('own-server.mjs'), '--kind', kind, '--port', String(port), '--data', directory];
  return { program: process.execPath, args, env: {}, readyLine: 'ready' };
}

/** The reason why a server cannot be measured here; undefined: it can. */
export async function whyMissing(name) {
  if (!servers[name].needsPackages) return undefined;
  return peerVersions('level').then(
    () => undefined,
    () => 'its packages are not installed (npm ci in bench/)',
  );
}

/** The servers that are compared; entries as in ../mqtt/servers.mjs. `countWaiting`: messages in all inboxes. */
import { fileURLToPath } from 'node:url';
import { commit, packageVersion, peerVersions } from '../mqtt/servers.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** What one address may do is a protection, and all of a benchmark comes from one. */
const COUNT = '1000000';

export const servers = {
  wakeline: {
    title: 'Wakeline',
    isNode: true,
    command: ({ port, directory, upFlags }) => ({
      program: process.execPath,
      args: [
        here('../../packages/cli/bin/wakeline.js'),
        'up',
        '--data',
        directory,
        '--log-level',
        'error',
        '--listen',
        `http://127.0.0.1:${port}`,
        ...upFlags,
      ],
      env: {
        WAKELINE_CONNECTIONS_PER_ADDRESS_MAX: COUNT,
        WAKELINE_CONNECTS_PER_SECOND_PER_ADDRESS_MAX: COUNT,
        WAKELINE_CONNECTS_PER_SECOND_MAX: COUNT,
        WAKELINE_HANDSHAKES_MAX: COUNT,
      },
      readyLine: 'wakeline: ready',
    }),
    version: async () =>
      `${await packageVersion('../../packages/cli/package.json')} ${await commit()}`.trim(),
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

/**
 * aedes as its documentation shows it, with aedes-persistence-level when a directory is given, else in memory.
 *
 *     node bench/mqtt/aedes-server.mjs --port PORT [--directory DIR] [--cert FILE --key FILE]
 *
 * Prints `ready` when it accepts. Its packages are in `bench/package.json`.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { parseArgs } from 'node:util';
import { Aedes } from 'aedes';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string' },
    directory: { type: 'string' },
    cert: { type: 'string' },
    key: { type: 'string' },
  },
});

async function persistence() {
  if (options.directory === undefined) return undefined; // aedes then keeps all in memory
  const { Level } = await import('level');
  const { default: aedesPersistenceLevel } = await import('aedes-persistence-level');
  return aedesPersistenceLevel(new Level(options.directory));
}

const aedes = await Aedes.createBroker({ persistence: await persistence() });
const server =
  options.cert === undefined
    ? createServer(aedes.handle)
    : createTlsServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) }, aedes.handle);
server.listen({ port: Number(options.port), host: '127.0.0.1', backlog: 4096 }, () => console.log('ready'));
process.once('SIGTERM', () => process.exit(0));

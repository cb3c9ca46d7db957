/**
 * Runs in a network namespace of its own: two idle connections that are probed after 1 s, one with what the listening
 * socket gave it and one as Node alone does it, and no network for longer than ten probes take. Says what became of both.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyTcpKeepAlive } from '../../src/listeners/tcp-keep-alive.js';

const OUTAGE_MS = 14_000;

/** Both ends of a connection, and what went wrong with it. */
interface Connection {
  readonly server: Server;
  readonly client: Socket;
  readonly accepted: Socket;
  error: string | undefined;
}

function setLoopback(state: 'up' | 'down'): void {
  execFileSync('ip', ['link', 'set', 'lo', state]);
}

async function connection(
  prepare: (server: Server) => Promise<(socket: Socket) => void>,
): Promise<Connection> {
  const server = createServer({ noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const probe = await prepare(server);
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const made: Connection = { server, client, accepted, error: undefined };
  // The other end hears of the same outage; what counts is told by the server's.
  client.on('error', () => {});
  accepted.on('error', (error: NodeJS.ErrnoException) => (made.error = error.code ?? error.message));
  probe(accepted);
  return made;
}

async function outcomeOf({ client, accepted, error }: Connection): Promise<string> {
  if (error !== undefined) return error;
  accepted.write('x');
  await once(client, 'data');
  return 'open, and the next byte came';
}

setLoopback('up');
const options = { idleMs: 240_000, intervalMs: 30_000, countMax: 5, programMsMax: 60_000 };
const withGap = await connection(async (server) => {
  const { probe } = await applyTcpKeepAlive(server, options);
  return (socket) => probe(socket, 1_000);
});
const byNodeAlone = await connection(() =>
  Promise.resolve((socket) => void socket.setKeepAlive(true, 1_000)),
);
setLoopback('down');
await sleep(OUTAGE_MS);
setLoopback('up');
const outcomes = { withGap: await outcomeOf(withGap), byNodeAlone: await outcomeOf(byNodeAlone) };
process.stdout.write(JSON.stringify(outcomes));
process.exit(0);

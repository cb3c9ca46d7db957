import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { beginWithFirstBytes } from '../../src/listeners/first-bytes.js';

test('TLS begins over a socket of which something was read, and not with a peer that says nothing', async (t) => {
  const server = createServer();
  assert.equal(server.listenerCount('connection'), 1, "it is Node's own");
  server.removeAllListeners('connection');
  const begun: number[] = [];
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    begun.push(socket.readableLength);
    server.emit('begun');
  });
  beginWithFirstBytes(server, 1_000);
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;

  const client = connect(port, '127.0.0.1');
  await Promise.all([once(client, 'connect'), once(server, 'connection')]);
  assert.deepEqual(begun, []);
  const first = once(server, 'begun');
  client.write('abc');
  await first;
  assert.deepEqual(begun, [3]);
  client.destroy();
  sockets[0]!.destroy();

  for (const leaves of [true, false]) {
    const silent = connect(port, '127.0.0.1');
    const closed = once(silent, 'close');
    await once(silent, 'connect');
    silent.resume();
    if (leaves) silent.end();
    await closed;
  }
  assert.deepEqual(begun, [3]);
});

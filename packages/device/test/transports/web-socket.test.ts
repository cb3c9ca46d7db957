/** The WebSocket transport of browsers and React Native, by a WebSocket that has their interface, against a real server. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { webSocketTransport, type WebSocketConstructor } from '../../src/transports/web-socket.js';
import {
  describeTransport,
  RecordingHandler,
  until,
  type ByteServer,
  type Peer,
} from './transport-behaviour.js';

const transport = webSocketTransport(WebSocket as unknown as WebSocketConstructor);

async function startServer(): Promise<ByteServer & { readonly sockets: readonly WebSocket[] }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port: deadPort } = closed.address() as AddressInfo;
  closed.close();
  const peers: Peer[] = [];
  const sockets: WebSocket[] = [];
  server.on('connection', (socket) => {
    const peer = {
      received: Buffer.alloc(0),
      hasEnded: false,
      send: (bytes: Uint8Array) => socket.send(bytes),
      end: () => socket.close(1000),
      destroy: () => socket.terminate(),
    };
    socket.on('message', (data: Buffer) => (peer.received = Buffer.concat([peer.received, data])));
    socket.on('close', () => (peer.hasEnded = true));
    sockets.push(socket);
    peers.push(peer);
  });
  return {
    url: new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/mqtt`),
    deadUrl: new URL(`ws://127.0.0.1:${deadPort}/`),
    peers,
    sockets,
    close: () => {
      for (const socket of server.clients) socket.terminate();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

describeTransport('over WebSocket', async () => ({ transport, server: await startServer() }));

test('it asks for the subprotocol mqtt', async () => {
  const server = await startServer();
  const connection = await transport.open(server.url, new RecordingHandler(), new AbortController().signal);
  assert.equal(server.sockets[0]!.protocol, 'mqtt');
  await connection.close();
  await server.close();
});

test('[MQTT5 6.0.0-1] a message that is not binary ends the connection', async () => {
  const server = await startServer();
  const handler = new RecordingHandler();
  await transport.open(server.url, handler, new AbortController().signal);
  server.sockets[0]!.send('text');
  server.sockets[0]!.send(Buffer.from('after it'));
  await until(() => handler.ends.length > 0 && server.peers[0]!.hasEnded, 'it ends');
  assert.match(String(handler.ends[0]), /text/);
  assert.equal(handler.received.length, 0);
  await server.close();
});

test('a close with another code than the normal one has a cause', async () => {
  const server = await startServer();
  const handler = new RecordingHandler();
  await transport.open(server.url, handler, new AbortController().signal);
  server.sockets[0]!.close(1013, 'try again');
  await until(() => handler.ends.length > 0, 'it ends');
  assert.match(String(handler.ends[0]), /1013 try again/);
  await server.close();
});

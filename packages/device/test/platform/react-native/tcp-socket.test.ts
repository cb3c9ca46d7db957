/**
 * The TCP transport of React Native. The module that an app brings is made after Node's: Node's own functions, called with what
 * its documentation allows, stand in for it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { test } from 'node:test';
import { tcpSocketTransport, type TcpSocketModule } from '../../../src/platform/react-native/tcp-socket.js';
import {
  describeTransport,
  RecordingHandler,
  type ByteServer,
  type Peer,
} from '../../transports/transport-behaviour.js';

const asked: object[] = [];
const module: TcpSocketModule = {
  createConnection(options, callback) {
    asked.push(options);
    return net.createConnection({ ...options }, callback);
  },
  connectTLS({ host, port, ca }, callback) {
    asked.push({ host, port, ca });
    return tls.connect({ host, port, ca: ca as string, servername: 'localhost' }, callback);
  },
};

async function startServer(scheme: 'mqtt' | 'mqtts', server: net.Server | tls.Server): Promise<ByteServer> {
  const closed = net.createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port: deadPort } = closed.address() as net.AddressInfo;
  closed.close();
  const peers: Peer[] = [];
  const sockets: net.Socket[] = [];
  server.on(scheme === 'mqtts' ? 'secureConnection' : 'connection', (socket: net.Socket) => {
    const peer = {
      received: Buffer.alloc(0),
      hasEnded: false,
      send: (bytes: Uint8Array) => void socket.write(bytes),
      end: () => void socket.end(),
      destroy: () => void socket.destroy(),
    };
    socket.on('error', () => {});
    socket.on('data', (data) => (peer.received = Buffer.concat([peer.received, data])));
    socket.on('close', () => (peer.hasEnded = true));
    sockets.push(socket);
    peers.push(peer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: new URL(`${scheme}://127.0.0.1:${(server.address() as net.AddressInfo).port}`),
    deadUrl: new URL(`${scheme}://127.0.0.1:${deadPort}`),
    peers,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../../test/fixtures/${name}`, import.meta.url), 'utf8');
const certificate = { key: fixture('server.key.pem'), cert: fixture('server.cert.pem') };

describeTransport('over TCP in React Native', async () => ({
  transport: tcpSocketTransport(module),
  server: await startServer('mqtt', net.createServer()),
}));

describeTransport('over TLS in React Native', async () => ({
  transport: tcpSocketTransport(module, { ca: certificate.cert }),
  server: await startServer('mqtts', tls.createServer(certificate)),
}));

test('ports are those of MQTT unless the URL has one, and an IPv6 address has no brackets', async () => {
  asked.length = 0;
  const transport = tcpSocketTransport({
    createConnection: (options) => {
      asked.push(options);
      throw new Error('asked');
    },
    connectTLS: (options) => {
      asked.push(options);
      throw new Error('asked');
    },
  });
  for (const url of ['mqtt://host', 'mqtts://host', 'mqtts://[::1]:99']) {
    const opening = transport.open(new URL(url), new RecordingHandler(), new AbortController().signal);
    await assert.rejects(opening, { message: 'asked' });
  }
  assert.deepEqual(asked, [
    { host: 'host', port: 1883 },
    { host: 'host', port: 8883 },
    { host: '::1', port: 99 },
  ]);
});

test('a server whose certificate is not trusted is not spoken to', async () => {
  const server = await startServer('mqtts', tls.createServer(certificate));
  const opening = tcpSocketTransport(module).open(
    server.url,
    new RecordingHandler(),
    new AbortController().signal,
  );
  await assert.rejects(opening, { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  await server.close();
});

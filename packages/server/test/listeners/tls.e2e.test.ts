import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { connect } from 'node:tls';
import type { Packet } from 'mqtt-packet';
import { RuntimeError } from '../../src/runtime/errors.js';
import { startServer } from '../../src/runtime/server.js';
import {
  configOf,
  connackBytes,
  connectClient,
  connectPacket,
  encode,
  listener,
  RawClient,
  startTestServer,
  temporaryDirectory,
  tlsFiles,
} from './harness.js';

/** Common name of the certificate that the server shows. */
async function commonName(t: TestContext, port: number): Promise<string | undefined> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

/** A pair of files that the test may overwrite. */
async function replaceableFiles(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const files = { certFile: join(directory, 'cert.pem'), keyFile: join(directory, 'key.pem') };
  const use = async (name: 'first' | 'second'): Promise<void> => {
    await copyFile(tlsFiles(name).keyFile, files.keyFile);
    await copyFile(tlsFiles(name).certFile, files.certFile);
  };
  await use('first');
  return { files, use };
}

/**
 * TLS to the server over a socket that belongs to the test, cut as `pieces` says: what TLS makes of the server's words
 * does not close the socket, only the server does.
 */
async function connectOverWire(t: TestContext, port: number, pieces: (bytes: Buffer) => Iterable<Buffer>) {
  const raw = await RawClient.connect(t, port);
  raw.socket.setNoDelay(true);
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      for (const piece of pieces(chunk)) raw.socket.write(piece);
      raw.socket.write('', () => done());
    },
  });
  raw.socket.on('data', (chunk: Buffer) => wire.push(chunk));
  const secured = connect({ socket: wire, rejectUnauthorized: false });
  t.after(() => secured.destroy());
  secured.on('error', () => {});
  return { raw, secured };
}

describe('TLS', () => {
  it('a trusted certificate is enough for a strict client', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtts')] });
    const ca = await readFile(tlsFiles('first').certFile);
    const client = await connectClient(t, server.url('mqtts'), { ca });
    await client.publishAsync('a', 'b', { qos: 1 });
  });

  it('a new certificate is used after a reload, and old connections stay', async (t) => {
    const { files, use } = await replaceableFiles(t);
    const listeners = [listener('mqtts', files), listener('https', files)];
    const server = await startTestServer(t, { listeners });
    const client = await connectClient(t, server.url('mqtts'), { rejectUnauthorized: false });
    assert.equal(await commonName(t, server.port('mqtts')), 'wakeline test first');
    await use('second');
    server.server.reloadTls();
    assert.equal(await commonName(t, server.port('mqtts')), 'wakeline test second');
    assert.equal(await commonName(t, server.port('https')), 'wakeline test second');
    await client.publishAsync('a', 'b', { qos: 1 });
  });

  it('SIGHUP reloads', async (t) => {
    const { files, use } = await replaceableFiles(t);
    const server = await startTestServer(t, { listeners: [listener('mqtts', files)] });
    await use('second');
    const hungUp = once(process, 'SIGHUP');
    process.kill(process.pid, 'SIGHUP');
    await hungUp;
    assert.equal(await commonName(t, server.port('mqtts')), 'wakeline test second');
  });

  it('SIGHUP does no harm where there is no TLS', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtt')] });
    // The server's own handler has to be there: the one that `once` adds must not be what saves the process.
    assert.equal(process.listenerCount('SIGHUP') > 0, true);
    const hungUp = once(process, 'SIGHUP');
    process.kill(process.pid, 'SIGHUP');
    await hungUp;
    const client = await connectClient(t, server.url('mqtt'));
    await client.publishAsync('a', 'b', { qos: 1 });
    await server.server.stop();
    assert.equal(process.listenerCount('SIGHUP'), 0);
  });

  it('changed files are noticed', async (t) => {
    const { files, use } = await replaceableFiles(t);
    const limits = { tlsReloadPollMs: 10 };
    const server = await startTestServer(t, { listeners: [listener('mqtts', files)] }, { limits });
    await use('second');
    while ((await commonName(t, server.port('mqtts'))) !== 'wakeline test second');
  });

  it('a certificate that does not fit its key is logged, and the old one stays', async (t) => {
    const { files } = await replaceableFiles(t);
    const server = await startTestServer(t, { listeners: [listener('mqtts', files)] });
    await copyFile(tlsFiles('second').certFile, files.certFile);
    server.server.reloadTls();
    assert.match(server.log.errors[0]!.message, /certificate not reloaded/);
    assert.equal(await commonName(t, server.port('mqtts')), 'wakeline test first');
  });

  it('files that are no certificate stop the start with a clear error', async (t) => {
    const { files } = await replaceableFiles(t);
    await writeFile(files.certFile, 'not a certificate');
    const directory = await temporaryDirectory(t);
    for (const protocol of ['mqtts', 'https'] as const) {
      await assert.rejects(
        startServer(configOf(directory, { listeners: [listener(protocol, files)] })),
        (error: unknown) => error instanceof RuntimeError && error.code === 'TLS_FILES_UNUSABLE',
      );
    }
  });

  /** Enough for those who mean well, on a machine that does much else. */
  const tlsHandshakeMs = 2_000;

  it('a peer that speaks no TLS, or nothing at all, is closed and harms nobody', async (t) => {
    const listeners = [listener('mqtts'), listener('https')];
    // The time for CONNECT is out of the way: the handshake's own limit has to act.
    const mqtt = { ...configOf('').mqtt, connectTimeoutMs: 3_600_000 };
    const server = await startTestServer(t, { listeners, mqtt }, { limits: { tlsHandshakeMs } });
    for (const protocol of ['mqtts', 'https'] as const) {
      const wrong = await RawClient.connect(t, server.port(protocol));
      wrong.socket.write(connectPacket('plain'));
      await wrong.closed;
      const silent = await RawClient.connect(t, server.port(protocol));
      await silent.closed;
    }
    await connectClient(t, server.url('mqtts'), { rejectUnauthorized: false });
  });

  it('each handshake has its own time, and who is done in time stays', async (t) => {
    const mqtt = { ...configOf('').mqtt, connectTimeoutMs: 3_600_000 };
    const listeners = [listener('mqtts')];
    const server = await startTestServer(t, { listeners, mqtt }, { limits: { tlsHandshakeMs } });
    const first = await RawClient.connect(t, server.port('mqtts'));
    const client = await connectClient(t, server.url('mqtts'), { rejectUnauthorized: false });
    const second = await RawClient.connect(t, server.port('mqtts'));
    await first.closed;
    const third = await RawClient.connect(t, server.port('mqtts'));
    await second.closed;
    await third.closed;
    await client.publishAsync('a', 'b', { qos: 1 });
  });

  it('what is no TLS record ends a connection that was secured', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtts')] });
    const { raw, secured } = await connectOverWire(t, server.port('mqtts'), (bytes) => [bytes]);
    secured.write(connectPacket('broken'));
    const [chunk] = (await once(secured, 'data')) as [Buffer];
    assert.deepEqual(chunk, connackBytes);
    raw.socket.write('this is no TLS record, whatever else it may be');
    await raw.closed;
  });

  it('a handshake and a large packet that come in small pieces are understood', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtts')] });
    const pieces = function* (bytes: Buffer): Generator<Buffer> {
      // Every byte on its own while the handshake lasts; what follows is large.
      const step = bytes.length > 4_000 ? 1_500 : 1;
      for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
    };
    const { secured } = await connectOverWire(t, server.port('mqtts'), pieces);
    secured.write(connectPacket('pieces'));
    const [connack] = (await once(secured, 'data')) as [Buffer];
    assert.deepEqual(connack, connackBytes);
    const payload = Buffer.alloc(100_000, 'x');
    const publish = { cmd: 'publish', topic: 'a', payload, qos: 1, messageId: 7, dup: false, retain: false };
    secured.write(encode(publish as Packet));
    const [puback] = (await once(secured, 'data')) as [Buffer];
    assert.deepEqual(puback, Buffer.from([0x40, 2, 0, 7]));
  });

  it('who leaves in the middle of a handshake, or before it, is forgotten', async (t) => {
    const mqtt = { ...configOf('').mqtt, connectTimeoutMs: 3_600_000 };
    const limits = { tlsHandshakeMs: 3_600_000 };
    const server = await startTestServer(t, { listeners: [listener('mqtts')], mqtt }, { limits });
    for (const beginning of [Buffer.alloc(0), Buffer.from([0x16, 3, 1])]) {
      const raw = await RawClient.connect(t, server.port('mqtts'));
      raw.socket.end(beginning);
      await raw.closed;
    }
  });

  it('CONNECT in the same flight as the end of the handshake is not lost', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtts')] });
    const socket = connect({ port: server.port('mqtts'), host: '127.0.0.1', rejectUnauthorized: false });
    t.after(() => socket.destroy());
    socket.write(connectPacket('eager'));
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.deepEqual(chunk, connackBytes);
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { connect } from 'node:tls';
import { RuntimeError } from '../../src/runtime/errors.js';
import { startServer } from '../../src/runtime/server.js';
import {
  configOf,
  connackBytes,
  connectClient,
  connectPacket,
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

  it('a peer that speaks no TLS, or nothing at all, is closed and harms nobody', async (t) => {
    const listeners = [listener('mqtts'), listener('https')];
    // The time for CONNECT is out of the way: the handshake's own limit has to act.
    const mqtt = { ...configOf('').mqtt, connectTimeoutMs: 3_600_000 };
    const server = await startTestServer(t, { listeners, mqtt }, { limits: { tlsHandshakeMs: 200 } });
    for (const protocol of ['mqtts', 'https'] as const) {
      const wrong = await RawClient.connect(t, server.port(protocol));
      wrong.socket.write(connectPacket('plain'));
      await wrong.closed;
      const silent = await RawClient.connect(t, server.port(protocol));
      await silent.closed;
    }
    await connectClient(t, server.url('mqtts'), { rejectUnauthorized: false });
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

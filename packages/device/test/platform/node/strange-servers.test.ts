/** What an app in Node hears when its URL names the port of another protocol: real servers, on free ports. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { memoryStorage, openLine, type DeviceError, type Line } from '../../../src/platform/node/index.js';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../../test/fixtures/${name}`, import.meta.url), 'utf8');

async function portOf(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** The warnings of a line, and why its first attempt has failed. */
async function firstFailure(t: TestContext, url: string) {
  const warnings: DeviceError[] = [];
  const line: Line = openLine({
    url,
    deviceId: 'd1',
    storage: memoryStorage(),
    onWarning: (warning) => warnings.push(warning),
  });
  t.after(() => line.close());
  for await (const status of line.statuses()) if (status.kind === 'waiting') break;
  return { warnings: warnings.map(({ code, message }) => `${code}: ${message}`), line };
}

test('HTTP, SSH and what greets with other words are told at once, and by what it looks like', async (t) => {
  const http = await portOf(t, createHttpServer());
  const ssh = await portOf(
    t,
    createServer((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')),
  );
  const mail = await portOf(
    t,
    createServer((socket) => socket.write('220 mail.example.org\r\n')),
  );
  for (const [port, advice] of [
    [http, `; it looks like HTTP: use ws://127.0.0.1:${http}/mqtt, or the port of MQTT`],
    [ssh, '; it looks like SSH: use the port of MQTT'],
    [mail, "; it says '220 mail.example.org': check host and port"],
  ] as const) {
    const { warnings } = await firstFailure(t, `mqtt://127.0.0.1:${port}`);
    assert.deepEqual(warnings, [`NOT_MQTT: what answers at 127.0.0.1:${port} is not MQTT${advice}`]);
  }
});

test('a port of TLS without TLS, and one of MQTT with it, are told', async (t) => {
  const options = { key: fixture('server.key.pem'), cert: fixture('server.cert.pem') };
  const tls = await portOf(t, createTlsServer(options));
  const plain = await firstFailure(t, `mqtt://127.0.0.1:${tls}`);
  assert.match(
    `${String(plain.line.lastError)}`,
    new RegExp(`(?:it looks like TLS: |if its port is one of TLS, )use mqtts://127\\.0\\.0\\.1:${tls}$`),
  );
  const http = await portOf(t, createHttpServer());
  const secure = await firstFailure(t, `mqtts://127.0.0.1:${http}`);
  await assert.rejects(secure.line.online({ timeout: 1 }), {
    code: 'NOT_CONNECTED',
    message: new RegExp(`the port speaks no TLS: use mqtt://127\\.0\\.0\\.1:${http}, or the port of TLS`),
  });
});

test('whoever ends the connection without a word is told so', async (t) => {
  const port = await portOf(
    t,
    createServer((socket) => socket.end()),
  );
  const { line, warnings } = await firstFailure(t, `mqtt://127.0.0.1:${port}`);
  assert.match(String(line.lastError), /ended the connection without an answer; if its port is one of TLS/);
  assert.deepEqual(warnings, []);
});

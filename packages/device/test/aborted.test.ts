/** The line where signals are those of React Native: aborted or not, with listeners, and nothing else. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import * as net from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket, WebSocketServer } from 'ws';
import { openLineWith } from '../src/api.js';
import { abortReason, throwIfAborted } from '../src/aborted.js';
import { tcpSocketTransport } from '../src/platform/react-native/tcp-socket.js';
import { webSocketTransport, type WebSocketConstructor } from '../src/transports/web-socket.js';
import { fakeParts, settled } from './line/fake-parts.js';
import { RecordingHandler } from './transports/transport-behaviour.js';

class OldSignal {
  aborted = false;
  readonly #listeners = new Set<() => void>();

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }

  abort(): void {
    this.aborted = true;
    for (const listener of this.#listeners) listener();
  }
}

class OldController {
  readonly signal = new OldSignal() as unknown as AbortSignal;
  abort(): void {
    (this.signal as unknown as OldSignal).abort();
  }
}

const { AbortController: modern } = globalThis;
beforeEach(() => {
  globalThis.AbortController = OldController;
});
afterEach(() => {
  globalThis.AbortController = modern;
});

test('an old signal has an AbortError for a reason, a new one its own', () => {
  const old = new OldController();
  throwIfAborted(undefined);
  throwIfAborted(old.signal);
  old.abort();
  assert.throws(() => throwIfAborted(old.signal), { name: 'AbortError' });
  assert.equal(abortReason(AbortSignal.abort('enough')), 'enough');
});

test('a line connects, and its waits end', async () => {
  const parts = fakeParts();
  const line = openLineWith({ url: 'fake://server', deviceId: 'd1', keepalive: 'none' }, parts);
  await line.online();
  parts.server.isAnswering = false;
  const controller = new OldController();
  const { signal } = controller;
  const loop = line.messages({ signal });
  const waits = [line.publish('a', 'x', { signal }), line.subscribe('b', { signal })];
  await settled();
  controller.abort();
  for (const wait of waits) await assert.rejects(wait, { name: 'AbortError' });
  await assert.rejects(line.online({ signal }), { name: 'AbortError' });
  await assert.rejects(line.push.unsubscribe('news', { signal }), { name: 'AbortError' });
  assert.equal((await loop.next()).done, true);
  await line.close();
});

test('the transports of React Native open, and give up', async () => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  const server = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await Promise.all([once(sockets, 'listening'), once(server, 'listening')]);
  const module = {
    createConnection: (options: net.NetConnectOpts, callback: () => void) =>
      net.createConnection(options, callback),
    connectTLS: () => assert.fail(),
  };
  for (const [transport, url] of [
    [webSocketTransport(WebSocket as unknown as WebSocketConstructor), `ws://127.0.0.1:${portOf(sockets)}`],
    [tcpSocketTransport(module as never), `mqtt://127.0.0.1:${portOf(server)}`],
  ] as const) {
    const { signal } = new OldController();
    const connection = await transport.open(new URL(url), new RecordingHandler(), signal);
    await connection.close();
    const controller = new OldController();
    const opening = transport.open(new URL(url), new RecordingHandler(), controller.signal);
    controller.abort();
    await assert.rejects(opening, { name: 'AbortError' });
    await assert.rejects(transport.open(new URL(url), new RecordingHandler(), controller.signal), {
      name: 'AbortError',
    });
  }
  for (const client of sockets.clients) client.terminate();
  await Promise.all([new Promise((done) => sockets.close(done)), new Promise((done) => server.close(done))]);
});

test('nothing else asks a signal for what an old one has not', () => {
  const source = fileURLToPath(new URL('../../src/', import.meta.url));
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' });
  const asking = files.filter((file) => {
    const text = file.endsWith('.ts') ? readFileSync(`${source}${file}`, 'utf8') : '';
    return /signal[?!]?\.(?:reason|throwIfAborted)\b|AbortSignal\.(?:any|timeout|abort)\b/.test(text);
  });
  assert.deepEqual(asking, ['aborted.ts']);
});

function portOf(server: { address(): AddressInfo | string | null }): number {
  return (server.address() as AddressInfo).port;
}

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  configOf,
  connackBytes,
  connectClient,
  connectPacket,
  Inbox,
  listener,
  RawClient,
  startTestServer,
} from './harness.js';

describe('limits at the door', () => {
  it('more connections than one address may have are closed, and one that ends makes room', async (t) => {
    const server = await startTestServer(t, { connectionsPerAddressMax: 2 });
    const clients = [];
    for (let index = 0; index < 2; index += 1) {
      const client = await RawClient.connect(t, server.port('mqtt'));
      client.socket.write(connectPacket(`device-${index}`));
      assert.deepEqual(await client.take(4), connackBytes);
      clients.push(client);
    }
    await (
      await RawClient.connect(t, server.port('mqtt'))
    ).closed;
    clients[0]!.socket.end();
    await clients[0]!.closed;
    // The server may hear of the end a moment after us.
    for (;;) {
      const client = await RawClient.connect(t, server.port('mqtt'));
      client.socket.write(connectPacket('device-2'));
      if ((await client.take(4)).equals(connackBytes)) break;
    }
  });

  it('connects beyond the rate of one address are closed', async (t) => {
    const server = await startTestServer(
      t,
      { connectsPerSecondPerAddressMax: 1, listeners: [listener('http')] },
      { limits: { connectBurstSeconds: 3 } },
    );
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => RawClient.connect(t, server.port('http'))),
    );
    let closed = 0;
    await new Promise<void>((resolve) => {
      for (const client of clients) void client.closed.then(() => (closed += 1) === 10 && resolve());
    });
  });

  it('10,000 connects without CONNECT leave a working server', { timeout: 180_000 }, async (t) => {
    const server = await startTestServer(t, { handshakesMax: 1_000 });
    const before = await connectClient(t, server.url('mqtt'), { clientId: 'before' });
    const parameters = [String(server.port('mqtt')), '10000', '1000'];
    const flood = fork(join(import.meta.dirname, 'connect-flood.js'), parameters);
    t.after(() => flood.kill());
    const [done] = (await once(flood, 'message')) as [{ open: number }];
    assert.ok(done.open <= 1_000, `${done.open} are still open`);
    await before.publishAsync('a', 'b', { qos: 1 });
    const after = await connectClient(t, server.url('mqtt'), { clientId: 'after' });
    await after.publishAsync('a', 'b', { qos: 1 });
  });

  it('a connection that sends nothing, or its CONNECT byte by byte, is closed in time', async (t) => {
    // The good client at the end has as much, however busy the machine is.
    const mqtt = { ...configOf('').mqtt, connectTimeoutMs: 2_000 };
    const server = await startTestServer(
      t,
      { mqtt, listeners: [listener('mqtt')] },
      { limits: { sweepMs: 50 } },
    );
    const silent = await RawClient.connect(t, server.port('mqtt'));
    const slow = await RawClient.connect(t, server.port('mqtt'));
    const bytes = connectPacket('a-rather-long-client-id-for-a-slow-client');
    let next = 0;
    const drip = setInterval(() => slow.socket.write(bytes.subarray(next, (next += 1))), 100);
    t.after(() => clearInterval(drip));
    await Promise.all([silent.closed, slow.closed]);
    assert.equal(slow.received.length, 0);
    await connectClient(t, server.url('mqtt'));
  });

  it('HTTP headers and bodies that come too slowly are ended', async (t) => {
    const limits = { httpHeadersMs: 2_000, httpRequestMs: 4_000, httpKeepAliveMs: 2_000 };
    const server = await startTestServer(t, { listeners: [listener('http')] }, { limits });
    const head = await RawClient.connect(t, server.port('http'));
    head.socket.write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-');
    const drip = setInterval(() => head.socket.write('a'), 50);
    t.after(() => clearInterval(drip));
    const body = await RawClient.connect(t, server.port('http'));
    body.socket.write(
      'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nab',
    );
    await Promise.all([head.closed, body.closed]);
    assert.match(head.received.toString(), /^HTTP\/1\.1 408/);
    assert.match(body.received.toString(), /^HTTP\/1\.1 408/);
    const large = await RawClient.connect(t, server.port('http'));
    large.socket.write(`GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Large: ${'a'.repeat(20_000)}\r\n\r\n`);
    await large.closed;
    assert.match(large.received.toString(), /^HTTP\/1\.1 431/);
  });

  it(
    'a subscriber that does not read is ended, and the others get everything',
    { timeout: 180_000 },
    async (t) => {
      const limits = { stallMs: 500, sweepMs: 50, unsentBytesMax: 64 * 1024 };
      const listeners = [listener('mqtt'), listener('http')];
      const server = await startTestServer(t, { listeners }, { limits });
      const stuck = await RawClient.connect(t, server.port('mqtt'));
      stuck.socket.write(connectPacket('stuck'));
      assert.deepEqual(await stuck.take(4), connackBytes);
      // SUBSCRIBE to `flood` with QoS 0.
      stuck.socket.write(Buffer.from([0x82, 10, 0, 1, 0, 5, ...Buffer.from('flood'), 0]));
      await stuck.take(5);
      stuck.socket.pause();
      const reader = await connectClient(t, server.url('mqtt'), { clientId: 'reader' });
      const inbox = new Inbox(reader);
      await reader.subscribeAsync('flood', { qos: 1 });
      const sender = await connectClient(t, server.url('mqtt'), { clientId: 'sender' });
      const body = Buffer.alloc(64 * 1024);
      // The stuck client does not notice its end, for it does not read: the server says how many there are.
      for (let flows = 3; flows === 3;) {
        await sender.publishAsync('flood', body, { qos: 1 });
        await inbox.take(1);
        const statistics = await fetch(`${server.url('http')}/v1/statistics`);
        ({ flows } = (await statistics.json()) as { flows: number });
      }
    },
  );
});

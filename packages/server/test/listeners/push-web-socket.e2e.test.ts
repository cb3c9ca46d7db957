import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { WebSocket } from 'ws';
import type { ClientOptions } from 'ws';
import { listener, startTestServer } from './harness.js';
import type { TestServer } from './harness.js';

const channelID = '11111111-1111-4111-8111-111111111111';

interface Frame {
  readonly uaid: string;
  readonly pushEndpoint: string;
  readonly version: string;
}

const webpush = { broadcastsFile: undefined, newAgentsPerAddressMax: 2, newAgentsMax: 100 } as const;

/** A WebSocket whose hello was answered, and what comes next on it. */
async function connect(
  t: TestContext,
  server: TestServer,
  protocol: 'http' | 'https',
  options: ClientOptions = {},
): Promise<{ readonly webSocket: WebSocket; readonly uaid: string; readonly next: () => Promise<Frame> }> {
  const url = `${server.url(protocol).replace('http', 'ws')}/`;
  const webSocket = new WebSocket(url, 'push-notification', { rejectUnauthorized: false, ...options });
  t.after(() => webSocket.terminate());
  const frames: Frame[] = [];
  let wake = (): void => {};
  webSocket.on('message', (data: Buffer, isBinary) => {
    assert.equal(isBinary, false);
    frames.push(JSON.parse(data.toString()) as Frame);
    wake();
  });
  await once(webSocket, 'open');
  const next = async (): Promise<Frame> => {
    while (frames.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return frames.shift()!;
  };
  webSocket.send('{"messageType":"hello"}');
  const { uaid } = await next();
  assert.match(uaid, /^[0-9a-f]{32}$/);
  return { webSocket, uaid, next };
}

async function register({ webSocket, next }: Awaited<ReturnType<typeof connect>>): Promise<string> {
  webSocket.send(JSON.stringify({ messageType: 'register', channelID }));
  return (await next()).pushEndpoint;
}

describe('the push WebSocket', () => {
  it('[WP-15] is pinged after silence; answers and pings of its own keep it', async (t) => {
    const server = await startTestServer(t, {
      listeners: [listener('http')],
      webpush: { ...webpush, pingAfterMs: 1 },
    });
    const client = await connect(t, server, 'http');
    const pings = [once(client.webSocket, 'ping')];
    await pings[0];
    client.webSocket.ping();
    await once(client.webSocket, 'pong');
    await once(client.webSocket, 'ping');
    assert.match(await register(client), /^http:/);
  });

  it('[WP-8] many notifications of one turn come as text frames of their own, in order, over TLS too', async (t) => {
    for (const protocol of ['http', 'https'] as const) {
      const server = await startTestServer(t, { listeners: [listener(protocol)] });
      const client = await connect(t, server, protocol);
      const endpoint = await register(client);
      if (protocol === 'https') {
        assert.match(endpoint, /^https:/);
        continue;
      }
      const statuses = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const headers = { ttl: '60', 'content-encoding': 'aes128gcm' };
          // A line feed in the content is none of the frame's.
          const response = await fetch(endpoint, { method: 'POST', headers, body: `a\nb ${index}` });
          return response.status;
        }),
      );
      assert.ok(statuses.every((status) => status === 201));
      for (let sequence = 1; sequence <= 50; sequence += 1) {
        assert.equal((await client.next()).version.split('.')[1], String(sequence));
      }
    }
  });

  it('[WP-14] an address gets so many new user agents; who has a channel comes back all the same', async (t) => {
    const server = await startTestServer(t, {
      listeners: [listener('http')],
      webpush: { ...webpush, pingAfterMs: undefined },
    });
    const client = await connect(t, server, 'http');
    await register(client);
    await connect(t, server, 'http');
    const url = `${server.url('http').replace('http', 'ws')}/`;
    const third = new WebSocket(url, 'push-notification');
    third.on('open', () => third.send('{"messageType":"hello"}'));
    const [code, reason] = (await once(third, 'close')) as [number, Buffer];
    assert.deepEqual([code, reason.toString()], [1013, 'quota-exceeded']);
    client.webSocket.terminate();
    const again = new WebSocket(url, 'push-notification');
    t.after(() => again.terminate());
    again.on('open', () => again.send(JSON.stringify({ messageType: 'hello', uaid: client.uaid })));
    const [data] = (await once(again, 'message')) as [Buffer];
    assert.equal((JSON.parse(data.toString()) as Frame).uaid, client.uaid);
  });

  it('a user agent needs no credential where devices do, and a page of any origin may be one', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('http')], anonymousDevices: false });
    const client = await connect(t, server, 'http', { origin: 'https://app.example' });
    assert.match(await register(client), /^http:/);
  });
});

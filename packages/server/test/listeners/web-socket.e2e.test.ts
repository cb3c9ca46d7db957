import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { WebSocket } from 'ws';
import type { ClientOptions } from 'ws';
import { connackBytes, connectPacket, encode, listener, RawClient, startTestServer } from './harness.js';
import type { TestServer } from './harness.js';

const listeners = [listener('http'), listener('mqtt')];

function openWebSocket(
  t: TestContext,
  server: TestServer,
  protocols: string[] = ['mqtt'],
  options: ClientOptions = {},
  path = '/mqtt',
): WebSocket {
  const url = server.url('http').replace('http', 'ws') + path;
  const webSocket = new WebSocket(url, protocols, options);
  webSocket.on('error', () => {});
  t.after(() => webSocket.terminate());
  return webSocket;
}

/** Status of the answer that refuses the upgrade. */
async function refusal(webSocket: WebSocket): Promise<number | undefined> {
  const [, response] = (await once(webSocket, 'unexpected-response')) as [unknown, { statusCode?: number }];
  return response.statusCode;
}

describe('MQTT over WebSocket', () => {
  for (const [version, connack] of [
    [4, connackBytes],
    [5, undefined],
  ] as const) {
    it(`[MQTT5 6.0.0-1, 6.0.0-2, 6.0.0-4] [MQTT3 6.0.0-1, 6.0.0-2, 6.0.0-4] the subprotocol is mqtt; packets of version ${version} may be split over binary messages and share one`, async (t) => {
      const server = await startTestServer(t, { listeners });
      const webSocket = openWebSocket(t, server, ['other', 'mqtt']);
      await once(webSocket, 'open');
      assert.equal(webSocket.protocol, 'mqtt');
      const bytes = Buffer.concat([connectPacket('split', version), encode({ cmd: 'pingreq' })]);
      webSocket.send(bytes.subarray(0, 5));
      webSocket.send(bytes.subarray(5, 9));
      webSocket.send(bytes.subarray(9));
      const pong = Buffer.from([0xd0, 0]);
      let received = Buffer.alloc(0);
      while (!received.subarray(-2).equals(pong)) {
        const [data, isBinary] = (await once(webSocket, 'message')) as [Buffer, boolean];
        assert.equal(isBinary, true);
        received = Buffer.concat([received, data]);
      }
      assert.equal(received[0], 0x20);
      assert.deepEqual(received.subarray(0, -2), connack ?? received.subarray(0, 2 + received[1]!));
    });
  }

  it('[MQTT5 6.0.0-3] [MQTT3 6.0.0-3] without the subprotocol there is no WebSocket', async (t) => {
    const server = await startTestServer(t, { listeners });
    assert.equal(await refusal(openWebSocket(t, server, [])), 400);
    assert.equal(await refusal(openWebSocket(t, server, ['chat'])), 400);
  });

  it('[MQTT5 6.0.0-1] [MQTT3 6.0.0-1] a text message ends the connection', async (t) => {
    const server = await startTestServer(t, { listeners });
    const webSocket = openWebSocket(t, server);
    await once(webSocket, 'open');
    webSocket.send('text');
    assert.deepEqual((await once(webSocket, 'close'))[0], 1003);
  });

  it('a message larger than any packet ends the connection with 1009', async (t) => {
    const server = await startTestServer(t, { listeners });
    const webSocket = openWebSocket(t, server);
    await once(webSocket, 'open');
    webSocket.send(Buffer.alloc(2 * 1024 * 1024));
    assert.deepEqual((await once(webSocket, 'close'))[0], 1009);
  });

  it('an unfinished message before CONNECT costs no more than CONNECT may; after it, a large one is taken', async (t) => {
    const server = await startTestServer(t, { listeners });
    const early = openWebSocket(t, server);
    await once(early, 'open');
    const gone = once(early, 'close');
    early.send(Buffer.alloc(200_000), { fin: false });
    early.send(Buffer.alloc(200_000), { fin: false });
    assert.equal((await gone)[0], 1006);
    const opened = openWebSocket(t, server);
    await once(opened, 'open');
    opened.send(connectPacket('large'));
    await once(opened, 'message');
    opened.send(
      encode({ cmd: 'publish', topic: 'a', payload: Buffer.alloc(900_000), qos: 1, messageId: 1 } as Packet),
    );
    const [puback] = (await once(opened, 'message')) as [Buffer];
    assert.equal(puback[0], 0x40);
  });

  it('other paths have no WebSocket', async (t) => {
    const server = await startTestServer(t, { listeners });
    // Another protocol is spoken there.
    assert.equal(await refusal(openWebSocket(t, server, ['mqtt'], {}, '/')), 400);
    assert.equal(await refusal(openWebSocket(t, server, ['mqtt'], {}, '/mqtt/x')), 404);
  });

  it('a foreign web page cannot reach an open server on loopback; a local one can', async (t) => {
    const server = await startTestServer(t, { listeners });
    for (const origin of ['https://evil.example', 'null']) {
      assert.equal(await refusal(openWebSocket(t, server, ['mqtt'], { origin })), 403);
    }
    const rebound = { headers: { host: 'evil.example:8600' } };
    assert.equal(await refusal(openWebSocket(t, server, ['mqtt'], rebound)), 403);
    const local = openWebSocket(t, server, ['mqtt'], { origin: 'http://localhost:5173' });
    await once(local, 'open');
  });

  it('where devices need credentials, pages of any origin may connect', async (t) => {
    const server = await startTestServer(t, { listeners, anonymousDevices: false });
    await once(openWebSocket(t, server, ['mqtt'], { origin: 'https://app.example' }), 'open');
  });

  it('a malformed frame or handshake ends the connection and nothing else', async (t) => {
    const server = await startTestServer(t, { listeners });
    const port = server.port('http');
    const upgrade = `GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: mqtt\r\n`;
    const noKey = await RawClient.connect(t, port);
    noKey.socket.write(`${upgrade}\r\n`);
    await noKey.closed;
    assert.match(noKey.received.toString(), /^HTTP\/1\.1 4\d\d/);
    const badFrame = await RawClient.connect(t, port);
    badFrame.socket.write(
      `${upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    await badFrame.take(12);
    badFrame.socket.write(Buffer.alloc(64, 0xff));
    await badFrame.closed;
    await once(openWebSocket(t, server), 'open');
  });
});

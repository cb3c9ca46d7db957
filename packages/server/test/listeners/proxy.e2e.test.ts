import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';
import { connackBytes, connectPacket, listener, RawClient, startTestServer } from './harness.js';
import type { TestServer } from './harness.js';

const behindProxy = ['127.0.0.1'];

/** What the server shows as the peer of a connected device. */
async function peerOf(server: TestServer, deviceId: string): Promise<string> {
  const response = await fetch(`${server.url('http')}/v1/devices/${deviceId}`);
  return ((await response.json()) as { peer: string }).peer;
}

function headerVersion2(address: readonly number[], port: number): Buffer {
  const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
  const body = [...address, 127, 0, 0, 1, port >> 8, port & 0xff, 0x07, 0x5b];
  return Buffer.from([...signature, 0x21, 0x11, 0, body.length, ...body]);
}

describe('behind a proxy', () => {
  it('the PROXY header, in both versions, says who the peer is, however it is split', async (t) => {
    const server = await startTestServer(t, { behindProxy, listeners: [listener('mqtt'), listener('http')] });
    const headers = {
      one: Buffer.from('PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n'),
      two: headerVersion2([192, 0, 2, 8], 4712),
    };
    for (const [clientId, header] of Object.entries(headers)) {
      const client = await RawClient.connect(t, server.port('mqtt'));
      client.socket.setNoDelay(true);
      const bytes = Buffer.concat([header, connectPacket(clientId)]);
      client.socket.write(bytes.subarray(0, 10));
      client.socket.write(bytes.subarray(10, header.length + 3));
      client.socket.write(bytes.subarray(header.length + 3));
      assert.deepEqual(await client.take(4), connackBytes);
    }
    assert.equal(await peerOf(server, 'one'), '192.0.2.7:4711');
    assert.equal(await peerOf(server, 'two'), '192.0.2.8:4712');
  });

  it('header and CONNECT may come in one segment', async (t) => {
    const server = await startTestServer(t, { behindProxy });
    const client = await RawClient.connect(t, server.port('mqtt'));
    client.socket.write(Buffer.concat([headerVersion2([192, 0, 2, 9], 1), connectPacket('both')]));
    assert.deepEqual(await client.take(4), connackBytes);
  });

  it('a proxy that sends no header is closed', async (t) => {
    const server = await startTestServer(t, { behindProxy });
    const client = await RawClient.connect(t, server.port('mqtt'));
    client.socket.write(connectPacket('bare'));
    await client.closed;
    assert.equal(client.received.length, 0);
  });

  it('who is no proxy may not send a header', async (t) => {
    const server = await startTestServer(t, { behindProxy: ['192.0.2.1'] });
    const liar = await RawClient.connect(t, server.port('mqtt'));
    liar.socket.write(Buffer.concat([headerVersion2([192, 0, 2, 9], 1), connectPacket('liar')]));
    await liar.closed;
    const direct = await RawClient.connect(t, server.port('mqtt'));
    direct.socket.write(connectPacket('direct'));
    assert.deepEqual(await direct.take(4), connackBytes);
  });

  it('a public plain listener takes connections from the proxy only', async (t) => {
    const open = { ...listener('mqtt'), isLoopback: false };
    const openHttp = { ...listener('http'), isLoopback: false };
    const server = await startTestServer(t, { behindProxy: ['192.0.2.1'], listeners: [open, openHttp] });
    await (
      await RawClient.connect(t, server.port('mqtt'))
    ).closed;
    await (
      await RawClient.connect(t, server.port('http'))
    ).closed;
  });

  it('TLS follows the header', async (t) => {
    const server = await startTestServer(t, {
      behindProxy,
      listeners: [listener('mqtts'), listener('http')],
    });
    const raw = await RawClient.connect(t, server.port('mqtts'));
    raw.socket.removeAllListeners('data');
    raw.socket.write('PROXY TCP4 192.0.2.7 127.0.0.1 4711 8883\r\n');
    const socket = connectTls({ socket: raw.socket, rejectUnauthorized: false });
    t.after(() => socket.destroy());
    socket.write(connectPacket('secret'));
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.deepEqual(chunk, connackBytes);
    assert.equal(await peerOf(server, 'secret'), '192.0.2.7:4711');
  });

  it('connections are counted by the address behind the proxy, also for WebSockets', async (t) => {
    const server = await startTestServer(t, {
      behindProxy,
      connectionsPerAddressMax: 1,
      listeners: [listener('mqtt'), listener('http')],
    });
    const open = async (address: number[]): Promise<RawClient> => {
      const client = await RawClient.connect(t, server.port('mqtt'));
      client.socket.write(Buffer.concat([headerVersion2(address, 1), connectPacket(`device-${address[3]}`)]));
      return client;
    };
    assert.deepEqual(await (await open([192, 0, 2, 1])).take(4), connackBytes);
    await (
      await open([192, 0, 2, 1])
    ).closed;
    assert.deepEqual(await (await open([192, 0, 2, 2])).take(4), connackBytes);
    const url = `${server.url('http').replace('http', 'ws')}/mqtt`;
    const webSocket = (address: string): WebSocket => {
      const made = new WebSocket(url, ['mqtt'], { headers: { 'x-forwarded-for': `10.9.9.9, ${address}` } });
      made.on('error', () => {});
      t.after(() => made.terminate());
      return made;
    };
    await once(webSocket('192.0.2.3'), 'open');
    await new Promise((resolve) => webSocket('192.0.2.3').on('close', resolve));
    await once(webSocket('192.0.2.4'), 'open');
  });
});

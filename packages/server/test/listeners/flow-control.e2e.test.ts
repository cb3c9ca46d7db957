/** Flow control end to end: what one subscriber that does not read costs, and who pays. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { limits } from '@wakeline/core/base';
import { runtimeLimits } from '../../src/runtime/limits.js';
import {
  connackBytes,
  connectClient,
  encode,
  Inbox,
  listener,
  RawClient,
  startTestServer,
} from './harness.js';
import type { TestServer } from './harness.js';

const listeners = [listener('mqtt'), listener('http')];

/** What the kernels of both ends may hold of one loopback connection, bytes: their usual maxima. */
const KERNEL_BYTES_MAX = 4 * 1024 * 1024 + 6 * 1024 * 1024;

/** What of the answers is looked at. */
interface Answer {
  readonly id: string;
  readonly waitingMessages: number;
  readonly inflightMessages: number;
  readonly qos0Dropped: number;
  readonly recipients: readonly { readonly stage: string; readonly reason: string | null }[];
  readonly error: { readonly code: string };
}

async function json(
  server: TestServer,
  path: string,
  body?: object,
): Promise<{ readonly status: number; readonly json: Answer }> {
  const response = await fetch(`${server.url('http')}${path}`, {
    ...(body && {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    }),
  });
  return { status: response.status, json: (await response.json()) as Answer };
}

/** A durable device that subscribes and then never reads again. */
async function stuckDevice(t: TestContext, server: TestServer, qos: 0 | 1): Promise<RawClient> {
  const client = await RawClient.connect(t, server.port('mqtt'));
  const connect = {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: `stuck${qos}`,
    clean: false,
    keepalive: 0,
  };
  client.socket.write(encode(connect as never));
  assert.deepEqual(await client.take(4), connackBytes);
  client.socket.write(
    encode({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'load', qos }] } as never),
  );
  await client.take(5);
  client.socket.pause();
  return client;
}

describe('flow control', () => {
  it(
    '[DE-26] subscribers that never read cost a bounded amount each, hold up nobody, and lose nothing',
    { timeout: 300_000 },
    async (t) => {
      const server = await startTestServer(t, { listeners }, { limits: { stallMs: 600_000 } });
      const stuck = await stuckDevice(t, server, 1);
      await stuckDevice(t, server, 0);
      const reader = await connectClient(t, server.url('mqtt'), { clientId: 'reader' });
      const inbox = new Inbox(reader);
      await reader.subscribeAsync('load', { qos: 1 });
      const sender = await connectClient(t, server.url('mqtt'));
      const bodyBytes = 100_000;
      const count = 300;
      for (let index = 0; index < count; index += 1) {
        await sender.publishAsync('load', `${index} `.padEnd(bodyBytes, '.'), { qos: 1 });
      }
      const got = await inbox.take(count);
      assert.deepEqual(
        got.map(({ text }) => parseInt(text, 10)),
        Array.from({ length: count }, (_, index) => index),
      );
      const { json: device } = await json(server, '/v1/devices/stuck1');
      assert.equal(device.waitingMessages, count);
      // Handed out: what the kernels took, what makes the socket count as full, and what the turn had on the way.
      const bytesMax = KERNEL_BYTES_MAX + runtimeLimits.unsentBytesMax + limits.turnBytesMax + 2 * bodyBytes;
      assert.ok(device.inflightMessages * bodyBytes <= bytesMax, `${device.inflightMessages} are handed out`);
      const { json: statistics } = await json(server, '/v1/statistics');
      assert.ok(statistics.qos0Dropped > 0, 'QoS 0 that cannot be taken is dropped');
      // It reads again: all of it comes, in order, as it acknowledges.
      let next = 0;
      let bytes = Buffer.alloc(0);
      const all = new Promise<void>((resolve) => {
        const handle = (chunk: Buffer): void => {
          bytes = Buffer.concat([bytes, chunk]);
          for (;;) {
            // PUBLISH: one byte, three of length, two of topic length, `load`, two of packet id.
            const packetBytes = 4 + 2 + 4 + 2 + bodyBytes;
            if (bytes.length < packetBytes) return;
            assert.equal(parseInt(bytes.toString('latin1', 12, 24), 10), next);
            stuck.socket.write(Buffer.from([0x40, 2, bytes[10]!, bytes[11]!]));
            bytes = bytes.subarray(packetBytes);
            next += 1;
            if (next === count) return resolve();
          }
        };
        stuck.handleData(handle);
      });
      stuck.socket.resume();
      await all;
    },
  );

  it('[DE-27] what no longer fits ends as dropped in its receipt, and a sender to a full device is told 429', async (t) => {
    const server = await startTestServer(t, { listeners, limits: { inboxMessagesMax: 5 } });
    const device = await connectClient(t, server.url('mqtt'), { clientId: 'away', clean: false });
    await device.subscribeAsync('news', { qos: 1 });
    await device.endAsync();
    const ids: string[] = [];
    for (let index = 0; index < 8; index += 1) {
      const { status, json: sent } = await json(server, '/v1/topics/news/messages', { body: `${index}` });
      assert.equal(status, 201, JSON.stringify(sent));
      ids.push(sent.id);
    }
    const stages = await Promise.all(
      ids.map(async (id) => (await json(server, `/v1/messages/${id}`)).json.recipients[0]!),
    );
    assert.deepEqual(
      stages.map(({ stage, reason }) => [stage, reason]),
      stages.map((_, index) => (index < 3 ? ['dropped', 'inbox full'] : ['stored', null])),
    );
    const refused = await json(server, '/v1/devices/away/messages', { body: 'one more' });
    assert.deepEqual([refused.status, refused.json.error.code], [429, 'inbox-full']);
  });
});

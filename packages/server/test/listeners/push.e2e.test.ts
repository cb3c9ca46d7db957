import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import mqtt from 'mqtt';
import type { IPublishPacket, MqttClient } from 'mqtt';
import { connectClient, listener, startTestServer } from './harness.js';
import type { TestServer } from './harness.js';

const listeners = [listener('mqtt'), listener('http')];

type Answer = { channel: string; endpoint?: string; error?: { code: string } };

/** Asks for the endpoint of a channel, and waits for the answer. */
async function endpointOf(client: MqttClient, channel: string): Promise<string> {
  const answered = new Promise<Answer>((resolve) => {
    client.on('message', function listen(topic, payload) {
      if (topic !== `$line/endpoint/${channel}`) return;
      client.off('message', listen);
      resolve(JSON.parse(payload.toString()) as Answer);
    });
  });
  await client.publishAsync('$line/endpoint', JSON.stringify({ channel }), { qos: 1 });
  const { endpoint } = await answered;
  assert(endpoint !== undefined);
  return endpoint;
}

function push(endpoint: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(endpoint, {
    method: 'POST',
    headers: { ttl: '60', 'content-encoding': 'aes128gcm', ...headers },
    body,
  });
}

const nextMessage = (client: MqttClient): Promise<void> =>
  new Promise((resolve) => client.once('message', () => resolve()));

const messages = (client: MqttClient) => {
  const found: { topic: string; text: string; packet: IPublishPacket }[] = [];
  client.on('message', (topic, payload, packet) => found.push({ topic, text: payload.toString(), packet }));
  return async (count: number): Promise<typeof found> => {
    while (found.length < count) await nextMessage(client);
    return found.splice(0);
  };
};

/** What waits for it comes with its CONNACK: it is listened for from the first. */
function comeBack(t: TestContext, server: TestServer, protocolVersion: 4 | 5) {
  const client = mqtt.connect(server.url('mqtt'), {
    clientId: 'pump',
    clean: false,
    protocolVersion,
    reconnectPeriod: 0,
  });
  t.after(() => client.endAsync(true));
  return messages(client);
}

async function device(t: TestContext, server: TestServer, clientId: string, protocolVersion: 4 | 5) {
  const client = await connectClient(t, server.url('mqtt'), {
    clientId,
    clean: false,
    protocolVersion,
    ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 3_600 } }),
  });
  await client.subscribeAsync('$line/inbox/#', { qos: 1 });
  return client;
}

describe('[PU-27] a push by HTTP reaches a program that speaks MQTT', () => {
  for (const protocolVersion of [4, 5] as const) {
    it(`version ${protocolVersion}: connected and away, in order, with how it is encrypted`, async (t) => {
      const server = await startTestServer(t, { listeners });
      const client = await device(t, server, 'pump', protocolVersion);
      const endpoint = await endpointOf(client, 'news');
      assert.equal(new URL(endpoint).origin, server.url('http'));
      assert.match(new URL(endpoint).pathname, /^\/push\/[\w-]{24}$/);
      const take = messages(client);
      const response = await push(endpoint, 'one');
      assert.equal(response.status, 201);
      const [one] = await take(1);
      assert.deepEqual([one!.topic, one!.text, one!.packet.qos], ['$line/inbox/news', 'one', 1]);
      if (protocolVersion === 5) {
        assert.deepEqual({ ...one!.packet.properties?.userProperties }, { 'content-encoding': 'aes128gcm' });
      }
      await client.endAsync();
      assert.equal((await push(endpoint, 'two')).status, 201);
      const receipt = await push(endpoint, 'three', { prefer: 'respond-async' });
      assert.equal(receipt.status, 202);
      const back = comeBack(t, server, protocolVersion);
      const rest = await back(2);
      assert.deepEqual(
        rest.map(({ text }) => text),
        ['two', 'three'],
      );
      const url = /^<(.+)>/.exec(receipt.headers.get('link')!)![1]!;
      const headers = { prefer: 'wait=20' };
      let stage = 'stored';
      while (stage !== 'acknowledged') {
        const answer = await fetch(`${url}?known=${encodeURIComponent(stage)}`, { headers });
        assert.equal(answer.status, 200);
        ({ stage } = (await answer.json()) as { stage: string });
      }
    });
  }
});

describe('the endpoint of a device', () => {
  it('[PU-4] is told to nobody else, and neither is what is pushed to it', async (t) => {
    const server = await startTestServer(t, { listeners });
    const spy = await connectClient(t, server.url('mqtt'), { clientId: 'spy', clean: false });
    const overheard: string[] = [];
    spy.on('message', (topic) => overheard.push(topic));
    await spy.subscribeAsync('#', { qos: 1 });
    const granted = await spy.subscribeAsync('$line/endpoint/+', { qos: 0 });
    assert.deepEqual(
      granted.map(({ qos }) => qos),
      [0],
    );
    await spy.subscribeAsync('$line/inbox/#', { qos: 1 });
    const client = await device(t, server, 'pump', 4);
    const endpoint = await endpointOf(client, 'news');
    const take = messages(client);
    await push(endpoint, 'secret');
    await take(1);
    await client.publishAsync('marker', 'x', { qos: 1 });
    while (!overheard.includes('marker')) await nextMessage(spy);
    assert.deepEqual(overheard, ['marker']);
    const listed = (await (await fetch(`${server.url('http')}/v1/devices/pump/endpoints`)).json()) as {
      endpoints: { id: string; channel: string }[];
    };
    assert.equal(listed.endpoints[0]!.channel, 'news');
    const shown = JSON.stringify(listed) + JSON.stringify(server.log);
    assert(!shown.includes(new URL(endpoint).pathname.slice(6)), 'the secret is in no list and in no log');
  });

  it('[PU-5] ends when the device says so, and when an operator does', async (t) => {
    const server = await startTestServer(t, { listeners });
    const client = await device(t, server, 'pump', 5);
    const one = await endpointOf(client, 'one');
    const two = await endpointOf(client, 'two');
    const take = messages(client);
    await client.publishAsync('$line/endpoint', '{"channel":"one","end":true}', { qos: 2 });
    const [answer] = await take(1);
    assert.deepEqual([answer!.topic, answer!.text], ['$line/endpoint/one', '{"channel":"one","ended":true}']);
    const gone = await push(one, 'x');
    assert.deepEqual([gone.status, gone.headers.get('cache-control')], [410, 'max-age=86400']);
    const path = `${server.url('http')}/v1/devices/pump/endpoints`;
    const { endpoints } = (await (await fetch(path)).json()) as { endpoints: { id: string }[] };
    assert.equal((await fetch(`${path}/${endpoints[0]!.id}`, { method: 'DELETE' })).status, 204);
    assert.equal((await push(two, 'x')).status, 410);
  });

  it('[PU-16] a message is taken back while its device is away', async (t) => {
    const server = await startTestServer(t, { listeners });
    const client = await device(t, server, 'pump', 4);
    const endpoint = await endpointOf(client, 'news');
    await client.endAsync();
    const { headers } = await push(endpoint, 'one');
    await push(endpoint, 'two');
    assert.equal((await fetch(headers.get('location')!, { method: 'DELETE' })).status, 204);
    assert.equal((await fetch(headers.get('location')!, { method: 'DELETE' })).status, 404);
    const back = comeBack(t, server, 4);
    assert.equal((await back(1))[0]!.text, 'two');
  });

  it('[PU-14] now or never: TTL 0', async (t) => {
    const server = await startTestServer(t, { listeners });
    const client = await device(t, server, 'pump', 4);
    const endpoint = await endpointOf(client, 'news');
    const take = messages(client);
    const response = await push(endpoint, 'now', { ttl: '0' });
    assert.deepEqual([response.status, response.headers.get('ttl')], [201, '0']);
    const [now] = await take(1);
    assert.deepEqual([now!.text, now!.packet.qos], ['now', 0]);
    await client.endAsync();
    assert.equal((await push(endpoint, 'never', { ttl: '0' })).status, 201);
    const statistics = (await (await fetch(`${server.url('http')}/v1/statistics`)).json()) as {
      waitingMessages: number;
    };
    assert.equal(statistics.waitingMessages, 0);
  });

  it('begins with the public URL, or else with https before http', async (t) => {
    const named = await startTestServer(t, { listeners, publicUrl: 'https://push.example.org/base' });
    const one = await endpointOf(await device(t, named, 'pump', 4), 'news');
    assert.match(one, /^https:\/\/push\.example\.org\/base\/push\/[\w-]{24}$/);
    const secure = await startTestServer(t, { listeners: [...listeners, listener('https')] });
    const two = await endpointOf(await device(t, secure, 'pump', 4), 'news');
    assert.equal(new URL(two).origin, secure.url('https'));
  });

  it('[PU-26] is refused where nothing could be pushed to it', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtt')] });
    const client = await device(t, server, 'pump', 4);
    const take = messages(client);
    await client.publishAsync('$line/endpoint', '{"channel":"news"}', { qos: 1 });
    const [answer] = await take(1);
    assert.equal((JSON.parse(answer!.text) as Answer).error!.code, 'endpoints-off');
  });
});

/**
 * The push WebSocket of a whole server, with real connections: what user agents get, over crashes of the server, beside
 * MQTT, under lines, and what each wrong input is answered with.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import mqtt from 'mqtt';
import type { IPublishPacket } from 'mqtt';
import { WebSocket } from 'ws';
import { webPushFrameLimits } from '@wakeline/core/wire/webpush';
import { PushClient, push, textOf } from './push-client.js';
import { processesOf, ServerProcess, temporaryDirectory, until } from './support.js';

const channel = '11111111-1111-4111-8111-111111111111';

async function startServer(
  t: TestContext,
  more: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const directory = temporaryDirectory('wakeline-webpush');
  t.after(() => directory.remove());
  const server = await ServerProcess.create(directory.path);
  t.after(() => server.kill());
  await server.start(more, environment);
  return server;
}

interface Devices {
  readonly devices: readonly {
    readonly id: string;
    readonly connected: boolean;
    readonly waitingMessages: number;
  }[];
}

async function devicesOf(server: ServerProcess): Promise<Devices['devices']> {
  return ((await (await fetch(`${server.url}/v1/devices`)).json()) as Devices).devices;
}

/** Stage of a push, by its receipt. */
async function stageOf(receipt: string): Promise<string | undefined> {
  const response = await fetch(receipt, { signal: AbortSignal.timeout(60_000) });
  const { stage } = (await response.json()) as { stage?: string };
  return stage;
}

function receiptOf(response: Response): string {
  return /<([^>]+)>/.exec(response.headers.get('link') ?? '')![1]!;
}

describe('the push WebSocket', () => {
  test('[WP-9] kill -9 between push, delivery and ack: nothing is lost, and repeats have the same version', async (t) => {
    const server = await startServer(t);
    const client = await PushClient.connect(server.url);
    const endpoint = await client.register(channel);
    assert.equal((await push(endpoint, 'live')).status, 201);
    const live = await client.notification(null);
    assert.deepEqual(
      { ...live, version: '' },
      {
        messageType: 'notification',
        channelID: channel,
        version: '',
        data: Buffer.from('live').toString('base64url'),
        headers: { encoding: 'aes128gcm' },
      },
    );
    await client.vanish();
    assert.equal((await push(endpoint, 'while away')).status, 201);
    const receipt = receiptOf(await push(endpoint, 'with a receipt', { prefer: 'respond-async' }));
    await server.kill();
    await server.start();

    const back = await PushClient.connect(server.url, client.uaid);
    assert.equal(back.uaid, client.uaid);
    const repeat = await back.notification();
    assert.deepEqual(repeat, live);
    const away = await back.notification(null);
    assert.equal(textOf(away), 'while away');
    assert.equal(textOf(await back.notification()), 'with a receipt');
    await until(
      async () => (await stageOf(receipt)) === 'acknowledged',
      60_000,
      () => 'the receipt tells of the acknowledgement',
    );
    // What is acknowledged is written with others, within 100 ms; a server that is told to stop writes it first.
    const closed = back.closed;
    await server.stop();
    assert.equal((await closed)[0], 1001);
    await server.start();
    const third = await PushClient.connect(server.url, client.uaid);
    assert.deepEqual(await third.notification(), away);
    assert.equal((await push(endpoint, 'last')).status, 201);
    assert.equal(textOf(await third.notification()), 'last');
    assert.deepEqual(third.frames, []);
    await third.vanish();
  });

  test('[WP-18] neither uaid nor endpoint is on the disk, and a device without channels is not there at all', async (t) => {
    const server = await startServer(t);
    const passing = await PushClient.connect(server.url);
    const client = await PushClient.connect(server.url);
    const endpoint = await client.register(channel);
    const secrets = [client.uaid, passing.uaid, endpoint.slice(endpoint.lastIndexOf('/') + 1)];
    await Promise.all([client.vanish(), passing.vanish()]);
    await server.stop();
    const files = (readdirSync(server.dataDirectory, { recursive: true }) as string[])
      .map((name) => join(server.dataDirectory, name))
      .filter((path) => statSync(path).isFile());
    const contents = files.map((path) => readFileSync(path));
    assert.ok(
      contents.some((content) => content.includes('agent-')),
      'the device is stored',
    );
    for (const secret of secrets) {
      assert.ok(!contents.some((content) => content.includes(secret)), 'a secret is on the disk');
    }
    await server.start();
    assert.equal((await devicesOf(server)).length, 1);
  });

  test('[WP-19] by MQTT with the uaid as password it is the same device; without, it is not', async (t) => {
    const server = await startServer(t);
    const client = await PushClient.connect(server.url);
    const endpoint = await client.register(channel);
    await client.vanish();
    const [device] = await devicesOf(server);
    await push(endpoint, 'one');

    const url = `mqtt://127.0.0.1:${server.mqttPort}`;
    const options = { clientId: device!.id, clean: false, reconnectPeriod: 0, protocolVersion: 5 } as const;
    await assert.rejects(mqtt.connectAsync(url, options), /Bad User Name or Password|Not authorized/i);
    const other = await mqtt.connectAsync(url, {
      ...options,
      username: device!.id,
      password: client.uaid,
      properties: { sessionExpiryInterval: 3_600 },
    });
    t.after(() => other.endAsync(true));
    const received: IPublishPacket[] = [];
    other.on('message', (_topic, _payload, packet) => received.push(packet));
    await other.subscribeAsync('$line/inbox/#', { qos: 1 });
    await until(
      async () => received.length === 1 && (await devicesOf(server))[0]!.waitingMessages === 0,
      60_000,
      () => 'it came by MQTT, and was acknowledged',
    );
    const [one] = received;
    assert.deepEqual([one!.topic, one!.payload.toString()], [`$line/inbox/${channel}`, 'one']);
    assert.equal(one!.properties?.userProperties?.['content-encoding'], 'aes128gcm');
    await other.endAsync();
    await push(endpoint, 'two');

    const back = await PushClient.connect(server.url, client.uaid);
    assert.equal(back.uaid, client.uaid);
    const two = await back.notification();
    assert.equal(textOf(two), 'two');
    assert.match(two.version!, /^[0-9a-f]{16}\.2$/);
    await back.vanish();
  });

  test('[WP-4] the second connection of a uaid takes over; the first is told to stay away', async (t) => {
    const server = await startServer(t);
    const first = await PushClient.connect(server.url);
    const endpoint = await first.register(channel);
    await push(endpoint, 'a');
    const sent = await first.notification(null);
    const second = await PushClient.connect(server.url, first.uaid);
    assert.deepEqual(await first.closed, [4774, 'session-taken-over']);
    assert.deepEqual(await second.notification(), sent);
    await second.vanish();
  });

  test('[WP-16] broadcasts come from the file, and a change is told to those who asked', async (t) => {
    const directory = temporaryDirectory('wakeline-broadcasts');
    t.after(() => directory.remove());
    const file = join(directory.path, 'broadcasts.yaml');
    writeFileSync(file, 'settings/changes: "1"\nother: 7\n');
    const server = await startServer(t, [], { WAKELINE_WEBPUSH_BROADCASTS: file });
    const client = await PushClient.open(server.url);
    const hello = await client.hello(undefined, { 'settings/changes': '0', unknown: '1' });
    assert.deepEqual(hello.broadcasts, { 'settings/changes': '1' });
    client.send({ messageType: 'broadcast_subscribe', broadcasts: { other: '6', nothing: '1' } });
    assert.deepEqual((await client.take('broadcast')).broadcasts, {
      other: '7',
      errors: { nothing: 'Broadcast not found' },
    });
    writeFileSync(file, 'this is: [no map of versions\n');
    process.kill(server.pid, 'SIGHUP');
    writeFileSync(file, 'settings/changes: "2"\nother: 7\n');
    process.kill(server.pid, 'SIGHUP');
    assert.deepEqual((await client.take('broadcast')).broadcasts, { 'settings/changes': '2' });
    await client.vanish();
  });

  test('[WP-12] what a device says of the messages, channels and secrets of another does nothing', async (t) => {
    const server = await startServer(t);
    const [victim, thief] = [await PushClient.connect(server.url), await PushClient.connect(server.url)];
    const endpoint = await victim.register(channel);
    await thief.register(channel);
    const receipt = receiptOf(await push(endpoint, 'secret', { prefer: 'respond-async' }));
    const notification = await victim.notification(null);
    for (const code of [100, 101, 102]) thief.ack(notification, code);
    thief.send({ messageType: 'nack', version: notification.version, code: 301 });
    thief.send({ messageType: 'unregister', channelID: channel, code: 200 });
    assert.equal((await thief.take('unregister')).status, 200);
    await thief.settle();
    assert.equal(await stageOf(receipt), 'wake sent');
    assert.equal((await push(endpoint, 'more')).status, 201);
    assert.equal(textOf(await victim.notification()), 'more');
    const impostor = await PushClient.connect(server.url, victim.uaid.toUpperCase());
    assert.notEqual(impostor.uaid, victim.uaid);
    await impostor.settle();
    assert.deepEqual([...thief.frames, ...impostor.frames], []);
    assert.equal(victim.isClosed, false);
    await Promise.all([victim, thief, impostor].map((client) => client.vanish()));
  });
});

describe('[WP-3] wrong input at the push WebSocket', () => {
  test('the handshake: subprotocols, paths and foreign pages', async (t) => {
    const server = await startServer(t);
    const refusal = async (path: string, protocols: string[], origin?: string): Promise<number> => {
      const url = server.url.replace('http', 'ws') + path;
      const webSocket = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
      webSocket.on('error', () => {});
      const [, response] = (await once(webSocket, 'unexpected-response')) as [
        unknown,
        { statusCode: number },
      ];
      webSocket.terminate();
      return response.statusCode;
    };
    assert.equal(await refusal('/', ['mqtt']), 400);
    assert.equal(await refusal('/mqtt', ['push-notification']), 400);
    assert.equal(await refusal('/push', ['push-notification']), 404);
    assert.equal(await refusal('/', ['push-notification'], 'https://evil.example'), 403);
    // KUnifiedPush offers none; Firefox says its own URL is where it comes from.
    const plain = await PushClient.open(server.url, []);
    assert.equal(plain.webSocket.protocol, '');
    assert.match((await plain.hello()).uaid!, /^[0-9a-f]{32}$/);
    const firefox = await PushClient.open(server.url, ['push-notification'], {
      origin: server.url.replace('http', 'ws'),
    });
    assert.equal(firefox.webSocket.protocol, 'push-notification');
    await Promise.all([plain.vanish(), firefox.vanish()]);
  });

  test('each ends its own connection with a close code, and no other', async (t) => {
    const server = await startServer(t);
    const bystander = await PushClient.connect(server.url);
    const endpoint = await bystander.register(channel);
    const inputs: readonly (readonly [what: string, code: number, act: (client: PushClient) => void])[] = [
      ['a hello too late', 1008, () => {}],
      ['a binary frame', 1003, ({ webSocket }) => webSocket.send(Buffer.from('{}'))],
      ['bad JSON', 1007, ({ webSocket }) => webSocket.send('{"messageType":')],
      ['no UTF-8', 1007, ({ webSocket }) => webSocket.send(Buffer.from([0x7b, 0xff]), { binary: false })],
      [
        'an oversized frame',
        1009,
        ({ webSocket }) => webSocket.send('x'.repeat(webPushFrameLimits.frameBytesMax + 1)),
      ],
      ['a register before the hello', 1002, (client) => client.send({ messageType: 'register' })],
      ['a ping before the hello', 1002, (client) => client.send({})],
      [
        'an unknown message type',
        1002,
        (client) => void client.hello().then(() => client.send({ messageType: 'x' })),
      ],
      [
        'a second hello',
        1002,
        (client) => void client.hello().then(() => client.send({ messageType: 'hello' })),
      ],
      [
        'an ack of nothing',
        1002,
        (client) => void client.hello().then(() => client.send({ messageType: 'ack' })),
      ],
      [
        'pings too often',
        4774,
        (client) =>
          void client.hello().then(() => {
            client.send({});
            client.send({});
          }),
      ],
    ];
    const results = await Promise.all(
      inputs.map(async ([what, , act]) => {
        const client = await PushClient.open(server.url);
        act(client);
        return [what, (await client.closed)[0]];
      }),
    );
    assert.deepEqual(
      results,
      inputs.map(([what, code]) => [what, code]),
    );
    await push(endpoint, 'a');
    assert.equal(textOf(await bystander.notification()), 'a');
    await bystander.vanish();
  });

  test('[WP-6] a register that is wrong is answered with its status, and the connection stays', async (t) => {
    const server = await startServer(t);
    const client = await PushClient.connect(server.url);
    for (const [frame, status] of [
      [{ messageType: 'register', channelID: 'x' }, 400],
      [{ messageType: 'register', channelID: channel.toUpperCase().replaceAll('1', 'A') }, 400],
      [{ messageType: 'register', channelID: channel, key: 'AAAA' }, 400],
      [{ messageType: 'unregister', channelID: 'x' }, 400],
      [{ messageType: 'unregister', channelID: channel }, 200],
    ] as const) {
      client.send(frame);
      const answer = await client.take(frame.messageType);
      assert.deepEqual([answer.channelID, answer.status], [frame.channelID, status]);
    }
    assert.match(await client.register(channel), /^http/);
    await client.vanish();
  });
});

describe('the push WebSocket under lines', () => {
  const COUNT = 300;

  test(`[WP-20] the hub killed and replaced under ${COUNT} user agents: none closed, nothing lost or repeated`, async (t) => {
    const server = await startServer(t, ['--lines', '2']);
    const clients: PushClient[] = [];
    const endpoints: string[] = [];
    for (let start = 0; start < COUNT; start += 50) {
      const batch = await Promise.all(Array.from({ length: 50 }, () => PushClient.connect(server.url)));
      endpoints.push(...(await Promise.all(batch.map((client) => client.register(channel)))));
      clients.push(...batch);
    }
    const [owing, passing] = [clients[0]!, await PushClient.connect(server.url)];
    await push(endpoints[0]!, 'owed');
    const owed = await owing.notification(null);
    const before = await Promise.all(
      endpoints.slice(1, 21).map(async (endpoint, index) => (await push(endpoint, `before ${index}`)).status),
    );
    assert.ok(before.every((status) => status === 201));
    await Promise.all(clients.slice(1, 21).map((client) => client.notification()));

    const { hub } = processesOf(server);
    process.kill(hub, 'SIGKILL');
    await until(
      async () => {
        const now = processesOf(server).hub;
        if (now === 0 || now === hub) return false;
        const response = await fetch(`${server.url}/readyz`).catch(() => undefined);
        return response?.status === 200;
      },
      60_000,
      () => 'there is a hub again',
    );
    // It had no channel, so the new hub knows nothing of it: it is to come again.
    assert.deepEqual(await passing.closed, [1012, 'session-lost']);
    const after = await Promise.all(
      endpoints.map(async (endpoint, index) => (await push(endpoint, `after ${index}`)).status),
    );
    assert.ok(after.every((status) => status === 201));
    const received = await Promise.all(clients.map((client) => client.notification()));
    assert.deepEqual(
      received.map(textOf),
      clients.map((_, index) => `after ${index}`),
    );
    assert.equal(clients.filter(({ isClosed }) => isClosed).length, 0);
    // What was under way is acknowledged at the new hub, and a new channel is got from it.
    owing.ack(owed);
    const other = '22222222-2222-4222-8222-222222222222';
    await push(await owing.register(other), 'to the other');
    assert.equal(textOf(await owing.notification()), 'to the other');
    await owing.settle();
    assert.deepEqual(
      clients.flatMap(({ frames }) => frames),
      [],
      'nothing came twice',
    );

    const second = processesOf(server).hub;
    process.kill(server.pid, 'SIGUSR2');
    await until(
      async () => {
        const now = processesOf(server).hub;
        if (now === 0 || now === second) return false;
        const response = await fetch(`${server.url}/readyz`).catch(() => undefined);
        return response?.status === 200;
      },
      60_000,
      () => 'there is a third hub',
    );
    assert.equal(clients.filter(({ isClosed }) => isClosed).length, 0);
    await push(endpoints[1]!, 'at the third hub');
    assert.equal(textOf(await clients[1]!.notification()), 'at the third hub');
    await owing.vanish();
    const back = await PushClient.connect(server.url, owing.uaid);
    await back.settle();
    assert.deepEqual(back.frames, [], 'what was acknowledged is not sent again');
    await Promise.all([...clients, back].map((client) => client.vanish()));
  });
});

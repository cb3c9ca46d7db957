/** The server leaves in good order whatever it is doing, and what it acknowledged is there when it comes back. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { ByteWriter } from '@wakeline/core/base';
import { encodePacket, noProperties } from '@wakeline/core/wire/mqtt';
import { lastingConnect } from './lasting-connect.js';
import { LedgerClient } from './ledger-client.js';
import { PATIENCE_MS, startWakeline } from './program.js';
import type { Program } from './program.js';
import { freePort, isToBeRepeated, sleep, temporaryDirectory, until } from './support.js';

/** What docs/cli.md promises, ms. */
const LEAVE_MS_MAX = 10_000;
const SUBSCRIBERS = 50;
const SENDERS = 6;
const STUCK = 5;
const POSTERS = 4;
/** Publications of one sender under way. */
const WINDOW = 100;
/** Body of a message: enough of them to fill the socket of a reader that does not read. */
const PADDING = '.'.repeat(2_000);

interface Ports {
  readonly data: string;
  readonly mqtt: number;
  readonly http: number;
}

async function withServer(
  run: (ports: Ports, start: () => Promise<Program>) => Promise<void>,
): Promise<void> {
  const directory = temporaryDirectory('wakeline-shutdown');
  const ports = { data: directory.path, mqtt: await freePort(), http: await freePort() };
  const started: Program[] = [];
  const start = async (): Promise<Program> => {
    const listen = [`mqtt://127.0.0.1:${ports.mqtt}`, `http://127.0.0.1:${ports.http}`];
    const { server } = await startWakeline([
      '--data',
      ports.data,
      ...listen.flatMap((url) => ['--listen', url]),
    ]);
    started.push(server);
    return server;
  };
  try {
    await run(ports, start);
  } finally {
    for (const server of started) await server.end();
    directory.remove();
  }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends an idle server with exit code 0, and devices that are connected are told`, async () => {
    await withServer(async (ports, start) => {
      const server = await start();
      const device = new LedgerClient('idle', ports.mqtt);
      assert(await device.connect());
      server.signal(signal);
      const end = await server.ended;
      assert.equal(end.code, 0, end.stderr);
      await until(
        () => !device.isConnected,
        PATIENCE_MS,
        () => 'the device is told',
      );
      device.destroy();
    });
  });
}

test('a second signal ends the server at once with exit code 130, and loses nothing that was acknowledged', async () => {
  await withServer(async (ports, start) => {
    const server = await start();
    const sender = new LedgerClient('sender', ports.mqtt);
    const device = new LedgerClient('device', ports.mqtt);
    assert(await device.connect());
    await device.subscribe([{ filter: 'news', qos: 1 }]);
    device.destroy();
    // Keeps the server from leaving at once.
    const stuck = await connectStuck('stuck', ports.mqtt, 'news');
    assert(await sender.connect());
    for (let index = 0; index < 5_000; index++) sender.publish('news', `${index} ${PADDING}`, 1);
    await until(
      () => sender.sent.some(({ isAccepted }) => isAccepted),
      PATIENCE_MS,
      () => 'some are acknowledged',
    );
    server.signal('SIGTERM');
    server.signal('SIGINT');
    const end = await server.ended;
    assert.equal(end.code, 130, end.stderr);
    await until(
      () => !sender.isConnected,
      PATIENCE_MS,
      () => 'the sender sees the end',
    );
    const acknowledged = sender.sent.filter(({ isAccepted }) => isAccepted).map(({ body }) => body);

    stuck.destroy();
    const again = await start();
    assert(await device.connect());
    assert(device.sessionPresent);
    await allReceived(device, acknowledged);
    device.destroy();
    sender.destroy();
    assert.equal((await again.end('SIGTERM')).code, 0);
  });
});

test(`[IN-17] SIGTERM under load: gone within ${LEAVE_MS_MAX / 1_000} s with exit code 0, and all acknowledged messages are there`, async (t) => {
  await withServer(async (ports, start) => {
    const server = await start();
    const devices = range(SUBSCRIBERS).map((index) => new LedgerClient(`d${index}`, ports.mqtt));
    const senders = range(SENDERS).map((index) => new LedgerClient(`s${index}`, ports.mqtt));
    for (const [index, device] of devices.entries()) {
      assert(await device.connect());
      await device.subscribe([{ filter: `dev/${device.id}`, qos: index % 2 === 0 ? 1 : 2 }]);
    }
    const stuck: Socket[] = [];
    for (const index of range(STUCK)) stuck.push(await connectStuck(`stuck${index}`, ports.mqtt, 'dev/#'));
    for (const sender of senders) assert(await sender.connect());

    const load = { isOver: false, next: 0 };
    const posted: { readonly body: string; readonly device: string }[] = [];
    const working = [
      ...senders.map((sender) => publishUntilOver(sender, load)),
      ...range(POSTERS).map(() => postUntilOver(ports.http, load, posted)),
    ];
    const accepted = (): number =>
      senders.flatMap(({ sent }) => sent.filter((each) => each.isAccepted)).length;
    await until(
      () => accepted() > 3_000 && posted.length > 50,
      PATIENCE_MS,
      () => `${accepted()} accepted, ${posted.length} posted`,
    );
    const startMs = performance.now();
    server.signal('SIGTERM');
    const end = await server.ended;
    const tookMs = performance.now() - startMs;
    load.isOver = true;
    await Promise.all(working);
    for (const socket of stuck) socket.destroy();
    assert.equal(end.code, 0, end.stderr);
    assert(tookMs < LEAVE_MS_MAX, `it took ${tookMs} ms`);
    assert.doesNotMatch(end.stderr, /"level":"(error|fatal)"/);
    t.diagnostic(
      `${accepted()} acknowledged and ${posted.length} answered with 201; gone after ${Math.round(tookMs)} ms`,
    );

    // What the books say at this point, before anything is sent again.
    const expected = new Map<string, string[]>(devices.map(({ id }) => [id, []]));
    for (const sender of senders)
      for (const { topic, body, isAccepted } of sender.sent)
        if (isAccepted) expected.get(topic.slice('dev/'.length))!.push(body);
    for (const { device, body } of posted) expected.get(device)!.push(body);

    const again = await start();
    for (const client of [...devices, ...senders]) {
      client.destroy();
      assert(await client.connect());
      assert(client.sessionPresent || senders.includes(client), `${client.id} has its session`);
    }
    for (const device of devices) await allReceived(device, expected.get(device.id)!);
    // The readers that never read have everything waiting for them.
    const revived = new LedgerClient('stuck0', ports.mqtt);
    assert(await revived.connect());
    await allReceived(revived, [...expected.values()].flat());
    await until(
      () => senders.every(({ open }) => open.size === 0),
      PATIENCE_MS,
      () => 'what was not acknowledged is acknowledged now',
    );
    const sentOnce = new Set(
      senders.flatMap(({ sent }) => sent.filter(({ qos }) => qos === 2).map(({ body }) => body)),
    );
    for (const [index, device] of devices.entries()) {
      assert.equal(device.fault, undefined);
      if (index % 2 === 0) continue;
      // QoS 2 from end to end: never twice.
      const taken = device.taken.map(({ body }) => body).filter((body) => sentOnce.has(body));
      assert.equal(new Set(taken).size, taken.length, `${device.id} took a message twice`);
    }
    for (const client of [...devices, ...senders, revived]) client.destroy();
    assert.equal((await again.end('SIGTERM')).code, 0);
  });
});

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** A subscriber that reads its SUBACK and then nothing ever again. */
async function connectStuck(clientId: string, port: number, filter: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const writer = new ByteWriter();
  encodePacket(writer, lastingConnect(clientId), 4);
  const options = { noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  encodePacket(
    writer,
    {
      type: 'subscribe',
      packetId: 1,
      properties: noProperties,
      subscriptions: [{ filter, qos: 1, ...options }],
    },
    4,
  );
  socket.on('error', () => {});
  socket.write(writer.take());
  let bytes = 0;
  // CONNACK has 4 bytes, SUBACK 5.
  while (bytes < 9) bytes += ((await once(socket, 'data')) as [Buffer])[0].length;
  socket.removeAllListeners('data');
  socket.pause();
  return socket;
}

interface Load {
  isOver: boolean;
  next: number;
}

async function publishUntilOver(sender: LedgerClient, load: Load): Promise<void> {
  while (!load.isOver && sender.isConnected) {
    while (sender.open.size < WINDOW) {
      const number = load.next++;
      sender.publish(
        `dev/d${number % SUBSCRIBERS}`,
        `${sender.id} ${number} ${PADDING}`,
        number % 3 === 0 ? 2 : 1,
      );
    }
    await sleep(1);
  }
}

async function postUntilOver(
  port: number,
  load: Load,
  posted: { body: string; device: string }[],
): Promise<void> {
  while (!load.isOver) {
    const number = load.next++;
    const device = `d${number % SUBSCRIBERS}`;
    const body = `http ${number} ${PADDING}`;
    try {
      const response = await fetch(`http://127.0.0.1:${port}/v1/topics/dev/${device}/messages`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain' },
        body,
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      await response.text();
      if (response.status === 201) posted.push({ body, device });
      else assert(isToBeRepeated(response.status), `${response.status}`);
    } catch (error) {
      // The server has left.
      if (!(error instanceof TypeError)) throw error;
      await sleep(20);
    }
  }
}

async function allReceived(device: LedgerClient, bodies: readonly string[]): Promise<void> {
  const missing = (): readonly string[] => {
    const received = new Set(device.received.map(({ body }) => body));
    return bodies.filter((body) => !received.has(body));
  };
  await until(
    () => device.received.length >= bodies.length && missing().length === 0,
    PATIENCE_MS,
    () =>
      `${device.id}: ${missing().length} of ${bodies.length} acknowledged messages are missing, ` +
      `${missing()[0]?.slice(0, 20)} the first`,
  );
}

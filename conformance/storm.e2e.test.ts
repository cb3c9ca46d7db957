/**
 * Several senders, 200 devices of which about half are away, and a server that is killed again and again. At the
 * end the books of all clients are compared: what was acknowledged arrived, and nothing repeats but as MQTT allows.
 *
 * Short by default; WAKELINE_LONG=1 makes it 50,000 publications and 20 kills. WAKELINE_SEED picks the run.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import { LedgerClient } from './ledger-client.js';
import { isToBeRepeated, processesOf, ServerProcess, sleep, temporaryDirectory, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const PUBLICATIONS = isLong ? 50_000 : 6_000;
const KILLS = isLong ? 20 : 5;
const DEVICES = 200;
const MQTT_SENDERS = 5;
const HTTP_SENDERS = 8;
/** Of the publications, those posted by HTTP. */
const POSTS = PUBLICATIONS / 5;
const WINDOW = 40;
const seed = Number(process.env['WAKELINE_SEED'] ?? 1);

interface HttpSent {
  readonly body: string;
  readonly deviceId: string;
  readonly toInbox: boolean;
}

for (const lines of [0, 2]) {
  const where = lines === 0 ? 'in one process' : `with ${lines} lines`;
  test(`[IN-17] ${PUBLICATIONS} publications and ${KILLS} kills ${where}, seed ${seed}: all acknowledged ones arrive`, (t) =>
    run(lines, t.diagnostic.bind(t)));
}

async function run(lines: number, diagnostic: (message: string) => void): Promise<void> {
  const prng = new Prng(seed);
  const directory = temporaryDirectory('wakeline-storm');
  const server = await ServerProcess.create(directory.path);
  const devices = Array.from(
    { length: DEVICES },
    (_, index) => new LedgerClient(`d${index}`, server.mqttPort),
  );
  const senders = Array.from(
    { length: MQTT_SENDERS },
    (_, index) => new LedgerClient(`s${index}`, server.mqttPort),
  );
  try {
    await server.start(['--lines', String(lines)]);
    for (const [index, device] of devices.entries()) {
      assert(await device.connect());
      const qos = index % 2 === 0 ? 1 : 2;
      await device.subscribe([
        { filter: `dev/${device.id}/#`, qos },
        { filter: 'all', qos },
        { filter: '$line/inbox/#', qos: 1 },
      ]);
    }
    await storm(prng, server, lines, devices, senders, diagnostic);
  } finally {
    for (const client of [...devices, ...senders]) client.destroy();
    await server.kill();
    directory.remove();
  }
}

async function storm(
  prng: Prng,
  server: ServerProcess,
  lines: number,
  devices: readonly LedgerClient[],
  senders: readonly LedgerClient[],
  diagnostic: (message: string) => void,
): Promise<void> {
  let isOver = false;
  let published = 0;
  let posted = 0;
  const bodies = { next: 0 };
  const newBody = (): string => `m${bodies.next++}`;
  const acceptedByHttp: HttpSent[] = [];

  /** Keeps a client connected; devices leave now and then. */
  const keep = async (client: LedgerClient, leaves: boolean): Promise<void> => {
    while (!isOver) {
      if (!client.isConnected) {
        if (leaves) await sleep(prng.nextInteger(0, 1_500));
        if (!(await client.connect())) await sleep(50);
      } else if (leaves && prng.nextInteger(0, 3) === 0) client.destroy();
      else await sleep(prng.nextInteger(50, 600));
    }
  };
  const publishAll = async (sender: LedgerClient): Promise<void> => {
    while (published - posted < PUBLICATIONS - POSTS) {
      if (!sender.isConnected || sender.open.size >= WINDOW) {
        await sleep(5);
        continue;
      }
      published++;
      const target = devices[prng.nextInteger(0, devices.length - 1)];
      const topic = prng.nextInteger(0, 199) === 0 ? 'all' : `dev/${target.id}/${prng.nextInteger(0, 2)}`;
      sender.publish(topic, newBody(), prng.nextInteger(0, 1) === 0 ? 1 : 2);
    }
  };
  const postAll = async (): Promise<void> => {
    while (posted < POSTS) {
      posted++;
      published++;
      const deviceId = devices[prng.nextInteger(0, devices.length - 1)].id;
      const sent = { body: newBody(), deviceId, toInbox: prng.nextInteger(0, 1) === 0 };
      await post(server, sent);
      acceptedByHttp.push(sent);
    }
  };
  const killer = async (): Promise<number> => {
    let kills = 0;
    for (; kills < KILLS; kills++) {
      const isDue = (PUBLICATIONS * (kills + 0.5)) / KILLS;
      await until(
        () => published >= isDue,
        600_000,
        () => `${published} published`,
      );
      await sleep(prng.nextInteger(0, 150));
      // Of a server with lines: the hub, a line, everything, in turn.
      const part = lines === 0 ? 2 : kills % 3;
      if (part === 2) {
        await server.kill();
        await server.start(['--lines', String(lines)]);
        continue;
      }
      const processes = processesOf(server);
      const victim = part === 0 ? processes.hub : processes.lines[prng.nextInteger(0, lines - 1)];
      // It may just be being started again.
      if (victim !== undefined && victim > 0) process.kill(victim, 'SIGKILL');
    }
    return kills;
  };

  const keeping = [
    ...devices.map((device) => keep(device, true)),
    ...senders.map((sender) => keep(sender, false)),
  ];
  const publishing = [...senders.map(publishAll), ...Array.from({ length: HTTP_SENDERS }, postAll)];
  const kills = await killer();
  await Promise.all(publishing);
  await until(
    () => senders.every(({ open }) => open.size === 0),
    60_000,
    () => `unanswered: ${senders.map(({ open }) => open.size).join(' ')}`,
  );
  isOver = true;
  await Promise.all(keeping);
  for (const device of devices) if (!device.isConnected) assert(await device.connect());
  await until(
    () => nothingWaits(server),
    60_000,
    () => 'messages still wait',
  );
  // Acknowledged is acknowledged: after one more restart nothing comes again but what QoS 2 still owes.
  await sleep(300);
  diagnostic(
    `${published} publications, ${kills} kills, ${acceptedByHttp.length} by HTTP, ` +
      `${devices.reduce((sum, { received }) => sum + received.length, 0)} deliveries`,
  );
  for (const device of devices) checkDevice(device, devices, senders, acceptedByHttp);
}

async function post(server: ServerProcess, { body, deviceId, toInbox }: HttpSent): Promise<void> {
  const path = toInbox ? `/v1/devices/${deviceId}/messages` : `/v1/topics/dev/${deviceId}/http/messages`;
  const key = createHash('sha256').update(body).digest('hex');
  for (;;) {
    try {
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream', 'idempotency-key': key },
        body,
        signal: AbortSignal.timeout(5_000),
      });
      const answer = await response.text();
      if (response.status === 201) return;
      if (!isToBeRepeated(response.status)) throw new Error(`${path}: ${response.status} ${answer}`);
    } catch (error) {
      // The server is being killed under us; any other failure is the test's.
      if (!(error instanceof TypeError) && (error as Error).name !== 'TimeoutError') throw error;
    }
    await sleep(50);
  }
}

async function nothingWaits(server: ServerProcess): Promise<boolean> {
  const response = await fetch(`${server.url}/v1/statistics`);
  assert.equal(response.status, 200);
  const { waitingMessages } = (await response.json()) as { waitingMessages: number };
  return waitingMessages === 0;
}

function checkDevice(
  device: LedgerClient,
  devices: readonly LedgerClient[],
  senders: readonly LedgerClient[],
  byHttp: readonly HttpSent[],
): void {
  const { id } = device;
  assert.equal(device.fault, undefined, `${id}: ${device.fault}`);
  // Fewer than 65,535 messages: the packet id is the sequence number.
  const bodyOf = new Map<number, string>();
  const numbersOf = new Map<string, Set<number>>();
  const lastConnectionOf = new Map<number, number>();
  for (const { packetId, body, dup, connection } of device.received) {
    const known = bodyOf.get(packetId);
    assert(known === undefined || known === body, `${id}: number ${packetId} means ${known} and ${body}`);
    const last = lastConnectionOf.get(packetId);
    if (last !== undefined) {
      assert(dup, `${id}: number ${packetId} came again without DUP`);
      assert(connection > last, `${id}: number ${packetId} came twice on one connection`);
    }
    lastConnectionOf.set(packetId, connection);
    bodyOf.set(packetId, body);
    numbersOf.set(body, (numbersOf.get(body) ?? new Set()).add(packetId));
  }
  const numbers = [...bodyOf.keys()].sort((a, b) => a - b);
  assert.equal(numbers.at(-1) ?? 0, numbers.length, `${id}: numbers are dense`);

  const timesTaken = new Map<string, number>();
  for (const { body } of device.taken) timesTaken.set(body, (timesTaken.get(body) ?? 0) + 1);
  const deviceQos = devices.indexOf(device) % 2 === 0 ? 1 : 2;
  for (const sender of senders) {
    const lastNumber = new Map<string, number>();
    for (const sent of sender.sent) {
      if (sent.topic !== 'all' && !sent.topic.startsWith(`dev/${id}/`)) continue;
      const got = numbersOf.get(sent.body);
      assert(got !== undefined, `${id}: ${sent.body} (QoS ${sent.qos}, acknowledged) never came`);
      if (sent.qos === 2) {
        assert.equal(got.size, 1, `${id}: ${sent.body} with QoS 2 was stored once`);
        if (deviceQos === 2) assert.equal(timesTaken.get(sent.body), 1, `${id}: ${sent.body} was taken once`);
      } else
        assert(
          got.size <= sent.times,
          `${id}: ${sent.body} was sent ${sent.times}, stored ${got.size} times`,
        );
      // Order within a topic is the order of acceptance; what was sent once cannot have been overtaken.
      if (sent.times > 1) continue;
      const key = `${sent.topic} ${sent.qos}`;
      const number = Math.min(...got);
      assert(number > (lastNumber.get(key) ?? 0), `${id}: ${sent.body} was overtaken on ${sent.topic}`);
      lastNumber.set(key, number);
    }
  }
  for (const { body, deviceId } of byHttp) {
    if (deviceId !== id) continue;
    assert.equal(numbersOf.get(body)?.size, 1, `${id}: ${body} (201) came under one number`);
  }
}

/**
 * The load of one measurement, in a process of its own: devices register, application servers push. Takes its order as
 * JSON in its only argument, prints figures as JSON.
 *
 * `{ mode: 'accept' | 'latency', port, pids, devices, connections, tokens: 'none' | 'kept' | 'fresh', … }`; `pids` are
 * the server's, for its CPU time. `tokens`: pushes carry none; one for each application server; one of their own. `isNull`:
 * the server only answers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { cpuSeconds } from '../mqtt/processes.mjs';
import { connectDevices } from './devices.mjs';
import { makeBody, readNumber, writeNumber } from './push-body.mjs';
import { PushConnection, requestHead } from './push-connection.mjs';
import { ApplicationServer } from './vapid.mjs';

const APPLICATION_SERVERS = 8;
/** Longest that a measurement waits for what is under way, ms. */
const PATIENCE_MS = 30_000;

const order = JSON.parse(process.argv[2]);
const body = makeBody();
const applicationServers = Array.from({ length: APPLICATION_SERVERS }, () => new ApplicationServer());
const ownerOf = (index) => applicationServers[index % APPLICATION_SERVERS];
const keyOf = (index) => (order.tokens === 'none' ? undefined : ownerOf(index).publicKey);

/** Sends pushes one after the other on each connection, until there are none left; resolves when all are answered. */
async function sendAll(connections, count, requestOf) {
  let next = 0;
  const work = async (connection) => {
    while (next < count) {
      const status = await connection.send(requestOf(next++));
      if (status !== 201) throw new Error(`a push was answered with ${status}`);
    }
  };
  await Promise.all(connections.map(work));
}

function openConnections() {
  return Promise.all(Array.from({ length: order.connections }, () => PushConnection.open(order.port)));
}

/** The heads of requests to each endpoint, and what is put before a body when each push has a token of its own. */
function makeRequests(endpoints, count) {
  const audience = new URL(endpoints[0]).origin;
  if (order.tokens === 'fresh') {
    return Array.from({ length: count }, (_, index) => {
      const device = index % endpoints.length;
      const authorization = ownerOf(device).authorization(audience);
      return Buffer.concat([requestHead(endpoints[device], body.length, authorization), body]);
    });
  }
  const kept = applicationServers.map((server) =>
    order.tokens === 'none' ? undefined : server.authorization(audience),
  );
  return endpoints.map((endpoint, index) =>
    Buffer.concat([requestHead(endpoint, body.length, kept[index % APPLICATION_SERVERS]), body]),
  );
}

async function registerAndLeave() {
  const devices = await connectDevices(order.port, order.devices, keyOf, () => {});
  await Promise.all(devices.map((device) => device.leave()));
  return devices.map(({ endpoint }) => endpoint);
}

/** The null server has no devices. */
function inventedEndpoints() {
  return Array.from({ length: order.devices }, (_, index) => `http://127.0.0.1:${order.port}/p/${index}`);
}

/** Pushes to devices that are away: how many are accepted each second. */
async function accept() {
  const endpoints = order.isNull ? inventedEndpoints() : await registerAndLeave();
  const { warmUp, count } = order;
  const requests = makeRequests(endpoints, warmUp + count);
  const connections = await openConnections();
  await sendAll(connections, warmUp, (index) => requests[index % requests.length]);
  const serverBefore = await cpuSeconds(order.pids);
  const ownBefore = process.cpuUsage();
  const begin = performance.now();
  await sendAll(connections, count, (index) => requests[(warmUp + index) % requests.length]);
  const seconds = (performance.now() - begin) / 1000;
  const own = process.cpuUsage(ownBefore);
  const serverSeconds = (await cpuSeconds(order.pids)) - serverBefore;
  for (const connection of connections) connection.close();
  return {
    pushesPerSecond: count / seconds,
    serverCpuUsPerPush: (serverSeconds * 1e6) / count,
    loadCpuUsPerPush: (own.user + own.system) / count,
    accepted: warmUp + count,
  };
}

/** Pushes by the clock to devices that are connected: from the moment when each was due until its device has it. */
async function latency() {
  const { warmUp, count, perSecond } = order;
  const total = warmUp + count;
  const dueMs = new Float64Array(total);
  const tookMs = new Float64Array(total).fill(Number.NaN);
  let arrived = 0;
  let repeats = 0;
  const devices = await connectDevices(order.port, order.devices, keyOf, (data) => {
    const number = readNumber(data);
    if (Number.isNaN(tookMs[number])) arrived++;
    else repeats++;
    tookMs[number] = performance.now() - dueMs[number];
  });
  const requests = makeRequests(
    devices.map(({ endpoint }) => endpoint),
    total,
  );
  const requestOf = (number) => {
    // A device chosen by a step that is prime to their count: neighbours in time are not neighbours in memory.
    const request = requests[(number * 7_919) % requests.length];
    writeNumber(request.subarray(request.length - body.length), number);
    return Buffer.from(request);
  };
  const hasArrived = async (wanted) => {
    for (let waitedMs = 0; arrived < wanted && waitedMs < PATIENCE_MS; waitedMs += 20) await delay(20);
  };
  const connections = await openConnections();
  // As fast as a few connections go: what runs for the first time would hold up what is due by the clock.
  await sendAll(connections.slice(0, 8), warmUp, requestOf);
  await hasArrived(warmUp);
  const serverBefore = await cpuSeconds(order.pids);
  const lateMs = [];
  const idle = [...connections];
  const waiting = [];
  const answers = [];
  const send = async (number, connection) => {
    const status = await connection.send(requestOf(number));
    if (status !== 201) throw new Error(`a push was answered with ${status}`);
    if (waiting.length > 0) await send(waiting.shift(), connection);
    else idle.push(connection);
  };
  const begin = performance.now() + 20;
  for (let number = warmUp; number < total; number++) {
    const due = begin + ((number - warmUp) * 1000) / perSecond;
    dueMs[number] = due;
    for (let left = due - performance.now(); left > 0; left = due - performance.now()) {
      // The last bit awake: a timer is a millisecond late.
      if (left > 2) await delay(left - 2);
      else await new Promise((resolve) => setImmediate(resolve));
    }
    lateMs.push(performance.now() - due);
    // In turn, so that the server closes none because nothing came on it for long.
    const connection = idle.shift();
    if (connection === undefined) waiting.push(number);
    else answers.push(send(number, connection));
  }
  await Promise.all(answers);
  await hasArrived(total);
  const serverSeconds = (await cpuSeconds(order.pids)) - serverBefore;
  for (const device of devices) device.destroy();
  for (const connection of connections) connection.close();
  const measured = tookMs.subarray(warmUp).filter((value) => !Number.isNaN(value));
  measured.sort();
  lateMs.sort((x, y) => x - y);
  const at = (values, share) => values[Math.min(values.length - 1, Math.floor(values.length * share))];
  return {
    latencyMsP50: at(measured, 0.5),
    latencyMsP99: at(measured, 0.99),
    latencyMsP999: at(measured, 0.999),
    latencyMsMax: at(measured, 1),
    sendLateMsP99: at(lateMs, 0.99),
    serverCpuUsPerPush: (serverSeconds * 1e6) / count,
    pushesLost: total - arrived,
    pushesRepeated: repeats,
  };
}

const modes = { accept, latency };
const figures = await modes[order.mode]();
console.log(JSON.stringify(figures));
process.exit(0);

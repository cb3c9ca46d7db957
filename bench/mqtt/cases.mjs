/**
 * What is measured. A case gets a fresh server with an empty directory for each round and returns figures; names of
 * figures end in their unit. `servers` says which take part (default: all brokers), `rounds` how often at most,
 * `isApart` that server and generator get CPUs of their own.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { firstConnack } from './first-connack.mjs';

const BROKERS = ['wakeline', 'mosquitto', 'aedes', 'aedes-memory'];
const DURABLE = ['wakeline', 'mosquitto'];

/** Percentiles of a run, and what it cost. */
const rateFigures = (result) => ({
  messagesPerSecond: result.messagesPerSecond,
  serverCpuSecondsPerMillion: result.serverCpuSecondsPerMillion,
  generatorCpuUsPerMessage: result.generatorCpuUsPerMessage,
  ...(result.latencyMsP50 === undefined
    ? {}
    : { latencyMsP50: result.latencyMsP50, latencyMsP99: result.latencyMsP99 }),
  messagesLost: result.lost,
  outOfOrder: result.outOfOrder,
  duplicates: result.duplicates,
});

/**
 * What a server loses or disorders is a figure, not an end; nor does one that stands still stop the others for long. Two
 * seconds warm up: what a compiler at run time has not seen by then is seldom.
 */
const LENIENT = { timeout: 15, 'warm-up': 2 };

const latencyFigures = (result) => ({
  latencyMsP50: result.latencyMsP50,
  latencyMsP99: result.latencyMsP99,
  latencyMsP999: result.latencyMsP999,
  latencyMsMax: result.latencyMsMax,
  sendLateMsP99: result.sendLateMsP99,
  serverCpuSecondsPerMillion: result.serverCpuSecondsPerMillion,
});

function pairs(name, title, publishers, subscribers, window) {
  return {
    name,
    title,
    group: 'throughput',
    figure: 'messagesPerSecond',
    run: async ({ load, seconds }) =>
      rateFigures(
        await load(
          'pairs',
          { publishers, subscribers, window, seconds: seconds(5), ...LENIENT },
          { mayLose: true },
        ),
      ),
  };
}

function latency(qos, isApart = false) {
  return {
    name: `latency-qos${qos}${isApart ? '-apart' : ''}`,
    title: `wake latency, QoS ${qos}, 1,000 messages/s, 10,000 idle${isApart ? ', CPUs apart' : ''}`,
    group: 'latency',
    figure: 'latencyMsP99',
    servers: [...BROKERS, 'node-synced'],
    isApart,
    run: async ({ load, seconds }) =>
      latencyFigures(await load('latency', { connections: 10_000, rate: 1_000, qos, seconds: seconds(10) })),
  };
}

function fanout(qos) {
  return {
    name: `fanout-qos${qos}`,
    title: `one to 5,000, QoS ${qos}`,
    group: 'fan-out',
    figure: 'deliveriesPerSecond',
    run: async ({ load, isQuick }) => {
      const result = await load('fanout', { subscribers: 5_000, qos, publications: isQuick ? 5 : 20 });
      return {
        deliveriesPerSecond: result.deliveriesPerSecond,
        lastMsP50: result.lastMsP50,
        eachMsP50: result.eachMsP50,
        serverCpuSecondsPerMillion: result.serverCpuSecondsPerMillion,
      };
    },
  };
}

function idleMemory(name, title, isTls, steps) {
  return {
    name,
    title,
    group: 'memory',
    figure: 'bytesPerConnection',
    servers: [...BROKERS, 'node'],
    rounds: 2,
    isTls,
    run: async ({ server, idle, isQuick }) => {
      const counts = isQuick ? steps.slice(0, 3) : steps;
      const before = await server.settledBytes();
      const devices = idle(counts[0]);
      const figures = { residentBytes0: before };
      try {
        for (const count of counts) {
          await devices.connect(count);
          figures[`residentBytes${count}`] = await server.settledBytes();
        }
      } finally {
        await devices.end();
      }
      // The first half pays for what a server loads and grows only once: code, and space for young objects.
      const [first, last] = [counts[Math.floor(counts.length / 2)], counts.at(-1)];
      const grown = figures[`residentBytes${last}`] - figures[`residentBytes${first}`];
      return { bytesPerConnection: grown / (last - first), ...figures };
    },
  };
}

/** One run at each number of connections, for the plot. */
function scale(connections) {
  return {
    name: `scale-${connections}`,
    title: `wake latency, QoS 1, ${connections.toLocaleString('en')} idle`,
    group: 'scale',
    figure: 'latencyMsP99',
    servers: [...DURABLE, 'node-synced'],
    rounds: 2,
    run: async ({ load, seconds }) =>
      latencyFigures(await load('latency', { connections, rate: 1_000, qos: 1, seconds: seconds(6) })),
  };
}

/** Fills inboxes, ends the server, starts it again, and looks for what it was given. */
function restart(name, title, isKilled) {
  return {
    name,
    title,
    group: 'restart',
    figure: 'readyMs',
    servers: DURABLE,
    rounds: 1,
    run: async ({ server, load, generator, isQuick }) => {
      const messages = isQuick ? 100_000 : 1_000_000;
      const devices = isQuick ? 1_000 : 10_000;
      const filled = await load('absent', { devices, messages, window: 1_000, 'warm-up': 0 });
      await delay(500);
      const begin = performance.now();
      await (isKilled ? server.kill() : server.stop());
      const stopMs = performance.now() - begin;
      const connackAfter = performance.now();
      const readyMs = await server.launch();
      await firstConnack(server.port, 'load-d0');
      const connackMs = performance.now() - connackAfter;
      await delay(1_000);
      const pids = (await server.pids()).join(',');
      const residentBytes = await server.settledBytes();
      const options = { devices, expect: messages, port: server.port, 'server-pid': pids, timeout: 10 };
      const drained = await generator.run('drain', options, { mayLose: true });
      return {
        fillMessagesPerSecond: filled.messagesPerSecond,
        ...(isKilled ? {} : { stopMs }),
        readyMs,
        connackMs,
        residentBytes,
        sessionsLost: devices - drained.sessionsPresent,
        messagesLost: drained.lost,
        drainMessagesPerSecond: drained.messagesPerSecond,
      };
    },
  };
}

function stuck(qos, count) {
  return {
    name: `stuck-qos${qos}-${count}`,
    title: `one to 900 readers, QoS ${qos}, ${count === 0 ? 'nobody stuck' : `${count} stuck beside them`}`,
    group: 'stuck',
    figure: 'latencyMsP99',
    servers: DURABLE,
    rounds: 2,
    run: async ({ load, seconds }) => {
      // 900 hear in both runs, so that both have the same work; 40 KB/s for each fill a stuck one's buffers soon.
      const options = { subscribers: 900 + count, stuck: count, qos, rate: 5, payload: 8_000 };
      const result = await load('stuck', { ...options, seconds: seconds(10), timeout: 20 });
      return { ...latencyFigures(result), stuckClosedByServer: result.stuckClosedByServer };
    },
  };
}

export const cases = [
  pairs('four-to-four', '4 → 4, window 100', 4, 4, 100),
  pairs('fifty-to-fifty', '50 → 50, window 20', 50, 50, 20),
  pairs('four-to-thousand', '4 → 1,000, window 100', 4, 1_000, 100),
  {
    name: 'absent',
    title: 'to 10,000 absent devices',
    group: 'throughput',
    figure: 'messagesPerSecond',
    run: async ({ load, seconds }) =>
      rateFigures(
        await load(
          'absent',
          { devices: 10_000, publishers: 4, window: 100, seconds: seconds(5), ...LENIENT },
          { mayLose: true },
        ),
      ),
  },
  {
    name: 'connects',
    title: 'connects, 100 at once',
    group: 'connects',
    figure: 'connectsPerSecond',
    servers: [...BROKERS, 'node'],
    run: async ({ load, isQuick }) => {
      const result = await load('connects', { connections: isQuick ? 2_000 : 10_000 });
      return {
        connectsPerSecond: result.connectsPerSecond,
        serverCpuSecondsPerMillion: result.serverCpuSecondsPerMillion,
      };
    },
  },
  fanout(1),
  fanout(0),
  latency(1),
  latency(0),
  latency(0, true),
  idleMemory('idle-tcp', 'idle connection, TCP', false, [1_000, 2_000, 5_000, 10_000, 15_000]),
  idleMemory('idle-tls', 'idle connection, TLS', true, [1_000, 2_000, 5_000]),
  // 10,000 is `latency-qos1`.
  ...[1_000, 2_500, 5_000, 15_000].map(scale),
  restart('restart-killed', '1,000,000 waiting, kill -9, start', true),
  restart('restart-stopped', '1,000,000 waiting, stop, start', false),
  ...[1, 0].flatMap((qos) => [stuck(qos, 0), stuck(qos, 100)]),
];

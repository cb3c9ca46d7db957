/**
 * What a sleeping box costs and how fast it wakes, with ten boxes asleep beside 5,000 unrelated connections on loopback.
 *
 *   node bench/sleepbox-cost.mjs [--boxes 10] [--connections 5000] [--seconds 10] [--wakes 20] [--watcher auto] [--json]
 *
 * Each box is a process of its own, as on the command line. CPU is user and system time of everything a box runs
 * besides its program (the box itself, the helper, the guardian), from /proc/<pid>/stat. Latency is from the server's
 * write to the program's answer (and, apart from it, what the box itself reports: noticed to running).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const self = fileURLToPath(import.meta.url);
const ticksPerSecond = 100; // USER_HZ, the same on every Linux

const roles = { holder, box, program };
await (roles[process.argv[2]] ?? main)();

async function main() {
  const { values } = parseArgs({
    options: {
      boxes: { type: 'string', default: '10' },
      connections: { type: 'string', default: '5000' },
      seconds: { type: 'string', default: '10' },
      wakes: { type: 'string', default: '20' },
      watcher: { type: 'string', default: 'auto' },
      json: { type: 'boolean', default: false },
    },
  });
  const [boxes, connections, seconds, wakes] = ['boxes', 'connections', 'seconds', 'wakes'].map((key) =>
    Number(values[key]),
  );
  const root = mkdtempSync(join(tmpdir(), 'sbc-'));
  const children = [];
  try {
    // Unrelated connections: each holder has both ends of its share, below the limit of descriptors.
    for (let left = connections; left > 0; left -= 5_000) {
      const child = fork(self, ['holder', String(Math.min(left, 5_000))]);
      children.push(child);
      await once(child, 'message');
    }
    const peers = [];
    const server = createServer((socket) => {
      socket.setNoDelay(true).on('error', () => {});
      peers.push(socket);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const running = [];
    for (let i = 0; i < boxes; i++) {
      const child = fork(self, ['box', String(server.address().port), root, values.watcher]);
      children.push(child);
      const state = { child, asleep: 0, latencies: [] };
      child.on('message', (message) => {
        if (message.services) Object.assign(state, message);
        if (message.asleep) state.asleep++;
        if (message.latencyMs !== undefined) state.latencies.push(message.latencyMs);
      });
      running.push(state);
    }
    while (!running.every((state) => state.asleep > 0)) await delay(50);

    const pids = running.map((state) => [state.child.pid, ...state.services]);
    const before = pids.map((list) => list.map(cpuTicks));
    await delay(seconds * 1_000);
    const percents = pids.map((list, i) => {
      const ticks = list.reduce((sum, pid, j) => sum + cpuTicks(pid) - before[i][j], 0);
      return (100 * ticks) / ticksPerSecond / seconds;
    });

    const answers = [];
    for (let i = 0; i < wakes; i++) {
      for (const peer of peers) {
        const at = performance.now();
        peer.write('x');
        await once(peer, 'data');
        answers.push(performance.now() - at);
      }
      const wanted = i + 2;
      while (!running.every((state) => state.asleep >= wanted)) await delay(20);
    }
    const noticed = running.flatMap((state) => state.latencies);
    const result = {
      bench: 'sleepbox-cost',
      node: process.version,
      boxes,
      connections,
      seconds,
      watcher: running[0].watcher,
      cpuPercentPerBox: { mean: mean(percents), max: round(Math.max(...percents)) },
      wakeToAnswerMs: { p50: quantile(answers, 0.5), p99: quantile(answers, 0.99), count: answers.length },
      noticedToRunningMs: {
        p50: quantile(noticed, 0.5),
        p99: quantile(noticed, 0.99),
        count: noticed.length,
      },
    };
    if (values.json) console.log(JSON.stringify(result));
    else {
      console.log(
        `${boxes} boxes asleep beside ${connections} connections, watcher ${result.watcher}, ${seconds} s`,
      );
      console.log(
        `CPU per box      ${result.cpuPercentPerBox.mean} % of a core, at most ${result.cpuPercentPerBox.max} %`,
      );
      console.log(
        `write to answer  ${result.wakeToAnswerMs.p50} ms median, ${result.wakeToAnswerMs.p99} ms p99`,
      );
      console.log(
        `noticed to run   ${result.noticedToRunningMs.p50} ms median, ${result.noticedToRunningMs.p99} ms p99`,
      );
    }
    server.close();
    for (const peer of peers) peer.destroy();
  } finally {
    for (const child of children) if (child.connected) child.disconnect();
    await Promise.all(children.map((child) => (child.exitCode === null ? once(child, 'exit') : undefined)));
    rmSync(root, { recursive: true, force: true });
  }
}

/** Holds both ends of so many loopback connections. */
async function holder() {
  const held = [];
  const server = createServer((socket) => held.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  for (let i = 0; i < Number(process.argv[3]); i++) {
    const socket = connect(server.address().port, '127.0.0.1');
    held.push(socket);
    await once(socket, 'connect');
  }
  process.send({ held: held.length });
  process.once('disconnect', () => process.exit(0));
}

/** One box in a process of its own. */
async function box() {
  const { Sleepbox } = await import('../packages/sleepbox/dist/src/index.js');
  const [, , , port, root, watcher] = process.argv;
  const one = new Sleepbox({
    command: [process.execPath, self, 'program', port],
    windowMs: 5_000, // ten programs start at once; later the program says done
    watcher,
    runtimeDirectory: join(root, 'run'),
  });
  const tell = (message) => process.connected && process.send(message, () => {}); // the bench may be over
  let usedWatcher = watcher;
  one.on('event', (event) => {
    if (event.type === 'start') usedWatcher = event.watcher;
    if (event.type === 'launch') tell({ services: one.servicePids, watcher: usedWatcher });
    if (event.type === 'asleep') tell({ asleep: true });
    if (event.type === 'wake') tell({ latencyMs: event.latencyMs });
  });
  process.once('disconnect', () => void one.stop());
  await one.start();
  await one.finished;
  process.exit(0);
}

/** The program in the box: answers each byte and is done. */
function program() {
  const control = connect(process.env.SLEEPBOX_SOCKET).on('error', () => {});
  const socket = connect(Number(process.argv[3]), '127.0.0.1');
  const answer = (bytes) => {
    socket.write(bytes);
    control.write('{"cmd":"done"}\n');
  };
  socket.on('data', answer).on('error', () => {});
  socket.on('close', () => process.exit(0));
}

function cpuTicks(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const words = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(words[11]) + Number(words[12]);
}

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

function mean(values) {
  return round(values.reduce((sum, value) => sum + value, 0) / values.length);
}

function round(value) {
  return Math.round(value * 1_000) / 1_000;
}

#!/usr/bin/env node
/**
 * The MQTT link beside what a user would pick instead: Wakeline, mosquitto, aedes with and without a disk, and bare
 * Node sockets, in turn, on the same work, in one run. See bench/README.md. Needs a build (`npm run build`).
 *
 *     node bench/mqtt.mjs [--only CASE,...] [--servers NAME,...] [--rounds 3] [--quick] [--json]
 */
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cases } from './mqtt/cases.mjs';
import { availableServers, chosen, parseOptions } from './mqtt/command-line.mjs';
import { measureDisk } from './mqtt/disk.mjs';
import { Generator } from './mqtt/generator.mjs';
import { plot } from './mqtt/plot.mjs';
import {
  buildGenerator,
  cpusApart,
  freePort,
  makeDirectory,
  removeDirectory,
  runToEnd,
} from './mqtt/processes.mjs';
import { formatCeiling, formatFigure, formatReport } from './mqtt/report.mjs';
import { diskOf, machine, summariesOf, versionsOf } from './mqtt/run-record.mjs';
import { RunningServer, servers, whyMissing } from './mqtt/servers.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));
const HELP = `node bench/mqtt.mjs [option]...

  --only CASE,...      only these cases, or groups of them
  --servers NAME,...   only these servers
  --rounds N           rounds of each case; medians are told (3)
  --in-flight N        messages that a server may have under way to one subscriber (1000)
  --up='--lines 2'     more flags for wakeline up
  --quick              short cases, to see that all works; figures are not to be quoted
  --directory DIR      where servers keep their data: a real disk (${tmpdir()})
  --results DIR        where a JSON line is added and the plot is written (bench/results)
  --plot               only draws the plot again, from the last line
  --generator          only builds the load generator, and prints its path
  --json               the JSON line on stdout instead of the table
  --list               cases and servers

Servers: ${Object.keys(servers).join(', ')}.
`;

const options = parseOptions('bench/mqtt', {
  only: { type: 'string' },
  servers: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  'in-flight': { type: 'string', default: '1000' },
  up: { type: 'string', default: '' },
  quick: { type: 'boolean', default: false },
  directory: { type: 'string', default: tmpdir() },
  results: { type: 'string', default: join(bench, 'results') },
  plot: { type: 'boolean', default: false },
  generator: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
});

/** What must not outlive this process: the server that runs, and the directory of all. */
const held = { server: undefined, base: undefined };

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, async () => {
    await held.server?.kill();
    if (held.base !== undefined) await removeDirectory(held.base);
    process.exit(code);
  });
}

const isTerminal = process.stderr.isTTY === true;

function log(line) {
  process.stderr.write(isTerminal ? `\r\x1b[K${line}\n` : `${line}\n`);
}

/** The generator's own progress: shown in passing. */
function logPassing(line) {
  if (isTerminal) process.stderr.write(`\r\x1b[K  ${line.slice(0, 100)}`);
}

function count(name) {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} wants a number from 1`);
  return value;
}

/** Whether Wakeline did all it was asked to: others may fail, it may not. */
function isWhole(run) {
  return Object.values(run.results).every(({ wakeline = {} }) => {
    const { failed, messagesLost = 0, outOfOrder = 0, sessionsLost = 0 } = wakeline;
    return failed === undefined && messagesLost + outOfOrder + sessionsLost === 0;
  });
}

/** A certificate for this run, of a key type that mosquitto and Node both take. */
async function makeCertificate(directory) {
  const tls = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', tls.key];
  const result = await runToEnd('openssl', [
    'req',
    '-x509',
    '-days',
    '2',
    ...subject,
    ...key,
    '-out',
    tls.cert,
  ]);
  if (result.code !== 0) throw new Error(`openssl made no certificate: ${result.stderr}`);
  return tls;
}

/** One case, one server, one round: figures, or `failed` with the reason. */
async function runOne(item, name, round, setting) {
  const { generator, base, tls, inFlight, isQuick, upFlags } = setting;
  const directory = await makeDirectory(base);
  const cpus = item.isApart ? cpusApart() : undefined;
  let server;
  try {
    const serverSetup = {
      name,
      directory,
      port: await freePort(),
      inFlight,
      upFlags,
      tls: item.isTls ? tls : undefined,
      cpus: cpus?.server,
    };
    server = new RunningServer(serverSetup);
    held.server = server;
    await server.launch();
    const load = async (mode, more, tolerance) => {
      const pids = (await server.pids()).join(',');
      const options = { port: server.port, 'server-pid': pids, ...more };
      return generator.run(mode, options, { ...tolerance, cpus: cpus?.generator });
    };
    const idle = (connections) =>
      generator.idle({ port: server.port, connections }, item.isTls ? tls : undefined);
    const seconds = (full) => (isQuick ? Math.min(full, 2) : full);
    return await item.run({ server, generator, load, idle, seconds, isQuick });
  } catch (error) {
    return { failed: `round ${round + 1}: ${error.message} ${server?.errors ?? ''}`.trim().slice(0, 500) };
  } finally {
    await server?.kill();
    held.server = undefined;
    await removeDirectory(directory);
  }
}

/** The generator's ceiling in the cases whose rates it might bound. */
async function measureCeiling(generator, items, isQuick) {
  const ceiling = {};
  for (const item of items.filter(({ group }) => group === 'throughput' || group === 'connects')) {
    const server = await generator.startNull();
    try {
      const load = (mode, more) =>
        generator.run(mode, { port: server.port, 'server-pid': String(server.pid), ...more });
      let raw;
      const figures = await item.run({
        load: async (mode, more) => (raw = await load(mode, more)),
        seconds: (full) => (isQuick ? 1 : full),
        isQuick,
      });
      ceiling[item.name] = { ...figures, generatorCpuUsPerMessage: raw.generatorCpuUsPerMessage };
      log(`null server · ${item.title} · ${formatFigure(item.figure, figures[item.figure])}`);
    } finally {
      await server.end();
    }
  }
  return ceiling;
}

async function measure() {
  const items = chosen(options.only, cases, 'case');
  const names = await availableServers(
    chosen(options.servers, Object.keys(servers), 'server'),
    servers,
    whyMissing,
    log,
  );
  const rounds = count('rounds');
  const inFlight = count('in-flight');
  const isQuick = options.quick;
  const upFlags = options.up.split(' ').filter((flag) => flag !== '');
  const generator = new Generator(await buildGenerator(log), logPassing);
  const base = await makeDirectory(options.directory);
  held.base = base;
  try {
    const tls = items.some(({ isTls }) => isTls) ? await makeCertificate(base) : undefined;
    const setting = { generator, base, tls, inFlight, isQuick, upFlags };
    const at = new Date().toISOString();
    const ceiling = await measureCeiling(generator, items, isQuick);
    const tasks = [];
    for (let round = 0; round < rounds; round++) {
      for (const item of items.filter((candidate) => round < (candidate.rounds ?? rounds))) {
        const taking = names.filter((name) => item.servers?.includes(name) ?? servers[name].isBroker);
        // Each round begins with another server: none has always the colder machine.
        for (let index = 0; index < taking.length; index++)
          tasks.push({ item, round, name: taking[(index + round) % taking.length] });
      }
    }
    const disks = [measureDisk(base)];
    const all = {};
    const beginMs = performance.now();
    for (const [index, { item, round, name }] of tasks.entries()) {
      const figures = await runOne(item, name, round, setting);
      ((all[item.name] ??= {})[name] ??= []).push(figures);
      const leftMin = (((performance.now() - beginMs) / (index + 1)) * (tasks.length - index - 1)) / 60_000;
      const told = figures.failed ?? formatFigure(item.figure, figures[item.figure]);
      const place = `[${index + 1}/${tasks.length}, ${leftMin.toFixed(0)} min left]`;
      log(`${place} round ${round + 1} · ${item.title} · ${servers[name].title}: ${told}`);
      if (index === tasks.length - 1 || tasks[index + 1].round !== round) disks.push(measureDisk(base));
    }
    const results = summariesOf(all, names);
    const versions = await versionsOf(names, servers);
    const disk = diskOf(disks);
    const setup = { rounds, inFlight, upFlags, isQuick, only: options.only ?? null };
    return {
      bench: 'mqtt',
      at,
      ...setup,
      machine: machine(),
      servers: names,
      versions,
      disk,
      ceiling,
      results,
    };
  } finally {
    await removeDirectory(base);
  }
}

async function writePlot(run) {
  const path = join(options.results, 'mqtt.svg');
  await writeFile(path, plot(run, servers));
  log(`wrote ${path}`);
}

async function main() {
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  if (options.list) {
    for (const { name, group, title } of cases) console.log(`${group.padEnd(12)}${name.padEnd(22)}${title}`);
    for (const [name, { title }] of Object.entries(servers))
      console.log(`server      ${name.padEnd(22)}${title}`);
    return;
  }
  if (options.generator) {
    console.log(await buildGenerator(log));
    return;
  }
  const lines = join(options.results, 'mqtt.jsonl');
  if (options.plot) {
    const last = (await readFile(lines, 'utf8')).trim().split('\n').at(-1);
    await writePlot(JSON.parse(last));
    return;
  }
  const run = await measure();
  await mkdir(options.results, { recursive: true });
  const line = JSON.stringify(run);
  await appendFile(lines, `${line}\n`);
  // A part of the cases is no picture of the whole.
  if (options.only === undefined && !options.quick) await writePlot(run);
  if (!isWhole(run)) {
    log('Wakeline failed, lost or disordered something; see the line in the results');
    process.exitCode = 2;
  }
  if (options.json) {
    console.log(line);
    return;
  }
  if (Object.keys(run.ceiling).length > 0) console.log(`${formatCeiling(run, cases)}\n`);
  console.log(formatReport(run, cases, servers));
  const { fdatasyncMsP50, fdatasyncMsP99 } = run.disk;
  console.log(
    `\nThe disk itself: fdatasync of 4 KiB p50 ${formatFigure('Ms', fdatasyncMsP50)}, p99 ${formatFigure('Ms', fdatasyncMsP99)}`,
  );
}

await main().catch((error) => {
  log(`bench/mqtt: ${error.message}`);
  process.exitCode = 1;
});

#!/usr/bin/env node
/**
 * Web Push beside what one would write oneself: pushes accepted each second, latency to connected devices, and what
 * VAPID costs. See bench/README.md. Needs a build (`npm run build`).
 *
 *     node bench/webpush.mjs [--only CASE,...] [--servers NAME,...] [--rounds 3] [--quick] [--json]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { availableServers, chosen, parseOptions } from './mqtt/command-line.mjs';
import { freePort, makeDirectory, removeDirectory } from './mqtt/processes.mjs';
import { formatFigure } from './mqtt/report.mjs';
import { machine, roundsOf, runRounds, versionsOf } from './mqtt/run-record.mjs';
import { RunningServer } from './mqtt/servers.mjs';
import { cases } from './webpush/cases.mjs';
import { formatPushReport, formatVapid } from './webpush/report.mjs';
import { servers, whyMissing } from './webpush/servers.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));
const HELP = `node bench/webpush.mjs [option]...

  --only CASE,...      only these cases, or groups of them
  --servers NAME,...   only these servers
  --rounds N           rounds of each case; medians are told (3)
  --up='--lines 2'     more flags for wakeline up
  --quick              short cases, to see that all works; figures are not to be quoted
  --directory DIR      where servers keep their data: a real disk (${tmpdir()})
  --results DIR        where a JSON line is added (bench/results)
  --json               the JSON line on stdout instead of the table
  --list               cases and servers
`;

const options = parseOptions('bench/webpush', {
  only: { type: 'string' },
  servers: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  up: { type: 'string', default: '' },
  quick: { type: 'boolean', default: false },
  directory: { type: 'string', default: tmpdir() },
  results: { type: 'string', default: join(bench, 'results') },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
});

/** What must not outlive this process: the server that runs, the load, and the directory of all. */
const held = { server: undefined, load: undefined, base: undefined };

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, async () => {
    held.load?.kill('SIGKILL');
    await held.server?.kill();
    if (held.base !== undefined) await removeDirectory(held.base);
    process.exit(code);
  });
}

function log(line) {
  process.stderr.write(`${line}\n`);
}

/** Runs the load; resolves with its figures. */
async function runLoad(order) {
  const args = [join(bench, 'webpush/load.mjs'), JSON.stringify(order)];
  const load = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  held.load = load;
  let stdout = '';
  let stderr = '';
  load.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  load.stderr.setEncoding('utf8').on('data', (text) => (stderr = (stderr + text).slice(-2_000)));
  const [code] = await once(load, 'close');
  held.load = undefined;
  if (code !== 0) throw new Error(`the load ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

/** One case, one server, one round: figures, or `failed` with the reason. */
async function runOne(item, name, { base, isQuick, upFlags }) {
  const directory = await makeDirectory(base);
  let server;
  try {
    server = new RunningServer({ name, directory, port: await freePort(), upFlags }, servers[name]);
    held.server = server;
    await server.launch();
    const figures = await runLoad({ ...item.order(isQuick), port: server.port, pids: await server.pids() });
    // Each answer 201 to a device that is away must have its message.
    const waiting = item.group === 'accept' ? await servers[name].countWaiting?.(server.port) : undefined;
    return waiting === undefined ? figures : { ...figures, pushesLost: figures.accepted - waiting };
  } catch (error) {
    return { failed: `${error.message} ${server?.errors ?? ''}`.trim().slice(0, 500) };
  } finally {
    await server?.kill();
    held.server = undefined;
    await removeDirectory(directory);
  }
}

/** What the load reaches against a server that answers at once. */
async function measureCeiling(items, isQuick) {
  const ceiling = {};
  for (const item of items.filter(({ group }) => group === 'accept')) {
    const server = spawn(process.execPath, [join(bench, 'webpush/null-server.mjs')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(server, 'close');
    try {
      const port = Number(
        (await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next()).value,
      );
      ceiling[item.name] = await runLoad({ ...item.order(isQuick), port, pids: [server.pid], isNull: true });
      log(`null server · ${item.title} · ${formatFigure(item.figure, ceiling[item.name][item.figure])}`);
    } finally {
      server.stdin.end();
      await ended;
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
  const rounds = roundsOf(options.rounds);
  const isQuick = options.quick;
  const upFlags = options.up.split(' ').filter((flag) => flag !== '');
  const base = await makeDirectory(options.directory);
  held.base = base;
  try {
    const at = new Date().toISOString();
    const ceiling = await measureCeiling(items, isQuick);
    const runHere = (item, name) => runOne(item, name, { base, isQuick, upFlags });
    const figures = await runRounds({ items, names, servers, rounds, base, log, runOne: runHere });
    const versions = await versionsOf(names, servers);
    const setup = { rounds, upFlags, isQuick, only: options.only ?? null };
    return {
      bench: 'webpush',
      at,
      ...setup,
      machine: machine(),
      servers: names,
      versions,
      ceiling,
      ...figures,
    };
  } finally {
    await removeDirectory(base);
  }
}

/** Whether Wakeline did all that it was asked to. */
function isWhole(run) {
  return Object.values(run.results).every(
    ({ wakeline = {} }) => wakeline.failed === undefined && (wakeline.pushesLost ?? 0) === 0,
  );
}

async function main() {
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  if (options.list) {
    for (const { name, group, title } of cases) console.log(`${group.padEnd(10)}${name.padEnd(18)}${title}`);
    for (const [name, { title }] of Object.entries(servers))
      console.log(`server    ${name.padEnd(18)}${title}`);
    return;
  }
  const run = await measure();
  await mkdir(options.results, { recursive: true });
  const line = JSON.stringify(run);
  await appendFile(join(options.results, 'webpush.jsonl'), `${line}\n`);
  if (!isWhole(run)) {
    log('Wakeline failed or lost something; see the line in the results');
    process.exitCode = 2;
  }
  if (options.json) {
    console.log(line);
    return;
  }
  console.log(formatPushReport(run, cases, servers));
  const vapid = formatVapid(run, servers);
  if (vapid !== '') console.log(`\n${vapid}`);
  const { fdatasyncMsP50, fdatasyncMsP99 } = run.disk;
  console.log(
    `\nThe disk itself: fdatasync of 4 KiB p50 ${formatFigure('Ms', fdatasyncMsP50)}, p99 ${formatFigure('Ms', fdatasyncMsP99)}`,
  );
}

await main().catch((error) => {
  log(`bench/webpush: ${error.message}`);
  process.exitCode = 1;
});

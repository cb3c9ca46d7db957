#!/usr/bin/env node
/**
 * Registrations and calls each second through our proxy, beside Debian's Kamailio on the same work in the same run; the
 * load is SIPp. See bench/README.md. Needs a build (`npm run build`).
 *
 *     node bench/sip.mjs [--only CASE,...] [--servers NAME,...] [--rounds 3] [--quick] [--json]
 */
import { appendFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { availableServers, chosen, parseOptions } from './mqtt/command-line.mjs';
import { freePort, makeDirectory, removeDirectory } from './mqtt/processes.mjs';
import { formatFigure } from './mqtt/report.mjs';
import { machine, roundsOf, runRounds, versionsOf } from './mqtt/run-record.mjs';
import { RunningServer } from './mqtt/servers.mjs';
import { cases } from './sip/cases.mjs';
import { SipLoad } from './sip/load.mjs';
import { formatSipReport } from './sip/report.mjs';
import { servers, whyMissing } from './sip/servers.mjs';

const bench = fileURLToPath(new URL('.', import.meta.url));
const HELP = `node bench/sip.mjs [option]...

  --only CASE,...      only these cases, or groups of them
  --servers NAME,...   only these servers
  --rounds N           rounds of each case; medians are told (3)
  --quick              short cases, to see that all works; figures are not to be quoted
  --directory DIR      where servers keep their data: a real disk (${tmpdir()})
  --results DIR        where a JSON line is added (bench/results)
  --json               the JSON line on stdout instead of the table
  --list               cases and servers
`;

const options = parseOptions('bench/sip', {
  only: { type: 'string' },
  servers: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  quick: { type: 'boolean', default: false },
  directory: { type: 'string', default: tmpdir() },
  results: { type: 'string', default: join(bench, 'results') },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
});

/** What must not outlive this process. */
const held = { server: undefined, load: undefined, base: undefined };

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, async () => {
    await held.load?.end();
    await held.server?.kill();
    if (held.base !== undefined) await removeDirectory(held.base);
    process.exit(code);
  });
}

function log(line) {
  process.stderr.write(`${line}\n`);
}

function countOf(item) {
  return options.quick ? Math.ceil(item.count / 20) : item.count;
}

async function makeLoad(directory) {
  const load = new SipLoad(directory);
  held.load = load;
  await load.writeUsers();
  return load;
}

/** One case, one server, one round: figures, or `failed` with the reason. */
async function runOne(item, name, base) {
  const directory = await makeDirectory(base);
  let server;
  let load;
  try {
    const definition = servers[name];
    server = new RunningServer({ name, directory, port: await freePort(), upFlags: [] }, definition);
    held.server = server;
    await server.launch();
    load = await makeLoad(directory);
    const ports = definition.ports(server.port);
    const order = { count: countOf(item), atOnce: item.atOnce, pids: await server.pids() };
    if (item.group === 'register') {
      return await load.register({ ...order, port: ports.users });
    }
    const calleePort = await load.placeCallee(ports.users);
    return await load.call({ ...order, port: ports.calls, calleePort });
  } catch (error) {
    return { failed: `${error.message} ${server?.errors ?? ''}`.trim().slice(0, 500) };
  } finally {
    await load?.end();
    await server?.kill();
    held.server = held.load = undefined;
    await removeDirectory(directory);
  }
}

/** What caller and callee reach with no server between them. */
async function measureCeiling(items, base) {
  const ceiling = {};
  for (const item of items.filter(({ group }) => group === 'calls')) {
    const directory = await makeDirectory(base);
    const load = await makeLoad(directory);
    try {
      const calleePort = await freePort();
      const order = { count: countOf(item), atOnce: item.atOnce };
      ceiling[item.name] = await load.call({ ...order, port: calleePort, calleePort });
      log(`no server · ${item.title} · ${formatFigure(item.figure, ceiling[item.name][item.figure])}`);
    } finally {
      await load.end();
      await removeDirectory(directory);
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
  const base = await makeDirectory(options.directory);
  held.base = base;
  try {
    const at = new Date().toISOString();
    const ceiling = await measureCeiling(items, base);
    const runHere = (item, name) => runOne(item, name, base);
    const figures = await runRounds({ items, names, servers, rounds, base, log, runOne: runHere });
    const versions = await versionsOf(names, servers);
    const setup = { rounds, isQuick: options.quick, only: options.only ?? null };
    return { bench: 'sip', at, ...setup, machine: machine(), servers: names, versions, ceiling, ...figures };
  } finally {
    await removeDirectory(base);
  }
}

/** Whether Wakeline did all that it was asked to. */
function isWhole(run) {
  return Object.values(run.results).every(
    ({ wakeline = {} }) =>
      wakeline.failed === undefined &&
      (wakeline.callsFailed ?? 0) === 0 &&
      (wakeline.registrationsFailed ?? 0) === 0,
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
  await appendFile(join(options.results, 'sip.jsonl'), `${line}\n`);
  if (!isWhole(run)) {
    log('Wakeline failed or lost something; see the line in the results');
    process.exitCode = 2;
  }
  if (options.json) {
    console.log(line);
    return;
  }
  console.log(formatSipReport(run, cases, servers));
  const { fdatasyncMsP50, fdatasyncMsP99 } = run.disk;
  console.log(
    `\nThe disk itself: fdatasync of 4 KiB p50 ${formatFigure('Ms', fdatasyncMsP50)}, p99 ${formatFigure('Ms', fdatasyncMsP99)}`,
  );
}

await main().catch((error) => {
  log(`bench/sip: ${error.message}`);
  process.exitCode = 1;
});

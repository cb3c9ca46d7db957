#!/usr/bin/env node
/**
 * How many SIP messages a core parses: Wakeline's parser beside those of the packages `sip` and `jssip`, in the same
 * run. See bench/README.md. Needs a build (`npm run build`).
 *
 *     node bench/sip-parse.mjs [--parsers NAME,...] [--rounds 5] [--quick] [--json]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { availableServers, chosen, parseOptions } from './mqtt/command-line.mjs';
import { formatNumber, formatTable, summarize } from './mqtt/report.mjs';
import { machine, roundsOf, versionsOf } from './mqtt/run-record.mjs';
import { makeMessages, MESSAGE_BYTES, parsers } from './sip/parse-work.mjs';

const self = fileURLToPath(import.meta.url);
const HELP = `node bench/sip-parse.mjs [option]...

  --parsers NAME,...   only these parsers
  --rounds N           rounds of each parser; medians are told (5)
  --quick              short rounds, to see that all works; figures are not to be quoted
  --results DIR        where a JSON line is added (bench/results)
  --json               the JSON line on stdout instead of the table
  --list               parsers
`;

const options = parseOptions('bench/sip-parse', {
  parsers: { type: 'string' },
  rounds: { type: 'string', default: '5' },
  quick: { type: 'boolean', default: false },
  results: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
  /** In a process of its own: the parser that it measures, and for how long. */
  worker: { type: 'string' },
  seconds: { type: 'string', default: '1' },
});

/** Messages that are read over and over: more than a cache of the engine holds by chance. */
const MESSAGES = 1_000;
/** Read before the clock starts. */
const WARM_UP = 30_000;

function log(line) {
  process.stderr.write(`${line}\n`);
}

/** Reads messages for so long; the figures on stdout. */
async function work(name, seconds) {
  const { load, prepare } = parsers[name];
  const read = await load();
  const messages = makeMessages(MESSAGES).map(prepare);
  for (let index = 0; index < WARM_UP; index++) read(messages[index % MESSAGES]);
  let sum = 0;
  let rounds = 0;
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  let nowMs = startMs;
  while (nowMs - startMs < seconds * 1_000) {
    sum = 0;
    for (const message of messages) sum += read(message);
    rounds += 1;
    nowMs = performance.now();
  }
  // With the collector's threads: what they do is part of the price.
  const { user, system } = process.cpuUsage(cpuBefore);
  const count = rounds * MESSAGES;
  process.stdout.write(
    JSON.stringify({
      messagesPerSecond: (count * 1_000) / (nowMs - startMs),
      messagesPerCpuSecond: (count * 1e6) / (user + system),
      cpuUsPerMessage: (user + system) / count,
      sum,
    }),
  );
}

/** One parser, one round, in a process of its own. */
async function runOne(name, seconds) {
  const child = spawn(process.execPath, [self, '--worker', name, '--seconds', String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  const [code] = await once(child, 'close');
  return code === 0 ? JSON.parse(stdout) : { failed: `ended with ${code}` };
}

async function whyMissing(name) {
  return parsers[name].version().then(
    () => undefined,
    () => 'its package is not installed (npm ci in bench/)',
  );
}

async function measure() {
  const names = await availableServers(
    chosen(options.parsers, Object.keys(parsers), 'parser'),
    parsers,
    whyMissing,
    log,
  );
  const rounds = roundsOf(options.rounds);
  const at = new Date().toISOString();
  const all = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let index = 0; index < names.length; index++) {
      // Each round begins with another parser: none has always the colder machine.
      const name = names[(index + round) % names.length];
      const figures = await runOne(name, options.quick ? 0.2 : 3);
      all[name].push(figures);
      const told =
        figures.failed ?? `${formatNumber(figures.messagesPerCpuSecond)} messages per second of CPU`;
      log(`round ${round + 1} · ${parsers[name].title}: ${told}`);
    }
  }
  const sums = new Set(Object.values(all).flatMap((figures) => figures.map(({ sum }) => sum)));
  if (sums.size > 1) throw new Error('the parsers did not find the same in the messages');
  const versions = await versionsOf(names, parsers);
  const results = Object.fromEntries(names.map((name) => [name, summarize(all[name])]));
  return {
    bench: 'sip-parse', at, rounds, isQuick: options.quick, messageBytes: MESSAGE_BYTES, machine: machine(), versions, results,
  }; // prettier-ignore
}

function formatReport({ versions, results }) {
  const ours = results.wakeline?.messagesPerCpuSecond;
  const rows = [['', 'messages/s', 'messages/s of CPU', 'µs CPU', 'ratio']];
  for (const [name, figures] of Object.entries(results)) {
    const { messagesPerSecond, messagesPerCpuSecond, cpuUsPerMessage } = figures;
    const ratio = ours === undefined ? undefined : messagesPerCpuSecond / ours;
    const cells = [messagesPerSecond, messagesPerCpuSecond, cpuUsPerMessage, ratio].map(formatNumber);
    rows.push([`${parsers[name].title} ${versions[name]}`, ...cells]);
  }
  return formatTable(rows);
}

async function main() {
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  if (options.list) {
    for (const [name, { title }] of Object.entries(parsers)) console.log(`${name.padEnd(12)}${title}`);
    return;
  }
  if (options.worker !== undefined) {
    await work(options.worker, Number(options.seconds));
    return;
  }
  const run = await measure();
  await mkdir(options.results, { recursive: true });
  const line = JSON.stringify(run);
  await appendFile(join(options.results, 'sip-parse.jsonl'), `${line}\n`);
  if (options.json) console.log(line);
  else console.log(formatReport(run));
}

await main().catch((error) => {
  log(`bench/sip-parse: ${error.message}`);
  process.exitCode = 1;
});

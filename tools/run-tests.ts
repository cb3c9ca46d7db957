/**
 * Runs the compiled tests of the whole workspace, each file in a process of its own.
 *
 *     node tools/dist/run-tests.js unit|all|long [--only PATTERN] [--root DIR] [--file-timeout-ms N]
 *
 * - `unit`: everything but `*.e2e.test.js`, two files at a time. Needs nothing but Node.
 * - `all`: first the peers (tools/peers.sh, told to tests in `WAKELINE_PEERS`), then the unit tests, then the
 *   end-to-end tests: first those that load the machine, one by one; then the others, a few at a time.
 * - `long`: as `all`, with `WAKELINE_LONG=1`, by which tests take more time and more cases.
 *
 * Files that run at the same time have different numbers in `WAKELINE_TEST_SLOT`, by which they keep to ports of their own.
 *
 * `--only` takes a regular expression on the path of the file. Exit code 1 on a failure, on no test at all, and
 * under `CI=true` on a skipped test; 2 on a wrong command line.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { collectTests, type TestFile } from './run-tests/collect.js';
import type { FileResult } from './run-tests/file-result.js';
import { preparePeers } from './run-tests/peers.js';
import { runFile } from './run-tests/run-file.js';
import { summarize } from './run-tests/summary.js';

/** What one file and what everything together may take, ms: twice what a machine of two cores needs that does nothing else. */
const budgets = {
  unit: { unitFileMs: 300_000, endToEndFileMs: 0, totalMs: 10 * 60_000 },
  all: { unitFileMs: 300_000, endToEndFileMs: 600_000, totalMs: 30 * 60_000 },
  long: { unitFileMs: 1_800_000, endToEndFileMs: 3_600_000, totalMs: 6 * 3_600_000 },
} as const;
type Suite = keyof typeof budgets;

/** Files at once: as many as the smallest machine that we care for has cores. */
const CONCURRENCY = 2;

/** Files that keep all cores busy, or measure. */
const HEAVY =
  /(^|\/)(calls-hostile|connect-storm|flow-control|keepalive-nat|lines|load-generator|pushes|storm|synced|tcp-keep-alive)\.e2e\.test\.js$/;

/** Files that wait in real time and hardly use the processor: phones sleep, ring and talk. */
const WAITING = /(^|\/)calls-[^/]*$/;
const WAITING_CONCURRENCY = 4;

interface Plan {
  readonly suite: Suite;
  readonly root: string;
  readonly only: RegExp;
  /** Instead of the suite's own, ms. */
  readonly fileTimeoutMs: number | undefined;
}

function parsePlan(parameters: readonly string[]): Plan {
  const { values, positionals } = parseArgs({
    args: [...parameters],
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      root: { type: 'string', default: join(dirname(fileURLToPath(import.meta.url)), '../..') },
      'file-timeout-ms': { type: 'string' },
    },
  });
  const [suite, ...rest] = positionals;
  if (suite === undefined || !Object.hasOwn(budgets, suite) || rest.length > 0) {
    throw new TypeError('give one of: unit, all, long');
  }
  const timeout = values['file-timeout-ms'];
  return {
    suite: suite as Suite,
    root: resolve(values.root),
    only: new RegExp(values.only),
    fileTimeoutMs: timeout === undefined ? undefined : Number(timeout),
  };
}

async function runAll(plan: Plan): Promise<boolean> {
  const budget = budgets[plan.suite];
  const environment: NodeJS.ProcessEnv = { ...process.env };
  // Set where this runner is itself started by node:test; it would silence the reporters.
  delete environment['NODE_TEST_CONTEXT'];
  if (plan.suite !== 'unit') environment['WAKELINE_PEERS'] = preparePeers(plan.root);
  if (plan.suite === 'long') environment['WAKELINE_LONG'] = '1';

  const stop = new AbortController();
  const overall = setTimeout(() => {
    stop.abort(`ended because all tests together took more than ${budget.totalMs / 60_000} min`);
  }, budget.totalMs);
  // The files are in groups of their own, which a terminal's Ctrl-C does not reach.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => stop.abort(`ended by ${signal}`));

  const files = collectTests(plan.root).filter(({ path }) => plan.only.test(path));
  const unit = files.filter(({ isEndToEnd }) => !isEndToEnd);
  const endToEnd = plan.suite === 'unit' ? [] : files.filter(({ isEndToEnd }) => isEndToEnd);
  const endToEndMs = plan.fileTimeoutMs ?? budget.endToEndFileMs;
  const heavy = endToEnd.filter(({ path }) => HEAVY.test(path));
  const waiting = endToEnd.filter((file) => WAITING.test(file.path) && !heavy.includes(file));
  const others = endToEnd.filter((file) => !heavy.includes(file) && !waiting.includes(file));
  const results = [
    ...(await runGroup(unit, CONCURRENCY, plan.fileTimeoutMs ?? budget.unitFileMs)),
    ...(await runGroup(heavy, 1, endToEndMs)),
    ...(await runGroup(others, CONCURRENCY, endToEndMs)),
    ...(await runGroup(waiting, WAITING_CONCURRENCY, endToEndMs)),
  ];
  clearTimeout(overall);
  const { text, isSuccess } = summarize(results, process.env['CI'] === 'true');
  process.stdout.write(`\n${text}`);
  return isSuccess;

  async function runGroup(
    group: readonly TestFile[],
    concurrency: number,
    timeoutMs: number,
  ): Promise<readonly FileResult[]> {
    const done: FileResult[] = [];
    const waiting = [...group];
    const work = async (slot: number): Promise<void> => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        done.push(await runOne(file, slot, concurrency > 1, timeoutMs));
      }
    };
    await Promise.all(Array.from({ length: concurrency }, (_, slot) => work(slot)));
    return done;
  }

  /** Output of files that run side by side is kept together; of one that runs alone it is shown as it comes. */
  async function runOne(
    { path }: TestFile,
    slot: number,
    isBuffered: boolean,
    timeoutMs: number,
  ): Promise<FileResult> {
    if (stop.signal.aborted) {
      const reason = `not run: ${String(stop.signal.reason)}`;
      return { path, durationMs: 0, passed: 0, failures: [{ name: '', reason }], skips: [] };
    }
    const pieces = [`\n── ${path}\n`];
    const show = (text: string): void => void process.stdout.write(text);
    if (!isBuffered) show(pieces[0]!);
    const onOutput = isBuffered ? (text: string) => void pieces.push(text) : show;
    const { root } = plan;
    const own = { ...environment, WAKELINE_TEST_SLOT: String(slot) };
    const result = await runFile({ root, path, environment: own, timeoutMs, signal: stop.signal, onOutput });
    if (isBuffered) show(pieces.join(''));
    return result;
  }
}

let plan: Plan | undefined;
try {
  plan = parsePlan(process.argv.slice(2));
} catch (error) {
  console.error(`run-tests: ${(error as Error).message}`);
  process.exitCode = 2;
}
if (plan !== undefined) process.exitCode = (await runAll(plan)) ? 0 : 1;

/**
 * Runs one test file in a process group of its own, so that what hangs can be ended with all it started, and
 * nothing else. The caller sees its output and a result; it never throws for what a test does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Ending, type FileResult, parseRecords, resultOf } from './file-result.js';

export interface FileRun {
  readonly root: string;
  readonly path: string;
  readonly environment: NodeJS.ProcessEnv;
  /** After this the file is ended and has failed, ms. */
  readonly timeoutMs: number;
  /** Ends the file at once when aborted; the reason is told. */
  readonly signal: AbortSignal;
  readonly onOutput: (text: string) => void;
}

/** After the process is gone, how long its output may still be held open by something it started, ms. */
const OUTPUT_GRACE_MS = 1_000;

/** Runs the file and waits for its end. */
export async function runFile(run: FileRun): Promise<FileResult> {
  const folder = mkdtempSync(join(tmpdir(), 'wakeline-tests-'));
  const recordFile = join(folder, 'records.jsonl');
  try {
    const ending = await runProcess(run, recordFile);
    const records = existsSync(recordFile) ? parseRecords(readFileSync(recordFile, 'utf8')) : [];
    return resultOf(run.path, records, ending);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runProcess(run: FileRun, recordFile: string): Promise<Ending> {
  const beganMs = performance.now();
  const child = spawn(process.execPath, [...nodeOptions(recordFile), join(run.root, run.path)], {
    cwd: run.root,
    env: run.environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => run.onOutput(text));
  }
  let killedFor: string | undefined;
  const kill = (reason: string): void => {
    killedFor ??= reason;
    killGroup(child);
  };
  const timer = setTimeout(() => kill(`ended after ${run.timeoutMs / 1_000} s`), run.timeoutMs);
  const onAbort = (): void => kill(String(run.signal.reason));
  run.signal.addEventListener('abort', onAbort);
  if (run.signal.aborted) onAbort();
  const closed = once(child, 'close');
  const [exitCode, signal] = (await once(child, 'exit')) as [number | null, string | null];
  clearTimeout(timer);
  run.signal.removeEventListener('abort', onAbort);
  // What the tests left behind would disturb the next file.
  killGroup(child);
  await Promise.race([closed, sleep(OUTPUT_GRACE_MS, undefined, { ref: false })]);
  child.stdout.destroy();
  child.stderr.destroy();
  const durationMs = performance.now() - beganMs;
  return { exitCode, signal, durationMs, ...(killedFor === undefined ? {} : { killedFor }) };
}

function nodeOptions(recordFile: string): readonly string[] {
  const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  return [
    '--enable-source-maps',
    '--expose-gc',
    `--test-reporter=${here('terse-reporter.js')}`,
    '--test-reporter-destination=stdout',
    `--test-reporter=${here('record-reporter.js')}`,
    `--test-reporter-destination=${recordFile}`,
  ];
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // Nobody is left in the group.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

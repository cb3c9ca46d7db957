/** The runner, run: on small workspaces whose tests pass, fail, hang, skip, or are not there. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseRecords, resultOf } from '../run-tests/file-result.js';

const runner = fileURLToPath(new URL('../run-tests.js', import.meta.url));

const IMPORT = "import { test } from 'node:test';\n";
const PASSES = `${IMPORT}test('is fine', () => {});\n`;
const FAILS = `${IMPORT}test('is not fine', () => { throw new Error('as expected'); });\n`;
const SKIPS = `${IMPORT}test('waits for a peer', { skip: 'needs a peer' }, () => {});\n`;
const HANGS = `${IMPORT}test('began well', () => {});
test('never ends', () => new Promise(() => setInterval(() => {}, 1_000)));\n`;
const PEERS = 'echo "present some-peer" >"$1"; echo "missing other-peer" >>"$1"\n';

/** Stands for a workspace: compiled tests by name (`unit`, `slow.e2e`), with or without their source. */
class Workspace {
  readonly root = mkdtempSync(join(tmpdir(), 'run-tests-'));

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  add(folder: string, name: string, code: string, hasSource = true): this {
    const begin = folder.startsWith('packages/') ? 'test' : '';
    this.write(join(folder, 'dist', begin, `${name}.test.js`), code);
    if (hasSource) this.write(join(folder, begin, `${name}.test.ts`), '');
    return this;
  }

  write(file: string, text: string): this {
    mkdirSync(dirname(join(this.root, file)), { recursive: true });
    writeFileSync(join(this.root, file), text);
    return this;
  }

  async run(
    parameters: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): Promise<{ readonly code: number | null; readonly output: string; readonly lastLine: string }> {
    this.write('package.json', '{ "type": "module" }');
    const child = spawn(process.execPath, [runner, ...parameters, '--root', this.root], {
      env: { ...process.env, CI: '', WAKELINE_PEERS: '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output, lastLine: output.trimEnd().split('\n').at(-1) ?? '' };
  }
}

async function withWorkspace(use: (workspace: Workspace) => Promise<void>): Promise<void> {
  const workspace = new Workspace();
  try {
    await use(workspace);
  } finally {
    workspace.remove();
  }
}

test('unit runs all but end-to-end tests and leftovers, and ends with the figures', () =>
  withWorkspace(async (workspace) => {
    workspace
      .add('packages/core', 'base/time', PASSES)
      .add('packages/core', 'base/gone', FAILS, false)
      .add('packages/server', 'store.e2e', FAILS)
      .add('conformance', 'tables', PASSES)
      .add('tools', 'test/tidy', PASSES)
      .write('packages/core/dist/src/odd.test.js', FAILS);
    const { code, output, lastLine } = await workspace.run(['unit']);
    assert.equal(lastLine, '3 passed, 0 failed, 0 skipped');
    assert.equal(code, 0, output);
    assert.match(output, /Slowest files:\n +\d+\.\d s {2}\S+\.test\.js/);
    assert.doesNotMatch(output, /ℹ tests/);
  }));

test('all brings the peers first, tells the tests, and runs those that load the machine one by one', () =>
  withWorkspace(async (workspace) => {
    // Each takes the lock and gives it back; two at once would meet.
    const lock = join(workspace.root, 'lock');
    const alone = `${IMPORT}import { mkdirSync, rmdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
test('is alone', async () => {
  mkdirSync(${JSON.stringify(lock)});
  await setTimeout(50);
  rmdirSync(${JSON.stringify(lock)});
});\n`;
    const tellsPeers = `${IMPORT}test('knows', () => console.log('peers: ' + process.env.WAKELINE_PEERS));\n`;
    workspace
      .write('tools/peers.sh', PEERS)
      .add('packages/core', 'unit', tellsPeers)
      .add('packages/server', 'flow-control.e2e', alone)
      .add('conformance', 'storm.e2e', alone);
    const { code, output, lastLine } = await workspace.run(['all']);
    assert.equal(lastLine, '3 passed, 0 failed, 0 skipped', output);
    assert.equal(code, 0);
    assert.match(output, /^peers: some-peer$/m);
  }));

test('long says so to the tests', () =>
  withWorkspace(async (workspace) => {
    const tellsLong = `${IMPORT}test('knows', () => console.log('long: ' + process.env.WAKELINE_LONG));\n`;
    workspace.write('tools/peers.sh', PEERS).add('tools', 'a', tellsLong);
    const { output } = await workspace.run(['long']);
    assert.match(output, /^long: 1$/m);
  }));

test('a failure is told with file and name, counted once, and ends with 1', () =>
  withWorkspace(async (workspace) => {
    const nested = `import { describe, test } from 'node:test';
describe('outer', () => { test('inner', () => { throw new Error('as expected'); }); });\n`;
    const { code, output, lastLine } = await workspace
      .add('tools', 'good', PASSES)
      .add('tools', 'nested', nested)
      .run(['unit']);
    assert.equal(lastLine, '1 passed, 1 failed, 0 skipped', output);
    assert.equal(code, 1);
    assert.match(output, /Failed:\n {2}tools\/dist\/nested\.test\.js › outer › inner: testCodeFailure/);
  }));

test('a file that breaks before its first test has failed, and so has one without a test', () =>
  withWorkspace(async (workspace) => {
    const { code, output, lastLine } = await workspace
      .add('tools', 'broken', 'throw new Error("on load");\n')
      .add('tools', 'empty', 'export {};\n')
      .add('tools', 'leaves', `${IMPORT}test('leaves', () => process.exit(0));\n`)
      .run(['unit']);
    assert.equal(lastLine, '0 passed, 3 failed, 0 skipped', output);
    assert.equal(code, 1);
    assert.match(output, /broken\.test\.js: ended with exit code 1/);
    assert.match(output, /empty\.test\.js: holds no test/);
    assert.match(output, /leaves\.test\.js: (?:the process left by itself, in: leaves|holds no test)/);
  }));

test('a file that hangs is ended with what it started; the others are not', { timeout: 180_000 }, () =>
  withWorkspace(async (workspace) => {
    const pidFile = join(workspace.root, 'pid');
    const starts = `import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
writeFileSync(${JSON.stringify(pidFile)}, String(child.pid));\n`;
    const { code, output, lastLine } = await workspace
      .add('tools', 'good', PASSES)
      .add('tools', 'hanging', starts + HANGS)
      .run(['unit', '--file-timeout-ms', '10000']);
    assert.equal(lastLine, '2 passed, 1 failed, 0 skipped', output);
    assert.equal(code, 1);
    assert.match(output, /tools\/dist\/hanging\.test\.js: ended after 10 s, in: never ends/);
    await untilGone(Number(readFileSync(pidFile, 'utf8')));
  }),
);

test('a skipped test is told with its reason, and is a failure under CI', () =>
  withWorkspace(async (workspace) => {
    workspace.add('tools', 'good', PASSES).add('tools', 'skips', SKIPS);
    const here = await workspace.run(['unit']);
    assert.equal(here.lastLine, '1 passed, 0 failed, 1 skipped');
    assert.equal(here.code, 0);
    assert.match(here.output, /Skipped:\n {2}tools\/dist\/skips\.test\.js › waits for a peer: needs a peer/);
    const there = await workspace.run(['unit'], { CI: 'true' });
    assert.equal(there.lastLine, '1 passed, 0 failed, 1 skipped');
    assert.equal(there.code, 1);
  }));

test('--only takes the files whose path it matches; none is a failure', () =>
  withWorkspace(async (workspace) => {
    workspace.add('tools', 'good', PASSES).add('tools', 'bad', FAILS);
    const some = await workspace.run(['unit', '--only', 'goo+d']);
    assert.equal(some.lastLine, '1 passed, 0 failed, 0 skipped');
    assert.equal(some.code, 0);
    const none = await workspace.run(['unit', '--only', 'nothing-like-it']);
    assert.equal(none.lastLine, '0 passed, 0 failed, 0 skipped');
    assert.equal(none.code, 1);
  }));

test('a wrong command line ends with 2', () =>
  withWorkspace(async (workspace) => {
    for (const parameters of [[], ['some'], ['unit', 'all'], ['unit', '--fast']]) {
      const { code, output } = await workspace.run(parameters);
      assert.equal(code, 2, parameters.join(' '));
      assert.match(output, /^run-tests: /);
    }
  }));

test('records of a killed process are read up to the last whole line', () => {
  const records = parseRecords(
    '{"kind":"begin","name":"a","nesting":0}\n{"kind":"begin","name":"b","nesting":1}\n{"kind":"e',
  );
  const ending = { exitCode: null, signal: 'SIGKILL', durationMs: 1, killedFor: 'ended after 1 s' };
  const { failures } = resultOf('x.test.js', records, ending);
  assert.deepEqual(failures, [{ name: '', reason: 'ended after 1 s, in: a › b' }]);
});

/** Until a process is gone or only its entry is left, for a parent that does not collect it. */
async function untilGone(pid: number): Promise<void> {
  const isAlive = (): boolean => {
    const file = `/proc/${pid}/stat`;
    if (!existsSync('/proc/self/stat')) return isSignalled(pid);
    return existsSync(file) && !/\) Z /.test(readFileSync(file, 'latin1'));
  };
  const endsMs = performance.now() + 60_000;
  while (isAlive()) {
    assert.ok(performance.now() < endsMs, `process ${pid} still runs`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function isSignalled(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The load generator of `bench/`: that it counts right, against its own null server and against Wakeline. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { ServerProcess, temporaryDirectory } from './support.js';

interface Result {
  readonly code: number;
  readonly line: Readonly<Record<string, number | string>>;
  readonly stderr: string;
}

const directory = temporaryDirectory('wakeline-load');
let program = '';

before(async () => {
  const url = new URL('../../bench/mqtt/processes.mjs', import.meta.url).href;
  const { buildGenerator } = (await import(url)) as {
    buildGenerator(log: (line: string) => void): Promise<string>;
  };
  program = await buildGenerator(() => undefined);
});

after(() => directory.remove());

async function load(mode: string, port: number, ...more: readonly string[]): Promise<Result> {
  const child = spawn(program, [mode, '--port', String(port), '--timeout', '120', ...more]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, line: stdout === '' ? {} : (JSON.parse(stdout) as Result['line']), stderr };
}

async function withNullServer(run: (port: number) => Promise<void>): Promise<void> {
  const child = spawn(program, ['null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  try {
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    await run((JSON.parse(line) as { port: number }).port);
  } finally {
    child.stdin.end();
    await ended;
  }
}

test('the generator counts what a server delivers, and what it does not', async () => {
  await withNullServer(async (port) => {
    for (const protocol of ['3.1.1', '5']) {
      const options = ['--messages', '3000', '--warm-up', '0', '--protocol', protocol, '--prefix', protocol];
      const spread = ['--publishers', '3', '--subscribers', '7', '--window', '10'];
      const { code, line } = await load('pairs', port, ...options, ...spread);
      assert.deepEqual([code, line['messages'], line['lost'], line['outOfOrder']], [0, 3_000, 0, 0]);
    }
    const fanout = await load('fanout', port, '--subscribers', '50', '--publications', '4', '--qos', '0');
    assert.deepEqual([fanout.code, fanout.line['messages']], [0, 200]);
    const paced = await load('latency', port, '--connections', '50', '--rate', '500', '--seconds', '0.4');
    assert.deepEqual([paced.code, paced.line['messages'], paced.line['lost']], [0, 200, 0]);

    // The null server keeps nothing for those who were away.
    const absent = await load('absent', port, '--devices', '10', '--messages', '100', '--warm-up', '0');
    assert.deepEqual([absent.code, absent.line['sentInAll']], [0, 100]);
    const drained = await load('drain', port, '--devices', '10', '--expect', '100', '--timeout', '0.2');
    assert.deepEqual([drained.code, drained.line['lost'], drained.line['sessionsPresent']], [2, 100, 0]);
  });
});

test('the generator refuses what it does not know, and says when nobody is there', async () => {
  const unknown = await load('pairs', 1, '--subscriber', '4');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /unknown option --subscriber/);
  const refused = await load('connects', 1, '--connections', '1');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Connection refused/);
});

test('[IN-17] what the generator left for absent devices is there after a kill, complete and in order', async () => {
  const server = await ServerProcess.create(directory.path);
  try {
    await server.start();
    const port = server.mqttPort;
    const pairs = await load('pairs', port, '--messages', '2000', '--warm-up', '0', '--prefix', 'pairs');
    assert.deepEqual([pairs.code, pairs.line['messages'], pairs.line['duplicates']], [0, 2_000, 0]);
    const absent = await load('absent', port, '--devices', '100', '--messages', '2000', '--warm-up', '0');
    assert.deepEqual([absent.code, absent.line['sentInAll']], [0, 2_000]);
    await server.kill();
    await server.start();
    const drained = await load('drain', port, '--devices', '100', '--expect', '2000');
    const { sessionsPresent, messages, outOfOrder } = drained.line;
    assert.deepEqual([drained.code, sessionsPresent, messages, outOfOrder], [0, 100, 2_000, 0]);
  } finally {
    await server.kill();
  }
});

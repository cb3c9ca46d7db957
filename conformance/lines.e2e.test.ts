/**
 * A server of several processes, and thousands of devices that sleep: the hub process is killed and replaced under
 * them, and none may notice but those that have something to get.
 *
 * WAKELINE_SEED picks which devices get something.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { describe, test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import { LedgerClient } from './ledger-client.js';
import { runProgram } from './program.js';
import { SleepingLine } from './sleeping-line.js';
import {
  isToBeRepeated,
  processesOf,
  ServerProcess,
  sleep,
  temporaryDirectory,
  until,
  wakelineBin,
} from './support.js';

const LINES = 5_000;
const seed = Number(process.env['WAKELINE_SEED'] ?? 1);

async function isReady(server: ServerProcess): Promise<boolean> {
  try {
    const response = await fetch(`${server.url}/readyz`, { signal: AbortSignal.timeout(1_000) });
    return response.status === 200;
  } catch {
    return false;
  }
}

async function statistic(server: ServerProcess, name: string): Promise<number> {
  const response = await fetch(`${server.url}/v1/statistics`);
  return ((await response.json()) as Record<string, number>)[name]!;
}

/** Posts with an idempotency key until it is accepted, as a careful sender does. */
async function post(server: ServerProcess, topic: string, body: string): Promise<void> {
  for (;;) {
    try {
      const response = await fetch(`${server.url}/v1/topics/${topic}/messages`, {
        method: 'POST',
        headers: { 'content-type': 'text/plain', 'idempotency-key': `${topic} ${body}` },
        body,
        signal: AbortSignal.timeout(10_000),
      });
      const answer = await response.text();
      if (response.status === 201) return;
      assert(isToBeRepeated(response.status), `${response.status} ${answer}`);
    } catch (error) {
      // The hub or the line is being killed under us; any other failure is the test's.
      if (!(error instanceof TypeError) && (error as Error).name !== 'TimeoutError') throw error;
    }
    await sleep(50);
  }
}

/** Opens so many devices, some at a time, each from one of many addresses. */
async function openLines(server: ServerProcess, count: number): Promise<SleepingLine[]> {
  const lines = Array.from(
    { length: count },
    (_, index) =>
      new SleepingLine({
        id: `d${index}`,
        port: server.mqttPort,
        localAddress: `127.0.${1 + (index % 7)}.${1 + (index % 101)}`,
      }),
  );
  for (let start = 0; start < count; start += 250) {
    await Promise.all(lines.slice(start, start + 250).map((line) => line.open()));
  }
  return lines;
}

/** None closed; nothing came to those that were to get nothing, and each message once to the others. */
function assertAsleep(
  lines: readonly SleepingLine[],
  expected: ReadonlyMap<string, readonly string[]>,
): void {
  assert.equal(lines.filter(({ closes }) => closes > 0).length, 0, 'no connection was closed');
  const woken = lines.filter(({ id, bytesAsleep }) => bytesAsleep > 0 && !expected.has(id));
  assert.deepEqual(
    woken.map(({ id }) => id),
    [],
    'nobody was woken without a reason',
  );
  for (const line of lines) {
    assert.deepEqual([...line.bodies].sort(), [...(expected.get(line.id) ?? [])].sort(), line.id);
    assert.equal(line.duplicates, 0, `${line.id} was told of a duplicate`);
  }
}

describe('lines', () => {
  test(`the hub killed and replaced under ${LINES} sleeping lines: none closed, none woken, nothing lost`, async (t) => {
    const prng = new Prng(seed);
    const directory = temporaryDirectory('wakeline-lines');
    const server = await ServerProcess.create(directory.path);
    const sender = new LedgerClient('sender', server.mqttPort);
    let lines: SleepingLine[] = [];
    try {
      await server.start(['--lines', '2']);
      lines = await openLines(server, LINES);
      assert(await sender.connect());
      const owing = new SleepingLine({ id: 'owing', port: server.mqttPort, acknowledges: false });
      lines.push(owing);
      await owing.open();
      const expected = new Map<string, string[]>();
      let made = 0;
      const send = async (count: number, way: 'http' | 'mqtt' | 'both'): Promise<void> => {
        const posts: Promise<void>[] = [];
        for (let index = 0; index < count; index += 1) {
          const id = `d${prng.nextInteger(0, LINES - 1)}`;
          const body = `message ${made++}`;
          expected.set(id, [...(expected.get(id) ?? []), body]);
          if (way === 'mqtt' || (way === 'both' && index % 2 === 0)) sender.publish(`wake/${id}`, body, 1);
          else posts.push(post(server, `wake/${id}`, body));
        }
        await Promise.all(posts);
      };
      const settled = (): Promise<void> =>
        until(
          () => lines.reduce((sum, { bodies }) => sum + bodies.length, 0) === made,
          60_000,
          () => `${lines.reduce((sum, { bodies }) => sum + bodies.length, 0)} of ${made} messages came`,
        );
      const keepSender = async (): Promise<void> => {
        while (!sender.isConnected) if (!(await sender.connect())) await sleep(50);
      };

      await send(50, 'both');
      // Sent and not acknowledged, before and after: it must not come again.
      await post(server, 'wake/owing', 'owed');
      expected.set('owing', ['owed']);
      made += 1;
      await settled();

      let { hub } = processesOf(server);
      for (const [round, signal] of (['SIGKILL', 'SIGUSR2', 'SIGKILL'] as const).entries()) {
        // Before: acknowledged by the devices within the moment that a killed hub may forget.
        await send(40, 'both');
        await settled();
        if (signal === 'SIGKILL') process.kill(hub, 'SIGKILL');
        else process.kill(server.pid, 'SIGUSR2');
        // During: posts are repeated until they are accepted, and the line answers pings without its hub.
        const meanwhile = send(40, 'http');
        await lines[round]!.ping();
        lines[round]!.bytesAsleep = 0;
        await meanwhile;
        await until(
          async () => {
            const now = processesOf(server);
            if (now.hub === 0 || now.hub === hub || !(await isReady(server))) return false;
            hub = now.hub;
            return true;
          },
          60_000,
          () => 'there is another hub',
        );
        // After.
        await keepSender();
        await send(40, 'both');
        await settled();
        await until(
          () => sender.open.size === 0,
          60_000,
          () => `${sender.open.size} publications are not answered`,
        );
        assertAsleep(lines, expected);
        assert.equal(
          await statistic(server, 'flows'),
          LINES + 1 + 1,
          'every connection is known to the new hub',
        );
        t.diagnostic(`round ${round + 1}: ${signal}, ${made} messages so far, nobody woken`);
      }
      owing.acknowledgeAll();
      await until(
        async () => (await statistic(server, 'waitingMessages')) === 0,
        60_000,
        () => 'nothing waits any more',
      );
      assertAsleep(lines, expected);
    } finally {
      sender.destroy();
      for (const line of lines) line.destroy();
      assert.equal(await server.stop(), 0);
      directory.remove();
    }
  });

  test('a line process killed: its devices come back to the port and miss nothing, the others do not notice', async () => {
    const directory = temporaryDirectory('wakeline-lines');
    const server = await ServerProcess.create(directory.path);
    let lines: SleepingLine[] = [];
    try {
      await server.start(['--lines', '2']);
      lines = await openLines(server, 400);
      // The one with most connections: how many each gets is the host's choice.
      const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
      const processes = [...processesOf(server).lines].sort((a, b) => descriptors(b) - descriptors(a));
      const [victim, other] = processes;
      process.kill(victim!, 'SIGKILL');
      await until(
        () => lines.some(({ isConnected }) => !isConnected),
        60_000,
        () => 'connections are lost',
      );
      // Those that are the other's answer: then each that is not has been seen to be closed.
      await Promise.all(
        lines.map(async (line) => {
          if (!line.isConnected) return;
          await line.ping().catch((error: unknown) => {
            if (line.isConnected) throw error;
          });
        }),
      );
      const lost = lines.filter(({ isConnected }) => !isConnected);
      assert(lost.length >= 200 && lost.length < 400, `${lost.length} of 400 were the victim's`);
      for (const { id } of lines) await post(server, `wake/${id}`, 'while it was away');
      for (const line of lost) {
        await line.open();
        assert(line.sessionPresent, 'the session is there');
      }
      await until(
        () => lines.every(({ bodies }) => bodies.length === 1),
        60_000,
        () => 'every device has its message',
      );
      assert(lines.every(({ closes }) => closes <= 1));
      await until(
        () => processesOf(server).lines.length === 2 && processesOf(server).lines.includes(other!),
        60_000,
        () => 'there are two lines again',
      );
    } finally {
      for (const line of lines) line.destroy();
      assert.equal(await server.stop(), 0);
      directory.remove();
    }
  });

  test('a restart of the lines closes connections slowly, and new processes take them', async () => {
    const directory = temporaryDirectory('wakeline-lines');
    const server = await ServerProcess.create(directory.path);
    const COUNT = 300;
    const RATE = 100;
    let lines: SleepingLine[] = [];
    try {
      await server.start(['--lines', '2'], { WAKELINE_RESTART_FLOWS_PER_SECOND: String(RATE) });
      lines = await openLines(server, COUNT);
      const before = processesOf(server);
      const lateness = monitorEventLoopDelay({ resolution: 10 });
      lateness.enable();
      const startMs = Date.now();
      const end = await runProgram(process.execPath, [
        wakelineBin,
        'restart',
        'lines',
        '--data',
        directory.path,
      ]);
      assert.equal(end.code, 0, end.stderr);
      await until(
        () => lines.every(({ closes }) => closes === 1),
        60_000,
        () => 'all connections are closed',
      );
      lateness.disable();
      const lateMs = lateness.max / 1e6;
      const times = lines.map(({ closedMs }) => closedMs).sort((a, b) => a - b);
      // The last not before its turn; and never many more in a second than allowed: what a line that was late may make up for, and
      // what was closed before and seen only then, since this process waited for the processor.
      const lastMs = times.at(-1)! - startMs;
      assert(lastMs >= (COUNT / RATE - 1) * 1_000, `all were closed within ${lastMs} ms`);
      const withinMax = RATE * (2 + lateMs / 1_000);
      for (const [index, fromMs] of times.entries()) {
        const within = times.filter((ms, other) => other >= index && ms < fromMs + 1_000).length;
        assert(
          within <= withinMax,
          `${within} connections were closed within a second, seen ${lateMs} ms late`,
        );
      }
      const after = processesOf(server);
      assert.equal(after.hub, before.hub, 'the hub is the same');
      assert.equal(after.lines.length, 2);
      assert(
        after.lines.every((pid) => !before.lines.includes(pid)),
        'the lines are others',
      );
      for (const line of lines) await line.open();
      assert(lines.every(({ sessionPresent }) => sessionPresent));
      for (const { id } of lines.slice(0, 20)) await post(server, `wake/${id}`, 'to the new line');
      await until(
        () => lines.slice(0, 20).every(({ bodies }) => bodies.length === 1),
        60_000,
        () => 'messages come by the new lines',
      );
    } finally {
      for (const line of lines) line.destroy();
      assert.equal(await server.stop(), 0);
      directory.remove();
    }
  });

  test('what is in the way of a start, or of a restart, is told as without lines', async () => {
    const directory = temporaryDirectory('wakeline-lines');
    const elsewhere = temporaryDirectory('wakeline-lines');
    const server = await ServerProcess.create(directory.path);
    const wakeline = (...args: string[]) => runProgram(process.execPath, [wakelineBin, ...args]);
    try {
      await server.start(['--lines', '1']);
      const port = `mqtt://127.0.0.1:${server.mqttPort}`;
      const free = ['--listen', 'mqtt://127.0.0.1:0'];
      const locked = await wakeline('up', '--lines', '1', '--data', directory.path, ...free);
      assert.equal(locked.code, 3, locked.stderr);
      assert.match(locked.stderr, new RegExp(`in use by process ${server.pid};`));
      const taken = await wakeline('up', '--lines', '1', '--data', elsewhere.path, '--listen', port);
      assert.equal(taken.code, 1, taken.stderr);
      assert.match(taken.stderr, /another program uses this address and port/);
      const nobody = await wakeline('restart', 'hub', '--data', elsewhere.path);
      assert.equal(nobody.code, 5, nobody.stderr);
      const before = processesOf(server);
      const restarted = await wakeline('restart', 'hub', '--data', directory.path, '--json');
      assert.equal(restarted.code, 0, restarted.stderr);
      assert.deepEqual(JSON.parse(restarted.stdout), { event: 'restarted', what: 'hub' });
      const after = processesOf(server);
      assert.notEqual(after.hub, before.hub);
      assert.deepEqual(after.lines, before.lines);
      const figures = await (await fetch(`${server.url}/metrics`)).text();
      assert.match(figures, /^wakeline_lines 1$/m);
    } finally {
      assert.equal(await server.stop(), 0);
      directory.remove();
      elsewhere.remove();
    }
  });

  test('a supervisor that is killed takes its processes along, and the next start finds everything free', async () => {
    const directory = temporaryDirectory('wakeline-lines');
    const server = await ServerProcess.create(directory.path);
    const line = new SleepingLine({ id: 'd', port: server.mqttPort });
    try {
      await server.start(['--lines', '2']);
      await line.open();
      await server.kill();
      await server.start(['--lines', '2']);
      await line.open();
      assert(line.sessionPresent);
      await post(server, 'wake/d', 'after');
      await until(
        () => line.bodies.length === 1,
        60_000,
        () => 'the message comes',
      );
    } finally {
      line.destroy();
      assert.equal(await server.stop(), 0);
      directory.remove();
    }
  });
});

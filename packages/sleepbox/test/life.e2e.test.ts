/** Launch, death, control sockets and the command line, with real processes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';

import { askRunningBox, runSleepboxCommand, Sleepbox, SleepboxError } from '../src/index.js';
import { limits } from '../src/limits.js';
import {
  fixture,
  isAlive,
  isRunning,
  keepAwake,
  listOurCgroups,
  makeRuntimeDirectory,
  ProgramServer,
  startBox,
  until,
} from './support.js';

/** For one test; a machine that does much else takes long to start a program. */
const timeout = 180_000;

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof SleepboxError && error.code === code;
}

describe('relaunch', { concurrency: 2 }, () => {
  test('non-zero and signals: again, later each time; 0: stays down', { timeout }, async (context) => {
    const relaunch = { firstMs: 100, maxMs: 200, healthyMs: 60_000 };
    const { server, box, events } = await startBox(context, { scaled: { relaunch }, windowMs: 20_000 });
    server.send({ exit: 3 });
    await server.next('hello');
    process.kill(box.status().pid as number, 'SIGKILL');
    await server.next('hello');
    server.send({ exit: 1 });
    await server.next('hello');
    server.send({ exit: 0 });
    assert.equal(await box.finished, 0);
    const delays = events.filter((event) => event.type === 'relaunch').map((event) => event.delayMs);
    assert.deepEqual(delays, [100, 200, 200]);
    const exits = events.filter((event) => event.type === 'exit').map((event) => event.signal ?? event.code);
    assert.deepEqual(exits, [3, 'SIGKILL', 1, 0]);
    assert.equal(box.summary.relaunches, 3);
  });

  test(
    'a program that is killed in its sleep is relaunched, and its peer hears of it',
    { timeout },
    async (context) => {
      const relaunch = { firstMs: 500, maxMs: 500, healthyMs: 60_000 };
      const { server, box, next } = await startBox(context, {
        scaled: { relaunch },
        freezer: 'signal',
        windowMs: 2_000,
      });
      await next('asleep');
      process.kill(box.status().pid as number, 'SIGKILL');
      const letSleep = keepAwake(box);
      await server.next('closed');
      await server.next('hello');
      letSleep();
    },
  );
});

describe('keep-alive handler', { concurrency: 2 }, () => {
  const scaled = {
    keepaliveMsMin: 100,
    handlerMs: 500,
    relaunch: { firstMs: 50, maxMs: 50, healthyMs: 60_000 },
  };

  test('wakes before its timeout; the program says done', { timeout }, async (context) => {
    // Time enough to say so on a machine that does much else.
    const patient = { ...scaled, handlerMs: 30_000 };
    const { server, box, next } = await startBox(context, { scaled: patient, seed: 7, windowMs: 60_000 });
    server.send({ onKeepalive: 'done' });
    assert.equal((await server.control({ cmd: 'keepalive', timeoutMs: 4_000 }))['ok'], true);
    await box.sleep();
    await next('asleep');
    const wake = await next('wake');
    assert.equal(wake.cause, 'keepalive');
    const told = (await server.next('answer'))['answer'] as Record<string, unknown>;
    assert.equal(told['event'], 'keepalive');
    assert.equal((await next('asleep')).by, 'done');
    assert.equal(box.summary.handlerOverruns, 0);
  });

  test('killed when it overruns, and not set after the relaunch', { timeout }, async (context) => {
    const { server, box, next } = await startBox(context, { scaled, windowMs: 60_000 });
    // Its answer may be killed with the program, where that does not get its turn before.
    server.send({ control: { cmd: 'keepalive', timeoutMs: 1_000 } });
    assert.equal((await next('exit')).signal, 'SIGKILL');
    await server.next('hello');
    assert.equal(box.summary.handlerOverruns, 1);
    assert.equal(box.status().keepaliveMs, null);
  });
});

describe('control socket', { concurrency: 2 }, () => {
  test('every command', { timeout }, async (context) => {
    const { server, box, next } = await startBox(context, { windowMs: 20_000 });
    const localPort = server.socket?.remotePort;
    for (const request of [
      { cmd: 'mark', localPort },
      { cmd: 'mark', peer: `127.0.0.1:${server.port}` },
      { cmd: 'unmark', localPort },
      { cmd: 'unmark' },
      { cmd: 'keepalive', timeout: '600s' },
      { cmd: 'keepalive', off: true },
      { cmd: 'notify', title: 'Ann', body: 'calls' },
      { cmd: 'audio', on: false },
    ]) {
      assert.deepEqual(await server.control({ id: request.cmd, ...request }), { id: request.cmd, ok: true });
    }
    const notification = await next('notification');
    assert.equal(notification.title, 'Ann');
    assert.equal(notification.body, 'calls');
    const state = (await server.control({ cmd: 'state' }))['state'] as Record<string, unknown>;
    assert.equal(state['phase'], 'awake');
    assert.equal(state['pid'], box.status().pid);
    await server.control({ cmd: 'done' });
    assert.equal((await next('asleep')).by, 'done');
  });

  test(
    'bad lines are answered with a code; one that is too long ends the connection',
    { timeout },
    async (context) => {
      const { server } = await startBox(context, { windowMs: 20_000 });
      for (const [raw, code] of [
        ['nonsense\n', 'BAD_JSON'],
        ['[1]\n', 'BAD_JSON'],
        ['"done"\n', 'BAD_JSON'],
        ['{"cmd":"fly"}\n', 'UNKNOWN_COMMAND'],
        ['{"cmd":"audio","on":1}\n', 'BAD_ARGUMENT'],
        ['{"cmd":"keepalive","timeout":"599s"}\n', 'BELOW_FLOOR'],
        ['{"cmd":"state"}'.padEnd(limits.controlLineBytesMax + 2), 'LINE_TOO_LONG'],
      ] as const) {
        server.send({ raw });
        const answer = (await server.next('answer'))['answer'] as Record<string, unknown>;
        assert.equal(answer['ok'], false);
        assert.equal(answer['error'], code);
      }
      await server.next('controlClosed');
      for (let localPort = 1; localPort <= limits.marksMax; localPort++) {
        assert.equal((await server.control({ cmd: 'mark', localPort }))['ok'], true);
      }
      assert.equal((await server.control({ cmd: 'mark', localPort: 60_000 }))['error'], 'TOO_MANY_MARKS');
      assert.equal((await server.control({ cmd: 'state' }))['ok'], true);
    },
  );
});

describe('ctl', () => {
  test('status, sleep, wake, stop', { timeout }, async (context) => {
    const root = makeRuntimeDirectory(context);
    await assert.rejects(askRunningBox('status', undefined, root), hasCode('NOT_RUNNING'));
    const { box } = await startBox(context, { windowMs: 20_000, runtimeDirectory: root, name: 'one' });
    assert.equal((await askRunningBox('status', undefined, root)).phase, 'awake');
    assert.equal((await askRunningBox('sleep', 'one', root)).phase, 'asleep');
    assert.equal((await askRunningBox('wake', undefined, root)).phase, 'awake');
    assert.equal(box.summary.wakes.user, 1);
    const command = [process.execPath, '-e', 'setInterval(() => {}, 1000)'];
    const again = new Sleepbox({ command, runtimeDirectory: root, name: 'one' });
    await assert.rejects(again.start(), hasCode('NAME_TAKEN'));
    assert.equal((await askRunningBox('status', 'one', root)).phase, 'awake', 'the first is unharmed');
    const two = new Sleepbox({ command, runtimeDirectory: root, name: 'two' });
    await two.start();
    await assert.rejects(askRunningBox('status', undefined, root), hasCode('SEVERAL_RUNNING'));
    await assert.rejects(askRunningBox('status', 'tow', root), hasCode('NOT_RUNNING'));
    await askRunningBox('stop', 'two', root);
    assert.equal(await two.finished, 0);
    await askRunningBox('stop', undefined, root);
    assert.equal(await box.finished, 0);
    await assert.rejects(askRunningBox('status', 'one', root), hasCode('NOT_RUNNING'));
  });
});

describe('command line', { concurrency: 2 }, () => {
  interface Running {
    readonly child: ReturnType<typeof spawn>;
    readonly server: ProgramServer;
    readonly root: string;
    readonly programPid: number;
    readonly lines: Record<string, unknown>[];
    stderr: string;
  }

  async function run(context: TestContext, args: readonly string[]): Promise<Running> {
    const server = new ProgramServer();
    const port = await server.listen();
    const root = makeRuntimeDirectory(context);
    const program = [process.execPath, fixture('controlled.mjs'), String(port)];
    const child = spawn(process.execPath, [fixture('run-sleepbox.mjs'), ...args, '--', ...program], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, XDG_RUNTIME_DIR: dirname(root) },
    });
    const lines: Record<string, unknown>[] = [];
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        lines.push(args.includes('--json') ? JSON.parse(text.slice(0, end)) : { text: text.slice(0, end) });
        text = text.slice(end + 1);
      }
    });
    const running = {
      child,
      server,
      root: join(dirname(root), 'wakeline-sleepbox'),
      lines,
      stderr: '',
      programPid: 0,
    };
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      running.stderr += chunk;
    });
    context.after(() => {
      child.kill('SIGTERM');
      server.close();
    });
    // A busy machine may need longer than the window to start the program: it is woken until it is connected.
    const taking = setInterval(
      () => void askRunningBox('wake', undefined, running.root).catch(() => {}),
      200,
    );
    context.after(() => clearInterval(taking));
    running.programPid = Number((await server.next('hello'))['hello']);
    clearInterval(taking);
    return running;
  }

  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    test(`${signal} while asleep leaves nothing behind`, { timeout }, async (context) => {
      const running = await run(context, ['--json', '--window', '300ms']);
      await until(() => running.lines.some((line) => line['type'] === 'asleep'));
      running.child.kill(signal);
      const [exitCode] = await once(running.child, 'exit');
      assert.equal(exitCode, code);
      assert.equal(isAlive(running.programPid), false);
      assert.deepEqual(
        listOurCgroups().filter((name) => name.includes(`-${running.child.pid}-`)),
        [],
      );
      assert.equal(existsSync(join(running.root, `box-${running.child.pid}`)), false);
      assert.equal(running.lines.at(-1)?.['type'], 'summary');
    });
  }

  /** Falls asleep, loses its guardian and then sleepbox itself. */
  async function runWithoutGuardian(context: TestContext, freezer: string): Promise<Running> {
    const running = await run(context, ['--json', '--window', '300ms', '--freezer', freezer]);
    await until(() => running.lines.some((line) => line['type'] === 'asleep'));
    for (const pid of childrenOf(running.child.pid as number)) {
      if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('/bin/sh\0-c')) {
        process.kill(pid, 'SIGKILL');
      }
    }
    running.child.kill('SIGKILL');
    await once(running.child, 'exit');
    return running;
  }

  for (const freezer of ['auto', 'signal']) {
    test(
      `${freezer}: SIGKILL of sleepbox: the guardian ends the frozen program`,
      { timeout },
      async (context) => {
        const running = await run(context, ['--json', '--window', '300ms', '--freezer', freezer]);
        await until(() => running.lines.some((line) => line['type'] === 'asleep'));
        running.child.kill('SIGKILL');
        await until(() => !isRunning(running.programPid));
        await until(() => listOurCgroups().every((name) => !name.includes(`-${running.child.pid}-`)));
        await until(() => !existsSync(join(running.root, `box-${running.child.pid}`)));
      },
    );

    test(`${freezer}: without a guardian the next start sweeps`, { timeout }, async (context) => {
      let running = await runWithoutGuardian(context, freezer);
      // Frozen, and nobody ends it. Any other box of this machine that starts just now sweeps it, too: then once more.
      while (!isRunning(running.programPid)) running = await runWithoutGuardian(context, freezer);
      const next = new Sleepbox({ command: ['true'], runtimeDirectory: running.root });
      await next.start();
      await next.finished;
      await until(() => !isRunning(running.programPid));
      assert.equal(existsSync(join(running.root, `box-${running.child.pid}`)), false);
    });
  }

  test('plain: the program’s output on stdout, the timeline on stderr', { timeout }, async (context) => {
    const running = await run(context, ['--window', '20s']);
    running.server.send({ print: 'hello from the program' });
    await until(() => running.lines.length > 0);
    running.server.send({ exit: 0 });
    const [exitCode] = await once(running.child, 'close');
    assert.equal(exitCode, 0);
    assert.deepEqual(running.lines, [{ text: 'hello from the program' }]);
    assert.match(running.stderr, /start .*profile ios-voip/);
    assert.match(running.stderr, /summary .*wake/);
  });

  test('--json: standard output is JSON lines only, output among them', { timeout }, async (context) => {
    const running = await run(context, ['--json', '--window', '20s']);
    running.server.send({ print: 'not json' });
    running.server.send({ exit: 0 });
    const [exitCode] = await once(running.child, 'close');
    assert.equal(exitCode, 0);
    assert.equal(running.lines.find((line) => line['type'] === 'output')?.['line'], 'not json');
    for (const line of running.lines) {
      assert.equal(typeof line['at'], 'string');
      assert.equal(typeof line['elapsedMs'], 'number');
    }
  });

  test('usage errors, a missing command, help', async () => {
    for (const [argv, code, text] of [
      [['--windw', '3s', '--', 'true'], 2, /--window/],
      [['--keepalive', '599s', '--', 'true'], 2, /10m/],
      [['--', 'no-such-command-here'], 127, /no such command/],
      [['--', '/etc/passwd'], 126, /may not be executed/],
      [['ctl', 'status', '--name', 'nobody-has-this-name'], 3, /NOT_RUNNING/],
      [['--help'], 0, /Usage/],
    ] as const) {
      let output = '';
      const io = { write: (chunk: string) => (output += chunk) } as unknown as NodeJS.WritableStream;
      assert.equal(await runSleepboxCommand(argv, { stdout: io, stderr: io }), code, argv.join(' '));
      assert.match(output, text);
    }
  });
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
}

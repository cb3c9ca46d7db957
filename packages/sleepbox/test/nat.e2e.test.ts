/** `--nat`: real NATs of the kernel, with real idle times of some seconds. Root, iproute2 and nftables. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';

import { natHost, Sleepbox, SleepboxError, type TimelineEvent } from '../src/index.js';
import { missingForNat } from '../src/nat.js';
import { sendSignal } from '../src/processes.js';
import {
  fixture,
  isRunning,
  makeRuntimeDirectory,
  ProgramServer,
  startBox,
  type TestBox,
  until,
} from './support.js';

const missing = missingForNat(process.getuid?.(), process.env['PATH']);
const skip = missing.length === 0 ? false : `--nat needs ${missing.join(', ')}`;
/** For one test; a machine that does much else takes long to start a program. So idle times are long enough for it to be quicker. */
const timeout = 180_000;

type NatEvent = TimelineEvent & { type: 'nat' };

const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', env: environment });
}

/** What the router knows: flows, and what it has dropped because it knew none. */
class Router {
  readonly #pid: number;

  constructor(pid: number) {
    this.#pid = pid;
  }

  knows(port: number): boolean {
    return this.#run('cat', '/proc/net/nf_conntrack').includes(`sport=${port} `);
  }

  dropped(direction: 'inward' | 'outward'): number {
    const text = this.#run('nft', 'list', 'counter', 'ip', 'sleepbox', `forgotten-${direction}`);
    return Number(/packets (\d+)/.exec(text)?.[1]);
  }

  #run(...command: string[]): string {
    return run('nsenter', `--net=/proc/${this.#pid}/ns/net`, ...command);
  }
}

/** A server for the program's second connection. */
async function startLine(context: TestContext): Promise<{ port: number; accepted: Promise<Socket> }> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = once(server, 'connection').then(([socket]) => socket as Socket);
  context.after(async () => {
    server.close();
    (await accepted).destroy();
  });
  return { port: (server.address() as { port: number }).port, accepted };
}

interface NatBox extends TestBox {
  readonly nat: NatEvent;
  readonly router: Router;
}

async function startNatBox(context: TestContext, idleMs: number, loose: boolean): Promise<NatBox> {
  const started = await startBox(context, { nat: { idleMs, loose }, windowMs: 60_000 });
  const nat = started.events.find((event) => event.type === 'nat') as NatEvent;
  return { ...started, nat, router: new Router(nat.pid) };
}

/** Keeps the connection by which the test controls the program from being forgotten, until the returned is called. */
function keepAlive({ server }: TestBox): () => void {
  const timer = setInterval(() => server.send({}), 250);
  return () => clearInterval(timer);
}

/** Opens the second connection and leaves it idle until the NAT has forgotten it. */
async function openForgottenLine(context: TestContext, box: NatBox): Promise<Socket> {
  const line = await startLine(context);
  box.server.send({ line: line.port });
  const { lineOpen } = await box.server.next('lineOpen');
  const socket = await line.accepted;
  assert.equal(socket.remoteAddress, box.nat.address, 'translated');
  assert.equal(box.router.knows(lineOpen as number), true);
  socket.write('first ');
  await box.server.next('lineData');
  await until(() => !box.router.knows(lineOpen as number));
  return socket;
}

describe('a NAT of the kernel before the program', { skip, concurrency: 3 }, () => {
  test('strict: a forgotten connection passes nothing in either direction', { timeout }, async (context) => {
    const box = await startNatBox(context, 8_000, false);
    context.after(keepAlive(box));
    const socket = await openForgottenLine(context, box);
    let received = '';
    socket.on('data', (chunk) => (received += String(chunk)));
    socket.write('inward');
    await until(() => box.router.dropped('inward') > 0);
    box.server.send({ lineSend: 'outward' });
    await until(() => box.router.dropped('outward') > 0);
    box.server.send({ lineTold: true });
    assert.equal((await box.server.next('lineTold'))['lineTold'], 'first ');
    assert.equal(received, '');
    await box.server.echo('a connection that was kept still works');
  });

  test('loose: only what the program sends revives a forgotten connection', { timeout }, async (context) => {
    const box = await startNatBox(context, 8_000, true);
    context.after(keepAlive(box));
    const socket = await openForgottenLine(context, box);
    socket.write('inward');
    await until(() => box.router.dropped('inward') > 0);
    box.server.send({ lineTold: true });
    assert.equal((await box.server.next('lineTold'))['lineTold'], 'first ', 'nothing has come in');
    const data = once(socket, 'data');
    box.server.send({ lineSend: 'outward' });
    assert.equal(String((await data)[0]), 'outward');
    // The sender's kernel repeats what was dropped, and now it passes: late by all of the time in between.
    assert.equal((await box.server.next('lineData'))['lineData'], 'inward');
    assert.equal(box.router.dropped('outward'), 0);
  });

  test('traffic keeps a connection far beyond the idle time', { timeout }, async (context) => {
    const box = await startNatBox(context, 8_000, false);
    for (let i = 0; i < 10; i++) await box.server.echo(i, 2_000);
    assert.equal(box.router.dropped('inward') + box.router.dropped('outward'), 0);
  });

  test(
    'asleep: probes of the server’s kernel keep the way open, and data wakes',
    { timeout },
    async (context) => {
      const box = await startNatBox(context, 3_000, false);
      box.server.socket?.setKeepAlive(true, 1_000);
      await box.box.sleep();
      const idle = await startNatBox(context, 6_000, false);
      context.after(keepAlive(idle));
      await openForgottenLine(context, idle); // as long as the idle time, and some
      await openForgottenLine(context, idle);
      assert.equal(box.box.status().phase, 'asleep');
      box.server.send({ echo: 'good morning' });
      assert.equal((await box.server.next('echo'))['echo'], 'good morning');
      assert.equal(box.box.summary.wakes.data, 1);
    },
  );

  test('datagrams pass both ways, until their flow is forgotten', { timeout }, async (context) => {
    const box = await startNatBox(context, 8_000, true);
    context.after(keepAlive(box));
    const udp = createSocket('udp4');
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    context.after(() => udp.close());
    const { port } = udp.address();
    box.server.send({ voice: port });
    const [, from] = (await once(udp, 'message')) as [Buffer, RemoteInfo];
    assert.equal(from.address, box.nat.address);
    udp.send('answer', from.port, from.address);
    assert.equal((await box.server.next('voice'))['voice'], 'answer');
    await until(() => !box.router.knows(from.port));
    udp.send('too late', from.port, from.address);
    await until(() => box.router.dropped('inward') > 0);
    box.server.send({ voice: port });
    await once(udp, 'message');
    udp.send('again', from.port, from.address);
    assert.equal((await box.server.next('voice'))['voice'], 'again');
  });

  test('audio is known by the datagrams of the namespace', { timeout }, async (context) => {
    const box = await startBox(context, {
      nat: { idleMs: 30_000 },
      modes: ['voip', 'audio'],
      windowMs: 5_000,
    });
    const udp = createSocket('udp4');
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    context.after(() => udp.close());
    const { port } = udp.address();
    box.server.send({ voice: port, everyMs: 20 });
    await until(() => box.events.some((event) => event.type === 'audio' && event.on));
    const audio = box.events.find((event) => event.type === 'audio');
    assert.equal(audio?.type === 'audio' && audio.evidence, 'datagrams');
  });

  test('boxes side by side have addresses of their own', { timeout }, async (context) => {
    const boxes = await Promise.all([1, 2, 3, 4].map(() => startNatBox(context, 30_000, false)));
    assert.equal(new Set(boxes.map((box) => box.nat.address)).size, 4);
    for (const { server, nat } of boxes) {
      assert.equal(nat.host, natHost);
      assert.equal(server.socket?.remoteAddress, nat.address);
    }
    const [first, ...others] = boxes as [NatBox, ...NatBox[]];
    await first.box.stop();
    assert.equal(hasLink(first.nat), false, 'nothing is left of it when it has stopped');
    assert.equal(isRunning(first.nat.pid), false);
    for (const { server } of others) await server.echo('still here');
  });

  for (const withGuardian of [true, false]) {
    test(
      `SIGKILL of sleepbox${withGuardian ? '' : ' and of its guardian'}: the NAT goes too`,
      { timeout },
      async (context) => {
        const { child, programPid, nat, guardianPids } = await startCommand(context);
        assert.equal(hasLink(nat), true);
        if (!withGuardian) for (const pid of guardianPids) process.kill(pid, 'SIGKILL');
        child.kill('SIGKILL');
        await until(() => !hasLink(nat) && !isRunning(nat.pid));
        if (withGuardian) await until(() => !isRunning(programPid));
        else sendSignal(programPid, 'SIGKILL'); // it may have noticed that its network is gone
      },
    );
  }

  test(
    'a machine that forwards lets the program beyond, with name servers that it can reach',
    { timeout },
    async (context) => {
      // A machine in a namespace, and another behind it.
      const [machine, beyond] = [`sb-machine-${process.pid}`, `sb-beyond-${process.pid}`];
      for (const name of [machine, beyond]) {
        run('ip', 'netns', 'add', name);
        context.after(() => run('ip', 'netns', 'del', name));
      }
      run(
        'ip',
        'link',
        'add',
        'wan',
        'netns',
        machine,
        'type',
        'veth',
        'peer',
        'name',
        'wan',
        'netns',
        beyond,
      );
      run('ip', '-n', machine, 'addr', 'add', '203.0.113.1/24', 'dev', 'wan');
      run('ip', '-n', beyond, 'addr', 'add', '203.0.113.2/24', 'dev', 'wan');
      for (const name of [machine, beyond]) run('ip', '-n', name, 'link', 'set', 'wan', 'up');
      run('ip', 'netns', 'exec', machine, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward');
      const listen = `require('net').createServer((socket) => socket.end(socket.remoteAddress))
        .listen(7, '203.0.113.2', () => console.log('ready'))`;
      const peer = spawn('ip', ['netns', 'exec', beyond, process.execPath, '-e', listen]);
      context.after(() => peer.kill());
      await once(peer.stdout, 'data');
      const root = makeRuntimeDirectory(context);
      mkdirSync(root, { recursive: true });
      const resolvConf = `${root}/loopback.conf`;
      writeFileSync(resolvConf, 'nameserver 127.0.0.53\n');
      const program = `require('net').connect(7, '203.0.113.2').pipe(process.stdout);
        console.log(require('fs').readFileSync('/etc/resolv.conf', 'utf8'))`;
      const box = [process.execPath, fixture('run-sleepbox.mjs'), '--nat', '30s', '--json', '--'];
      const mounted = ['sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolvConf, ...box];
      const { stdout } = await promisify(execFile)(
        'ip',
        ['netns', 'exec', machine, ...mounted, process.execPath, '-e', program],
        { env: { ...environment, XDG_RUNTIME_DIR: root } },
      );
      const events = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as TimelineEvent);
      const output = events.flatMap((event) => (event.type === 'output' ? [event.line] : []));
      assert.ok(output.includes('203.0.113.1'), 'seen as the machine');
      const servers = output.filter((line) => line.startsWith('nameserver'));
      assert.ok(servers.length > 0 && servers.every((line) => !line.includes(' 127.')), servers.join());
      assert.equal(events.find((event) => event.type === 'nat')?.outside, true);
      assert.equal(run('ip', 'netns', 'exec', machine, 'nft', 'list', 'tables'), '', 'its table is gone');
    },
  );

  test('a NAT that ends by itself is told, and the box goes on', { timeout }, async (context) => {
    const box = await startNatBox(context, 30_000, false);
    process.kill(box.nat.pid, 'SIGKILL');
    const warning = await box.next('warning');
    assert.equal(warning.code, 'NO_NAT');
    await until(() => !hasLink(box.nat));
    assert.equal(box.box.status().phase, 'awake');
  });
});

test('what is missing for a NAT is named', async () => {
  assert.deepEqual(
    missingForNat(0, process.env['PATH']),
    missing.filter((one) => one !== 'root'),
  );
  assert.equal(missingForNat(1_000, process.env['PATH'])[0], 'root');
  assert.ok(
    missingForNat(0, '').some((one) => one.startsWith('nsenter')),
    'util-linux is not in /usr/sbin',
  );
  const command = ['true'];
  for (const idleMs of [0, 999, 1_500, 8 * 24 * 3_600_000, NaN]) {
    assert.throws(
      () => new Sleepbox({ command, nat: { idleMs } }),
      (error) => error instanceof SleepboxError && error.code === 'BAD_DURATION',
    );
  }
});

function hasLink({ address }: NatEvent): boolean {
  const prefix = address.replace(/\d+$/, '');
  const last = Number(address.slice(prefix.length)) - 1;
  return Object.values(networkInterfaces()).some((all) =>
    all?.some((one) => one.address === `${prefix}${last}`),
  );
}

interface Running {
  readonly child: ReturnType<typeof spawn>;
  readonly programPid: number;
  readonly nat: NatEvent;
  readonly guardianPids: number[];
}

/** Runs the command line, so that it can be killed. */
async function startCommand(context: TestContext): Promise<Running> {
  const server = new ProgramServer();
  const port = await server.listen();
  const args = ['--json', '--nat', '30s', '--', process.execPath, fixture('controlled.mjs'), String(port)];
  const child = spawn(process.execPath, [fixture('run-sleepbox.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, XDG_RUNTIME_DIR: makeRuntimeDirectory(context) },
  });
  context.after(() => {
    child.kill('SIGTERM');
    server.close();
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const programPid = Number((await server.next('hello'))['hello']);
  await until(() => output.includes('"type":"nat"'));
  const nat = output
    .split('\n')
    .filter((line) => line.includes('"type":"nat"'))
    .map((line) => JSON.parse(line) as NatEvent)[0] as NatEvent;
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1')
    .trim()
    .split(' ')
    .map(Number);
  const guardianPids = children.filter((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('/bin/sh\0-c'),
  );
  return { child, programPid, nat, guardianPids };
}

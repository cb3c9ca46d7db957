/** The load: SIPp, as caller, callee and registering phone. It goes as fast as answers come, some at once. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuSeconds } from '../mqtt/processes.mjs';
import { CALLERS_ADDRESS, DOMAIN, PASSWORD, USERS, userName } from './servers.mjs';

const scenarioFile = (name) => fileURLToPath(new URL(`${name}.xml`, import.meta.url));

/** Users that can be called, all of them at the one callee. Wakeline bounds the calls of one user in a minute. */
const CALLED_USERS = 1_000;

/** The first 5 % of a case are not measured. */
const WARM_UP_SHARE = 0.05;

/** Runs of SIPp in one directory; what still runs is ended by `end`. */
export class SipLoad {
  #directory;
  #children = new Set();
  #runs = 0;

  constructor(directory) {
    this.#directory = directory;
  }

  async writeUsers() {
    const lines = Array.from(
      { length: USERS },
      (_, number) => `${userName(number)};[authentication username=${userName(number)} password=${PASSWORD}]`,
    );
    await writeFile(join(this.#directory, 'users.csv'), `SEQUENTIAL\n${lines.join('\n')}\n`);
    await writeFile(
      join(this.#directory, 'called.csv'),
      `SEQUENTIAL\n${lines.slice(0, CALLED_USERS).join('\n')}\n`,
    );
  }

  /** Registers in a closed loop; figures, with the server's CPU time. */
  async register({ port, count, atOnce, pids }) {
    const warmUp = Math.ceil(count * WARM_UP_SHARE);
    const args = ['-inf', 'users.csv', '-auth_uri', `sip:${DOMAIN}`];
    const run = (calls) =>
      this.#toEnd('register', { port, calls, atOnce, address: '127.0.0.1', args: [...args] });
    await run(warmUp);
    const before = await cpuSeconds(pids);
    const { seconds, successful, failed } = await run(count);
    const serverCpuSeconds = (await cpuSeconds(pids)) - before;
    return {
      registrationsPerSecond: successful / seconds,
      serverCpuUsPerRegistration: (serverCpuSeconds * 1e6) / successful,
      registrationsFailed: failed,
    };
  }

  /** Puts the callee's users where the callee is; resolves with its port. */
  async placeCallee(port) {
    const localPort = await freeUdpPort();
    await this.#toEnd('register', {
      port,
      calls: CALLED_USERS,
      atOnce: 10,
      address: '127.0.0.1',
      localPort,
      args: ['-inf', 'called.csv', '-auth_uri', `sip:${DOMAIN}`],
    });
    return localPort;
  }

  /** Calls in a closed loop. Without `pids` no server is between the two. */
  async call({ port, calleePort, count, atOnce, pids = [] }) {
    const callee = await this.#start('callee', { localPort: calleePort, address: '127.0.0.1' });
    await listens(callee, calleePort);
    try {
      const run = (calls) =>
        this.#toEnd('caller', {
          port,
          calls,
          atOnce,
          address: CALLERS_ADDRESS,
          args: ['-inf', 'called.csv'],
        });
      await run(Math.ceil(count * WARM_UP_SHARE));
      const before = await cpuSeconds(pids);
      const { seconds, successful, failed, retransmissions } = await run(count);
      const serverCpuSeconds = (await cpuSeconds(pids)) - before;
      return {
        callsPerSecond: successful / seconds,
        ...(pids.length > 0 && { serverCpuUsPerCall: (serverCpuSeconds * 1e6) / successful }),
        callsFailed: failed,
        retransmissions,
      };
    } finally {
      await this.#stop(callee);
    }
  }

  async end() {
    for (const child of this.#children) await this.#stop(child);
  }

  async #toEnd(scenario, options) {
    const name = `run${++this.#runs}`;
    const more = ['-trace_stat', '-stf', `${name}.csv`, '-m', String(options.calls)];
    more.push('-l', String(options.atOnce), '-r', '100000', ...options.args);
    const child = await this.#start(scenario, { ...options, args: more });
    const begin = performance.now();
    // SIPp's own time-out leaves it waiting.
    const overtime = setTimeout(() => child.kill('SIGKILL'), 180_000);
    await once(child, 'close');
    clearTimeout(overtime);
    const seconds = (performance.now() - begin) / 1_000;
    const text = await readFile(join(this.#directory, `${name}.csv`), 'utf8').catch(() => '');
    const [head = '', ...rows] = text.trimEnd().split('\n');
    const last = rows.at(-1)?.split(';') ?? [];
    const figure = (column) => Number(last[head.split(';').indexOf(column)] ?? Number.NaN);
    const outcome = {
      seconds,
      successful: figure('SuccessfulCall(C)'),
      failed: figure('FailedCall(C)'),
      retransmissions: figure('Retransmissions(C)'),
    };
    if (!(outcome.successful > 0)) throw new Error(`SIPp, ${scenario}: ${child.errors.slice(-500)}`);
    return outcome;
  }

  async #start(scenario, { port, localPort, address, args = [] }) {
    const fixed = ['-sf', scenarioFile(scenario), '-t', 'u1', '-i', address, '-nostdin'];
    fixed.push('-key', 'domain', DOMAIN, '-buff_size', '4194304');
    fixed.push('-p', String(localPort ?? (await freeUdpPort(address))));
    const server = port === undefined ? [] : [`127.0.0.1:${port}`];
    const child = spawn('sipp', [...fixed, ...args, ...server], {
      cwd: this.#directory,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.errors = '';
    child.on('error', (error) => (child.errors += error.message));
    child.stderr.setEncoding('utf8').on('data', (text) => (child.errors += text));
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  async #stop(child) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'close');
    child.kill('SIGKILL');
    await ended;
  }
}

async function freeUdpPort(address = '127.0.0.1') {
  const socket = createSocket('udp4').bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

/** Resolves when the program has bound its UDP port. */
async function listens(child, port) {
  const bound = new RegExp(`:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 07 `);
  for (let attempt = 0; attempt < 500; attempt++) {
    if (child.exitCode !== null) throw new Error(`SIPp ended: ${child.errors}`);
    if (bound.test(await readFile('/proc/net/udp', 'latin1'))) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('SIPp did not bind its port');
}

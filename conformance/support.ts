/** What the tests with real processes share: free ports, a server that can be killed, waiting for conditions. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The command a user would call. */
export const wakelineBin = fileURLToPath(new URL('../../packages/cli/bin/wakeline.js', import.meta.url));

/** A machine that does much else takes long to start a server, ms. */
export const START_MS_MAX = 90_000;

/**
 * Ports that no kernel gives out by itself, below those of baresip's voice. Test files that run at the same time have a part each: between
 * the choice of a port and its use, also while a server is being started again, nobody else gets it.
 */
const PORTS_FIRST = 11_000;
const PORTS_OF_SLOT = 1_800;
const portsFrom = PORTS_FIRST + PORTS_OF_SLOT * Number(process.env['WAKELINE_TEST_SLOT'] ?? 4);
let portsTaken = process.pid;

/** A port of this test's part that nobody uses now, by TCP or UDP; each call gives another. */
export function freePort(): Promise<number> {
  return freePorts(1);
}

/** The first of four free ports in a row, an even one: RTP and RTCP, for audio and for video. */
export function freeMediaPort(): Promise<number> {
  return freePorts(4);
}

/** The first of so many in a row, a multiple of their number. */
async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < PORTS_OF_SLOT / count; tries += 1) {
    const taken = Math.ceil(portsTaken / count) * count;
    portsTaken = taken + count;
    const first = portsFrom + (taken % PORTS_OF_SLOT);
    const areFree = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)));
    if (areFree.every(Boolean)) return first;
  }
  throw new Error(`no port from ${portsFrom} on is free`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const socket = createSocket('udp4');
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    socket.bind(port, '127.0.0.1');
    await once(socket, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return false;
  } finally {
    socket.close();
    if (server.listening) {
      server.close();
      await once(server, 'close');
    }
  }
}

export function temporaryDirectory(prefix: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `${prefix}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Resolves when the condition holds; rejects with what `describe` says when it does not within the time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  describe: () => string,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${describe()}`);
    await sleep(20);
  }
}

/** Whether a request is to be sent again: the server is starting, leaving or full, or (408) this process did not get round to sending it whole. */
export function isToBeRepeated(status: number): boolean {
  return status === 408 || status === 503;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** `wakeline up` as a process of its own, on fixed ports and one data directory, to be killed and started again. */
export class ServerProcess {
  readonly dataDirectory: string;
  readonly mqttPort: number;
  readonly httpPort: number;
  /** Put in front of the command, e.g. strace and its options. */
  readonly wrapper: readonly string[];
  #child: ChildProcess | null = null;
  #stderr = '';

  constructor(dataDirectory: string, mqttPort: number, httpPort: number, wrapper: readonly string[] = []) {
    this.dataDirectory = dataDirectory;
    this.mqttPort = mqttPort;
    this.httpPort = httpPort;
    this.wrapper = wrapper;
  }

  static async create(dataDirectory: string, wrapper: readonly string[] = []): Promise<ServerProcess> {
    return new ServerProcess(dataDirectory, await freePort(), await freePort(), wrapper);
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts it and waits for its ready line. */
  async start(
    more: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const command = [
      ...this.wrapper,
      process.execPath,
      wakelineBin,
      'up',
      '--data',
      this.dataDirectory,
      '--listen',
      `mqtt://127.0.0.1:${this.mqttPort}`,
      '--listen',
      this.url,
      ...more,
    ];
    // The server refuses settings it does not know; ours are for the tests.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('WAKELINE_')),
    );
    const child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...env, ...environment },
    });
    this.#child = child;
    this.#stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    await until(
      () => {
        if (child.exitCode !== null)
          throw new Error(`the server left with ${child.exitCode}: ${this.#stderr}`);
        return /^wakeline: ready /m.test(stdout);
      },
      START_MS_MAX,
      () => `the server is ready; it said: ${stdout}${this.#stderr}`,
    );
  }

  /** A message to the inbox of a device that is known, by the HTTP API; stored when it resolves. */
  async send(device: string, body: string): Promise<void> {
    const response = await fetch(`${this.url}/v1/devices/${device}/messages`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ body }),
    });
    if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  }

  /** SIGKILL, as a power switch would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (child === null) return null;
    this.#child = null;
    if (child.exitCode !== null) return child.exitCode;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    return code;
  }
}

/** The processes of a server with lines. */
export interface Processes {
  readonly hub: number;
  readonly lines: readonly number[];
}

/** The children of the supervisor, by what they run; hub 0: there is none just now. */
export function processesOf(server: ServerProcess): Processes {
  const { pid } = server;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ');
  const running = (file: string): number[] =>
    children.filter((child) => child !== '' && commandOf(child).includes(file)).map(Number);
  return { hub: running('hub-main.js')[0] ?? 0, lines: running('line-main.js') };
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** Processes of a server as Linux shows them: who belongs to it, memory, CPU; and how a program is built and run. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('../load/', import.meta.url));
const compilers = ['c++', 'g++', 'clang++'];

/** Path of the load generator, compiled into the user's cache when it is not there yet. */
export async function buildGenerator(log) {
  const names = (await readdir(sources)).filter((name) => /\.(?:cpp|hpp)$/.test(name)).sort();
  const hash = createHash('sha256');
  for (const name of names) hash.update(await readFile(join(sources, name)));
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'wakeline');
  const program = join(cache, `wakeline-load-${process.arch}-${hash.digest('hex').slice(0, 16)}`);
  if (await isThere(program)) return program;
  await mkdir(cache, { recursive: true, mode: 0o700 });
  const fresh = `${program}.${process.pid}`;
  const files = names.filter((name) => name.endsWith('.cpp')).map((name) => join(sources, name));
  let why = 'there is no compiler';
  for (const compiler of compilers) {
    log(`compiling the load generator with ${compiler}`);
    const result = await runToEnd(compiler, ['-std=c++17', '-O2', '-o', fresh, ...files]).catch(
      () => undefined,
    );
    if (result === undefined) continue;
    if (result.code === 0) {
      await rename(fresh, program);
      return program;
    }
    why = result.stderr;
  }
  throw new Error(
    `the load generator in bench/load needs a C++17 compiler on Linux (tried ${compilers.join(', ')}; on Debian: apt-get install g++): ${why}`,
  );
}

async function isThere(path) {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Runs a program until it ends; `onLine` gets its stderr. */
export async function runToEnd(command, args, { onLine, ...options } = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr = (stderr + text).slice(-4000);
    if (onLine !== undefined) for (const line of text.split('\n')) if (line !== '') onLine(line);
  });
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

/** A directory on the disk that is measured, removed by the caller. */
export function makeDirectory(base) {
  return mkdtemp(join(base, 'wakeline-bench-'));
}

export function removeDirectory(path) {
  return rm(path, { recursive: true, force: true });
}

/** A port that is free now, below those that the kernel gives to clients. */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error('no free port was found');
}

/** Resolves when something accepts at the port. */
export async function waitForPort(port, child, secondsMax = 120) {
  const end = performance.now() + secondsMax * 1000;
  while (performance.now() < end) {
    const isOver = child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
    if (isOver) throw new Error('it ended at its start');
    const isOpen = await new Promise((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isOpen) return;
    await delay(5);
  }
  throw new Error('it did not accept in time');
}

/** The process and all that it started, as far as they live. */
export async function processTree(pid) {
  const tree = [pid];
  for (const member of tree) {
    const tasks = await readdir(`/proc/${member}/task`).catch(() => []);
    for (const task of tasks) {
      const children = await readFile(`/proc/${member}/task/${task}/children`, 'utf8').catch(() => '');
      for (const child of children.split(' ')) if (child !== '') tree.push(Number(child));
    }
  }
  return tree;
}

/** Resident bytes of all of them. */
export async function residentBytes(pids) {
  let sum = 0;
  for (const pid of pids) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    sum += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
  }
  return sum;
}

/** User and system seconds of all of them; in steps of 10 ms (USER_HZ is 100 on every Linux). */
export async function cpuSeconds(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / 100;
}

/** Program and arguments that run on these CPUs only (`0-2`, as `taskset` takes them); undefined: on any. */
export function onCpus(cpus, program, args) {
  return cpus === undefined ? [program, args] : ['taskset', ['-c', cpus, program, ...args]];
}

/** The last CPU for the generator, all others for the server; undefined where there is one only. */
export function cpusApart() {
  const count = availableParallelism();
  return count < 2 ? undefined : { server: `0-${count - 2}`, generator: String(count - 1) };
}

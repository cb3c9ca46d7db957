/** The servers that are compared: how each is started, and what was chosen for it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onCpus, processTree, residentBytes, runToEnd, waitForPort } from './processes.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
/** What one address may do is a protection, and all of a benchmark comes from a few. */
const COUNT = '1000000';

/**
 * One entry for each server: `command({ port, directory, tls, inFlight, upFlags })` gives program, arguments and
 * environment; `tls` is undefined or has `cert` and `key`. `isBroker` is false for those that only answer a connect.
 */
export const servers = {
  wakeline: {
    title: 'Wakeline',
    isBroker: true,
    isNode: true,
    command: ({ port, directory, tls, inFlight, upFlags }) => {
      const tlsFlags = tls === undefined ? [] : ['--tls-cert', tls.cert, '--tls-key', tls.key];
      const url = `${tls === undefined ? 'mqtt' : 'mqtts'}://127.0.0.1:${port}`;
      return wakelineUp(url, directory, [...tlsFlags, ...upFlags], {
        WAKELINE_LIMITS_INFLIGHT_MAX: String(inFlight),
      });
    },
    version: wakelineVersion,
  },
  mosquitto: {
    title: 'mosquitto',
    isBroker: true,
    isNode: false,
    command: async ({ port, directory, tls, inFlight }) => {
      const config = join(directory, 'mosquitto.conf');
      const lines = [
        'user root',
        `listener ${port} 127.0.0.1`,
        'allow_anonymous true',
        'persistence true',
        `persistence_location ${directory}/`,
        'persistence_file mosquitto.db',
        'max_queued_messages 0',
        `max_inflight_messages ${inFlight}`,
        'log_dest none',
        ...(tls === undefined ? [] : [`certfile ${tls.cert}`, `keyfile ${tls.key}`]),
      ];
      await writeFile(config, `${lines.join('\n')}\n`);
      return { program: 'mosquitto', args: ['-c', config], env: { PATH } };
    },
    version: async () => {
      const { stdout } = await runToEnd('mosquitto', ['-h'], { env: { PATH } });
      return /version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
    },
  },
  aedes: {
    title: 'aedes, level',
    isBroker: true,
    isNode: true,
    needsPackages: true,
    command: ({ port, directory, tls }) =>
      nodeServer('aedes-server.mjs', port, tls, ['--directory', join(directory, 'level')]),
    version: () => peerVersions('aedes', 'aedes-persistence-level', 'level'),
  },
  'aedes-memory': {
    title: 'aedes, memory',
    isBroker: true,
    isNode: true,
    needsPackages: true,
    command: ({ port, tls }) => nodeServer('aedes-server.mjs', port, tls),
    version: () => peerVersions('aedes'),
  },
  node: {
    title: 'bare Node',
    isBroker: false,
    isNode: true,
    command: ({ port, tls }) => nodeServer('bare-server.mjs', port, tls),
    version: async () => process.version,
  },
  'node-synced': {
    title: 'bare Node, synced',
    isBroker: false,
    isNode: true,
    command: ({ port, directory }) =>
      nodeServer('synced-server.mjs', port, undefined, ['--directory', directory]),
    version: async () => process.version,
  },
};

/** `wakeline up` with one listener, its limits for one address raised. */
export function wakelineUp(url, directory, flags, env = {}) {
  return {
    program: process.execPath,
    args: [
      here('../../packages/cli/bin/wakeline.js'),
      'up',
      '--data',
      directory,
      '--log-level',
      'error',
      '--listen',
      url,
      ...flags,
    ],
    env: {
      WAKELINE_CONNECTIONS_PER_ADDRESS_MAX: COUNT,
      WAKELINE_CONNECTS_PER_SECOND_PER_ADDRESS_MAX: COUNT,
      WAKELINE_CONNECTS_PER_SECOND_MAX: COUNT,
      WAKELINE_HANDSHAKES_MAX: COUNT,
      ...env,
    },
    readyLine: 'wakeline: ready',
  };
}

export async function wakelineVersion() {
  return `${await packageVersion('../../packages/cli/package.json')} ${await commit()}`.trim();
}

function nodeServer(script, port, tls, more = []) {
  const tlsArgs = tls === undefined ? [] : ['--cert', tls.cert, '--key', tls.key];
  const args = [here(script), '--port', String(port), ...more, ...tlsArgs];
  return { program: process.execPath, args, env: {}, readyLine: 'ready' };
}

export async function packageVersion(path) {
  return JSON.parse(await readFile(new URL(path, import.meta.url), 'utf8')).version;
}

async function commit() {
  const result = await runToEnd('git', ['describe', '--always', '--dirty'], { cwd: here('.') }).catch(
    () => undefined,
  );
  return result?.code === 0 ? `(${result.stdout.trim()})` : '';
}

/** Versions of packages of bench/package.json; rejects when one is not installed. */
export async function peerVersions(...names) {
  const parts = [];
  for (const name of names)
    parts.push(`${name} ${await packageVersion(`../node_modules/${name}/package.json`)}`);
  return parts.join(', ');
}

/** What a run found to be there; the reason why not otherwise. */
export async function whyMissing(name) {
  if (name === 'mosquitto') {
    const result = await runToEnd('mosquitto', ['-h'], { env: { PATH } }).catch(() => undefined);
    return result === undefined ? 'mosquitto is not installed (tools/peers.sh)' : undefined;
  }
  if (!servers[name].needsPackages) return undefined;
  return peerVersions('aedes', 'aedes-persistence-level', 'level').then(
    () => undefined,
    () => 'its packages are not installed (npm ci in bench/)',
  );
}

/**
 * A server that runs, once `launch` has resolved. `setup`: `{ name, directory, port, tls, inFlight, upFlags, cpus }`; the
 * directory exists and may hold an earlier life's data. `definition`: its entry, of this table or of another.
 */
export class RunningServer {
  #child;
  #setup;
  #definition;
  #errors = '';

  constructor(setup, definition = servers[setup.name]) {
    this.#setup = setup;
    this.#definition = definition;
  }

  get port() {
    return this.#setup.port;
  }

  /** Milliseconds from the start of the process until it says that it is ready, or accepts. */
  async launch() {
    const { name, directory, port } = this.#setup;
    const collectDirectory = join(directory, 'collected');
    await mkdir(collectDirectory, { recursive: true });
    const data = join(directory, 'data');
    await mkdir(data, { recursive: true });
    const { program, args, env, readyLine } = await this.#definition.command({
      ...this.#setup,
      directory: data,
    });
    const begin = performance.now();
    const nodeOptions = `${process.env.NODE_OPTIONS ?? ''} --import ${here('collect.mjs')}`.trim();
    const [file, argv] = onCpus(this.#setup.cpus, program, args);
    const child = spawn(file, argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...(this.#definition.isNode ? { NODE_OPTIONS: nodeOptions, BENCH_COLLECT: collectDirectory } : {}),
        ...env,
      },
    });
    this.#child = child;
    child.on('error', (error) => (this.#errors += error.message));
    child.stderr
      .setEncoding('utf8')
      .on('data', (text) => (this.#errors = (this.#errors + text).slice(-2000)));
    try {
      if (readyLine === undefined) {
        child.stdout.resume();
        await waitForPort(port, child);
      } else {
        await waitForLine(child, readyLine);
      }
    } catch (error) {
      await this.kill();
      throw new Error(`${name}: ${error.message}\n${this.#errors}`, { cause: error });
    }
    return performance.now() - begin;
  }

  get errors() {
    return this.#errors;
  }

  pids() {
    return processTree(this.#child.pid);
  }

  /** Resident bytes when they no longer change, after a collection where there is one. */
  async settledBytes() {
    let last = 0;
    for (let round = 0; round < 8; round++) {
      await delay(500);
      if (this.#definition.isNode) await this.#collect();
      const bytes = await residentBytes(await this.pids());
      if (round > 1 && Math.abs(bytes - last) < 0.002 * bytes) return bytes;
      last = bytes;
    }
    return last;
  }

  async #collect() {
    const directory = join(this.#setup.directory, 'collected');
    for (const pid of await this.pids()) {
      const mark = join(directory, String(pid));
      await rm(mark, { force: true });
      process.kill(pid, 'SIGURG');
      const end = performance.now() + 60_000;
      while ((await readFile(mark).catch(() => undefined)) === undefined) {
        if (performance.now() > end) throw new Error(`process ${pid} did not collect its garbage in time`);
        await delay(10);
      }
    }
  }

  /** As a power cut would, apart from the page cache. */
  async kill() {
    await this.#end('SIGKILL');
  }

  async stop() {
    await this.#end('SIGTERM');
  }

  async #end(signal) {
    const child = this.#child;
    if (child?.pid === undefined) return;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    // What it started is told by itself, but not by a kill.
    const others = signal === 'SIGKILL' ? (await this.pids()).slice(1) : [];
    child.kill(signal);
    for (const pid of others) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error; // it went with its parent
      }
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
  }
}

function waitForLine(child, beginning) {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(reject, 120_000, new Error('it was not ready in time'));
    child.stdout.setEncoding('utf8').on('data', (more) => {
      text += more;
      if (!text.split('\n').some((line) => line.startsWith(beginning))) return;
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', () => reject(new Error('it ended at its start')));
  });
}

/** Runs the load generator, and its like for TLS: arguments in, one JSON object out. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onCpus, runToEnd } from './processes.mjs';

const tlsClients = fileURLToPath(new URL('tls-clients.mjs', import.meta.url));

function flags(options) {
  return Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
}

export class Generator {
  /** Path of the compiled generator; `onLine` gets its progress. */
  constructor(program, onLine) {
    this.program = program;
    this.onLine = onLine;
  }

  /**
   * One run. Refused when it could not be done (exit code 1) or, unless `mayLose`, when something is missing
   * (exit code 2). `cpus`: where it runs.
   */
  async run(mode, options, { mayLose = false, cpus } = {}) {
    const [program, args] = onCpus(cpus, this.program, [mode, ...flags(options)]);
    const result = await runToEnd(program, args, { onLine: this.onLine });
    const line = result.stdout.trim().split('\n').at(-1) ?? '';
    if (result.code === 2 && !mayLose) throw new Error(`not all arrived: ${line}`);
    if (result.code !== 0 && result.code !== 2)
      throw new Error(result.stderr.trim().split('\n').at(-1) || mode);
    return JSON.parse(line);
  }

  /** Idle devices: `connect(n)` brings them to `n`; `end()` lets them go. */
  idle(options, tls) {
    const child =
      tls === undefined
        ? spawn(this.program, ['idle', ...flags(options)], { stdio: ['pipe', 'pipe', 'pipe'] })
        : spawn(process.execPath, [tlsClients, ...flags({ ...options, cert: tls.cert })], {
            stdio: ['pipe', 'pipe', 'pipe'],
          });
    return new IdleDevices(child, options.connections, this.onLine);
  }

  /** The null server; `end()` returns the CPU seconds it took. */
  async startNull() {
    const child = spawn(this.program, ['null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const { port } = JSON.parse((await lines.next()).value);
    return {
      port,
      pid: child.pid,
      async end() {
        const ended = once(child, 'close');
        child.stdin.end();
        await ended;
      },
    };
  }
}

class IdleDevices {
  #child;
  #lines;
  #count = 0;
  #first;
  #errors = '';

  constructor(child, first, onLine) {
    this.#child = child;
    this.#first = first;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stdin.on('error', () => {}); // it has ended: told by the missing line
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = text;
      for (const line of text.split('\n')) if (line !== '') onLine(line);
    });
  }

  async connect(count) {
    if (this.#count > 0) this.#child.stdin.write(`more ${count - this.#count}\n`);
    else if (count !== this.#first) throw new Error('the first step is the number it was started with');
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(this.#errors.trim() || 'the idle devices have ended');
    this.#count = JSON.parse(value).connections;
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.stdin.end('quit\n');
    await ended;
  }
}

/**
 * Watches by the helper (`native/sleepbox-watch.c`): it borrows the frozen program's sockets and waits for
 * them with epoll, so that a sleeping box costs nothing and wakes at once. Thin: one command, one answer.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';

import { SleepboxError } from './errors.js';
import { limits } from './limits.js';
import type { ConnectionSample, SocketSnapshot } from './sockets.js';
import type { ArrivalListener, Watcher } from './watcher.js';

interface HelperTcp {
  readonly pid: number;
  readonly fd: number;
  readonly inode: number;
  readonly state: number;
  readonly unread: number;
  readonly received: number;
  readonly sent: number;
  readonly local: string;
  readonly peer: string;
}

interface HelperLine {
  readonly reply?: string;
  readonly event?: string;
  readonly at?: number;
  readonly tcp?: HelperTcp | readonly HelperTcp[];
  readonly udp?: readonly number[];
  readonly denied?: number;
  readonly count?: number;
}

interface Waiting {
  readonly reply: string;
  readonly resolve: (line: HelperLine) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class HelperWatcher implements Watcher {
  readonly kind = 'helper';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #onFailure: (error: SleepboxError) => void;
  /** The helper's clock (CLOCK_MONOTONIC) minus performance.now(), ms. */
  readonly #clockOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  #buffer = '';
  /** In the order of their answers: a program that ends has its sockets released amid another question. */
  readonly #waiting: Waiting[] = [];
  #onArrival: ArrivalListener | undefined;
  #isHolding = false;
  #isClosed = false;

  /** Starts the helper. `onFailure` is called once if it ends or hangs while it is needed. */
  constructor(program: string, onFailure: (error: SleepboxError) => void) {
    this.#onFailure = onFailure;
    // A session of its own: Ctrl-C is for sleepbox, and the helper ends when its standard input does.
    this.#child = spawn(program, [], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#child.stderr.resume();
    this.#child.stdin.on('error', () => {}); // 'exit' tells
    this.#child.stdout.setEncoding('latin1').on('data', (chunk: string) => this.#handleChunk(chunk));
    this.#child.on('error', (error) => this.#fail(error));
    this.#child.on('exit', () => this.#fail());
  }

  /** Pid of the helper process; for measuring what it costs. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether the helper may look into the sockets of this process at all (ptrace permission). */
  async canSee(pid: number): Promise<boolean> {
    const line = await this.#ask('scan', String(pid));
    return line.denied === 0;
  }

  async look(pids: readonly number[]): Promise<SocketSnapshot> {
    const line = await this.#ask('scan', pids.join(' '));
    const datagramsSent = pids[0] === undefined ? undefined : readDatagramsSent(pids[0]);
    return {
      tcp: toSamples(line.tcp),
      udp: (line.udp ?? []).map(String),
      ...(datagramsSent !== undefined && { datagramsSent }),
    };
  }

  async watch(
    connections: readonly ConnectionSample[],
    onArrival: ArrivalListener,
  ): Promise<readonly ConnectionSample[]> {
    const held = connections.slice(0, limits.heldSocketsMax);
    this.#isHolding = true;
    const line = await this.#ask('hold', held.map((one) => `${one.pid}:${one.fd}:${one.inode}`).join(' '));
    // An arrival can only be told after the answer, and both may come in one chunk: see #handleChunk.
    this.#onArrival = onArrival;
    return toSamples(line.tcp);
  }

  async release(): Promise<void> {
    this.#onArrival = undefined;
    if (!this.#isHolding || this.#isClosed) return;
    this.#isHolding = false;
    await this.#ask('release', '');
  }

  async network(action: 'cut' | 'uncut' | 'destroy', pids: readonly number[]): Promise<number | undefined> {
    const line = await this.#ask(action, pids.join(' '));
    return line.denied === 0 || (line.count ?? 0) > 0 ? line.count : undefined;
  }

  cost(): string | undefined {
    return undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#onArrival = undefined;
    this.#child.stdin.end();
  }

  #ask(reply: string, argument: string): Promise<HelperLine> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new SleepboxError('WATCHER_FAILED', 'the helper has ended'));
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL');
      }, limits.helperReplyMsMax);
      this.#waiting.push({ reply, resolve, reject, timer });
      this.#child.stdin.write(`${reply} ${argument}\n`);
    });
  }

  #handleChunk(chunk: string): void {
    this.#buffer += chunk;
    for (let end = this.#buffer.indexOf('\n'); end >= 0; end = this.#buffer.indexOf('\n')) {
      const line = JSON.parse(this.#buffer.slice(0, end)) as HelperLine;
      this.#buffer = this.#buffer.slice(end + 1);
      if (line.event !== undefined) {
        // After this turn: the answer to `hold` may have come just before, and its `await` has not yet run.
        setImmediate(() => this.#handleEvent(line));
        continue;
      }
      // The first line says only that the helper is there.
      if (this.#waiting[0]?.reply !== line.reply) continue;
      const waiting = this.#waiting.shift()!;
      clearTimeout(waiting.timer);
      waiting.resolve(line);
    }
  }

  #handleEvent(line: HelperLine): void {
    if (line.event !== 'ready') return; // 'gone': the end of the process itself is told by the system
    this.#isHolding = false;
    const [connection] = toSamples(line.tcp);
    const onArrival = this.#onArrival;
    this.#onArrival = undefined;
    if (connection !== undefined) onArrival?.(connection, (line.at ?? 0) - this.#clockOffsetMs);
  }

  #fail(cause?: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const error = new SleepboxError('WATCHER_FAILED', 'the helper has ended', { cause, retryable: true });
    for (const waiting of this.#waiting.splice(0)) {
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
    this.#onFailure(error);
  }
}

function toSamples(tcp: HelperTcp | readonly HelperTcp[] | undefined): ConnectionSample[] {
  const list =
    tcp === undefined ? [] : Array.isArray(tcp) ? (tcp as readonly HelperTcp[]) : [tcp as HelperTcp];
  return list.map((one) => ({
    inode: String(one.inode),
    pid: one.pid,
    fd: one.fd,
    state: one.state,
    unreadBytes: one.unread,
    receivedBytes: one.received,
    sentBytes: one.sent,
    local: one.local,
    peer: one.peer,
  }));
}

/** Datagrams ever sent from the process's network namespace; undefined when that is also ours. */
export function readDatagramsSent(pid: number): number | undefined {
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) return undefined;
    let sent = 0;
    for (const [file, pattern] of [
      ['snmp', /^Udp: \d.*$/m],
      ['snmp6', /^Udp6OutDatagrams\s+(\d+)$/m],
    ] as const) {
      const match = pattern.exec(readFileSync(`/proc/${pid}/net/${file}`, 'latin1'));
      if (match === null) continue;
      // Udp: InDatagrams NoPorts InErrors OutDatagrams …
      sent += Number(file === 'snmp' ? match[0].split(' ')[4] : match[1]);
    }
    return sent;
  } catch {
    return undefined;
  }
}

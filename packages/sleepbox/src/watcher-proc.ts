/**
 * The watcher that works everywhere: reads /proc/<pid>/net/tcp. It cannot count bytes, so it knows of data only
 * while they lie unread, and its cost grows with the connections of the whole machine; when one look is dear it
 * polls less often (`limits.procPollCoreShareMax`) and says so. Used where the helper cannot be had.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import { limits } from './limits.js';
import { type ConnectionSample, isWatchable, type SocketSnapshot, TcpState } from './sockets.js';
import type { ArrivalListener, Watcher } from './watcher.js';
import { readDatagramsSent } from './watcher-helper.js';

export class ProcWatcher implements Watcher {
  readonly kind = 'proc-poll';
  #timer: NodeJS.Timeout | undefined;
  #lookMsTotal = 0;
  #lookCount = 0;
  #pollMs: number = limits.procPollMs;

  async look(pids: readonly number[]): Promise<SocketSnapshot> {
    const inodes = new Map<string, { pid: number; fd: number }>();
    let activity = 0;
    for (const pid of pids) {
      activity += readTurns(pid);
      for (const [inode, fd] of readSocketInodes(pid)) {
        if (!inodes.has(inode)) inodes.set(inode, { pid, fd });
      }
    }
    const pid = pids[0];
    if (pid === undefined) return { tcp: [], udp: [], activity };
    const tcp: ConnectionSample[] = [];
    for (const row of readTable(pid, 'tcp')) {
      const owner = inodes.get(row.inode);
      if (owner !== undefined) tcp.push({ ...row, ...owner });
    }
    const udp = readTable(pid, 'udp')
      .map((row) => row.inode)
      .filter((inode) => inodes.has(inode));
    const datagramsSent = readDatagramsSent(pid);
    return {
      tcp,
      udp,
      activity,
      processes: pids.length,
      ...(datagramsSent !== undefined && { datagramsSent }),
    };
  }

  async watch(
    connections: readonly ConnectionSample[],
    onArrival: ArrivalListener,
  ): Promise<readonly ConnectionSample[]> {
    clearTimeout(this.#timer);
    const before = new Map(connections.map((one) => [one.inode, one]));
    const pid = connections[0]?.pid;
    if (pid === undefined) return [];
    const first = this.#poll(pid, before);
    const step = (): void => {
      const startedAt = performance.now();
      for (const now of this.#poll(pid, before)) {
        const then = before.get(now.inode);
        if (then !== undefined && (now.unreadBytes > then.unreadBytes || now.state !== then.state)) {
          const hasOnlyOpened = now.state === TcpState.Established && now.unreadBytes <= then.unreadBytes;
          before.set(now.inode, now);
          if (hasOnlyOpened) continue;
          onArrival(now, startedAt);
          return;
        }
      }
      this.#timer = setTimeout(step, this.#pollMs);
    };
    for (const one of first) before.set(one.inode, one);
    this.#timer = setTimeout(step, this.#pollMs);
    return first;
  }

  async release(): Promise<void> {
    clearTimeout(this.#timer);
  }

  async network(): Promise<number | undefined> {
    return undefined;
  }

  cost(): string | undefined {
    if (this.#lookCount === 0) return undefined;
    const lookMs = this.#lookMsTotal / this.#lookCount;
    const percent = (100 * lookMs) / (lookMs + this.#pollMs);
    return `one look takes ${lookMs.toFixed(2)} ms, every ${this.#pollMs} ms: ${percent.toFixed(1)} % of a core while asleep`;
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** The present state of the wanted connections; one that is no longer in the table is closed. */
  #poll(pid: number, wanted: ReadonlyMap<string, ConnectionSample>): ConnectionSample[] {
    const startedAt = performance.now();
    const tables = [readRaw(pid, 'tcp'), readRaw(pid, 'tcp6')];
    const found: ConnectionSample[] = [];
    for (const one of wanted.values()) {
      const row = findRow(tables, one.inode);
      // Counters that a helper has left are not carried on: nobody would advance them.
      const { inode, pid: owner, fd, local, peer } = one;
      const { state, unreadBytes } = row ?? { state: TcpState.Closed, unreadBytes: 0 };
      found.push({ inode, pid: owner, fd, local, peer, state, unreadBytes });
    }
    const tookMs = performance.now() - startedAt;
    this.#lookMsTotal += tookMs;
    this.#lookCount++;
    const wantedMs = tookMs / limits.procPollCoreShareMax;
    this.#pollMs = Math.round(Math.min(Math.max(limits.procPollMs, wantedMs), limits.procPollMsMax));
    return found.filter((one) => isWatchable(one) || isWatchable(wanted.get(one.inode) ?? one));
  }
}

interface Row {
  readonly inode: string;
  readonly state: number;
  readonly unreadBytes: number;
  readonly local: string;
  readonly peer: string;
}

const noBytes = Buffer.alloc(0);

function readRaw(pid: number, table: string): Buffer {
  try {
    return readFileSync(`/proc/${pid}/net/${table}`);
  } catch {
    return noBytes; // the process is gone, or there is no IPv6
  }
}

/** Finds one row without parsing the table: the inode stands between two spaces, after the two zero columns. */
function findRow(tables: readonly Buffer[], inode: string): Row | undefined {
  const needle = Buffer.from(` ${inode} `, 'latin1');
  for (const table of tables) {
    for (let at = table.indexOf(needle); at >= 0; at = table.indexOf(needle, at + 1)) {
      const start = table.lastIndexOf(10, at) + 1;
      const end = table.indexOf(10, at);
      const row = parseRow(table.toString('latin1', start, end < 0 ? table.length : end));
      if (row?.inode === inode) return row;
    }
  }
  return undefined;
}

function readTable(pid: number, protocol: 'tcp' | 'udp'): Row[] {
  const rows: Row[] = [];
  for (const table of [protocol, `${protocol}6`]) {
    for (const line of readRaw(pid, table).toString('latin1').split('\n').slice(1)) {
      const row = parseRow(line);
      if (row !== undefined) rows.push(row);
    }
  }
  return rows;
}

/** `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`, see proc_pid_net(5). */
function parseRow(line: string): Row | undefined {
  const words = line.trim().split(/ +/);
  const [, local, peer, state, queues, , , , , inode] = words;
  if (local === undefined || peer === undefined || state === undefined || inode === undefined)
    return undefined;
  return {
    inode,
    state: Number.parseInt(state, 16),
    unreadBytes: Number.parseInt(queues?.split(':')[1] ?? '0', 16),
    local: parseAddress(local),
    peer: parseAddress(peer),
  };
}

/** Addresses are 32-bit words in the machine's byte order, little-endian on all that Node runs on but s390x. */
export function parseAddress(hex: string): string {
  const [address = '', port = '0'] = hex.split(':');
  const bytes: number[] = [];
  for (let word = 0; word < address.length; word += 8) {
    for (let at = 6; at >= 0; at -= 2)
      bytes.push(Number.parseInt(address.slice(word + at, word + at + 2), 16));
  }
  const number = Number.parseInt(port, 16);
  const isMapped =
    bytes.length === 16 &&
    bytes[10] === 255 &&
    bytes[11] === 255 &&
    bytes.slice(0, 10).every((byte) => byte === 0);
  if (bytes.length === 4 || isMapped) return `${bytes.slice(-4).join('.')}:${number}`;
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  // The URL parser shortens an address the way the kernel prints it.
  return `${new URL(`http://[${groups.join(':')}]/`).hostname}:${number}`;
}

function readSocketInodes(pid: number): [string, number][] {
  const found: [string, number][] = [];
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`));
        if (match?.[1] !== undefined) found.push([match[1], Number(fd)]);
      } catch {
        // closed meanwhile
      }
    }
  } catch {
    // gone meanwhile
  }
  return found;
}

/** How often the process's main thread has got the processor. */
function readTurns(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[2] ?? 0);
  } catch {
    return 0;
  }
}

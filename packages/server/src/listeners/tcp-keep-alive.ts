/**
 * TCP keepalives on the connections of a listener: empty segments that the peer's kernel answers, so that what lies
 * between keeps the path open while the device sleeps. docs/adr/0008 says why it is done in this way.
 *
 * Node fixes interval and count of the probes at 1 s and 10 before version 24.x of 2026, which would end the line of
 * whoever has no coverage for ten seconds. An accepted socket inherits the options of the one that listens, so a
 * small program sets them there: it is given the descriptor and leaves at once. It is a program of the host, since
 * nothing native is to be built. Where none is there, Node's own way is used if it has one.
 */
import { spawn } from 'node:child_process';
import type { Server, Socket } from 'node:net';
import { Socket as SocketClass } from 'node:net';
import type { PathProbing } from '@wakeline/core/domain';

export interface TcpKeepAliveOptions {
  /** Silence after which the first probe is sent, ms. */
  readonly idleMs: number;
  /** Between two probes that are not answered, ms. */
  readonly intervalMs: number;
  /** Probes without an answer after which the connection ends. */
  readonly countMax: number;
  /** The program must be done by then, ms; else it is ended and the next one is tried. */
  readonly programMsMax: number;
}

/** How the connections of a listener come by their keepalives. */
export interface TcpKeepAlive {
  /** `inherited` from the listening socket, set `each` by Node, or `off`: this host has no way. */
  readonly way: 'inherited' | 'each' | 'off';
  /** For each connection accepted from here on. */
  readonly apply: (socket: Socket) => void;
  /** From here on for this connection. */
  readonly probe: (socket: Socket, after: PathProbing) => void;
}

/** Node's own way: {@link https://github.com/nodejs/node/pull/63825}. */
interface ProbedSocket {
  setKeepAlive(enable: boolean, initialDelayMs: number, intervalMs: number, countMax: number): void;
}

interface Program {
  readonly command: string;
  readonly arguments: readonly string[];
}

/**
 * Sets the options of descriptor 3 and reads them back; arguments: idle and interval, s, count, and the time without any
 * sign of life after which a connection ends, ms (TCP_USER_TIMEOUT, RFC 5482; 18 on Linux). With the last of them set the
 * count means nothing (tcp(7)), which is what lets Node change the idle time of one connection: its own count of ten
 * probes, one a second, ends nothing then.
 */
export const programs: readonly Program[] = [
  {
    command: 'perl',
    arguments: [
      '-e',
      `use Socket qw(SOL_SOCKET SO_KEEPALIVE IPPROTO_TCP TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT);
      open(my $socket, "+<&=", 3) or exit 1;
      my @wanted = ([TCP_KEEPIDLE, $ARGV[0]], [TCP_KEEPINTVL, $ARGV[1]], [TCP_KEEPCNT, $ARGV[2]], [18, $ARGV[3]]);
      for (@wanted) { setsockopt($socket, IPPROTO_TCP, $_->[0], $_->[1] + 0) or exit 2; }
      for (@wanted) { unpack("i", getsockopt($socket, IPPROTO_TCP, $_->[0])) == $_->[1] or exit 3; }
      setsockopt($socket, SOL_SOCKET, SO_KEEPALIVE, 1) or exit 4;`,
    ],
  },
  {
    command: 'python3',
    arguments: [
      '-ISc',
      `import socket, sys
s = socket.socket(fileno=3)
wanted = zip((socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, 18), map(int, sys.argv[1:]))
for option, value in wanted:
    s.setsockopt(socket.IPPROTO_TCP, option, value)
    if s.getsockopt(socket.IPPROTO_TCP, option) != value: sys.exit(3)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
s.detach()`,
    ],
  },
];

const off: TcpKeepAlive = { way: 'off', apply: () => {}, probe: () => {} };

/** Puts keepalives on the connections of a server that listens. Never rejects. */
export async function applyTcpKeepAlive(
  server: Server,
  options: TcpKeepAliveOptions,
  candidates: readonly Program[] = programs,
): Promise<TcpKeepAlive> {
  const descriptor = descriptorOf(server);
  const isInherited =
    descriptor !== undefined && (await setKeepAliveOptions(descriptor, options, candidates));
  return isInherited ? inheritedKeepAlive(options) : ownKeepAlive(options);
}

/** Every connection has what the listening socket has. */
export function inheritedKeepAlive({ idleMs }: TcpKeepAliveOptions): TcpKeepAlive {
  return {
    way: 'inherited',
    apply: () => {},
    probe: (socket, after) => {
      // Node leaves out what it thinks is so already, and does not know what was inherited.
      socket.setKeepAlive(true, typeof after === 'number' ? after : idleMs);
      if (after === 'never') socket.setKeepAlive(false);
    },
  };
}

/** True when a program of the host has set the options of the listening socket. */
async function setKeepAliveOptions(
  descriptor: number,
  options: TcpKeepAliveOptions,
  candidates: readonly Program[] = programs,
): Promise<boolean> {
  for (const program of candidates) if (await runProgram(program, descriptor, options)) return true;
  return false;
}

/** Node's own way, if it has one. */
export function ownKeepAlive(options: TcpKeepAliveOptions): TcpKeepAlive {
  if (SocketClass.prototype.setKeepAlive.length < 4) return off;
  const { idleMs, intervalMs, countMax } = options;
  const set = (socket: Socket, afterMs: number): void =>
    (socket as ProbedSocket).setKeepAlive(true, afterMs, intervalMs, countMax);
  return {
    way: 'each',
    apply: (socket) => set(socket, idleMs),
    probe: (socket, after) => {
      if (after === 'never') socket.setKeepAlive(false);
      else set(socket, after === 'usual' ? idleMs : after);
    },
  };
}

/** Node does not offer it, and keeps it in the same place since its first versions; undefined: not on this host. */
function descriptorOf(server: Server): number | undefined {
  const { _handle: handle } = server as unknown as { readonly _handle?: { readonly fd?: number } | null };
  const descriptor = handle?.fd;
  return descriptor !== undefined && descriptor >= 0 ? descriptor : undefined;
}

function runProgram(program: Program, descriptor: number, options: TcpKeepAliveOptions): Promise<boolean> {
  const seconds = (ms: number): string => String(Math.max(1, Math.round(ms / 1_000)));
  const { idleMs, intervalMs, countMax } = options;
  const silenceMs = Math.round(idleMs + intervalMs * countMax);
  const values = [seconds(idleMs), seconds(intervalMs), String(countMax), String(silenceMs)];
  return new Promise((resolve) => {
    const child = spawn(program.command, [...program.arguments, ...values], {
      stdio: ['ignore', 'ignore', 'ignore', descriptor],
      timeout: options.programMsMax,
      killSignal: 'SIGKILL',
    });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

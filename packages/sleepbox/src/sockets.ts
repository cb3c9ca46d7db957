/**
 * What is known of a program's sockets at one moment, and what has arrived between two moments. Pure: it
 * compares samples and knows nothing of how they were taken.
 */

/** The kernel's numbers for the states that matter here (include/net/tcp_states.h). */
export const TcpState = {
  Established: 1,
  SynSent: 2,
  SynReceived: 3,
  Closed: 7,
  CloseWait: 8,
  Listen: 10,
} as const;

/** One TCP socket of the program. Byte counts are totals of the connection, from the kernel. */
export interface ConnectionSample {
  readonly inode: string;
  readonly pid: number;
  /** Its number in that process; -1 when it is not known. */
  readonly fd: number;
  readonly state: number;
  /** Received, acknowledged and not yet read, bytes (`rx_queue`). */
  readonly unreadBytes: number;
  /** Payload received in order, bytes, a FIN counting one; undefined when the watcher cannot tell. */
  readonly receivedBytes?: number;
  /** Payload sent, retransmissions included, bytes. */
  readonly sentBytes?: number;
  /** `1.2.3.4:80` or `[::1]:80`. */
  readonly local: string;
  readonly peer: string;
}

/** All sockets of the program at one moment. */
export interface SocketSnapshot {
  readonly tcp: readonly ConnectionSample[];
  /** Inodes of its UDP sockets. */
  readonly udp: readonly string[];
  /** Datagrams ever sent from its network namespace; undefined when it shares the box's. */
  readonly datagramsSent?: number;
  /** A number that changes when the program runs; only from watchers without byte counters. */
  readonly activity?: number;
  /** How many processes `activity` is the sum of. */
  readonly processes?: number;
}

/** Something that came from the network. */
export interface Arrival {
  readonly cause: 'data' | 'fin' | 'rst';
  readonly connection: ConnectionSample;
  /** Payload bytes since the sample before. */
  readonly bytes: number;
}

/** Which connections count. */
export interface Mark {
  /** Local port, or undefined for any. */
  readonly localPort?: number;
  /** `HOST:PORT` of the peer as the kernel prints it, or undefined for any. */
  readonly peer?: string;
}

/** Whether a connection is marked: with no marks at all, each one is. */
export function isMarked(connection: ConnectionSample, marks: readonly Mark[] | undefined): boolean {
  if (marks === undefined) return true;
  return marks.some(
    (mark) =>
      (mark.localPort === undefined || portOf(connection.local) === mark.localPort) &&
      (mark.peer === undefined || connection.peer === mark.peer),
  );
}

/** Whether a connection can still bring something and is worth waiting for. */
export function isWatchable(connection: ConnectionSample): boolean {
  return (
    connection.state === TcpState.Established ||
    connection.state === TcpState.SynSent ||
    connection.state === TcpState.SynReceived
  );
}

/**
 * What has arrived at one connection since it was last looked at; undefined: nothing. Bare acknowledgements and
 * keepalive probes change neither a counter nor the state, so they are nothing. A connection that was not
 * there before is compared with an empty one.
 */
export function findArrival(
  before: ConnectionSample | undefined,
  now: ConnectionSample,
): Arrival | undefined {
  if (now.state === TcpState.Listen) return undefined;
  const hasFin = now.state === TcpState.CloseWait && before !== undefined && isWatchable(before);
  let bytes: number;
  if (now.receivedBytes !== undefined) {
    // The kernel's counter takes a FIN for one byte.
    bytes = now.receivedBytes - (before?.receivedBytes ?? 0) - (hasFin ? 1 : 0);
    if (before === undefined && now.state === TcpState.CloseWait) bytes -= 1;
  } else {
    // So does its receive queue in /proc/net/tcp.
    bytes = now.unreadBytes - (before?.unreadBytes ?? 0) - (hasFin ? 1 : 0);
  }
  if (bytes > 0) return { cause: 'data', connection: now, bytes };
  if (hasFin) return { cause: 'fin', connection: now, bytes: 0 };
  if (now.state === TcpState.Closed && before !== undefined && isWatchable(before)) {
    return { cause: 'rst', connection: now, bytes: 0 };
  }
  return undefined;
}

/** The port of `HOST:PORT`. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/**
 * The program's connections as last seen, and which of them are marked. Pure: samples in, arrivals out.
 */
import type { Account } from './account.js';
import {
  type Arrival,
  type ConnectionSample,
  findArrival,
  isMarked,
  isWatchable,
  type Mark,
} from './sockets.js';

export class ConnectionBook {
  readonly #account: Account;
  /** Marks of the box's options; undefined: every connection is marked. */
  readonly #boxMarks: readonly Mark[] | undefined;
  #programMarks: readonly Mark[] | undefined;
  #seen = new Map<string, ConnectionSample>();

  constructor(account: Account, boxMarks: readonly Mark[] | undefined) {
    this.#account = account;
    this.#boxMarks = boxMarks;
  }

  /** A new program: it has no connections and has marked none. */
  handleLaunch(): void {
    this.#seen = new Map();
    this.#programMarks = undefined;
  }

  /** How many marks the program has set. */
  get markCount(): number {
    return this.#programMarks?.length ?? 0;
  }

  /** Adds a mark of the program's; from the first on, the box's own no longer count. Returns how many there are. */
  mark(mark: Mark): number {
    this.#programMarks = [...(this.#programMarks ?? []).filter((one) => !isSameMark(one, mark)), mark];
    return this.#programMarks.length;
  }

  /** Takes back one mark (the program may have none left: then nothing wakes it) or, without one, all: back to the box's. */
  unmark(mark: Mark | undefined): number {
    this.#programMarks =
      mark === undefined ? undefined : (this.#programMarks ?? []).filter((one) => !isSameMark(one, mark));
    return this.#programMarks?.length ?? 0;
  }

  /** Marked connections that can still bring something, as last seen. */
  watched(): ConnectionSample[] {
    return [...this.#seen.values()].filter((one) => isWatchable(one) && this.#isMarked(one));
  }

  /** Whether a watched connection has data that the program has not read. */
  hasUnread(): boolean {
    return this.watched().some((one) => one.unreadBytes > 0);
  }

  /** All connections at one moment: remembers them, returns the most telling arrival at a marked one. */
  compare(samples: readonly ConnectionSample[]): Arrival | undefined {
    const connections = samples.map((one) => this.#named(one));
    const found = this.#findArrival(connections);
    this.#seen = new Map(connections.map((one) => [one.inode, one]));
    return found;
  }

  /** Like `compare` for some of the connections; the others stay as they were. */
  update(samples: readonly ConnectionSample[]): Arrival | undefined {
    const connections = samples.map((one) => this.#named(one));
    const found = this.#findArrival(connections);
    for (const one of connections) {
      // An event does not carry the number of the socket in the process.
      const fd = one.fd >= 0 ? one.fd : (this.#seen.get(one.inode)?.fd ?? -1);
      this.#seen.set(one.inode, { ...one, fd });
    }
    return found;
  }

  /** With the peer that it had: of a connection that was reset the kernel tells none, and its mark must still hold. */
  #named(connection: ConnectionSample): ConnectionSample {
    const peer = connection.peer === '' ? this.#seen.get(connection.inode)?.peer : undefined;
    return peer === undefined ? connection : { ...connection, peer };
  }

  #findArrival(connections: readonly ConnectionSample[]): Arrival | undefined {
    this.#account.handleConnections(this.#seen, connections);
    let found: Arrival | undefined;
    for (const connection of connections) {
      const arrival = findArrival(this.#seen.get(connection.inode), connection);
      if (arrival !== undefined && found?.cause !== 'data' && this.#isMarked(connection)) found = arrival;
    }
    return found;
  }

  #isMarked(connection: ConnectionSample): boolean {
    return isMarked(connection, this.#programMarks ?? this.#boxMarks);
  }
}

function isSameMark(a: Mark, b: Mark): boolean {
  return a.localPort === b.localPort && a.peer === b.peer;
}

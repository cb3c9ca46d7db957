/**
 * Who may come in: counts connections and connects per address, connections in all, and those that have not proved
 * yet that a device is behind them. Whatever is over a limit costs one accept and one close.
 *
 * One {@link Admission} per connection; the socket's own `close` gives it back, so that no path can forget to.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../runtime/clock.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import { limitKey } from '@wakeline/core/base';

export interface GateOptions {
  readonly clock: Clock;
  readonly limits: Pick<RuntimeLimits, 'connectBurstSeconds' | 'connectAddressesMax'>;
  /** Connections of all listeners. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  readonly connectsPerSecondPerAddressMax: number;
  /** Connections without a finished CONNECT; the oldest is closed for a new one. */
  readonly handshakesMax: number;
  /** From the accepted socket to the finished CONNECT, or to the end of the TLS handshake of SIP, ms. */
  readonly handshakeMs: number;
}

/** Why connections were closed at the door; numbers only grow. */
export interface GateCounters {
  accepted: number;
  refusedConnectionsMax: number;
  refusedPerAddress: number;
  refusedRate: number;
  handshakesDisplaced: number;
  handshakesTimedOut: number;
}

/** Connections and saved-up connects of one address. */
interface AddressCount {
  readonly key: string;
  connections: number;
  credit: number;
  creditMs: number;
}

const admissionKey = Symbol('admission');
interface AdmittedSocket extends Socket {
  [admissionKey]?: Admission;
}

/** One connection's place in the counts. */
export class Admission {
  readonly #gate: Gate;
  readonly socket: Socket;
  /** Where it is counted; undefined until its peer is known (a proxy's connection), and once it is closed. */
  counted: AddressCount | undefined = undefined;
  /** Begin of the handshake under way, monotonic ms; Infinity: somebody else ends what takes too long. */
  handshakeSinceMs = 0;

  constructor(gate: Gate, socket: Socket) {
    this.#gate = gate;
    this.socket = socket;
  }

  /** Address by which the connection is counted; empty while it is not. */
  get address(): string {
    return this.counted?.key ?? '';
  }

  /** Counts the connection to its peer; false: the peer is over a limit, and the socket has been destroyed. */
  claim(address: string): boolean {
    return this.#gate.claim(this, address);
  }

  /** The connection has to prove itself from now on. */
  beginHandshake(): void {
    this.#gate.beginHandshake(this);
  }

  /** Whoever has the connection now ends it when it takes too long; it still makes room for a newer one. */
  leaveTimeToOwner(): void {
    this.handshakeSinceMs = Infinity;
  }

  /** It did. */
  finishHandshake(): void {
    this.#gate.finishHandshake(this);
  }

  /** The socket is closed: the connection is no longer counted. */
  handleClosed(): void {
    this.#gate.release(this);
  }
}

export class Gate {
  readonly counters: GateCounters = {
    accepted: 0,
    refusedConnectionsMax: 0,
    refusedPerAddress: 0,
    refusedRate: 0,
    handshakesDisplaced: 0,
    handshakesTimedOut: 0,
  };

  readonly #options: GateOptions;
  #connections = 0;
  /** Addresses with connections now. */
  readonly #present = new Map<string, AddressCount>();
  /** Addresses without, in the order of leaving: only their saved-up connects are of interest. */
  readonly #absent = new Map<string, AddressCount>();
  /** Oldest first. */
  readonly #handshakes = new Set<Admission>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  get connectionCount(): number {
    return this.#connections;
  }

  get handshakeCount(): number {
    return this.#handshakes.size;
  }

  /** Takes a socket just accepted; false: there are too many, and it has been destroyed. */
  admit(admission: Admission): boolean {
    const { socket } = admission;
    if (this.#connections >= this.#options.connectionsMax) {
      this.counters.refusedConnectionsMax += 1;
      socket.destroy();
      return false;
    }
    this.#connections += 1;
    this.counters.accepted += 1;
    (socket as AdmittedSocket)[admissionKey] = admission;
    socket.on('close', handleAdmittedClose);
    return true;
  }

  claim(admission: Admission, address: string): boolean {
    const options = this.#options;
    this.#unclaim(admission);
    const key = limitKey(address);
    const count = this.#count(key);
    if (count.connections >= options.connectionsPerAddressMax) this.counters.refusedPerAddress += 1;
    else if (count.credit < 1) this.counters.refusedRate += 1;
    else {
      count.credit -= 1;
      count.connections += 1;
      if (count.connections === 1) {
        this.#absent.delete(key);
        this.#present.set(key, count);
      }
      admission.counted = count;
      return true;
    }
    this.#remember(key, count);
    admission.socket.destroy();
    return false;
  }

  beginHandshake(admission: Admission): void {
    // A whole number: a fraction would cost an object of its own.
    admission.handshakeSinceMs = Math.floor(this.#options.clock().monotonic);
    this.#handshakes.delete(admission);
    if (this.#handshakes.size >= this.#options.handshakesMax) {
      const [oldest] = this.#handshakes;
      if (oldest !== undefined) {
        this.counters.handshakesDisplaced += 1;
        this.#handshakes.delete(oldest);
        oldest.socket.destroy();
      }
    }
    this.#handshakes.add(admission);
  }

  finishHandshake(admission: Admission): void {
    this.#handshakes.delete(admission);
  }

  /** Ends handshakes that take too long and forgets addresses that have all their connects again. */
  sweep(): void {
    const nowMs = this.#options.clock().monotonic;
    for (const admission of this.#handshakes) {
      if (admission.handshakeSinceMs === Infinity) continue;
      if (nowMs - admission.handshakeSinceMs < this.#options.handshakeMs) break;
      this.counters.handshakesTimedOut += 1;
      this.#handshakes.delete(admission);
      admission.socket.destroy();
    }
    const fullMs = this.#options.limits.connectBurstSeconds * 1_000;
    for (const [key, count] of this.#absent) {
      if (nowMs - count.creditMs < fullMs) break;
      this.#absent.delete(key);
    }
  }

  release(admission: Admission): void {
    this.#connections -= 1;
    this.#handshakes.delete(admission);
    this.#unclaim(admission);
  }

  #unclaim(admission: Admission): void {
    const count = admission.counted;
    if (count === undefined) return;
    admission.counted = undefined;
    count.connections -= 1;
    if (count.connections > 0) return;
    this.#present.delete(count.key);
    this.#remember(count.key, count);
  }

  /** The address's count with its connects brought up to date. */
  #count(key: string): AddressCount {
    const nowMs = this.#options.clock().monotonic;
    const perSecond = this.#options.connectsPerSecondPerAddressMax;
    const creditMax = perSecond * this.#options.limits.connectBurstSeconds;
    const known = this.#present.get(key) ?? this.#absent.get(key);
    if (known === undefined) return { key, connections: 0, credit: creditMax, creditMs: nowMs };
    known.credit = Math.min(creditMax, known.credit + ((nowMs - known.creditMs) / 1_000) * perSecond);
    known.creditMs = nowMs;
    return known;
  }

  #remember(key: string, count: AddressCount): void {
    if (count.connections > 0) return;
    this.#absent.delete(key);
    this.#absent.set(key, count);
    if (this.#absent.size <= this.#options.limits.connectAddressesMax) return;
    const [oldest] = this.#absent.keys();
    if (oldest !== undefined) this.#absent.delete(oldest);
  }
}

/** Shared by all sockets: one function, no closure per connection. */
function handleAdmittedClose(this: AdmittedSocket): void {
  const admission = this[admissionKey];
  if (admission === undefined) return;
  this[admissionKey] = undefined;
  admission.handleClosed();
}

/** The admission of an accepted socket, e.g. when its HTTP connection becomes a WebSocket. */
export function admissionOf(socket: Socket): Admission | undefined {
  return (socket as AdmittedSocket)[admissionKey];
}

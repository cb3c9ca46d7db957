/**
 * Drives the SIP stack: sockets, datagrams, time, names and pushes on one side, the hub on the other.
 *
 * There is one stack for the process, whatever the connections. A read runs it at once; what it says goes to the sockets
 * and, as commands, to the hub; what the hub answers comes once per turn of the event loop. While the hub has enough, or
 * the stack is not there yet, streams are not read and datagrams are lost, which SIP makes good. Decides nothing about
 * calls.
 *
 * Faults: a stack that throws ends the server (`onFailed`), as a hub does: its transactions may be wrong, and the store is
 * right.
 */
import type { InstantMs, Machine } from '@wakeline/core/base';
import type { CallCommand, CallEvent, WakeOutcome, WakeRequest } from '@wakeline/core/domain';
import type {
  SipAddress,
  SipInput,
  SipListener,
  SipOutput,
  SipTransport,
  StreamTransport,
} from '@wakeline/core/session/sip';
import type { Peer } from '../listeners/addresses.js';
import type { Clock } from './clock.js';
import { DeadlineTimer } from './deadline-timer.js';
import type { FlowSocket } from './flow-socket.js';
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';
import { SipConnection } from './sip-connection.js';
import type { SipConnectionOwner } from './sip-connection.js';

/** The hub, for who speaks SIP. */
export interface CallHub {
  /** Nothing more should be read until a turn finds that this has ended. */
  readonly isCongested: boolean;
  giveCalls(now: InstantMs, commands: readonly CallCommand[]): void;
  giveWakeResult(now: InstantMs, ticket: number, outcome: WakeOutcome): void;
  /** A turn comes soon. */
  scheduleTurn(): void;
}

/** Who speaks SIP, for the hub. */
export interface CallClient {
  /** A turn begins: what was held back may be given now. */
  beginTurn(now: InstantMs): void;
  handleCalls(events: readonly CallEvent[]): void;
  handleWake(wake: WakeRequest): void;
  /** That was all for now. May give commands. */
  endEvents(now: InstantMs): void;
}

/** Where connections that the stack asks for come from. */
export interface SipConnector {
  /** Calls back once with a connection, whose receiver is set at once, or with undefined. */
  connect(
    transport: 'tcp' | 'tls',
    remote: SipAddress,
    serverName: string | undefined,
    done: (socket: FlowSocket | undefined) => void,
  ): void;
  close(): void;
}

export type ResolveRequest = Extract<SipOutput, { readonly kind: 'resolve' }>;
export type ResolvedTargets = Extract<SipInput, { readonly kind: 'resolved' }>['targets'];

export interface SipSideOptions {
  readonly createStack: (listeners: readonly SipListener[]) => Machine<SipInput, SipOutput>;
  readonly hub: CallHub;
  readonly clock: Clock;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  readonly connector: SipConnector;
  /** Finds where a name is; never rejects. */
  readonly resolve: (request: ResolveRequest) => Promise<ResolvedTargets>;
  /** Pushes to a foreign endpoint; never rejects. */
  readonly push: (wake: WakeRequest) => Promise<WakeOutcome>;
  /** Called once, when the stack threw. Nothing is given to it any more. */
  readonly onFailed: (error: unknown) => void;
}

/** What happened so far, for metrics; all but `connections` only grow. */
export interface SipCounters {
  /** Live ones now, those that the stack asked for among them. */
  connections: number;
  connectionsOpened: number;
  connectsFailed: number;
  /** Connections whose peer took nothing for too long, or had too much unsent. */
  connectionsStalled: number;
  datagramsReceived: number;
  datagramsSent: number;
  /** That the host did not take. */
  datagramsFailed: number;
  /** That came while nobody could take them. */
  datagramsDropped: number;
  /** What the stack refused before anybody was asked. */
  refused: number;
}

interface OpenListener {
  readonly sip: SipListener;
  readonly send: ((remote: Peer, bytes: Uint8Array) => void) | undefined;
}

export class SipSide implements CallClient, SipConnectionOwner {
  readonly counters: SipCounters = {
    connections: 0,
    connectionsOpened: 0,
    connectsFailed: 0,
    connectionsStalled: 0,
    datagramsReceived: 0,
    datagramsSent: 0,
    datagramsFailed: 0,
    datagramsDropped: 0,
    refused: 0,
  };
  readonly #options: SipSideOptions;
  readonly #listeners: OpenListener[] = [];
  readonly #connections = new Map<number, SipConnection>();
  /** Those with reads that wait. */
  #held: SipConnection[] = [];
  /** Those that have something unsent, or are ending. */
  readonly #watched = new Set<SipConnection>();
  /** What the hub said in this turn. */
  #events: CallEvent[] = [];
  #stack: Machine<SipInput, SipOutput> | undefined;
  #lastConnection = 0;
  #isDraining = false;
  #isLeaving = false;
  #isStopped = false;
  #sweepTimer: NodeJS.Timeout | undefined;
  readonly #timer = new DeadlineTimer(() => this.#handleTimer());
  #leaveWaiters: (() => void)[] = [];

  constructor(options: SipSideOptions) {
    this.#options = options;
  }

  /** A listener is open. Its number, which {@link attach} and {@link handleDatagram} name, is its place in the order of these calls. */
  addListener(sip: SipListener, send?: (remote: Peer, bytes: Uint8Array) => void): void {
    this.#listeners.push({ sip, send });
  }

  /** The number of the next listener. */
  get listenerCount(): number {
    return this.#listeners.length;
  }

  /** All listeners are known: the stack is made, and hears what has come meanwhile. Call once. */
  begin(): void {
    this.#sweepTimer = setInterval(() => this.#sweep(), this.#options.limits.sweepMs);
    try {
      this.#stack = this.#options.createStack(this.#listeners.map(({ sip }) => sip));
    } catch (error) {
      this.#fail(error);
      return;
    }
    // What it begins by itself: registrations at trunks.
    this.#handleTimer();
    const now = this.#options.clock();
    this.endEvents(now);
    this.beginTurn(now);
  }

  // What sockets say.

  /** Takes over a connection that somebody made. */
  attach(socket: FlowSocket, transport: StreamTransport, listener: number, peer: Peer): void {
    this.#open(++this.#lastConnection, socket, transport, listener, peer);
  }

  handleDatagram(listener: number, remote: Peer, bytes: Uint8Array): void {
    this.counters.datagramsReceived += 1;
    if (this.#isHoldingBack) {
      this.counters.datagramsDropped += 1;
      return;
    }
    this.#give({ kind: 'datagram', listener, remote, bytes });
  }

  handleSendError(error: NodeJS.ErrnoException): void {
    this.counters.datagramsFailed += 1;
    this.#options.log.debug({ err: error }, 'datagram not sent');
  }

  handleConnectionBytes(connection: SipConnection, chunk: Uint8Array): void {
    if (this.#isStopped || connection.isEnding) return;
    if (connection.held !== undefined || this.#isHoldingBack) {
      this.#hold(connection, chunk);
      return;
    }
    this.#give({ kind: 'bytes', connection: connection.number, chunk });
  }

  handleConnectionClosed(connection: SipConnection): void {
    if (!this.#connections.delete(connection.number)) return;
    this.#watched.delete(connection);
    this.counters.connections = this.#connections.size;
    if (!this.#isStopped) {
      // What came before the end was sent in good faith: a BYE and a close, for one.
      this.#feedHeld(connection);
      this.#give({ kind: 'connection-closed', connection: connection.number });
    }
    if (this.#connections.size === 0) this.#notifyLeft();
  }

  // What the hub says.

  beginTurn(_now: InstantMs): void {
    if (this.#held.length === 0 || this.#isHoldingBack) return;
    const held = this.#held;
    this.#held = [];
    for (const connection of held) {
      if (connection.held === undefined) continue;
      if (this.#isHoldingBack) {
        this.#held.push(connection);
        continue;
      }
      this.#feedHeld(connection);
      if (this.#connections.has(connection.number)) connection.socket.resume();
    }
  }

  handleCalls(events: readonly CallEvent[]): void {
    for (const event of events) this.#events.push(event);
  }

  handleWake(wake: WakeRequest): void {
    void this.#options.push(wake).then((outcome) => {
      if (this.#isStopped) return;
      this.#options.hub.giveWakeResult(this.#options.clock(), wake.ticket, outcome);
      this.#options.hub.scheduleTurn();
    });
  }

  endEvents(_now: InstantMs): void {
    if (this.#events.length === 0 || this.#stack === undefined) return;
    const events = this.#events;
    this.#events = [];
    this.#give({ kind: 'events', events });
  }

  // Leaving.

  /** New calls are refused from here on; what is under way goes on. Idempotent. */
  drain(): void {
    if (this.#isDraining || this.#stack === undefined) return;
    this.#isDraining = true;
    this.#give({ kind: 'drain' });
  }

  /**
   * Closes every connection once what was written to it is sent; resolves when none is left. The stack hears nothing more:
   * to the hub it is as if the process had ended, so that nobody is woken because we leave.
   */
  leave(): Promise<void> {
    this.#isLeaving = true;
    for (const connection of this.#connections.values()) this.#end(connection);
    if (this.#connections.size === 0 || this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => this.#leaveWaiters.push(resolve));
  }

  /** Lets go of every socket and timer. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearInterval(this.#sweepTimer);
    this.#timer.stop();
    this.#options.connector.close();
    for (const { socket } of this.#connections.values()) socket.destroy();
    this.#notifyLeft();
  }

  // The stack.

  get #isHoldingBack(): boolean {
    return this.#stack === undefined || this.#isStopped || this.#options.hub.isCongested;
  }

  #give(input: SipInput): void {
    const stack = this.#stack;
    if (stack === undefined || this.#isStopped || this.#isLeaving) return;
    const now = this.#options.clock();
    try {
      stack.handleInput(now, input);
      this.#drainStack(now, stack);
    } catch (error) {
      this.#fail(error);
    }
  }

  #handleTimer(): void {
    const stack = this.#stack;
    if (stack === undefined || this.#isStopped || this.#isLeaving) return;
    const now = this.#options.clock();
    try {
      if (stack.nextTimeoutMs() <= now.monotonic) stack.handleTimeout(now);
      this.#drainStack(now, stack);
    } catch (error) {
      this.#fail(error);
    }
  }

  #drainStack(now: InstantMs, stack: Machine<SipInput, SipOutput>): void {
    for (let output = stack.pollOutput(); output !== undefined; output = stack.pollOutput()) {
      this.#handleOutput(now, output);
    }
    this.#timer.arm(now, stack.nextTimeoutMs());
  }

  #handleOutput(now: InstantMs, output: SipOutput): void {
    switch (output.kind) {
      case 'commands':
        this.#options.hub.giveCalls(now, output.commands);
        this.#options.hub.scheduleTurn();
        return;
      case 'write':
        this.#write(now, output.connection, output.bytes);
        return;
      case 'send':
        this.counters.datagramsSent += 1;
        this.#listeners[output.listener]?.send?.(output.remote, output.bytes);
        return;
      case 'connect':
        this.#connect(output);
        return;
      case 'resolve':
        void this.#options.resolve(output).then((targets) => {
          this.#give({ kind: 'resolved', ticket: output.ticket, targets });
        });
        return;
      case 'refused':
        this.counters.refused += 1;
        this.#options.log.debug(
          { refusal: output.refusal, address: output.address, ...output.detail },
          'SIP request refused',
        );
        return;
      case 'admitted':
        this.#connections.get(output.connection)?.proveItself();
        return;
      case 'close': {
        const connection = this.#connections.get(output.connection);
        if (connection === undefined) return;
        this.#options.log.debug(
          { peer: connection.socket.peer, reason: output.reason },
          'SIP connection closed',
        );
        this.#end(connection);
      }
    }
  }

  #write(now: InstantMs, number: number, bytes: Uint8Array): void {
    const connection = this.#connections.get(number);
    if (connection === undefined || connection.isEnding) return;
    const { socket } = connection;
    socket.write(bytes);
    const { unsentBytes } = socket;
    if (unsentBytes === 0) return;
    if (unsentBytes >= this.#options.limits.sipUnsentBytesMax) {
      this.#closeStalled(connection);
      return;
    }
    if (this.#watched.has(connection)) return;
    connection.watch(now.monotonic);
    this.#watched.add(connection);
  }

  #connect({ connection, transport, remote, serverName }: Extract<SipOutput, { kind: 'connect' }>): void {
    this.#options.connector.connect(transport, remote, serverName, (socket) => {
      if (socket === undefined || this.#isStopped || this.#isLeaving) {
        socket?.destroy();
        this.counters.connectsFailed += 1;
        this.#give({ kind: 'connection-closed', connection });
        return;
      }
      this.#open(connection, socket, transport, this.#listenerFor(transport), remote);
      socket.resume();
    });
  }

  /** Whose address a connection of ours shows: a listener of the same transport, if there is one. */
  #listenerFor(transport: SipTransport): number {
    const index = this.#listeners.findIndex(({ sip }) => sip.transport === transport && !sip.trunksOnly);
    const any = index >= 0 ? index : this.#listeners.findIndex(({ sip }) => sip.transport === transport);
    return Math.max(0, any);
  }

  #open(
    number: number,
    socket: FlowSocket,
    transport: StreamTransport,
    listener: number,
    { address, port }: SipAddress,
  ): void {
    if (this.#isStopped || this.#isLeaving) {
      socket.destroy();
      return;
    }
    const connection = new SipConnection(this, number, socket);
    socket.receiver = connection;
    // The stack ends whom it has not let in by then (admissionMsMax).
    socket.handleTimedByOwner();
    this.#connections.set(number, connection);
    this.counters.connections = this.#connections.size;
    this.counters.connectionsOpened += 1;
    const input: SipInput = {
      kind: 'connection-opened',
      connection: number,
      listener,
      transport,
      remote: { address, port },
    };
    if (this.#stack === undefined) {
      connection.opening = input;
      this.#hold(connection, undefined);
    } else this.#give(input);
  }

  #hold(connection: SipConnection, chunk: Uint8Array | undefined): void {
    if (connection.held === undefined) {
      connection.held = [];
      connection.socket.pause();
      this.#held.push(connection);
    }
    if (chunk !== undefined) connection.held.push(chunk);
  }

  #feedHeld(connection: SipConnection): void {
    const { held, opening } = connection;
    connection.held = undefined;
    connection.opening = undefined;
    if (opening !== undefined) this.#give(opening);
    for (const chunk of held ?? []) {
      if (connection.isEnding) return;
      this.#give({ kind: 'bytes', connection: connection.number, chunk });
    }
  }

  /** Sends what was written, then closes; the sweep destroys the socket if that takes too long. */
  #end(connection: SipConnection): void {
    if (connection.isEnding) return;
    connection.beginEnd(this.#options.clock().monotonic);
    this.#watched.add(connection);
    connection.socket.end();
  }

  #closeStalled(connection: SipConnection): void {
    this.counters.connectionsStalled += 1;
    const { peer, unsentBytes } = connection.socket;
    this.#options.log.debug({ peer, unsentBytes, reason: 'stalled' }, 'SIP connection closed');
    connection.socket.destroy();
  }

  #sweep(): void {
    const nowMs = this.#options.clock().monotonic;
    const { lingerMs, stallMs } = this.#options.limits;
    for (const connection of this.#watched) {
      switch (connection.look(nowMs, lingerMs, stallMs)) {
        case 'fine':
          this.#watched.delete(connection);
          break;
        case 'overdue':
          connection.socket.destroy();
          break;
        case 'stalled':
          this.#closeStalled(connection);
          break;
        default:
      }
    }
  }

  #notifyLeft(): void {
    const waiters = this.#leaveWaiters;
    this.#leaveWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#options.log.error({ err: error }, 'SIP stack failed; the server stops');
    this.stop();
    this.#options.onFailed(error);
  }
}

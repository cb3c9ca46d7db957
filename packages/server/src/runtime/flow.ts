/**
 * One live connection on the pump's side. Two small objects of fixed shape (this and the session) are all that an
 * idle device costs beyond its socket; the methods are shared and find the pump by reference.
 */
import { PagedTable } from '@wakeline/core/base';
import type { FlowId, FlowSession } from '@wakeline/core/domain';
import type { FlowReceiver, FlowSocket } from './flow-socket.js';

/** What a flow tells its pump. */
export interface FlowOwner {
  handleFlowBytes(flow: Flow, chunk: Uint8Array): void;
  handleFlowDrained(flow: Flow): void;
  handleFlowPong(flow: Flow): void;
  handleFlowClosed(flow: Flow): void;
}

/** A flow whose peer does not take what it is sent, and since when. */
export interface Stall {
  /** Unsent bytes when the session was told that the socket is full. */
  readonly fullBytes: number;
  /** The socket's progress when it was last seen to change, and when that was (monotonic ms). */
  progress: number;
  progressMs: number;
}

/** Bits of {@link Flow}. */
const Bit = { opened: 1, knownToHub: 2, dirty: 4, readPaused: 8, opening: 16 } as const;

export class Flow implements FlowReceiver {
  readonly id: FlowId;
  readonly owner: FlowOwner;
  readonly socket: FlowSocket;
  readonly session: FlowSession;
  #bits = 0;
  /** The session was told that the socket is full. */
  stall: Stall | undefined = undefined;
  /**
   * Monotonic ms at which the session said `close`, or failed: nothing is given to it any more. 0: it goes on. A whole
   * number takes no memory of its own.
   */
  endingSinceMs = 0;
  /** What arrived while reading is paused, oldest first. */
  held: Uint8Array[] | undefined = undefined;

  constructor(id: FlowId, owner: FlowOwner, socket: FlowSocket, session: FlowSession) {
    this.id = id;
    this.owner = owner;
    this.socket = socket;
    this.session = session;
  }

  get isEnding(): boolean {
    return this.endingSinceMs !== 0;
  }

  /** The device was let in. */
  get isOpened(): boolean {
    return (this.#bits & Bit.opened) !== 0;
  }

  set isOpened(value: boolean) {
    this.#set(Bit.opened, value);
  }

  /** The hub heard `open` and has not answered. */
  get isOpening(): boolean {
    return (this.#bits & Bit.opening) !== 0;
  }

  set isOpening(value: boolean) {
    this.#set(Bit.opening, value);
  }

  /** The hub heard `open` and no end of the flow yet: it is owed a `close`. */
  get isKnownToHub(): boolean {
    return (this.#bits & Bit.knownToHub) !== 0;
  }

  set isKnownToHub(value: boolean) {
    this.#set(Bit.knownToHub, value);
  }

  /** The session was given something in this turn and has not been drained yet. */
  get isDirty(): boolean {
    return (this.#bits & Bit.dirty) !== 0;
  }

  set isDirty(value: boolean) {
    this.#set(Bit.dirty, value);
  }

  /** The session does not want to read, and the socket was told. */
  get isReadPaused(): boolean {
    return (this.#bits & Bit.readPaused) !== 0;
  }

  set isReadPaused(value: boolean) {
    this.#set(Bit.readPaused, value);
  }

  #set(bit: number, value: boolean): void {
    this.#bits = value ? this.#bits | bit : this.#bits & ~bit;
  }

  handleSocketBytes(chunk: Uint8Array): void {
    this.owner.handleFlowBytes(this, chunk);
  }

  handleSocketDrained(): void {
    this.owner.handleFlowDrained(this);
  }

  handleSocketPong(): void {
    this.owner.handleFlowPong(this);
  }

  handleSocketClosed(): void {
    this.owner.handleFlowClosed(this);
  }
}

/** Live flows by number. Numbers are never given twice within the life of the process. */
export class FlowTable {
  #last: FlowId = 0;
  readonly #flows = new PagedTable<Flow>();

  get size(): number {
    return this.#flows.size;
  }

  add(owner: FlowOwner, socket: FlowSocket, session: FlowSession): Flow {
    this.#last += 1;
    const flow = new Flow(this.#last, owner, socket, session);
    this.#flows.set(flow.id, flow);
    return flow;
  }

  get(id: FlowId): Flow | undefined {
    return this.#flows.get(id);
  }

  /** True if the flow was there. */
  delete(flow: Flow): boolean {
    return this.#flows.delete(flow.id);
  }

  /** In order of arrival; flows may be deleted meanwhile. */
  [Symbol.iterator](): Iterator<Flow> {
    return this.#flows.values()[Symbol.iterator]();
  }
}

/**
 * One live connection on the pump's side. Two small objects of fixed shape (this and the session) are all that an
 * idle device costs beyond its socket; the methods are shared and find the pump by reference.
 */
import type { FlowId, FlowSession } from '@wakeline/core/domain';
import type { FlowReceiver, FlowSocket } from './flow-socket.js';

/** What a flow tells its pump. */
export interface FlowOwner {
  handleFlowBytes(flow: Flow, chunk: Uint8Array): void;
  handleFlowDrained(flow: Flow): void;
  handleFlowClosed(flow: Flow): void;
}

export class Flow implements FlowReceiver {
  readonly id: FlowId;
  readonly owner: FlowOwner;
  readonly socket: FlowSocket;
  readonly session: FlowSession;
  /** The device was let in. */
  isOpened = false;
  /** The hub heard `open` and no end of the flow yet: it is owed a `close`. */
  isKnownToHub = false;
  /** The session was told that the socket is full. */
  isFull = false;
  /** Unsent bytes at that moment. */
  fullBytes = 0;
  /** The session said `close`, or failed: nothing is given to it any more. */
  isEnding = false;
  /** The session was given something in this turn and has not been drained yet. */
  isDirty = false;
  /** The session does not want to read, and the socket was told. */
  isReadPaused = false;
  /** What arrived while reading is paused, oldest first. */
  held: Uint8Array[] | undefined = undefined;
  /** The socket's progress when it was last seen to change, and when that was (monotonic ms). */
  progress = 0;
  progressMs = 0;

  constructor(id: FlowId, owner: FlowOwner, socket: FlowSocket, session: FlowSession) {
    this.id = id;
    this.owner = owner;
    this.socket = socket;
    this.session = session;
  }

  handleSocketBytes(chunk: Uint8Array): void {
    this.owner.handleFlowBytes(this, chunk);
  }

  handleSocketDrained(): void {
    this.owner.handleFlowDrained(this);
  }

  handleSocketClosed(): void {
    this.owner.handleFlowClosed(this);
  }
}

/** Live flows by number. Numbers are never given twice within the life of the process. */
export class FlowTable {
  #last: FlowId = 0;
  readonly #flows = new Map<FlowId, Flow>();

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
    return this.#flows.values();
  }
}

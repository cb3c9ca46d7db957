/**
 * Flows: live paths to somebody. A flow is a socket and an epoch, never host and port: numbers are given once in the life
 * of the process, so what was said to one phone is never said to another that came to its address.
 *
 * A stream's flow is its connection. On UDP it is a listener, a remote and an epoch, which whoever registers there begins
 * and ends; several may go on beside each other, for a phone with several users. Whoever has no registration there, a caller
 * within its dialog, has a passing one: it ends when nothing has passed on it for a while, or when there are too
 * many and it was used longest ago, and begins again when it is needed.
 */
import type { SipFlow } from '../../../domain/index.js';
import type { SipFramer } from '../../../wire/sip/index.js';
import type { SipAddress, StreamTransport } from '../machine.js';

export interface StreamFlow {
  readonly kind: 'stream';
  readonly id: SipFlow;
  readonly transport: StreamTransport;
  readonly listener: number;
  readonly remote: SipAddress;
  /** The host's number: negative for those that we asked for. */
  readonly connection: number;
  /** Not on a WebSocket, where a frame is a message. */
  readonly framer: SipFramer | undefined;
  isOpen: boolean;
  /** The core has let somebody in who wrote on it. */
  isAdmitted: boolean;
  /** When a message began whose end has not come, monotonic ms; undefined: none has. */
  partialSinceMs: number | undefined;
  /** What comes on it is no message any more: it is to be closed once it was answered. */
  isUnreadable: boolean;
  /** Monotonic ms. */
  readonly openedMs: number;
  /** Something was last sent or received, monotonic ms. */
  usedMs: number;
  /** When it will be looked at again, monotonic ms; Infinity: not. */
  armedMs: number;
}

export interface DatagramFlow {
  readonly kind: 'datagram';
  readonly id: SipFlow;
  readonly transport: 'udp';
  readonly listener: number;
  readonly remote: SipAddress;
  /** Of a passing one, when something was last sent or received, monotonic ms; undefined: it is one of a registration or a trunk. */
  usedMs: number | undefined;
}

export type Flow = StreamFlow | DatagramFlow;

export class FlowTable {
  readonly #flows = new Map<SipFlow, Flow>();
  readonly #streams = new Map<number, StreamFlow>();
  /** By listener and remote, of each the one opened last behind the others. */
  readonly #datagrams = new Map<string, DatagramFlow[]>();
  /** Those of registrations and trunks, in the order in which they were opened. */
  readonly #opened = new Set<DatagramFlow>();
  /** Passing ones, in the order in which they were used. */
  readonly #passing = new Set<DatagramFlow>();
  readonly #datagramFlowsMax: number;
  readonly #passingFlowsMax: number;
  #nextId: SipFlow = 1;

  constructor(limits: { readonly datagramFlowsMax: number; readonly passingFlowsMax: number }) {
    this.#datagramFlowsMax = limits.datagramFlowsMax;
    this.#passingFlowsMax = limits.passingFlowsMax;
  }

  get size(): number {
    return this.#flows.size;
  }

  get(id: SipFlow): Flow | undefined {
    return this.#flows.get(id);
  }

  stream(connection: number): StreamFlow | undefined {
    return this.#streams.get(connection);
  }

  streams(): IterableIterator<StreamFlow> {
    return this.#streams.values();
  }

  addStream(flow: Omit<StreamFlow, 'kind' | 'id'>): StreamFlow {
    const added: StreamFlow = { ...flow, kind: 'stream', id: this.#nextId++ };
    this.#flows.set(added.id, added);
    this.#streams.set(added.connection, added);
    return added;
  }

  removeStream(flow: StreamFlow): void {
    this.#flows.delete(flow.id);
    this.#streams.delete(flow.connection);
  }

  /** The flow opened last for what comes from there. */
  datagramFrom(listener: number, remote: SipAddress): DatagramFlow | undefined {
    return this.#datagrams.get(remoteKey(listener, remote))?.at(-1);
  }

  /** Begins a new epoch. Second: the flow opened longest ago, if there were too many and it has ended. */
  openDatagram(
    listener: number,
    remote: SipAddress,
  ): readonly [flow: DatagramFlow, ended: DatagramFlow | undefined] {
    const ended = this.#makeRoom(this.#opened, this.#datagramFlowsMax);
    const flow = this.#addDatagram(listener, remote, undefined);
    this.#opened.add(flow);
    return [flow, ended];
  }

  /** Of whoever has no flow. Second: the one used longest ago, if there were too many and it has ended. */
  openPassing(
    listener: number,
    remote: SipAddress,
    nowMs: number,
  ): readonly [flow: DatagramFlow, ended: DatagramFlow | undefined] {
    const ended = this.#makeRoom(this.#passing, this.#passingFlowsMax);
    const flow = this.#addDatagram(listener, remote, nowMs);
    this.#passing.add(flow);
    return [flow, ended];
  }

  /** Something passes on it. */
  touch(flow: DatagramFlow, nowMs: number): void {
    if (flow.usedMs === undefined) return;
    flow.usedMs = nowMs;
    this.#passing.delete(flow);
    this.#passing.add(flow);
  }

  /** The passing flow that was used longest ago. */
  get oldestPassing(): DatagramFlow | undefined {
    return this.#passing.values().next().value;
  }

  removeDatagram(flow: DatagramFlow): void {
    const key = remoteKey(flow.listener, flow.remote);
    const rest = (this.#datagrams.get(key) ?? []).filter((other) => other !== flow);
    if (rest.length === 0) this.#datagrams.delete(key);
    else this.#datagrams.set(key, rest);
    this.#opened.delete(flow);
    this.#passing.delete(flow);
    this.#flows.delete(flow.id);
  }

  #makeRoom(flows: ReadonlySet<DatagramFlow>, max: number): DatagramFlow | undefined {
    if (flows.size < max) return undefined;
    const ended = flows.values().next().value!;
    this.removeDatagram(ended);
    return ended;
  }

  #addDatagram(listener: number, remote: SipAddress, usedMs: number | undefined): DatagramFlow {
    const id = this.#nextId++;
    const flow: DatagramFlow = { kind: 'datagram', id, transport: 'udp', listener, remote, usedMs };
    const key = remoteKey(listener, remote);
    const others = this.#datagrams.get(key);
    if (others === undefined) this.#datagrams.set(key, [flow]);
    else others.push(flow);
    this.#flows.set(id, flow);
    return flow;
  }
}

function remoteKey(listener: number, remote: SipAddress): string {
  return `${listener} ${remote.port} ${remote.address}`;
}

const PLACE = /^udp (\d{1,5}) (\d{1,5}) (\S+)$/;

/** Name of a flow that outlives the process. */
export function formatPlace({ listener, remote }: DatagramFlow): string {
  return `udp ${listener} ${remote.port} ${remote.address}`;
}

/** undefined: not one of ours. */
export function parsePlace(
  place: string,
): { readonly listener: number; readonly remote: SipAddress } | undefined {
  const match = PLACE.exec(place);
  if (match === null) return undefined;
  const [, listener, port, address] = match;
  return { listener: Number(listener), remote: { address: address!, port: Number(port) } };
}

/**
 * Flows: live paths to somebody. A flow is a socket and an epoch, never host and port: numbers are given once in the life
 * of the process, so what was said to one phone is never said to another that came to its address.
 *
 * A stream's flow is its connection. On UDP it is a listener, a remote and an epoch, which whoever registers there begins
 * and ends; several may go on beside each other, for a phone with several users.
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
}

export type Flow = StreamFlow | DatagramFlow;

export class FlowTable {
  readonly #flows = new Map<SipFlow, Flow>();
  readonly #streams = new Map<number, StreamFlow>();
  /** By listener and remote, of each the one opened last behind the others. */
  readonly #datagrams = new Map<string, DatagramFlow[]>();
  /** In the order in which they were opened. */
  readonly #opened = new Set<DatagramFlow>();
  readonly #datagramFlowsMax: number;
  #nextId: SipFlow = 1;

  constructor(datagramFlowsMax: number) {
    this.#datagramFlowsMax = datagramFlowsMax;
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
    let ended: DatagramFlow | undefined;
    if (this.#opened.size >= this.#datagramFlowsMax) {
      ended = this.#opened.values().next().value!;
      this.removeDatagram(ended);
    }
    const flow: DatagramFlow = { kind: 'datagram', id: this.#nextId++, transport: 'udp', listener, remote };
    const key = remoteKey(listener, remote);
    const others = this.#datagrams.get(key);
    if (others === undefined) this.#datagrams.set(key, [flow]);
    else others.push(flow);
    this.#opened.add(flow);
    this.#flows.set(flow.id, flow);
    return [flow, ended];
  }

  removeDatagram(flow: DatagramFlow): void {
    const key = remoteKey(flow.listener, flow.remote);
    const rest = (this.#datagrams.get(key) ?? []).filter((other) => other !== flow);
    if (rest.length === 0) this.#datagrams.delete(key);
    else this.#datagrams.set(key, rest);
    this.#opened.delete(flow);
    this.#flows.delete(flow.id);
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

/** A SIP edge under a clock of the test's own, with messages written as text. */
import type { InstantMs } from '../../../src/base/index.js';
import { decodeUtf8, encodeUtf8 } from '../../../src/base/index.js';
import type { EdgeEvent } from '../../../src/session/sip/edge-types.js';
import { SipEdge, type SipEdgeOptions } from '../../../src/session/sip/edge.js';
import type {
  SipAddress,
  SipListener,
  SipOutput,
  StreamTransport,
} from '../../../src/session/sip/machine.js';
import type { SipRequest, SipResponse } from '../../../src/wire/sip/index.js';

const advertised = (port: number) => ({ host: 'sip.example.org', port });

/** Indices of the listeners. */
export const TCP = 0;
export const UDP = 1;
export const TLS = 2;
export const WS = 3;

export const listeners: readonly SipListener[] = [
  { transport: 'tcp', advertised: advertised(5060), trunksOnly: false },
  { transport: 'udp', advertised: advertised(5060), trunksOnly: false },
  { transport: 'tls', advertised: advertised(5061), trunksOnly: false },
  { transport: 'ws', advertised: advertised(8600), trunksOnly: false },
];

export type Event = EdgeEvent<SipRequest, SipResponse>;
export type EventOf<Kind extends Event['kind']> = Extract<Event, { readonly kind: Kind }>;

export const alice: SipAddress = { address: '192.0.2.7', port: 40_000 };
export const bob: SipAddress = { address: '192.0.2.8', port: 41_000 };

export interface RequestParts {
  readonly method?: string;
  /** From the protocol on: `TCP 10.0.0.1:5060;branch=…`. */
  readonly via?: string;
  readonly uri?: string;
  readonly fromTag?: string;
  readonly toTag?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** A request as text with CRLF. */
export function requestText(parts: RequestParts = {}): string {
  const { method = 'INVITE', body = '', toTag } = parts;
  return [
    `${method} ${parts.uri ?? 'sip:bob@example.org'} SIP/2.0`,
    `Via: SIP/2.0/${parts.via ?? 'TCP 192.0.2.7:5060;branch=z9hG4bKa'}`,
    'Max-Forwards: 70',
    `From: <sip:alice@example.org>;tag=${parts.fromTag ?? 'f'}`,
    `To: <sip:bob@example.org>${toTag === undefined ? '' : `;tag=${toTag}`}`,
    `Call-ID: ${parts.callId ?? 'call-1'}`,
    `CSeq: ${parts.cseq ?? 1} ${method}`,
    ...(parts.headers ?? []),
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

/** A response with the Via, From, To, Call-ID and CSeq of a request in text. */
export function responseText(request: string, status: number, toTag = 't'): string {
  const lines = request.split('\r\n');
  const line = (name: string): string => lines.find((text) => text.startsWith(`${name}:`))!;
  const to = line('To');
  return [
    `SIP/2.0 ${status} Whatever`,
    line('Via'),
    line('From'),
    to.includes(';tag=') || status === 100 ? to : `${to};tag=${toTag}`,
    line('Call-ID'),
    line('CSeq'),
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

export function textOf(bytes: Uint8Array): string {
  return decodeUtf8(bytes, 0, bytes.length)!;
}

/** Start lines of messages that were sent, `connection: line` or `udp address:port: line`; other outputs by kind. */
export function briefly(output: SipOutput): string {
  switch (output.kind) {
    case 'commands':
    case 'refused':
      return output.kind;
    case 'write':
      return `${output.connection}: ${firstLine(output.bytes)}`;
    case 'send':
      return `udp ${output.remote.address}:${output.remote.port}: ${firstLine(output.bytes)}`;
    case 'connect':
      return `connect ${output.connection} ${output.transport} ${output.remote.address}:${output.remote.port}`;
    case 'admitted':
      return `admitted ${output.connection}`;
    case 'close':
      return `close ${output.connection} ${output.reason}`;
    case 'resolve':
      return `resolve ${output.ticket} ${output.host}`;
  }
}

function firstLine(bytes: Uint8Array): string {
  return JSON.stringify(textOf(bytes).split('\r\n')[0] || textOf(bytes)).slice(1, -1);
}

export class EdgeWorld {
  readonly edge: SipEdge;
  nowMs = 1_000;
  /** All that was sent, as text, last one last. */
  sent: string[] = [];
  #probes = 0;

  constructor(options: Partial<SipEdgeOptions> = {}) {
    this.edge = new SipEdge({
      listeners,
      toTagOf: ({ callId }) => `our-${callId}`,
      timerCMs: 180_000,
      tryingMsMax: 200,
      ...options,
    });
  }

  get now(): InstantMs {
    return { monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs };
  }

  open(connection: number, remote = alice, transport: StreamTransport = 'tcp', listener = TCP): void {
    this.edge.handleInput(this.now, { kind: 'connection-opened', connection, listener, transport, remote });
  }

  close(connection: number): void {
    this.edge.handleInput(this.now, { kind: 'connection-closed', connection });
  }

  receive(connection: number, text: string): void {
    this.edge.handleInput(this.now, { kind: 'bytes', connection, chunk: encodeUtf8(text) });
  }

  datagram(remote: SipAddress, text: string, listener = UDP): void {
    this.edge.handleInput(this.now, { kind: 'datagram', listener, remote, bytes: encodeUtf8(text) });
  }

  /** Lets time pass; every timer fires at its time. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let dueMs = this.edge.nextTimeoutMs(); dueMs <= endMs; dueMs = this.edge.nextTimeoutMs()) {
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.edge.handleTimeout(this.now);
    }
    this.nowMs = endMs;
  }

  outputs(): SipOutput[] {
    const outputs: SipOutput[] = [];
    for (let output = this.edge.pollOutput(); output !== undefined; output = this.edge.pollOutput()) {
      outputs.push(output);
      if (output.kind === 'write' || output.kind === 'send') this.sent.push(textOf(output.bytes));
    }
    return outputs;
  }

  /** What came out since the last call, briefly. */
  out(): string[] {
    return this.outputs().map(briefly);
  }

  events(): Event[] {
    const events: Event[] = [];
    for (let event = this.edge.pollEvent(); event !== undefined; event = this.edge.pollEvent()) {
      events.push(event);
    }
    return events;
  }

  /** Kinds of the events since the last call. */
  kinds(): string[] {
    return this.events().map(({ kind }) => kind);
  }

  /** The only event of this kind since the last call. */
  event<Kind extends Event['kind']>(kind: Kind): EventOf<Kind> {
    const events = this.events();
    const [event, ...others] = events.filter((one): one is EventOf<Kind> => one.kind === kind);
    if (event === undefined || others.length > 0) {
      throw new Error(`one ${kind} expected, got ${JSON.stringify(events.map((one) => one.kind))}`);
    }
    return event;
  }

  /** An INVITE of ours on a flow. */
  invite(flow: number, branch = 'z9hG4bK-x.1.1', outlivesFlow = true): string {
    const via = `TCP sip.example.org:5060;branch=${branch}`;
    const text = requestText({ via, headers: ['Route: <sip:hop.example;lr>'] });
    const bytes = encodeUtf8(text);
    const key = this.edge.request(this.now, { method: 'INVITE', branch, bytes, flow, outlivesFlow });
    if (key === undefined) throw new Error('the INVITE was not taken');
    return text;
  }

  /** The flow of a connection, by a request on it that is answered; what came out before is forgotten. */
  flowOf(connection: number): number {
    this.#probes += 1;
    const via = `TCP h;branch=z9hG4bKp${this.#probes}`;
    this.receive(connection, requestText({ method: 'OPTIONS', callId: `probe-${this.#probes}`, via }));
    const { transaction, request, origin } = this.event('request');
    this.respond(transaction, 200, request);
    this.events();
    this.outputs();
    return origin.flow;
  }

  respond(transaction: string, status: number, request: SipRequest): boolean {
    const bytes = encodeUtf8(responseText(textOf(request.bytes), status));
    return this.edge.respond(this.now, transaction, status, bytes);
  }
}

/** The trunks: who of those who write to us is one, what goes out by which, and the way to each. */
import { assert, type InstantMs } from '../../../base/index.js';
import type { SipFlow } from '../../../domain/index.js';
import { parseSipUri, type SipUri } from '../../../wire/sip/index.js';
import type { StackContext } from '../context.js';
import { DigestClient } from '../digest/index.js';
import type { Origin, RouteTarget } from '../edge-types.js';
import type { SipTransport } from '../machine.js';
import type { SipTrunk } from '../options.js';
import { NumberPattern } from '../screening/number-pattern.js';

const transports: readonly string[] = ['udp', 'tcp', 'tls', 'ws', 'wss'];

export interface Trunk {
  readonly name: string;
  readonly options: SipTrunk;
  readonly uri: SipUri;
  readonly numbers: readonly NumberPattern[];
  /** Answers its challenges; undefined: we have no password there. */
  readonly digest: DigestClient | undefined;
  /** The flow that we are registered on. */
  flow: SipFlow | undefined;
}

export class Trunks {
  readonly all: readonly Trunk[];
  readonly #context: StackContext;

  constructor(context: StackContext) {
    this.#context = context;
    this.all = context.options.trunks.map((options) => makeTrunk(options, context));
  }

  /** The trunk that sent a request, by its address or by the flow that we are registered on. */
  senderOf(origin: Origin): Trunk | undefined {
    const byFlow = this.all.find(({ flow }) => flow !== undefined && flow === origin.flow);
    if (byFlow !== undefined) return byFlow;
    // Anybody can write a sender's address on a datagram: there it takes a listener that nobody else is let to.
    const isProof =
      origin.transport === 'tcp' ||
      origin.transport === 'tls' ||
      (origin.transport === 'udp' && this.#context.options.listeners[origin.listener]!.trunksOnly);
    if (!isProof) return undefined;
    return this.all.find(({ options }) => options.addresses.includes(plainAddress(origin.remote.address)));
  }

  /** The first trunk that names the target. @param host in small letters. */
  forTarget(user: string, host: string): Trunk | undefined {
    return this.all.find(({ numbers }) => numbers.some((pattern) => pattern.matches(user, host)));
  }

  find(name: string): Trunk | undefined {
    return this.all.find((trunk) => trunk.name === name);
  }

  /** The flow that we are registered on, if it lives. */
  flowOf(name: string): SipFlow | undefined {
    const flow = this.find(name)?.flow;
    return flow !== undefined && this.#context.edge.flowInfo(flow) !== undefined ? flow : undefined;
  }

  /** Finds a flow to a next hop, a SIP URI. */
  route(
    now: InstantMs,
    hop: string,
    requestBytes: number,
    handle: (now: InstantMs, flow: SipFlow | undefined) => void,
  ): void {
    const uri = parseSipUri(hop);
    if (uri === undefined) {
      handle(now, undefined);
      return;
    }
    const ticket = this.#context.takeTicket();
    this.#context.onRouted(ticket, handle);
    this.#context.edge.route(now, routeTargetOf(uri, requestBytes), ticket);
  }
}

/** `maddr` is ignored: it would let a stranger choose whom we write to. */
export function routeTargetOf(uri: SipUri, requestBytes: number): RouteTarget {
  const transport = uri.params.get('transport')?.toLowerCase();
  return {
    host: uri.host,
    port: uri.port,
    transport: transports.includes(transport ?? '') ? (transport as SipTransport) : undefined,
    isSecure: uri.scheme === 'sips',
    requestBytes,
  };
}

function makeTrunk(options: SipTrunk, context: StackContext): Trunk {
  const uri = parseSipUri(options.uri);
  assert(uri !== undefined, 'the configuration of trunks was checked');
  const { registration } = options;
  return {
    name: options.name,
    options,
    uri,
    numbers: options.numbers.map((text) => new NumberPattern(text)),
    digest:
      registration &&
      new DigestClient({
        crypto: context.options.crypto,
        username: registration.address.split('@', 1)[0]!,
        password: registration.password,
      }),
    flow: undefined,
  };
}

/** An IPv4 address that came by an IPv6 socket is the IPv4 address. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

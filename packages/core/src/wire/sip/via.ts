/** Via (RFC 3261 §20.42): the way a request took, and the way of its responses. */
import { formatParameters, parseDecimal, parseParameters, type Parameters } from './grammar.js';
import { isHost } from './host.js';

/** RFC 3261 §8.1.1.7: a branch that begins so is unique for its transaction. */
export const BRANCH_COOKIE = 'z9hG4bK';

/** One value of a Via header. */
export interface Via {
  /** Name and version of the protocol: `SIP/2.0`. */
  readonly protocol: string;
  /** Upper case: `UDP`, `TCP`, `TLS`, `WS`, `WSS`, or what a later one brings. */
  readonly transport: string;
  /** As it was written; IPv6 in brackets. */
  readonly host: string;
  /** 0 … 65,535; undefined: the default of the transport. */
  readonly port: number | undefined;
  /** Host in lower case and port if there is one: what tells senders with equal branches apart. */
  readonly sentBy: string;
  readonly params: Parameters;
  readonly branch: string | undefined;
  /** The address that the next hop saw, if it added one. */
  readonly received: string | undefined;
  /** RFC 3581: whether the sender asked for its port, and the port if it was filled in. */
  readonly hasRport: boolean;
  readonly rport: number | undefined;
  /** As it was written, folds replaced by a space. */
  readonly text: string;
}

const TOKEN = "[\\w.!%*+`'~-]+";
const VIA = new RegExp(
  `^\\s*(${TOKEN})\\s*/\\s*(${TOKEN})\\s*/\\s*(${TOKEN})\\s+(\\[[^\\]]*\\]|[\\w.-]+)\\s*(?::\\s*(\\d{1,5})\\s*)?(?=;|$)`,
);

/** Undefined if the value is malformed. */
export function parseVia(text: string): Via | undefined {
  const match = VIA.exec(text);
  if (match === null) return undefined;
  const [whole, name, version, transport, host, portText] = match;
  if (!isHost(host!)) return undefined;
  const port = portText === undefined ? undefined : parseDecimal(portText, 65_535);
  if (portText !== undefined && port === undefined) return undefined;
  const params = parseParameters(text, whole.length);
  if (params === undefined) return undefined;
  const rport = params.get('rport');
  return {
    protocol: `${name!.toUpperCase()}/${version!}`,
    transport: transport!.toUpperCase(),
    host: host!,
    port,
    sentBy: port === undefined ? host!.toLowerCase() : `${host!.toLowerCase()}:${port}`,
    params,
    branch: params.get('branch'),
    received: params.get('received'),
    hasRport: params.has('rport'),
    rport: rport === undefined ? undefined : parseDecimal(rport, 65_535),
    text,
  };
}

/** A Via of ours. `rport` and `alias` are parameters without a value. */
export function formatVia(parts: {
  readonly transport: string;
  /** IPv6 in brackets. */
  readonly host: string;
  readonly port?: number | undefined;
  readonly branch: string;
  /** Further ones, behind the branch. */
  readonly params?: Parameters | undefined;
}): string {
  const port = parts.port === undefined ? '' : `:${parts.port}`;
  const params = parts.params === undefined ? '' : formatParameters(parts.params);
  return `SIP/2.0/${parts.transport} ${parts.host}${port};branch=${parts.branch}${params}`;
}

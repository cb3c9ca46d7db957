/** Via (RFC 3261 §20.42): the way a request took, and the way of its responses. */
import { formatParameters, parseDecimal, parseParameters, skipSpace, tokenEnd } from './grammar.js';
import { hostEnd, isHost } from './host.js';
import type { Parameters } from './parameters.js';

const SLASH = 0x2f;
const COLON = 0x3a;

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

/** Undefined if the value is malformed. */
export function parseVia(text: string): Via | undefined {
  const nameStart = skipSpace(text, 0);
  const nameEnd = tokenEnd(text, nameStart);
  const versionStart = skipSlash(text, nameEnd);
  const versionEnd = tokenEnd(text, versionStart);
  const transportStart = skipSlash(text, versionEnd);
  const transportEnd = tokenEnd(text, transportStart);
  const hostStart = skipSpace(text, transportEnd);
  if (nameEnd === nameStart || versionEnd === versionStart || transportEnd === transportStart)
    return undefined;
  if (versionStart < 0 || transportStart < 0 || hostStart === transportEnd) return undefined;
  const hostEndAt = hostEnd(text, hostStart);
  const host = text.slice(hostStart, hostEndAt);
  if (!isHost(host)) return undefined;
  let at = skipSpace(text, hostEndAt);
  let port: number | undefined;
  if (text.charCodeAt(at) === COLON) {
    const portStart = skipSpace(text, at + 1);
    const portEnd = tokenEnd(text, portStart);
    port = parseDecimal(text.slice(portStart, portEnd), 65_535);
    if (port === undefined) return undefined;
    at = portEnd;
  }
  const params = parseParameters(text, at);
  if (params === undefined) return undefined;
  const rport = params.get('rport');
  const sentHost = host.toLowerCase();
  return {
    protocol: `${text.slice(nameStart, nameEnd).toUpperCase()}/${text.slice(versionStart, versionEnd)}`,
    transport: text.slice(transportStart, transportEnd).toUpperCase(),
    host,
    port,
    sentBy: port === undefined ? sentHost : `${sentHost}:${port}`,
    params,
    branch: params.get('branch'),
    received: params.get('received'),
    hasRport: params.has('rport'),
    rport: rport === undefined ? undefined : parseDecimal(rport, 65_535),
    text,
  };
}

/** The index behind a slash with white space around it; -1 if there is none. */
function skipSlash(text: string, at: number): number {
  const slash = skipSpace(text, at);
  return text.charCodeAt(slash) === SLASH ? skipSpace(text, slash + 1) : -1;
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

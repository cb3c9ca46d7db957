/** SIP and SIPS URIs (RFC 3261 §19.1), and URIs of which nothing but the scheme is understood. */
import { canonicalEscapes, escapeUriPart, unescapeUriPart } from './escape.js';
import { parseDecimal } from './grammar.js';
import { canonicalHost, hostEnd, isHost } from './host.js';
import { sipMessageLimits as limits } from './limits.js';
import { noParameters, ParameterList, type Parameters } from './parameters.js';

const PERCENT = 0x25;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUESTION = 0x3f;

/** A SIP or SIPS URI. */
export interface SipUri {
  readonly kind: 'sip';
  readonly scheme: 'sip' | 'sips';
  /** Unescaped; undefined if there is none. May have its own `;` parameters, as in telephone numbers. */
  readonly user: string | undefined;
  /** Unescaped. */
  readonly password: string | undefined;
  /** Lower case; IPv6 in brackets, as it was written. */
  readonly host: string;
  /** 0 … 65,535; undefined: the default of the transport. */
  readonly port: number | undefined;
  /** Names in lower case, names and values unescaped. */
  readonly params: Parameters;
  /** What follows `?`, as it was written; undefined if nothing does. */
  readonly headers: string | undefined;
  /** As it was written. */
  readonly text: string;
}

/** A URI of another scheme, `tel:` among them. */
export interface OtherUri {
  readonly kind: 'other';
  /** Lower case. */
  readonly scheme: string;
  /** As it was written. */
  readonly text: string;
}

export type Uri = SipUri | OtherUri;

/** Parts of a SIP URI, unescaped. */
export interface SipUriParts {
  readonly scheme?: 'sip' | 'sips';
  readonly user?: string | undefined;
  readonly host: string;
  readonly port?: number | undefined;
  readonly params?: Parameters | undefined;
}

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;

/** Which characters may stand unescaped in which part; `%` begins an escape. */
const Part = { user: 1, password: 2, parameter: 4, headers: 8 } as const;
const partCodes = new Uint8Array(128);
for (const [characters, parts] of [
  ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()%", 15],
  ['&=+$,', Part.user | Part.password],
  [';?/', Part.user],
  ['[]/:&+$', Part.parameter],
  ['[]/?:+$&=', Part.headers],
] as const) {
  for (const character of characters) partCodes[character.charCodeAt(0)]! |= parts;
}

/** Undefined if it is no URI, or a SIP or SIPS URI that is malformed. */
export function parseUri(text: string): Uri | undefined {
  const scheme = sipScheme(text);
  if (scheme !== undefined) return parseSip(text, scheme);
  const other = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (other === undefined) return undefined;
  return /^[!-~\u0080-\uffff]+$/.test(text) ? { kind: 'other', scheme: other, text } : undefined;
}

/** Undefined if it is malformed or of another scheme. */
export function parseSipUri(text: string): SipUri | undefined {
  const scheme = sipScheme(text);
  return scheme === undefined ? undefined : parseSip(text, scheme);
}

function sipScheme(text: string): SipUri['scheme'] | undefined {
  // The bit of the case: the colon must be where it is in one of the two.
  const isSip =
    (text.charCodeAt(0) | 0x20) === 0x73 &&
    (text.charCodeAt(1) | 0x20) === 0x69 &&
    (text.charCodeAt(2) | 0x20) === 0x70;
  if (!isSip) return undefined;
  if (text.charCodeAt(3) === COLON) return 'sip';
  return (text.charCodeAt(3) | 0x20) === 0x73 && text.charCodeAt(4) === COLON ? 'sips' : undefined;
}

function parseSip(text: string, scheme: SipUri['scheme']): SipUri | undefined {
  const start = scheme.length + 1;
  const sign = text.indexOf('@', start);
  let user: string | undefined;
  let password: string | undefined;
  if (sign >= 0) {
    let colon = text.indexOf(':', start);
    if (colon < 0 || colon > sign) colon = sign;
    user = colon === start ? undefined : readPart(text, start, colon, Part.user);
    if (user === undefined) return undefined;
    if (colon < sign) {
      password = readPart(text, colon + 1, sign, Part.password);
      if (password === undefined) return undefined;
    }
  }
  const hostStart = sign < 0 ? start : sign + 1;
  let at = hostEnd(text, hostStart);
  const host = text.slice(hostStart, at);
  if (!isHost(host)) return undefined;
  let port: number | undefined;
  if (text.charCodeAt(at) === COLON) {
    const portStart = at + 1;
    at = portEnd(text, portStart);
    port = parseDecimal(text.slice(portStart, at), 65_535);
    if (port === undefined) return undefined;
  }
  let headers: string | undefined;
  let paramsEnd = text.indexOf('?', at);
  if (paramsEnd < 0) paramsEnd = text.length;
  else {
    headers = text.slice(paramsEnd + 1);
    if (headers === '' || readPart(headers, 0, headers.length, Part.headers) === undefined) return undefined;
  }
  const params = parseUriParameters(text, at, paramsEnd);
  if (params === undefined) return undefined;
  return { kind: 'sip', scheme, user, password, host: host.toLowerCase(), port, params, headers, text };
}

function portEnd(text: string, at: number): number {
  let index = at;
  while (index < text.length && text.charCodeAt(index) !== SEMICOLON && text.charCodeAt(index) !== QUESTION)
    index += 1;
  return index;
}

/** What a part says, unescaped; undefined if it has a character that may not stand there, or a bad escape. */
function readPart(text: string, start: number, end: number, part: number): string | undefined {
  let hasEscape = false;
  for (let index = start; index < end; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 128 || (partCodes[unit]! & part) === 0) return undefined;
    if (unit === PERCENT) hasEscape = true;
  }
  const raw = text.slice(start, end);
  return hasEscape ? unescapeUriPart(raw) : raw;
}

/** `;name=value…`; RFC 3261 §19.1.1: no parameter comes twice. */
function parseUriParameters(text: string, start: number, end: number): Parameters | undefined {
  if (start === end) return noParameters;
  const names: string[] = [];
  const values: (string | undefined)[] = [];
  let at = start;
  while (at < end) {
    if (text.charCodeAt(at) !== SEMICOLON || names.length === limits.parametersMax) return undefined;
    let equals = -1;
    let index = at + 1;
    for (; index < end; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit === SEMICOLON) break;
      if (unit === EQUALS && equals < 0) equals = index;
    }
    const nameEnd = equals < 0 ? index : equals;
    const name =
      nameEnd === at + 1 ? undefined : readPart(text, at + 1, nameEnd, Part.parameter)?.toLowerCase();
    if (name === undefined || names.includes(name)) return undefined;
    let value: string | undefined;
    if (equals >= 0) {
      // Phones send `;ob=` and the like: an empty value is one.
      value = readPart(text, equals + 1, index, Part.parameter);
      if (value === undefined) return undefined;
    }
    names.push(name);
    values.push(value);
    at = index;
  }
  return new ParameterList(names, values);
}

/** A SIP URI from its parts, which are escaped where they must be. */
export function formatSipUri(parts: SipUriParts): string {
  const user = parts.user === undefined ? '' : `${escapeUriPart(parts.user, 'user')}@`;
  const port = parts.port === undefined ? '' : `:${parts.port}`;
  let params = '';
  for (const [name, value] of parts.params ?? noParameters) {
    params += `;${escapeUriPart(name, 'parameter')}`;
    if (value !== undefined) params += `=${escapeUriPart(value, 'parameter')}`;
  }
  return `${parts.scheme ?? 'sip'}:${user}${parts.host}${port}${params}`;
}

/** The text of `uri` without the parameters that `isRemoved` names (in lower case); everything else as written. */
export function withoutUriParameters(uri: SipUri, isRemoved: (name: string) => boolean): string {
  const { paramsStart, paramsEnd } = parameterRange(uri.text);
  const kept = uri.text
    .slice(paramsStart, paramsEnd)
    .split(';')
    .filter((part, index) => {
      const name = unescapeUriPart(part.split('=', 1)[0]!)?.toLowerCase();
      return index === 0 || name === undefined || !isRemoved(name);
    });
  return uri.text.slice(0, paramsStart) + kept.join(';') + uri.text.slice(paramsEnd);
}

function parameterRange(text: string): { paramsStart: number; paramsEnd: number } {
  const hostStart = text.indexOf('@') + 1;
  const headersStart = text.indexOf('?', hostStart);
  const paramsEnd = headersStart < 0 ? text.length : headersStart;
  const semicolon = text.indexOf(';', hostStart);
  return { paramsStart: semicolon < 0 || semicolon > paramsEnd ? paramsEnd : semicolon, paramsEnd };
}

/** These must be in both URIs or in none, RFC 3261 §19.1.4. */
const strictParameters = ['user', 'ttl', 'method', 'maddr', 'transport'];

/** RFC 3261 §19.1.4; URIs of other schemes are equal if their texts are. */
export function areUrisEqual(a: Uri, b: Uri): boolean {
  if (a.kind === 'other' || b.kind === 'other') return a.kind === b.kind && a.text === b.text;
  if (a.scheme !== b.scheme || a.port !== b.port) return false;
  if (canonicalHost(a.host) !== canonicalHost(b.host)) return false;
  if (canonicalEscapes(userInfoOf(a)) !== canonicalEscapes(userInfoOf(b))) return false;
  if (strictParameters.some((name) => a.params.has(name) !== b.params.has(name))) return false;
  const bParams = canonicalParameters(b);
  for (const [name, value] of canonicalParameters(a)) {
    if (bParams.has(name) && bParams.get(name) !== value) return false;
  }
  return canonicalHeaders(a.headers) === canonicalHeaders(b.headers);
}

function userInfoOf({ text, scheme }: SipUri): string {
  const at = text.indexOf('@');
  // Without a user is another URI than with any.
  return at < 0 ? '' : text.slice(scheme.length + 1, at + 1);
}

function canonicalParameters({ text }: SipUri): Map<string, string> {
  const { paramsStart, paramsEnd } = parameterRange(text);
  const params = new Map<string, string>();
  for (const part of text.slice(paramsStart + 1, paramsEnd).split(';')) {
    const [name, value = ''] = canonicalEscapes(part).toLowerCase().split('=', 2);
    params.set(name!, value);
  }
  return params;
}

/** Headers have no order; their names no case. */
function canonicalHeaders(headers: string | undefined): string {
  if (headers === undefined) return '';
  const parts = headers.split('&').map((part) => {
    const [name, ...value] = canonicalEscapes(part).split('=');
    return `${name!.toLowerCase()}=${value.join('=')}`;
  });
  return parts.sort().join('&');
}

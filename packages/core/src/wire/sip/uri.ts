/** SIP and SIPS URIs (RFC 3261 §19.1), and URIs of which nothing but the scheme is understood. */
import { canonicalEscapes, escapeUriPart, unescapeUriPart } from './escape.js';
import { noParameters, parseDecimal, type Parameters } from './grammar.js';
import { canonicalHost, isHost } from './host.js';

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
/** User and password, host, port, parameters, headers. The last `@` before which no bracket opens ends the user. */
const PARTS = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:;?[\]]*)(?::(\d{1,5}))?((?:;[^;?]*)*)(?:\?(.*))?$/s;
const USER = /^(?:[\w\-.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})+$/;
const PASSWORD = /^(?:[\w\-.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*$/;
const PARAMETER = /^(?:[\w\-.!~*'()[\]/:&+$]|%[0-9A-Fa-f]{2})+$/;
const HEADERS = /^(?:[\w\-.!~*'()[\]/?:+$&=]|%[0-9A-Fa-f]{2})+$/;

/** Undefined if it is no URI, or a SIP or SIPS URI that is malformed. */
export function parseUri(text: string): Uri | undefined {
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return undefined;
  if (scheme === 'sip' || scheme === 'sips') return parseSipUri(text);
  return /^[!-~\u0080-\uffff]+$/.test(text) ? { kind: 'other', scheme, text } : undefined;
}

/** Undefined if it is malformed or of another scheme. */
export function parseSipUri(text: string): SipUri | undefined {
  const scheme = SCHEME.exec(text)?.[1]?.toLowerCase();
  if (scheme !== 'sip' && scheme !== 'sips') return undefined;
  const match = PARTS.exec(text.slice(scheme.length + 1));
  if (match === null) return undefined;
  const [, userInfo, host, portText, paramsText, headers] = match;
  if (!isHost(host!)) return undefined;
  const port = portText === undefined ? undefined : parseDecimal(portText, 65_535);
  if (portText !== undefined && port === undefined) return undefined;
  if (headers !== undefined && !HEADERS.test(headers)) return undefined;
  const identity = parseUserInfo(userInfo);
  const params = parseUriParameters(paramsText!);
  if (identity === undefined || params === undefined) return undefined;
  return { kind: 'sip', scheme, ...identity, host: host!.toLowerCase(), port, params, headers, text };
}

function parseUserInfo(
  userInfo: string | undefined,
): { user: string | undefined; password: string | undefined } | undefined {
  if (userInfo === undefined) return { user: undefined, password: undefined };
  const colon = userInfo.indexOf(':');
  const userText = colon < 0 ? userInfo : userInfo.slice(0, colon);
  if (!USER.test(userText)) return undefined;
  const user = unescapeUriPart(userText);
  if (user === undefined) return undefined;
  if (colon < 0) return { user, password: undefined };
  const passwordText = userInfo.slice(colon + 1);
  const password = PASSWORD.test(passwordText) ? unescapeUriPart(passwordText) : undefined;
  return password === undefined ? undefined : { user, password };
}

/** `;name=value…`; RFC 3261 §19.1.1: no parameter comes twice. */
function parseUriParameters(text: string): Parameters | undefined {
  if (text === '') return noParameters;
  const params = new Map<string, string | undefined>();
  for (const part of text.slice(1).split(';')) {
    const equals = part.indexOf('=');
    const nameText = equals < 0 ? part : part.slice(0, equals);
    const valueText = equals < 0 ? undefined : part.slice(equals + 1);
    if (!PARAMETER.test(nameText)) return undefined;
    const name = unescapeUriPart(nameText)?.toLowerCase();
    let value: string | undefined;
    if (valueText !== undefined) {
      // Stock phones send `;ob=` and the like: an empty value is one.
      value = valueText === '' || PARAMETER.test(valueText) ? unescapeUriPart(valueText) : undefined;
      if (value === undefined) return undefined;
    }
    if (name === undefined || params.has(name)) return undefined;
    params.set(name, value);
  }
  return params;
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

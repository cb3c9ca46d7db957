/**
 * Challenges and credentials of Digest (RFC 3261 §22, RFC 7616, RFC 8760) as text and back. Hashing is not done here.
 */
import { isToken, parseParameters, quote, skipSpace, splitList, tokenEnd } from './grammar.js';

/** A challenge or credentials: the scheme, and its fields by lower-case name, without quotes. */
export interface DigestFields {
  /** Lower case: `digest`, `bearer`. */
  readonly scheme: string;
  readonly fields: ReadonlyMap<string, string>;
}

const COMMA = 0x2c;

/** Fields that are quoted strings. `qop` is one in a challenge and none in credentials. */
const quoted = new Set([
  'realm', 'nonce', 'opaque', 'domain', 'username', 'uri', 'response', 'cnonce', 'nextnonce', 'rspauth',
]); // prettier-ignore

/** WWW-Authenticate or Proxy-Authenticate, one challenge a line; undefined if it is malformed. */
export function parseChallenge(value: string): DigestFields | undefined {
  return parseFields(value);
}

/** Authorization or Proxy-Authorization; undefined if it is malformed. */
export function parseCredentials(value: string): DigestFields | undefined {
  return parseFields(value);
}

/** The qualities of protection that a challenge offers, lower case. */
export function offeredQops(challenge: DigestFields): string[] {
  return splitList(challenge.fields.get('qop') ?? '').map((qop) => qop.toLowerCase());
}

/** A challenge; fields in their order. */
export function formatChallenge({ scheme, fields }: DigestFields): string {
  return formatFields(scheme, fields, true);
}

/** Credentials; fields in their order. */
export function formatCredentials({ scheme, fields }: DigestFields): string {
  return formatFields(scheme, fields, false);
}

function parseFields(value: string): DigestFields | undefined {
  const start = skipSpace(value, 0);
  const end = tokenEnd(value, start);
  if (end === start) return undefined;
  // Parameters as everywhere, with commas between them: one in front makes the first like the others.
  const parsed = parseParameters(`,${value.slice(end)}`, 0, COMMA);
  if (parsed === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const [name, text] of parsed) {
    if (text === undefined) return undefined;
    fields.set(name, text);
  }
  return { scheme: value.slice(start, end).toLowerCase(), fields };
}

function formatFields(scheme: string, fields: ReadonlyMap<string, string>, isChallenge: boolean): string {
  const parts: string[] = [];
  for (const [name, value] of fields) {
    const isQuoted = quoted.has(name) || (name === 'qop' && isChallenge) || !isToken(value);
    parts.push(`${name}=${isQuoted ? quote(value) : value}`);
  }
  return `${scheme.slice(0, 1).toUpperCase()}${scheme.slice(1)} ${parts.join(', ')}`;
}

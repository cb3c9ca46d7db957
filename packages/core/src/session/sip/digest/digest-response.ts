/** The arithmetic of Digest (RFC 7616 §3.4.1), with the algorithms that SIP phones use (RFC 8760). */
import { encodeUtf8, toHex } from '../../../base/index.js';
import type { PasswordAlgorithm } from '../../../domain/index.js';
import type { SipCrypto } from '../machine.js';

export type DigestAlgorithm = PasswordAlgorithm;

/** As it is written in a challenge. */
export const algorithmTokens: { readonly [Name in DigestAlgorithm]: string } = {
  'sha-256': 'SHA-256',
  md5: 'MD5',
};

/** The algorithm of a parameter; without one it is MD5 (RFC 7616 §3.3). Undefined: not one of ours. */
export function parseAlgorithm(token: string | undefined): DigestAlgorithm | undefined {
  const name = (token ?? 'md5').toLowerCase();
  return name === 'sha-256' || name === 'md5' ? name : undefined;
}

/** Small hex of the hash of the text's UTF-8. */
export function hashHex(crypto: SipCrypto, algorithm: DigestAlgorithm, text: string): string {
  const bytes = encodeUtf8(text);
  return toHex(algorithm === 'md5' ? crypto.md5(bytes) : crypto.sha256(bytes));
}

/** HA1: what is kept in place of a password. */
export function ha1Of(
  crypto: SipCrypto,
  algorithm: DigestAlgorithm,
  user: string,
  realm: string,
  password: string,
): string {
  return hashHex(crypto, algorithm, `${user}:${realm}:${password}`);
}

export interface DigestParts {
  readonly algorithm: DigestAlgorithm;
  /** Small hex. */
  readonly ha1: string;
  readonly nonce: string;
  readonly method: string;
  /** As it stands in the parameter `uri`. */
  readonly uri: string;
  /** undefined: as of RFC 2069, without `qop`. */
  readonly protection: { readonly nc: string; readonly cnonce: string } | undefined;
}

/** The parameter `response` with `qop=auth`, or without `qop`. */
export function digestResponse(crypto: SipCrypto, parts: DigestParts): string {
  const { algorithm, ha1, nonce, protection } = parts;
  const ha2 = hashHex(crypto, algorithm, `${parts.method}:${parts.uri}`);
  const middle = protection === undefined ? nonce : `${nonce}:${protection.nc}:${protection.cnonce}:auth`;
  return hashHex(crypto, algorithm, `${ha1}:${middle}:${ha2}`);
}

/** Compares texts in a time that depends on the length of `expected` alone. */
export function isSameText(expected: string, given: string): boolean {
  let difference = expected.length ^ given.length;
  for (let index = 0; index < expected.length; index++) {
    difference |= expected.charCodeAt(index) ^ (given.charCodeAt(index) | 0);
  }
  return difference === 0;
}

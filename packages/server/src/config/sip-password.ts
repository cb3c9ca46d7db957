/**
 * Passwords of SIP users as they are kept: `sha-256:HEX`, `md5:HEX`, or both with a comma between, where HEX is HA1 of
 * digest authentication, H(user:realm:password) (RFC 7616 §3.4.2), and the realm is the domain of the address.
 *
 * HA1 is as good as the password for this domain: it is to be kept as one.
 */
import { createHash } from 'node:crypto';
import type { PasswordAlgorithm, SipUser } from '@wakeline/core/domain';

export type Ha1 = SipUser['ha1'];

/** Of an address-of-record; core's own limit in `limits.aorBytesMax` is not smaller. */
const ADDRESS_CHARACTERS_MAX = 255;

/** `user@domain` with the domain in small letters; undefined: it is none. */
export function readSipAddress(input: unknown): string | undefined {
  if (typeof input !== 'string' || input.length > ADDRESS_CHARACTERS_MAX) return undefined;
  const match = /^([^\s@<>"\\:\p{Cc}]{1,128})@([A-Za-z\d](?:[A-Za-z\d.-]*[A-Za-z\d])?)$/u.exec(input);
  return match === null ? undefined : `${match[1]}@${match[2]!.toLowerCase()}`;
}

/** The hashes of a line; undefined: it is none. */
export function readSipPassword(line: string): Ha1 | undefined {
  const ha1: { 'sha-256'?: string; md5?: string } = {};
  for (const part of line.split(',').map((one) => one.trim())) {
    const match = /^(?:(sha-256):([\da-fA-F]{64})|(md5):([\da-fA-F]{32}))$/.exec(part);
    if (match === null) return undefined;
    const name = (match[1] ?? match[3]) as 'sha-256' | 'md5';
    if (ha1[name] !== undefined) return undefined;
    ha1[name] = (match[2] ?? match[4])!.toLowerCase();
  }
  return ha1;
}

/** The line for the configuration. */
export function sipPasswordLine(ha1: Ha1): string {
  return Object.entries(ha1)
    .map(([name, hex]) => `${name}:${hex}`)
    .join(',');
}

/** The hashes of a password for `address`, which is `user@domain`. */
export function hashSipPassword(
  address: string,
  password: string,
  algorithms: readonly PasswordAlgorithm[],
): Ha1 {
  const at = address.lastIndexOf('@');
  const text = `${address.slice(0, at)}:${address.slice(at + 1)}:${password}`;
  const hash = (algorithm: string): string => createHash(algorithm).update(text, 'utf8').digest('hex');
  return {
    ...(algorithms.includes('sha-256') && { 'sha-256': hash('sha256') }),
    ...(algorithms.includes('md5') && { md5: hash('md5') }),
  };
}

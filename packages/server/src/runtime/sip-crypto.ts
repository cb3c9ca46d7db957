/** Hashes and random bytes of the host, as the SIP stack wants them. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { SipCrypto } from '@wakeline/core/session/sip';

export const hostSipCrypto: SipCrypto = {
  sha256: (data) => createHash('sha256').update(data).digest(),
  // RFC 8760 keeps it for phones that know nothing else.
  md5: (data) => createHash('md5').update(data).digest(),
  hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
  randomBytes: (count) => randomBytes(count),
};

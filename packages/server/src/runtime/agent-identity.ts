/**
 * Identities of user agents of Web Push. A user agent has no name and no password: the server gives it a secret, its uaid,
 * which it presents from then on. The secret itself is kept nowhere: the hub knows its hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Identity } from '@wakeline/core/domain';

/** 128 random bits, as clients expect them: 32 hexadecimal digits. */
const SECRET_BYTES = 16;
const SECRET = /^[0-9a-f]{32}$/;

/** Whether this may be a secret of a user agent. */
export function isAgentSecret(text: string): boolean {
  return SECRET.test(text);
}

/** SHA-256 of a secret, hex. */
export function hashSecret(secret: string | Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex');
}

export interface IdentifiedAgent {
  readonly kind: 'authenticated';
  readonly identity: Extract<Identity, { kind: 'agent' }>;
  readonly freshSecret: string;
}

/** The identity of a user agent that presents this, or nothing; whether it is known is for the hub to say. */
export function identifyAgent(presented: string | undefined): IdentifiedAgent {
  const freshSecret = randomBytes(SECRET_BYTES).toString('hex');
  const sha256 = presented === undefined || !isAgentSecret(presented) ? undefined : hashSecret(presented);
  return {
    kind: 'authenticated',
    identity: { kind: 'agent', sha256, freshSha256: hashSecret(freshSecret) },
    freshSecret,
  };
}

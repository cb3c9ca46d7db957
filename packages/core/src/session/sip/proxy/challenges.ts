/** Challenges of several branches in one response (RFC 3261 §16.7 step 7). */
import type { SipResponse } from '../../../wire/sip/index.js';

const challengeNames = ['WWW-Authenticate', 'Proxy-Authenticate'] as const;

/** The challenges of the other branches, as lines to add to the best response if that is a 401 or 407. */
export function aggregatedChallenges(
  status: number,
  others: readonly SipResponse[],
): (readonly [name: string, value: string])[] {
  if (status !== 401 && status !== 407) return [];
  return others
    .filter((response) => response.status === 401 || response.status === 407)
    .flatMap((response) =>
      challengeNames.flatMap((name) => response.headers(name).map((value) => [name, value] as const)),
    );
}

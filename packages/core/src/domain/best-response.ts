/**
 * The best of the final responses that the branches of one request got (RFC 3261 §16.7 step 6), as an order.
 *
 * Departs from it where one device must not speak for all of its user's: of the 6xx only 603, 607 and 608 are an
 * answer of the user, any other is one device's and is chosen only if there is nothing else.
 *
 * The hub writes down which it is, the session sends it: so both choose by the same order. It knows no responses, only
 * their statuses.
 */

/** The user has declined, on whatever device: the call has ended (RFC 3261, RFC 8197, RFC 8688). */
export function isGlobalFailure(status: number): boolean {
  return status === 603 || status === 607 || status === 608;
}

/** Responses that tell the caller how to ask again with success come first within 4xx. */
const helpful = [401, 407, 415, 420, 484];

/** Smaller is better. */
function rankOf(status: number): number {
  if (isGlobalFailure(status)) return 0;
  if (status >= 600) return 700;
  // A device that is overloaded says nothing about the others.
  if (status === 503) return 599;
  const place = helpful.indexOf(status);
  return place < 0 ? Math.floor(status / 100) * 100 + 50 : 400 + place;
}

/** Index of the best of `statuses`, 300 … 699, the first of equals; -1: there are none. */
export function bestStatusIndex(statuses: readonly number[]): number {
  let best = -1;
  for (let index = 0; index < statuses.length; index++) {
    if (best < 0 || rankOf(statuses[index]!) < rankOf(statuses[best]!)) best = index;
  }
  return best;
}

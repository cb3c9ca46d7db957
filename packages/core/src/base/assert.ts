/** Assertions that stay on in production: a broken invariant must stop the turn, not corrupt an inbox. */

/** An invariant of our own code does not hold. Never caused by a peer: bad input is a value with a reason. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws {@link InvariantError} unless `condition` holds. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${what}`);
}

/** For the `default` of an exhaustive switch: fails to compile when a case is missing. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable value: ${JSON.stringify(value)}`);
}

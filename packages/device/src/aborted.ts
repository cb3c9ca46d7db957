/**
 * Signals of hosts that have no more than the first standard of them: those of React Native have neither `reason` nor `throwIfAborted`
 * (its `abort-controller` is of 2019). Nothing of the package asks a signal for these but here.
 */

/** Why it was aborted, as the host says it; else an AbortError, as the standard has it. */
export function abortReason(signal: AbortSignal): unknown {
  if (signal.reason !== undefined) return signal.reason;
  const error = new Error('this was aborted');
  error.name = 'AbortError';
  return error;
}

/** @throws abortReason */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortReason(signal);
}

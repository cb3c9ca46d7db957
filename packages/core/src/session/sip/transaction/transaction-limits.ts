/** Bounds of the transaction layer of SIP. docs/limits.md says what happens at each. */
export const sipTransactionLimits = {
  /**
   * How long an INVITE on a stream that was cancelled before anything came for it is kept, ms: as long as the tombstone of
   * its call, so that a phone that reads it late is told.
   */
  cancelledMsMax: 120_000,
  /** Requests that were sent and are not over. */
  clientTransactionsMax: 100_000,
  /** How long a request that was sent may be without a flow, ms: longer than any call waits for its device. */
  detachedMsMax: 600_000,
  /** How long the core may leave an INVITE without a response, ms: well behind Timer C and the longest wait for a device. */
  proceedingMsMax: 600_000,
  /** Requests that were received and are not over. */
  serverTransactionsMax: 100_000,
} as const;

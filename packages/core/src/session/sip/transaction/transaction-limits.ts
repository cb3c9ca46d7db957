/** Bounds of the transaction layer of SIP. docs/limits.md says what happens at each. */
export const sipTransactionLimits = {
  /** Requests that were sent and are not over. */
  clientTransactionsMax: 100_000,
  /** How long a request that was sent may be without a flow, ms: longer than any call waits for its device. */
  detachedMsMax: 600_000,
  /** How long the core may leave an INVITE without a response, ms: well behind Timer C and the longest wait for a device. */
  proceedingMsMax: 600_000,
  /** Requests that were received and are not over. */
  serverTransactionsMax: 100_000,
} as const;

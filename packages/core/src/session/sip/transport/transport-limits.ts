/** Bounds of the transport layer of SIP. docs/limits.md says what happens at each. */
export const sipTransportLimits = {
  /** A connection on which nobody has been let in by then is closed, ms. */
  admissionMsMax: 60_000,
  /** A connection of ours to another server that is not made by then has failed, ms; a host not found likewise. */
  connectMsMax: 5_000,
  /** Flows of phones that registered by UDP, and of trunks. */
  datagramFlowsMax: 100_000,
  /** A request longer than this goes over TCP where the transport is ours to choose, bytes (RFC 3261 §18.1.1). */
  datagramRequestBytesMax: 1_300,
  /** The end of a message must follow its beginning, ms. */
  messageMsMax: 30_000,
  /** Connections of ours to other servers. */
  outgoingConnectionsMax: 1_000,
  /** One of them on which nothing has passed is closed, ms. */
  outgoingIdleMsMax: 2 * 3_600_000,
  /** Flows of UDP remotes that have no registration: callers within their dialogs. */
  passingFlowsMax: 20_000,
  /** One of them on which nothing has passed ends, ms: longer than the longest silence of a transaction, Timer C. */
  passingIdleMsMax: 5 * 60_000,
  /** Responses of one transaction that wait for a connection to its sender. */
  responsesWaitingMax: 16,
  /** Ways to other servers that are being looked for. */
  routesWaitingMax: 10_000,
} as const;

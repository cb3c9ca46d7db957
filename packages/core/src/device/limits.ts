/** Bounds of a device's machine. docs/limits.md says what happens at each. */
export const deviceLimits = {
  /** Calls of which the deadline is watched. */
  callsMax: 100,
  /** What the user decided about calls, and the server has not answered. */
  callIntentsMax: 100,
  /** After a canary that could not be opened, none is for so long, ms. */
  canaryRetryMs: 600_000,
  /** Time for the transport and the CONNACK of one attempt, ms. */
  connectTimeoutMs: 30_000,
  /** Ranges of handled messages beyond the first gap that the cursor remembers. */
  cursorRangesMax: 256,
  /** Messages given to the app and not finished; told to the server as Receive Maximum. */
  inflightMax: 50,
  /** Time for the answer to a PINGREQ, and to a question on `$line/`, ms. */
  keepaliveAnswerMs: 10_000,
  /** Networks of which a keepalive policy remembers what it has learned. */
  networksMax: 100,
  /** A connection that came about so soon after another had died, or a canary had, proves that the network was there, ms. */
  pathMs: 30_000,
  /** Largest packet taken from the server, bytes; told as Maximum Packet Size. */
  packetBytesMax: 1024 * 1024 + 64 * 1024,
  /** Publications of the app that wait for their PUBACK. */
  publicationsMax: 1_000,
  /** Longest wait before the first attempt after a connection was lost, ms: a server that restarts has them come one after another. */
  reconnectSpreadMs: 5_000,
  /** Longest wait between two attempts, ms. */
  reconnectMsMax: 120_000,
  /** A connection that lasted so long counts as well: the waits begin anew, ms. */
  stableMs: 60_000,
  /** Subscriptions of one device. */
  subscriptionsMax: 1_000,
  /** Messages given to the app and not finished, QoS 0 included. */
  unfinishedMax: 1_000,
} as const;

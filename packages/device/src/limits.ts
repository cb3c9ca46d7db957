/** Bounds of the package beside those of the device's machine. docs/limits.md says what happens at each. */
export const hostLimits = {
  /** Calls that wait for the app to take them. */
  callsWaitingMax: 20,
  /** Time that `close` gives to farewells and to the last cursor, ms. */
  closeMs: 5_000,
  /** Time that the other side has to end a connection after the farewell, ms. */
  lingerMs: 2_000,
  /** Longest body of a publication, bytes: what a server takes unless it is told otherwise. */
  messageBytesMax: 1024 * 1024,
  /** Web Push channels whose keys are kept: with two sets each they stay far below `storedBytesMax`. */
  pushChannelsMax: 64,
  /** Bodies of publications that wait for their answer, bytes. */
  publicationBytesMax: 16 * 1024 * 1024,
  /** Statuses that a loop has not taken. */
  statusesWaitingMax: 16,
  /** Longest stored text, bytes. */
  storedBytesMax: 64 * 1024,
  /** Longest topic or filter, bytes of UTF-8. */
  topicBytesMax: 1_024,
  /** Bytes that a connection has not taken: publications of QoS 0 are refused beyond. */
  unsentBytesMax: 1024 * 1024,
} as const;

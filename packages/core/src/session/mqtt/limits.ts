/** Bounds of one MQTT session that are not the protocol's own. docs/limits.md says what happens at each. */
export const mqttLimits = {
  /** The id of a call in a publication to `$line/call`, bytes; a longer one is refused with `payload-invalid`. */
  callIdBytesMax: 128,
  /** Largest CONNECT, bytes: whoever has not said who they are gets little memory. Beyond: closed, no answer. */
  connectPacketBytesMax: 128 * 1024,
  /** Whole CONNECT after the connection was made, ms. Beyond: closed, no answer. */
  connectTimeoutMsMax: 10_000,
  /** Bytes a client may send ahead of its CONNACK. Beyond: closed; the server should not read so far. */
  earlyBytesMax: 256 * 1024,
  /** A publication to `$line/endpoint`, bytes; a larger one is refused with `payload-invalid`. */
  endpointRequestBytesMax: 1_024,
  /** Endpoints asked for on one connection and not answered. Beyond: answered with `quota-exceeded`. */
  endpointRequestsMax: 100,
  /** Bytes of an unfinished packet in one read that count as a sign of life: a large packet on a slow line. */
  keepAliveProgressBytes: 1_000,
  /** A device's name for a network on `$line/network`, bytes of UTF-8. */
  networkKeyBytesMax: 256,
  /** Unanswered SUBSCRIBE and UNSUBSCRIBE of which some filters were refused at once. Beyond: disconnected. */
  partialRequestsMax: 100,
  /** A publication to `$line/alive`, `$line/network` or `$line/call`, bytes; a larger one is refused with `payload-invalid`. */
  questionBytesMax: 1_024,
  /** Those of one connection that are not answered. Beyond: refused with `quota-exceeded`. */
  questionsMax: 100,
  /** A client with a smaller maximum packet size gets reason codes without reason strings, bytes. */
  reasonStringPacketBytesMin: 512,
  /** A publication to `$line/state`, bytes; a larger one is refused with `payload-invalid`. */
  stateBytesMax: 512,
  /** The gap in it, ms: shortest and longest; outside, the publication is refused with `payload-invalid`. */
  stateGapMsMin: 1_000,
  stateGapMsMax: 2 * 3_600_000,
  /** The network's name in it, bytes of UTF-8. */
  stateNetworkBytesMax: 128,
  /** Topic aliases that a 5.0 client may set; told as Topic Alias Maximum. Beyond: disconnected. */
  topicAliasesInMax: 32,
  /** Topic aliases set for one client, whatever more it takes; further topics are written out. */
  topicAliasesOutMax: 32,
} as const;

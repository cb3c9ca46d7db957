/** Bounds of what senders of Web Push may do. docs/limits.md says what happens at each. */
export const pushLimits = {
  /** How long a sender may remember that an endpoint has ended, seconds. */
  endedCacheSeconds: 86_400,
  /** Encryption and Crypto-Key, characters each: `aesgcm` and the older VAPID need some 300. */
  headerCharactersMax: 1_024,
  /** Body of one push, bytes (RFC 8030 §7.2: at least this much is to be taken). */
  bodyBytesMax: 4_096,
  /** How long a receipt may be waited for in one request, seconds. */
  receiptWaitSecondsMax: 25,
  /** Topic, characters (RFC 8030 §5.4). */
  topicCharactersMax: 32,
  /** A longer time to live is cut to this, seconds; the sender is told. */
  ttlSecondsMax: 30 * 86_400,
  /** How long a sender may remember that an endpoint is unknown, seconds. */
  unknownCacheSeconds: 300,
  /** Public keys of senders kept ready; the one used longest ago is let go first. */
  vapidKeysMax: 10_000,
  /** A VAPID token may be valid for so long from now, seconds (RFC 8292 §2). */
  vapidLifetimeSecondsMax: 86_400,
  /** The Authorization header, characters. */
  vapidCharactersMax: 4_096,
  /** Verified tokens that are remembered; the one used longest ago is forgotten first. */
  vapidTokensMax: 10_000,
} as const;

/** Bounds of one connection of Mozilla's push protocol. docs/limits.md says what happens at each. */
export const webPushLimits = {
  /** Addresses whose new user agents are counted; the one counted longest ago is forgotten first. */
  budgetAddressesMax: 65_536,
  /** Broadcasts that one connection is told of when they change. */
  broadcastsPerFlowMax: 64,
  /** Bytes a client may send ahead of the answer to its hello. */
  earlyBytesMax: 64 * 1024,
  /** The whole hello after the connection was made, ms. */
  helloTimeoutMsMax: 5_000,
  /** User agents of one address that are given a new secret, each minute; so many may come at once. */
  newAgentsPerAddressMax: 1_000,
  /** The same over all addresses of one process. */
  newAgentsMax: 60_000,
  /** Notifications sent on a connection and not acknowledged. */
  notificationsInflightMax: 100,
  /** Nothing was received for this long: the server asks whether anybody is there, ms. */
  pingAfterMs: 35 * 60_000,
  /** Between two pings of a client, ms. */
  pingIntervalMsMin: 45_000,
  /** Time for the answer to the server's own ping, ms. */
  pongTimeoutMsMax: 60_000,
  /** Unanswered register and unregister requests of one connection. */
  requestsWaitingMax: 100,
} as const;

/** Where an MQTT connection is between its first byte and its close. */
export const State = {
  /** Nothing is known of the peer. */
  awaitingConnect: 0,
  /** The driver checks the credentials. */
  authenticating: 1,
  /** The hub was told, and has not answered. */
  opening: 2,
  open: 3,
  closed: 4,
} as const;
export type State = (typeof State)[keyof typeof State];

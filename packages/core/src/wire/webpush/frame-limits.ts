/** Bounds of one frame. docs/limits.md says what happens at each. */
export const webPushFrameLimits = {
  /** Broadcasts named in one frame. */
  broadcastsMax: 64,
  /** Id or version of a broadcast, UTF-16 units. */
  broadcastTextMax: 256,
  /** A channel id that is none is told back up to this length, characters, in the answer that refuses it. */
  channelIdEchoMax: 64,
  /** Objects and lists within each other: looked at before anything is made of the text. */
  frameDepthMax: 8,
  /** One frame of a client, bytes. An ack of 400 notifications has room. */
  frameBytesMax: 64 * 1024,
  /** The key of a register, characters: the base64 of 65 bytes has 88. */
  keyCharactersMax: 128,
  /** A uaid, characters; those that the server makes have 32. */
  uaidCharactersMax: 128,
  /** A version in an ack or nack, characters: longer than any that was given out. */
  versionCharactersMax: 64,
} as const;

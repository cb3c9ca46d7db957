/** Bounds of the device's end of one MQTT connection. docs/limits.md says what happens at each. */
export const mqttClientLimits = {
  /** Longest reason string of the server that is shown, characters. */
  reasonCharsMax: 256,
  /** First bytes of an answer that is not MQTT, of which is told. */
  strangeBytesMax: 64,
} as const;

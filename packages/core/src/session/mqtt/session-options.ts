/** How an MQTT session is configured. */
/** One object shared by all sessions of a listener. */
export interface MqttSessionOptions {
  /** Largest packet taken after CONNECT, fixed header included, bytes. Advertised and enforced. */
  readonly maxPacketBytes: number;
  /** Largest message body, bytes. */
  readonly messageBytesMax: number;
  /** QoS 1 and 2 messages of a 5.0 client under way at once, 1 … 65,535. Advertised and enforced. */
  readonly maxInflightInbound: number;
  /** Longest session expiry granted; `SESSION_NEVER_EXPIRES`: whatever is asked. */
  readonly sessionExpirySecondsMax: number;
  /** Time for the whole CONNECT. Default: `mqttLimits.connectTimeoutMsMax`. */
  readonly connectTimeoutMs?: number;
  /** Longest keep alive granted to a 5.0 client, which then also may not go without. */
  readonly keepAliveMsMax?: number;
  /** Keep alive given to every 5.0 client, whatever it asks; 1 … 65,535. */
  readonly serverKeepAliveSeconds?: number;
}

/** How an MQTT session is configured. */
import type { HashNetwork, MintEndpoint } from '../../domain/index.js';

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
  /** Longest keep alive granted to a 5.0 client. */
  readonly keepAliveMsMax?: number;
  /** A 5.0 client that asks for no keep alive is given `keepAliveMsMax`. */
  readonly keepAliveRequired?: boolean;
  /**
   * A 3.1.1 client with a keep alive may be silent for this long, if 1.5 × its keep alive is less: where the path is
   * known alive by other means. A deviation from [MQTT-3.1.2-24] of 3.1.1, to leave a sleeper asleep.
   */
  readonly silenceMsMax?: number;
  /** Makes endpoints for `$line/endpoint`; undefined: there are none. */
  readonly mintEndpoint?: MintEndpoint;
  /** For `$line/network`. */
  readonly hashNetwork: HashNetwork;
  /** Keep alive given to every 5.0 client, whatever it asks; 1 … 65,535. */
  readonly serverKeepAliveSeconds?: number;
}

/**
 * What is sent and what is delivered, in no protocol's own terms.
 *
 * Topics and bodies travel as bytes wherever they are only copied: the hot path never turns them into strings.
 */

/** MQTT's quality of service, used as the strength of the delivery promise on every link. */
export type Qos = 0 | 1 | 2;

/** RFC 8030 §5.3. Decides when a sleeping device is woken, never the order inside a channel. */
export const Urgency = { veryLow: 0, low: 1, normal: 2, high: 3 } as const;
export type Urgency = (typeof Urgency)[keyof typeof Urgency];

export const urgencyNames = ['very-low', 'low', 'normal', 'high'] as const;

/** No properties: the shared empty block, so that the common case allocates nothing. */
export const noBytes: Uint8Array = new Uint8Array(0);

/**
 * A message on its way in. `body` and `properties` may be views into a read buffer: whoever keeps them copies.
 */
export interface Publication {
  /** Topic name, at most `limits.topicBytesMax` of UTF-8, without wildcards or U+0000. */
  readonly topic: string;
  readonly body: Uint8Array;
  /**
   * Application properties in MQTT 5 encoding (MQTT 5.0 §2.2.2.2, without the length in front): payload format,
   * content type, response topic, correlation data and user properties, in the order they came. Whoever
   * delivers copies them unread.
   */
  readonly properties: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  /** Seconds the message may wait for a device; undefined: as long as the inbox lives. */
  readonly expirySeconds: number | undefined;
  readonly urgency: Urgency;
  /** A newer message with the same key in the same channel replaces the undelivered older one. */
  readonly replaceKey: string | undefined;
}

/** A message on its way out to one device. The views stay valid for the turn in which it is handed over. */
export interface Delivery {
  /** Place in the inbox, 1 …; 0 for QoS 0, which has none: it comes once, and need not be acknowledged. */
  readonly sequence: number;
  readonly qos: Qos;
  readonly retain: boolean;
  /** The device may have this message already. */
  readonly duplicate: boolean;
  readonly topic: Uint8Array;
  readonly properties: Uint8Array;
  readonly body: Uint8Array;
  /** Seconds left to live, rounded up; undefined: no expiry. */
  readonly expirySeconds: number | undefined;
  /** Identifiers of the subscriptions that matched (MQTT 5.0 §3.3.2.3.8); empty: none. */
  readonly subscriptionIds: readonly number[];
}

/** What became of a message, told to a sender who asked. The words are the design's. */
export const stages = [
  'stored',
  'wake sent',
  'woken',
  'delivered',
  'acknowledged',
  'shown',
  'expired',
  'replaced',
  'dropped',
  'failed',
] as const;
export type Stage = (typeof stages)[number];

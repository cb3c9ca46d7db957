/** Devices: who they are, what they may do. */
import type { Urgency } from './message.js';

/** What a device may do with topics. `%d` in a pattern stands for its own id. `$line/…` needs no rule. */
export interface AccessRules {
  /** Topic filters to which the device may publish. */
  readonly publish: readonly string[];
  /** Topic filters that cover what the device may subscribe to. */
  readonly subscribe: readonly string[];
}

/** Everything allowed: the default where no rule is given. */
export const openAccess: AccessRules = { publish: ['#'], subscribe: ['#'] };

/**
 * Who a connection says it is, as far as the process that holds its socket could check.
 *
 * - `anonymous`: nothing was presented; the client id is taken as the device id where that is allowed.
 * - `token`: the SHA-256 of a presented device token, hex; the hub knows whose it is.
 * - `user`: a human's password was verified against the configuration.
 * - `agent`: a user agent of Web Push (a browser, a UnifiedPush distributor), which the server gives its own secret. It
 *   is the device whose secret it presents, if there is one, and otherwise a new one with the fresh secret, which is
 *   kept once it has a channel and only as long as it has any. The id of such a device is `agent-` and the first 32
 *   digits of the hash.
 */
export type Identity =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'token'; readonly sha256: string }
  | { readonly kind: 'user'; readonly name: string; readonly access: AccessRules }
  | {
      readonly kind: 'agent';
      /** SHA-256 of the secret that it presented, hex; undefined: none. */
      readonly sha256: string | undefined;
      /** SHA-256 of a secret made for this connection, hex. */
      readonly freshSha256: string;
    };

/** What a device says it is doing. Who says nothing is active. */
export const activities = ['active', 'background', 'asleep'] as const;
export type Activity = (typeof activities)[number];

/** What a device told of itself. Holds for the connection on which it was told. */
export interface DeviceState {
  readonly activity: Activity;
  /** How long it runs when it is woken, ms; undefined: `limits.wakeWindowMs`. */
  readonly windowMs: number | undefined;
  /** The lowest urgency that wakes it while it is asleep; undefined: normal. */
  readonly wakeUrgency?: Urgency;
  /** A name for the network that it is on, in its own words. */
  readonly network: string | undefined;
}

/** Session expiry interval that means "never" (MQTT 5.0 §3.1.2.11.2). */
export const SESSION_NEVER_EXPIRES = 0xffff_ffff;

/** Why the hub or a session said no. Each link maps these to its own codes; docs/errors.md lists them. */
export const refusals = {
  'already-connecting': 'a second CONNECT on the same connection',
  'bad-credentials': 'unknown user, wrong password or token; which of them is not told',
  'bad-device-id': 'the client id is empty, too long, or has + # / or control characters',
  'device-id-taken': 'the client id belongs to a device with another credential',
  'canary-invalid': 'the silence of a canary is no whole number of ms from 1 s to 2 h',
  'canary-over': 'the canary had its push, and its time is over',
  'channel-invalid': 'the channel is empty, too long, or has + # / or control characters',
  'channels-full': 'the device has as many channels with an endpoint as it may',
  'device-not-durable':
    'the device keeps nothing: its session ends with its connection and it has no credential',
  draining: 'the server is shutting down',
  'endpoints-off': 'the server has neither an HTTP listener nor a public URL, so it has no endpoints',
  'filter-invalid': 'the topic filter is malformed',
  'hub-away':
    'the process that keeps the messages is being started again; whether the request took effect is not known',
  'inbox-full': 'the device has as many waiting messages as it may; the newest is refused',
  'message-too-large': 'the message is larger than the server or the store takes',
  'key-invalid': 'the key is no VAPID public key: an uncompressed point of P-256 in base64url',
  'not-authorized': 'the access rules do not allow it',
  'packet-malformed': 'the bytes are not a packet of the protocol',
  'packet-too-large': 'the packet is larger than the server takes',
  'payload-invalid': 'the message is not what is to be published on this topic',
  'protocol-error': 'the packet is not allowed here',
  'qos-too-low': 'the device inbox is delivered with QoS 1 or 2 only',
  'quota-exceeded': 'a limit of the server was reached; docs/limits.md names it',
  'receive-maximum-exceeded': 'more QoS 1 and 2 messages in flight than was agreed',
  'retained-full': 'the server keeps as many retained messages as it may',
  'session-lost': 'the session of the connection is not there any more',
  'session-taken-over': 'the same device connected anew',
  'storage-failed': 'the store could not make the change durable; nothing of it is kept',
  'storage-full': 'free space is below the floor; new messages are refused, reading and acknowledging go on',
  'subscriptions-full': 'the session has as many subscriptions as it may',
  'topic-invalid': 'the topic name is malformed, too long or too deep',
  'unsupported-version': 'the protocol version is not spoken here',
} as const;
export type Refusal = keyof typeof refusals;

/**
 * The fifteen packets of MQTT 3.1.1 and 5.0 as values. One set of types for both versions: what 3.1.1 does not
 * have is empty or zero when decoded, and is not written when encoded.
 *
 * Binary fields of a decoded packet are views into what the decoder was given; copy what must outlive the turn.
 */
import type { Properties } from './properties.js';

/** Protocol level on the wire: 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
export type ProtocolVersion = 4 | 5;

export type QosLevel = 0 | 1 | 2;

/** Control packet types by number (MQTT 5.0 §2.1.2); 0 is reserved. */
export const packetTypes = [
  'reserved',
  'connect',
  'connack',
  'publish',
  'puback',
  'pubrec',
  'pubrel',
  'pubcomp',
  'subscribe',
  'suback',
  'unsubscribe',
  'unsuback',
  'pingreq',
  'pingresp',
  'disconnect',
  'auth',
] as const;
export type PacketType = Exclude<(typeof packetTypes)[number], 'reserved'>;

export interface WillFields {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QosLevel;
  readonly retain: boolean;
  /** 0 in 3.1.1. */
  readonly delaySeconds: number;
  readonly messageExpirySeconds: number | undefined;
  /** Application properties as a raw block, see {@link PublishPacket.properties}. */
  readonly properties: Uint8Array;
}

export interface ConnectPacket {
  readonly type: 'connect';
  readonly protocolVersion: ProtocolVersion;
  /** Clean Session of 3.1.1, Clean Start of 5.0. */
  readonly clean: boolean;
  /** 0: no keep alive. */
  readonly keepAliveSeconds: number;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly will: WillFields | undefined;
  readonly properties: Properties;
}

export interface ConnackPacket {
  readonly type: 'connack';
  readonly sessionPresent: boolean;
  /** Connect Return code 0 … 5 in 3.1.1. */
  readonly reasonCode: number;
  readonly properties: Properties;
}

export interface PublishPacket {
  readonly type: 'publish';
  /** Without wildcards; empty only together with a topic alias. */
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: QosLevel;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 1 … 65,535; 0 with QoS 0. */
  readonly packetId: number;
  /**
   * The properties that a server forwards unaltered, MQTT encoded, in their order, without the length in front:
   * payload format, content type, response topic, correlation data, user properties. Verified.
   */
  readonly properties: Uint8Array;
  readonly messageExpirySeconds: number | undefined;
  /** 1 … 65,535; 0: none. */
  readonly topicAlias: number;
  readonly subscriptionIds: readonly number[];
}

interface Acknowledgement {
  /** 1 … 65,535. */
  readonly packetId: number;
  /** 0 in 3.1.1. */
  readonly reasonCode: number;
  readonly properties: Properties;
}
export interface PubackPacket extends Acknowledgement {
  readonly type: 'puback';
}
export interface PubrecPacket extends Acknowledgement {
  readonly type: 'pubrec';
}
export interface PubrelPacket extends Acknowledgement {
  readonly type: 'pubrel';
}
export interface PubcompPacket extends Acknowledgement {
  readonly type: 'pubcomp';
}
export type AckType = 'puback' | 'pubrec' | 'pubrel' | 'pubcomp';
export type AckPacket = PubackPacket | PubrecPacket | PubrelPacket | PubcompPacket;

export interface SubscribeEntry {
  /** Not checked for the syntax of filters. */
  readonly filter: string;
  readonly qos: QosLevel;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
}

export interface SubscribePacket {
  readonly type: 'subscribe';
  readonly packetId: number;
  /** At least one. */
  readonly subscriptions: readonly SubscribeEntry[];
  readonly properties: Properties;
}

export interface SubackPacket {
  readonly type: 'suback';
  readonly packetId: number;
  readonly reasonCodes: readonly number[];
  readonly properties: Properties;
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe';
  readonly packetId: number;
  /** At least one. */
  readonly filters: readonly string[];
  readonly properties: Properties;
}

export interface UnsubackPacket {
  readonly type: 'unsuback';
  readonly packetId: number;
  /** Empty in 3.1.1. */
  readonly reasonCodes: readonly number[];
  readonly properties: Properties;
}

export interface PingreqPacket {
  readonly type: 'pingreq';
}

export interface PingrespPacket {
  readonly type: 'pingresp';
}

export interface DisconnectPacket {
  readonly type: 'disconnect';
  readonly reasonCode: number;
  readonly properties: Properties;
}

/** MQTT 5.0 only. */
export interface AuthPacket {
  readonly type: 'auth';
  readonly reasonCode: number;
  readonly properties: Properties;
}

export type Packet =
  | ConnectPacket
  | ConnackPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | SubackPacket
  | UnsubscribePacket
  | UnsubackPacket
  | PingreqPacket
  | PingrespPacket
  | DisconnectPacket
  | AuthPacket;

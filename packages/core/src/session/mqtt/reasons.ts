/** How each refusal is said in MQTT: reason codes of 5.0, return codes of 3.1.1, and what a person can do. */
import type { Refusal } from '../../domain/index.js';
import {
  ConnectReturnCode,
  isReasonCodeAllowed,
  ReasonCode,
  type PacketType,
} from '../../wire/mqtt/index.js';

/**
 * One row. MQTT 3.1.1 can say little: a refused CONNECT gets a return code or, where none fits, is closed; a
 * refused filter gets 0x80 in SUBACK; a refused PUBLISH with QoS 1 or 2 cannot be answered, so the connection is
 * closed and the client keeps the message; everything else closes.
 */
export interface ReasonRow {
  /** Reason code of MQTT 5.0, wherever the packet may carry it. */
  readonly code: ReasonCode;
  /** In CONNACK, where that must differ. */
  readonly connackCode?: ReasonCode;
  /** CONNACK of MQTT 3.1.1; undefined: closed without. */
  readonly returnCode?: number;
  /** Reason string: what happened and what to do. Short enough for `reasonStringPacketBytesMin`. */
  readonly text: string;
}

const { serverUnavailable, identifierRejected, notAuthorized } = ConnectReturnCode;

/** Every refusal that can reach a session. */
export const reasons: Readonly<Record<Refusal, ReasonRow>> = {
  'already-connecting': {
    code: ReasonCode.protocolError,
    text: 'a connection carries one CONNECT: open another connection',
  },
  'bad-credentials': {
    code: ReasonCode.badUserNameOrPassword,
    returnCode: ConnectReturnCode.badUserNameOrPassword,
    text: 'user name, password or token are not known: check the credentials of this device',
  },
  'bad-device-id': {
    code: ReasonCode.clientIdentifierNotValid,
    returnCode: identifierRejected,
    text: 'the client id is empty, longer than 256 bytes, or has + # / or control characters: choose another',
  },
  'canary-invalid': {
    code: ReasonCode.implementationSpecificError,
    text: 'wakeline-canary is the silence until the push, in ms: a whole number from 1000 to 7200000',
  },
  'canary-over': {
    code: ReasonCode.maximumConnectTime,
    text: 'the canary has had its push and is of no more use: open another one for the next probe',
  },
  'channel-invalid': {
    code: ReasonCode.payloadFormatInvalid,
    text: 'the channel is no single level of a topic name: 1 to 128 characters without / + #',
  },
  'channels-full': {
    code: ReasonCode.quotaExceeded,
    text: 'the device has as many endpoints as it may: end some',
  },
  'device-id-taken': {
    code: ReasonCode.clientIdentifierNotValid,
    returnCode: identifierRejected,
    text: 'the client id belongs to a device with another credential: use its credential or another id',
  },
  'device-not-durable': {
    code: ReasonCode.implementationSpecificError,
    text: 'the session ends with its connection: connect with a session expiry (3.1.1: clean session off)',
  },
  draining: {
    code: ReasonCode.serverShuttingDown,
    connackCode: ReasonCode.serverUnavailable,
    returnCode: serverUnavailable,
    text: 'the server is shutting down: connect again in a few seconds',
  },
  'endpoints-off': {
    code: ReasonCode.implementationSpecificError,
    text: 'the server has neither an HTTP listener nor a public URL: it has no endpoints',
  },
  'filter-invalid': {
    code: ReasonCode.topicFilterInvalid,
    text: 'malformed topic filter: # only last and alone in its level, + alone in its level, shared ones as $share/NAME/FILTER, at most 1,024 bytes and 64 levels',
  },
  'hub-away': {
    code: ReasonCode.serverShuttingDown,
    connackCode: ReasonCode.serverUnavailable,
    returnCode: serverUnavailable,
    text: 'a part of the server is being started again: connect again and repeat what was not answered',
  },
  'inbox-full': {
    code: ReasonCode.quotaExceeded,
    returnCode: serverUnavailable,
    text: 'a recipient has as many waiting messages as it may: send again later',
  },
  'key-invalid': {
    code: ReasonCode.payloadFormatInvalid,
    text: 'the key is no VAPID public key: 65 bytes of an uncompressed P-256 point in base64url',
  },
  'message-too-large': {
    code: ReasonCode.quotaExceeded,
    text: 'the message is larger than the server takes: send less than 1 MiB',
  },
  'not-authorized': {
    code: ReasonCode.notAuthorized,
    returnCode: notAuthorized,
    text: "the access rules of this device do not allow it, or the topic begins with $ and is the server's own",
  },
  'packet-malformed': {
    code: ReasonCode.malformedPacket,
    text: 'the bytes are not an MQTT packet of the agreed version',
  },
  'packet-too-large': {
    code: ReasonCode.packetTooLarge,
    text: 'larger than the Maximum Packet Size of CONNACK: send smaller packets',
  },
  'payload-invalid': {
    code: ReasonCode.payloadFormatInvalid,
    text: 'the JSON is not what is published on this topic: docs/spec/mqtt.md has its form',
  },
  'protocol-error': {
    code: ReasonCode.protocolError,
    text: 'this packet is not allowed here',
  },
  'qos-too-low': {
    code: ReasonCode.implementationSpecificError,
    text: 'the device inbox is delivered with QoS 1 or 2 only: subscribe with QoS 1',
  },
  'quota-exceeded': {
    code: ReasonCode.quotaExceeded,
    returnCode: serverUnavailable,
    text: 'a limit of the server was reached: try again later or raise it',
  },
  'receive-maximum-exceeded': {
    code: ReasonCode.receiveMaximumExceeded,
    text: 'more unanswered QoS 1 and 2 messages than the Receive Maximum of CONNACK: wait for answers',
  },
  'retained-full': {
    code: ReasonCode.quotaExceeded,
    text: 'the server keeps as many retained messages as it may: clear some or publish without retain',
  },
  'session-lost': {
    code: ReasonCode.implementationSpecificError,
    text: 'the session is not there any more: connect and subscribe again',
  },
  'session-taken-over': {
    code: ReasonCode.sessionTakenOver,
    text: 'the same client id connected anew: give each device an id of its own',
  },
  'storage-failed': {
    code: ReasonCode.implementationSpecificError,
    connackCode: ReasonCode.serverUnavailable,
    returnCode: serverUnavailable,
    text: 'the store could not make it durable, nothing was kept: send again later',
  },
  'storage-full': {
    code: ReasonCode.quotaExceeded,
    connackCode: ReasonCode.serverUnavailable,
    returnCode: serverUnavailable,
    text: 'the server has too little free disk space for new messages: send again later',
  },
  'subscriptions-full': {
    code: ReasonCode.quotaExceeded,
    text: 'the session has as many subscriptions as it may: unsubscribe some or use wildcards',
  },
  'topic-invalid': {
    code: ReasonCode.topicNameInvalid,
    text: 'the topic is empty, has wildcards, or is longer than 1,024 bytes or 64 levels',
  },
  'unsupported-version': {
    code: ReasonCode.unsupportedProtocolVersion,
    returnCode: ConnectReturnCode.unacceptableProtocolVersion,
    text: 'MQTT 3.1.1 and 5.0 are spoken here',
  },
};

/** Why a publication is refused today and would be tomorrow: sending it again is no use. */
export const lastingRefusals: ReadonlySet<Refusal> = new Set<Refusal>([
  'channel-invalid',
  'endpoints-off',
  'key-invalid',
  'not-authorized',
  'payload-invalid',
]);

/**
 * The reason code of MQTT 5.0 for a refusal in a packet of this type: the row's own where the specification
 * allows it there, else 0x83, which every packet with an error may carry.
 */
export function reasonCodeIn(type: PacketType, refusal: Refusal): number {
  const row = reasons[refusal];
  const code = type === 'connack' ? (row.connackCode ?? row.code) : row.code;
  return isReasonCodeAllowed(type, code) ? code : ReasonCode.implementationSpecificError;
}

/** What CONNECT asks, what is granted of it, and the CONNACK that says so (§3.1, §3.2 of both versions). */
import { limits, SECOND_MS, toHex } from '../../base/index.js';
import {
  SESSION_NEVER_EXPIRES,
  type Identity,
  type LinkCommand,
  type LinkEvent,
  type Refusal,
  type Will,
} from '../../domain/index.js';
import {
  noProperties,
  ReasonCode,
  type ConnackPacket,
  type ConnectPacket,
  type ProtocolVersion,
} from '../../wire/mqtt/index.js';
import { CANARY_PROPERTY, canarySilence } from './canary.js';
import { asksForCursor, cursorNames } from './cursor-properties.js';
import { mqttLimits } from './limits.js';
import { toWill } from './publication.js';
import { reasonCodeIn, reasons } from './reasons.js';
import type { MqttSessionOptions } from './session-options.js';
import { checkTopicName } from './topics.js';

/** The receive maximum of a client that gives none (MQTT 5.0 §3.1.2.11.3), and of every 3.1.1 client. */
const RECEIVE_MAXIMUM_DEFAULT = 65_535;

/** No maximum packet size given: the largest packet that the format can express. A small integer, to be lean. */
export const PACKET_BYTES_UNLIMITED = 268_435_455 + 5;

/** Kept between CONNECT and CONNACK only. */
export interface Handshake {
  readonly version: ProtocolVersion;
  readonly clientId: string;
  readonly clean: boolean;
  readonly sessionExpirySeconds: number;
  readonly isSessionExpiryCapped: boolean;
  readonly keepAliveSeconds: number;
  readonly isKeepAliveChanged: boolean;
  /** Silence after which the connection ends, ms; 0: never. */
  readonly silenceMsMax: number;
  readonly receiveMaximum: number;
  readonly wantsProblemInformation: boolean;
  /** Topic aliases that the client takes; 0: none. */
  readonly topicAliasMaximum: number;
  /** Asked for epoch and sequence numbers: {@link cursorRequest}. */
  readonly wantsCursor: boolean;
  /** It is a canary with this silence, ms; undefined: it is none. */
  readonly canarySilenceMs: number | undefined;
  readonly will: Will | undefined;
}

/** The largest packet that the client takes (MQTT 5.0 §3.1.2.11.4), bytes. */
export function clientPacketBytesMax({ properties }: ConnectPacket): number {
  return Math.min(properties.maximumPacketBytes ?? PACKET_BYTES_UNLIMITED, PACKET_BYTES_UNLIMITED);
}

/** A CONNECT that is refused without asking anybody. */
export interface HandshakeRefusal {
  readonly reason: Refusal;
  /** Where the reason alone would give another one. */
  readonly code: number;
}

/** Reads a CONNECT; copies what must outlive it. */
export function readConnect(
  packet: ConnectPacket,
  options: MqttSessionOptions,
): Handshake | HandshakeRefusal {
  const bad = checkConnect(packet, options.messageBytesMax);
  if (bad !== undefined) return bad;
  const { properties, protocolVersion: version, will } = packet;
  const canarySilenceMs = version === 5 ? canarySilence(properties) : undefined;
  if (canarySilenceMs === 'canary-invalid') return refuse(canarySilenceMs);
  const isCanary = canarySilenceMs !== undefined;
  // 3.1.1 has no expiry: Clean Session is both ends of the session's life, its absence neither.
  const asked =
    version === 5 ? (properties.sessionExpirySeconds ?? 0) : packet.clean ? 0 : SESSION_NEVER_EXPIRES;
  const sessionExpirySeconds = isCanary ? 0 : Math.min(asked, options.sessionExpirySecondsMax);
  // A canary that had to ask for signs of life would not be silent; it ends by itself.
  const keepAliveSeconds = isCanary ? packet.keepAliveSeconds : grantKeepAlive(packet, options);
  return {
    version,
    clientId: packet.clientId,
    clean: packet.clean,
    sessionExpirySeconds,
    isSessionExpiryCapped: sessionExpirySeconds !== asked,
    keepAliveSeconds,
    isKeepAliveChanged: keepAliveSeconds !== packet.keepAliveSeconds,
    silenceMsMax: silenceMs(version, keepAliveSeconds, options),
    receiveMaximum: properties.receiveMaximum ?? RECEIVE_MAXIMUM_DEFAULT,
    wantsProblemInformation: properties.requestProblemInformation !== 0,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    wantsCursor: version === 5 && !isCanary && asksForCursor(properties),
    canarySilenceMs,
    will: will === undefined ? undefined : toWill(will),
  };
}

function checkConnect(packet: ConnectPacket, messageBytesMax: number): HandshakeRefusal | undefined {
  // MQTT 5.0 §4.12: no method is offered.
  if (packet.properties.authenticationMethod !== undefined) {
    return { reason: 'bad-credentials', code: ReasonCode.badAuthenticationMethod };
  }
  // [MQTT-3.1.3-8] of 3.1.1: an id made up by the server cannot be told to the client, so nothing may outlive it.
  if (packet.protocolVersion === 4 && packet.clientId === '' && !packet.clean) return refuse('bad-device-id');
  const { will } = packet;
  if (will === undefined) return undefined;
  const refusal = checkTopicName(will.topic);
  if (refusal !== undefined) return refuse(refusal);
  return will.payload.length > messageBytesMax ? refuse('message-too-large') : undefined;
}

function refuse(reason: Refusal): HandshakeRefusal {
  return { reason, code: reasonCodeIn('connack', reason) };
}

/** A 3.1.1 client cannot be told another keep alive than its own (MQTT 5.0 §3.2.2.3.14). */
function grantKeepAlive(packet: ConnectPacket, options: MqttSessionOptions): number {
  const asked = packet.keepAliveSeconds;
  if (packet.protocolVersion === 4) return asked;
  if (options.serverKeepAliveSeconds !== undefined) return options.serverKeepAliveSeconds;
  if (options.keepAliveMsMax === undefined) return asked;
  const longest = Math.min(Math.max(1, Math.floor(options.keepAliveMsMax / 1_000)), 65_535);
  if (asked === 0) return options.keepAliveRequired === true ? longest : 0;
  return Math.min(asked, longest);
}

/** A server must wait one and a half times the keep alive ([MQTT-3.1.2-22] of 5.0, [MQTT-3.1.2-24] of 3.1.1). */
const KEEP_ALIVE_FACTOR = 1.5;

function silenceMs(version: ProtocolVersion, keepAliveSeconds: number, options: MqttSessionOptions): number {
  if (keepAliveSeconds === 0) return 0;
  const standardMs = keepAliveSeconds * SECOND_MS * KEEP_ALIVE_FACTOR;
  return version === 4 ? Math.max(standardMs, options.silenceMsMax ?? 0) : standardMs;
}

/** The hub's `open` or `canary` for this handshake. */
export function openCommand(handshake: Handshake, peer: string, identity: Identity): LinkCommand {
  const { clientId, canarySilenceMs: silenceMs } = handshake;
  if (silenceMs !== undefined) return { kind: 'canary', link: 'mqtt', peer, identity, clientId, silenceMs };
  return {
    kind: 'open',
    link: 'mqtt',
    peer,
    identity,
    clientId,
    clean: handshake.clean,
    sessionExpirySeconds: handshake.sessionExpirySeconds,
    receiveMaximum: handshake.receiveMaximum,
    will: handshake.will,
  };
}

/** The CONNACK of an opened flow. */
export function acceptingConnack(
  handshake: Handshake,
  options: MqttSessionOptions,
  { sessionPresent, assigned, deviceId, epoch }: Extract<LinkEvent, { kind: 'opened' }>,
): ConnackPacket {
  const properties =
    handshake.version === 4
      ? noProperties
      : {
          ...(handshake.isSessionExpiryCapped && { sessionExpirySeconds: handshake.sessionExpirySeconds }),
          receiveMaximum: options.maxInflightInbound,
          retainAvailable: 1,
          maximumPacketBytes: options.maxPacketBytes,
          ...(assigned && { assignedClientId: deviceId }),
          topicAliasMaximum: mqttLimits.topicAliasesInMax,
          wildcardSubscriptionAvailable: 1,
          subscriptionIdentifierAvailable: 1,
          sharedSubscriptionAvailable: 1,
          ...(handshake.isKeepAliveChanged && { serverKeepAliveSeconds: handshake.keepAliveSeconds }),
          ...(handshake.wantsCursor && { userProperties: [...tellings(epoch)] }),
        };
  return { type: 'connack', sessionPresent, reasonCode: 0, properties };
}

/** For a device that asked for its cursor: the epoch, and that it may open a canary, which another server would take for the device. */
function tellings(epoch: Uint8Array): readonly (readonly [string, string])[] {
  return [
    [cursorNames.epoch, toHex(epoch)],
    [CANARY_PROPERTY, String(limits.canarySilenceMsMax)],
  ];
}

/** The CONNACK that refuses; undefined where 3.1.1 has no return code for it and is only closed. */
export function refusingConnack(
  version: ProtocolVersion,
  reason: Refusal,
  code: number,
  withText: boolean,
): ConnackPacket | undefined {
  const { returnCode, text } = reasons[reason];
  if (version === 5) {
    // [MQTT-3.1.2-29] a reason string is allowed here whatever the client asked.
    const properties = withText ? { reasonString: text } : noProperties;
    return { type: 'connack', sessionPresent: false, reasonCode: code, properties };
  }
  if (returnCode === undefined) return undefined;
  return { type: 'connack', sessionPresent: false, reasonCode: returnCode, properties: noProperties };
}

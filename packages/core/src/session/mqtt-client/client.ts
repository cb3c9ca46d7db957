/**
 * One MQTT 5.0 connection, the device's side: from its CONNECT to its end.
 *
 * Speaks the protocol and remembers nothing beyond the connection: which messages were handled, what is to be sent
 * again and when to connect anew is for whoever drives it, who also gives the packet ids. Receives QoS 0 and 1.
 */
import { assert, ByteWriter, encodeUtf8, NEVER, type InstantMs, type Machine } from '../../base/index.js';
import { noBytes } from '../../domain/index.js';
import {
  encodeAck,
  encodePacket,
  encodePublish,
  MqttDecoder,
  noProperties,
  ReasonCode,
  type ConnackPacket,
  type Packet,
  type PublishPacket,
} from '../../wire/mqtt/index.js';
import { cursorRequest, epochIn, splitSequence } from '../mqtt/cursor-properties.js';
import { canaryRequest, canarySilenceMsMaxIn } from './canary-properties.js';
import { reasonIn } from './server-text.js';
import { firstWords, lookAtFirst, type StrangePeer } from './strange-peer.js';

export interface MqttClientOptions {
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: Uint8Array | undefined;
  /** How long the server keeps the session without a connection, seconds. */
  readonly sessionExpirySeconds: number;
  /** QoS 1 messages taken before the first is acknowledged, 1 … 65,535. */
  readonly receiveMaximum: number;
  /** Largest packet taken, bytes. */
  readonly packetBytesMax: number;
  /** Time for the transport and CONNACK, ms. */
  readonly connectTimeoutMs: number;
  /**
   * The connection is a canary: it has no session, and the server pushes into it once, after this silence, whole ms. Only for a server
   * that has offered it.
   */
  readonly canarySilenceMs?: number | undefined;
}

export interface ClientPublication {
  readonly topic: string;
  readonly body: Uint8Array;
  /** As `Publication.properties` of the domain. */
  readonly properties: Uint8Array;
  readonly qos: 0 | 1;
  readonly expirySeconds: number | undefined;
}

export interface ClientSubscription {
  readonly filter: string;
  readonly qos: 0 | 1;
}

/** Everything but `transport-open`, `bytes` and `transport-closed` is for an open connection only. */
export type ClientInput =
  | { readonly kind: 'transport-open' }
  | { readonly kind: 'bytes'; readonly chunk: Uint8Array }
  | { readonly kind: 'transport-closed' }
  | {
      readonly kind: 'publish';
      /** 0 with QoS 0. */
      readonly packetId: number;
      readonly publication: ClientPublication;
      /** It was sent on an earlier connection. */
      readonly duplicate: boolean;
    }
  | {
      readonly kind: 'subscribe';
      readonly packetId: number;
      readonly subscriptions: readonly ClientSubscription[];
    }
  | { readonly kind: 'unsubscribe'; readonly packetId: number; readonly filters: readonly string[] }
  | { readonly kind: 'acknowledge'; readonly packetId: number }
  | { readonly kind: 'ping' }
  | { readonly kind: 'leave' };

/** A message as it came; its bytes are views, valid until the next input. */
export interface ClientMessage {
  readonly topic: string;
  readonly body: Uint8Array;
  /** Without the sequence number. */
  readonly properties: Uint8Array;
  readonly retain: boolean;
  /** 0: QoS 0, which is not acknowledged. */
  readonly packetId: number;
  /** Place in the inbox, 1 …; 0: it has none, or the server does not tell. */
  readonly sequence: number;
  readonly expirySeconds: number | undefined;
}

/** Why a connection ended. */
export type ClientEnd =
  | { readonly cause: 'network' }
  /** No CONNACK in time. */
  | { readonly cause: 'timeout' }
  /** In CONNACK; `reason` in the server's words, where it gives some: at most `reasonCharsMax` characters, fit to be shown. */
  | { readonly cause: 'refused'; readonly reasonCode: number; readonly reason?: string }
  /** By DISCONNECT of the server. */
  | { readonly cause: 'disconnected'; readonly reasonCode: number; readonly reason?: string }
  /**
   * What answered does not speak MQTT, but what it looks like; undefined: it cannot be told. `said`: how its answer begins, as far as it is
   * text.
   */
  | { readonly cause: 'not-mqtt'; readonly looksLike: StrangePeer | undefined; readonly said: string }
  /** The server sent what it must not. */
  | { readonly cause: 'protocol'; readonly detail: string }
  /** As it was told to. */
  | { readonly cause: 'left' };

export type ClientOutput =
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'opened';
      readonly sessionPresent: boolean;
      /** Of the inbox; undefined: the server does not tell. */
      readonly epoch: string | undefined;
      /** Something must be sent at least so often, seconds; 0: nothing need be. */
      readonly keepAliveSeconds: number;
      /** QoS 1 publications that the server takes at once. */
      readonly receiveMaximum: number;
      /** Longest silence for which the server takes canaries, ms; 0: it takes none. */
      readonly canarySilenceMsMax: number;
    }
  | { readonly kind: 'message'; readonly message: ClientMessage }
  /** `reason` as in {@link ClientEnd}. */
  | {
      readonly kind: 'published';
      readonly packetId: number;
      readonly reasonCode: number;
      readonly reason?: string;
    }
  | {
      readonly kind: 'subscribed';
      readonly packetId: number;
      readonly reasonCodes: readonly number[];
      readonly reason?: string;
    }
  | { readonly kind: 'unsubscribed'; readonly packetId: number; readonly reasonCodes: readonly number[] }
  /** Last output: end the transport. */
  | { readonly kind: 'ended'; readonly end: ClientEnd };

type State = 'new' | 'connecting' | 'open' | 'ended';

/** MQTT 5.0 §3.2.2.3.3 */
const RECEIVE_MAXIMUM_DEFAULT = 65_535;

export class MqttClient implements Machine<ClientInput, ClientOutput> {
  readonly #options: MqttClientOptions;
  readonly #decoder: MqttDecoder;
  readonly #writer = new ByteWriter();
  readonly #outputs: ClientOutput[] = [];
  readonly #timeoutMs: number;
  #state: State = 'new';
  /** The first bytes of the answer, while they may be those of another protocol; undefined: it is MQTT. */
  #first: Uint8Array | undefined = noBytes;

  /** @param now when the transport is being opened: the time for CONNACK runs from here. */
  constructor(now: InstantMs, options: MqttClientOptions) {
    this.#options = options;
    this.#decoder = new MqttDecoder({ maxPacketBytes: options.packetBytesMax, protocolVersion: 5 });
    this.#timeoutMs = now.monotonic + options.connectTimeoutMs;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** A packet has begun to arrive. */
  get isMidPacket(): boolean {
    return this.#decoder.partialBytes > 0;
  }

  handleInput(_now: InstantMs, input: ClientInput): void {
    if (this.#state === 'ended') return;
    switch (input.kind) {
      case 'transport-open':
        return this.#connect();
      case 'bytes':
        return this.#handleBytes(input.chunk);
      case 'transport-closed':
        if (this.#isStrange(true)) return;
        return this.#end({ cause: 'network' });
      case 'leave':
        if (this.#state === 'open') this.#disconnect(ReasonCode.success);
        return this.#end({ cause: 'left' });
      default:
        assert(this.#state === 'open', `${input.kind} on a connection that is not open`);
        return this.#send(input);
    }
  }

  handleTimeout(now: InstantMs): void {
    if (now.monotonic < this.nextTimeoutMs() || this.#isStrange(true)) return;
    this.#end({ cause: 'timeout' });
  }

  nextTimeoutMs(): number {
    return this.#state === 'new' || this.#state === 'connecting' ? this.#timeoutMs : NEVER;
  }

  pollOutput(): ClientOutput | undefined {
    if (this.#writer.length > 0) return { kind: 'write', bytes: this.#writer.take() };
    return this.#outputs.shift();
  }

  #connect(): void {
    assert(this.#state === 'new', 'a transport opens once');
    this.#state = 'connecting';
    const { clientId, username, password, receiveMaximum, packetBytesMax, canarySilenceMs } = this.#options;
    const isCanary = canarySilenceMs !== undefined;
    this.#write({
      type: 'connect',
      protocolVersion: 5,
      clean: isCanary,
      // The path is kept by whoever drives this, and by the server's kernel; see docs/spec/keepalive.md.
      keepAliveSeconds: 0,
      clientId,
      username,
      password,
      will: undefined,
      properties: {
        sessionExpirySeconds: isCanary ? 0 : this.#options.sessionExpirySeconds,
        receiveMaximum,
        maximumPacketBytes: packetBytesMax,
        userProperties: [isCanary ? canaryRequest(canarySilenceMs) : cursorRequest],
      },
    });
  }

  #handleBytes(bytes: Uint8Array): void {
    let chunk = bytes;
    if (this.#first !== undefined) {
      chunk = joined(this.#first, bytes);
      if (chunk.length === 0) return;
      this.#first = chunk;
      if (this.#isStrange(false)) return;
      this.#first = undefined;
    }
    this.#decoder.push(chunk);
    for (let packet = this.#decoder.next(); packet !== undefined; packet = this.#decoder.next()) {
      if (packet.type === 'malformed') return this.#fail(packet.detail, packet.reasonCode);
      this.#handlePacket(packet);
      if (this.#isEnded) return;
    }
  }

  /** True: the answer is not MQTT, which has ended this, or it is too short to tell. */
  #isStrange(isAll: boolean): boolean {
    const first = this.#first ?? noBytes;
    const look = lookAtFirst(first, isAll);
    if (look === undefined || look === 'more') return look === 'more';
    this.#end({ cause: 'not-mqtt', ...look, said: firstWords(first) });
    return true;
  }

  get #isEnded(): boolean {
    return this.#state === 'ended';
  }

  #handlePacket(packet: Packet): void {
    if (this.#state !== 'open') {
      if (packet.type !== 'connack') return this.#fail(`${packet.type} before CONNACK`);
      return this.#handleConnack(packet);
    }
    switch (packet.type) {
      case 'publish':
        return this.#handlePublish(packet);
      case 'puback':
        this.#outputs.push({
          kind: 'published',
          packetId: packet.packetId,
          reasonCode: packet.reasonCode,
          ...reasonIn(packet.properties),
        });
        return;
      case 'suback':
        this.#outputs.push({
          kind: 'subscribed',
          packetId: packet.packetId,
          reasonCodes: packet.reasonCodes,
          ...reasonIn(packet.properties),
        });
        break;
      case 'unsuback':
        this.#outputs.push({
          kind: 'unsubscribed',
          packetId: packet.packetId,
          reasonCodes: packet.reasonCodes,
        });
        break;
      case 'pingresp':
        // Any bytes are a sign of life, which whoever drives this has seen.
        break;
      case 'disconnect':
        return this.#end({
          cause: 'disconnected',
          reasonCode: packet.reasonCode,
          ...reasonIn(packet.properties),
        });
      default:
        return this.#fail(`${packet.type} is not for servers to send, or of QoS 2`);
    }
  }

  #handleConnack({ reasonCode, sessionPresent, properties }: ConnackPacket): void {
    if (reasonCode !== ReasonCode.success) {
      return this.#end({ cause: 'refused', reasonCode, ...reasonIn(properties) });
    }
    this.#state = 'open';
    this.#outputs.push({
      kind: 'opened',
      sessionPresent,
      epoch: epochIn(properties),
      keepAliveSeconds: properties.serverKeepAliveSeconds ?? 0,
      receiveMaximum: properties.receiveMaximum ?? RECEIVE_MAXIMUM_DEFAULT,
      canarySilenceMsMax: canarySilenceMsMaxIn(properties),
    });
  }

  #handlePublish(packet: PublishPacket): void {
    // No more than QoS 1 was subscribed to, and no alias was allowed.
    if (packet.qos === 2) return this.#fail('a message of QoS 2');
    if (packet.topicAlias !== 0) return this.#fail('a topic alias', ReasonCode.topicAliasInvalid);
    const { sequence, properties } =
      packet.qos === 0 ? { sequence: 0, properties: packet.properties } : splitSequence(packet.properties);
    const { topic, payload: body, retain, packetId, messageExpirySeconds: expirySeconds } = packet;
    const message = { topic, body, properties, retain, packetId, sequence, expirySeconds };
    this.#outputs.push({ kind: 'message', message });
  }

  #send(
    input: Exclude<ClientInput, { kind: 'transport-open' | 'bytes' | 'transport-closed' | 'leave' }>,
  ): void {
    switch (input.kind) {
      case 'publish': {
        const { packetId, publication, duplicate } = input;
        const topic = encodeUtf8(publication.topic);
        const fields = { ...publication, topic, duplicate, retain: false, subscriptionIds: [] };
        return encodePublish(this.#writer, 5, packetId, fields);
      }
      case 'subscribe': {
        const { packetId, subscriptions } = input;
        return this.#write({
          type: 'subscribe',
          packetId,
          // Asked again after a restart of the app: what is retained comes for new subscriptions only.
          subscriptions: subscriptions.map(({ filter, qos }) => {
            return { filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 1 };
          }),
          properties: noProperties,
        });
      }
      case 'unsubscribe': {
        const { packetId, filters } = input;
        return this.#write({ type: 'unsubscribe', packetId, filters, properties: noProperties });
      }
      case 'acknowledge':
        return encodeAck(this.#writer, 5, 'puback', input.packetId);
      case 'ping':
        return this.#write({ type: 'pingreq' });
    }
  }

  #fail(detail: string, reasonCode: number = ReasonCode.protocolError): void {
    if (this.#state === 'open') this.#disconnect(reasonCode);
    this.#end({ cause: 'protocol', detail });
  }

  #disconnect(reasonCode: number): void {
    this.#write({ type: 'disconnect', reasonCode, properties: noProperties });
  }

  #end(end: ClientEnd): void {
    this.#state = 'ended';
    this.#decoder.stop();
    this.#outputs.push({ kind: 'ended', end });
  }

  #write(packet: Packet): void {
    encodePacket(this.#writer, packet, 5);
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

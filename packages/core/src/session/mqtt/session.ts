/**
 * One MQTT connection, server side: from its first byte to its close.
 *
 * Speaks the protocol and nothing else. Whether credentials are right is asked of the driver, whether a message
 * is safe and what to deliver of the hub; both answer by inputs. Nothing that a peer may rely on is said here
 * before the hub said it.
 *
 * There is one of these for each sleeping device, so it is lean: numbers and flags, no closure, no timer, no
 * collection until one is needed, and one writer for all sessions, since a turn writes into it and takes
 * everything out again before it returns.
 */
import { assert, ByteWriter, NEVER, type InstantMs } from '../../base/index.js';
import type { Delivery, FlowSession, LinkEvent, Qos, Refusal, SessionInput } from '../../domain/index.js';
import {
  encodeAck,
  isReasonCodeAllowed,
  MqttDecoder,
  noProperties,
  ReasonCode,
  type ConnectPacket,
  type DisconnectPacket,
  type Malformed,
  type Packet,
  type Properties,
  type PublishPacket,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../../wire/mqtt/index.js';
import { canaryPush, mayCanarySend } from './canary.js';
import { withSequence } from './cursor-properties.js';
import { decoders } from './decoder-pool.js';
import { writeDisconnect, writeSuback, writeUnsuback, writeWithin } from './answers.js';
import {
  acceptingConnack,
  clientPacketBytesMax,
  openCommand,
  PACKET_BYTES_UNLIMITED,
  readConnect,
  refusingConnack,
} from './handshake.js';
import { InboundWindow } from './inbound-window.js';
import { isRequestTopic, LineRequests } from './line-requests.js';
import { mqttLimits } from './limits.js';
import { Opening } from './opening.js';
import { packetIdOf, sequenceOf } from './packet-ids.js';
import { toPublication } from './publication.js';
import { lastingRefusals, reasonCodeIn, reasons } from './reasons.js';
import { awakeCommand, isOwnAct, readState, STATE_TOPIC } from './reported-state.js';
import type { MqttSessionOptions } from './session-options.js';
import { SessionState, State } from './session-state.js';
import {
  firstRefusal,
  PartialRequests,
  sortSubscribe,
  sortUnsubscribe,
  type SubscribeResults,
  type UnsubscribeResults,
  type Verdicts,
  UNSUBSCRIBE_KEY,
} from './subscription-requests.js';
import { resolveAlias, TopicAliases } from './topic-aliases.js';
import { checkTopicName } from './topics.js';
import { writeDelivery } from './write-delivery.js';

const PINGRESP = 0xd000;

/** Shared by all sessions. Reset at the start of each input: an assertion must not leave bytes to the next flow. */
const writer = new ByteWriter(16 * 1024);

export class MqttSession extends SessionState implements FlowSession {
  readonly #options: MqttSessionOptions;
  /** Until CONNACK. */
  #opening: Opening | null;
  /** Until CONNACK, and while a packet has begun to arrive; else one that all sessions share is taken for a read. */
  #decoder: MqttDecoder | null;
  #state: State = State.awaitingConnect;
  /** Monotonic ms: the start, later the last sign of life. A whole number takes no memory of its own. */
  #lastSeenMs: number;
  /** 0: without a keep alive. */
  #silenceMsMax = 0;
  #clientPacketBytesMax = PACKET_BYTES_UNLIMITED;
  /** Highest sequence number this flow has sent or owes a PUBREL for. */
  #lastSequence = 0;

  /**
   * @param now when the connection was accepted: the time for CONNECT runs from here.
   * @param peer its address, as `LinkCommand` of kind `open` wants it.
   */
  constructor(now: InstantMs, peer: string, options: MqttSessionOptions) {
    super();
    this.#options = options;
    this.#opening = new Opening(peer);
    this.#lastSeenMs = Math.ceil(now.monotonic);
    const maxPacketBytes = Math.min(options.maxPacketBytes, mqttLimits.connectPacketBytesMax);
    this.#decoder = new MqttDecoder({ maxPacketBytes });
  }

  /**
   * Whether the driver should read from the socket. False while CONNECT is not answered and while the peer does
   * not read what it is sent: what is not read costs the peer's memory, not ours.
   */
  get wantsInput(): boolean {
    return this.isWritable && (this.#state === State.awaitingConnect || this.#state === State.open);
  }

  /** Whether nothing more will come out, apart from outputs not polled yet. */
  get isClosed(): boolean {
    return this.#state === State.closed;
  }

  handleInput(now: InstantMs, input: SessionInput): void {
    if (this.#state === State.closed) return;
    writer.reset();
    switch (input.kind) {
      case 'bytes':
        this.#handleBytes(now, input.chunk);
        break;
      case 'events':
        for (const event of input.events) this.#handleEvent(now, event);
        this.#readEarly(now);
        break;
      case 'authenticated':
        if (this.#state !== State.authenticating) break;
        this.#state = State.opening;
        this.putCommand(openCommand(this.#opening!.handshake!, this.#opening!.peer, input.identity));
        if (!this.isWritable) this.putCommand({ kind: 'writable', writable: false });
        break;
      case 'denied':
        if (this.#state === State.authenticating) this.#refuseConnect(input.reason);
        break;
      case 'socket-full':
      case 'socket-drained':
        this.#handleWritable(input.kind === 'socket-drained');
        break;
      case 'socket-closed':
        this.#leaveHub();
        this.#shut();
        break;
      case 'shutdown':
        this.#handleShutdown();
        break;
    }
    this.putWritten(writer);
  }

  handleTimeout(now: InstantMs): void {
    if (now.monotonic < this.nextTimeoutMs()) return;
    writer.reset();
    if (this.#state === State.open) {
      // [MQTT-3.1.2-22] of 5.0: as if the network had failed, so the will is published.
      this.#leaveHub();
      this.#disconnect(undefined, ReasonCode.keepAliveTimeout, 'nothing was received in time');
    } else this.#end(undefined);
    this.putWritten(writer);
  }

  nextTimeoutMs(): number {
    if (this.#state === State.awaitingConnect) {
      return this.#lastSeenMs + (this.#options.connectTimeoutMs ?? mqttLimits.connectTimeoutMsMax);
    }
    if (this.#state !== State.open || this.#silenceMsMax === 0) return NEVER;
    return this.#lastSeenMs + this.#silenceMsMax;
  }

  // Bytes in.

  #handleBytes(now: InstantMs, chunk: Uint8Array): void {
    const opening = this.#opening;
    if (opening !== null && opening.handshake !== null) return this.#keepEarly(opening, chunk);
    const decoder = (this.#decoder ??= decoders.take(this.version, this.#options.maxPacketBytes));
    decoder.push(chunk);
    this.#readPackets(now, decoder, chunk.length);
    if (this.#state !== State.open || decoder.partialBytes > 0) return;
    decoders.giveBack(decoder);
    this.#decoder = null;
  }

  #readPackets(now: InstantMs, decoder: MqttDecoder, chunkBytes: number): void {
    let isAlive = chunkBytes >= mqttLimits.keepAliveProgressBytes;
    for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
      isAlive = true;
      // Set by CONNECT, even by one that is refused: the version in which to answer.
      if (this.#state === State.awaitingConnect) this.version = decoder.protocolVersion;
      if (packet.type === 'malformed') {
        this.#handleMalformed(packet);
        return;
      }
      if (this.#state === State.open) this.#handlePacket(packet);
      else if (packet.type === 'connect') this.#handleConnect(packet);
      // [MQTT-3.1.0-1]: anything else first is closed without an answer.
      else this.#end('protocol-error');
      if (this.#state === State.authenticating) this.#keepEarly(this.#opening!, decoder.takeRest());
      if (this.#state !== State.open) return;
    }
    if (isAlive && this.#state === State.open) this.#lastSeenMs = Math.ceil(now.monotonic);
  }

  #keepEarly(opening: Opening, bytes: Uint8Array): void {
    if (!opening.keepEarly(bytes)) this.#refuseConnect('quota-exceeded');
  }

  #readEarly(now: InstantMs): void {
    if (this.#state !== State.open || this.#opening === null) return;
    const early = this.#opening.takeEarly();
    this.#opening = null;
    if (early !== undefined) this.#handleBytes(now, early);
  }

  #handleMalformed(bad: Malformed): void {
    if (this.#state === State.open) {
      // A second CONNECT may be of a version that is not spoken, which DISCONNECT has no code for.
      const isAllowed = isReasonCodeAllowed('disconnect', bad.reasonCode);
      this.#fail(bad.reason, isAllowed ? bad.reasonCode : undefined, bad.detail);
    } else if (this.version === 5 || bad.reason === 'unsupported-version') {
      // [MQTT-3.1.4-1] of 5.0 allows a CONNACK; [MQTT-3.1.2-2] of 3.1.1 demands one for the version.
      this.#refuseConnect(bad.reason, bad.reasonCode);
    } else this.#end(bad.reason);
  }

  // CONNECT and its answer.

  #handleConnect(packet: ConnectPacket): void {
    this.#clientPacketBytesMax = clientPacketBytesMax(packet);
    const handshake = readConnect(packet, this.#options);
    if ('reason' in handshake) {
      this.#refuseConnect(handshake.reason, handshake.code);
      return;
    }
    this.#opening!.handshake = handshake;
    this.#state = State.authenticating;
    const { clientId, username, password } = packet;
    this.putAuthenticate({
      kind: 'authenticate',
      clientId,
      username,
      password: password === undefined ? undefined : new Uint8Array(password),
    });
  }

  #handleOpened(now: InstantMs, event: Extract<LinkEvent, { kind: 'opened' }>): void {
    const handshake = this.#opening!.handshake!;
    this.#opening!.handshake = null;
    this.#state = State.open;
    this.#lastSeenMs = Math.ceil(now.monotonic);
    this.#decoder = null;
    this.#silenceMsMax = handshake.silenceMsMax;
    this.isDurable = handshake.sessionExpirySeconds > 0;
    this.wantsProblemInformation = handshake.wantsProblemInformation;
    const { topicAliasMaximum } = handshake;
    if (topicAliasMaximum > 0) this.rareParts.aliases = new TopicAliases(topicAliasMaximum);
    this.tellsCursor = handshake.wantsCursor;
    this.isCanary = handshake.canarySilenceMs !== undefined;
    // Probes of the host would keep the very path alive of which the canary is to tell whether it stays.
    if (this.isCanary) this.putProbePath('never');
    const connack = acceptingConnack(handshake, this.#options, event);
    if (!writeWithin(this.#clientPacketBytesMax, writer, connack, handshake.version)) {
      return this.#refuseConnect('packet-too-large');
    }
    // [MQTT-4.4.0-1]: what the client had received before it was cut off is released again.
    for (const sequence of event.released) this.#sendPubrel(sequence);
  }

  /** Before CONNACK: says no in it, where the version can, and closes. */
  #refuseConnect(reason: Refusal, code = reasonCodeIn('connack', reason)): void {
    // The hub was told of a flow that will not be: its will is not published ([MQTT-3.1.2-8] of 3.1.1).
    this.#leaveHub(false);
    const connack = refusingConnack(this.version, reason, code, this.#canTakeReasonString());
    if (connack !== undefined) writeWithin(this.#clientPacketBytesMax, writer, connack, this.version);
    this.#end(reason);
  }

  // Packets of an open flow.

  #handlePacket(packet: Packet): void {
    if (this.isCanary && !mayCanarySend(packet)) {
      return this.#fail('protocol-error', ReasonCode.protocolError, 'a canary sends PINGREQ and DISCONNECT');
    }
    if (this.isAsleep && isOwnAct(packet)) this.putCommand(awakeCommand);
    switch (packet.type) {
      case 'publish':
        return this.#handlePublish(packet);
      case 'puback':
        // With a reason of 0x80 and more too: the client does not want it again ([MQTT-4.4.0-2]). Whether the
        // message had QoS 1 or 2 is not looked up: who acknowledges has it.
        this.#acknowledge('acknowledge', packet.packetId);
        return;
      case 'pubrec':
        return this.#handlePubrec(packet.packetId, packet.reasonCode);
      case 'pubrel':
        return this.putCommand({ kind: 'release', packetId: packet.packetId });
      case 'pubcomp':
        this.#acknowledge('complete', packet.packetId);
        return;
      case 'subscribe':
        return this.#handleSubscribe(packet);
      case 'unsubscribe':
        return this.#handleUnsubscribe(packet);
      case 'pingreq':
        return writer.writeU16(PINGRESP);
      case 'disconnect':
        return this.#handleDisconnect(packet);
      case 'connect':
        // [MQTT-3.1.0-2]
        return this.#fail('already-connecting');
      default:
        // CONNACK, SUBACK, UNSUBACK, PINGRESP only come from servers; AUTH needs a method in CONNECT.
        return this.#fail(
          'protocol-error',
          ReasonCode.protocolError,
          `${packet.type} is not for clients to send`,
        );
    }
  }

  #handlePublish(packet: PublishPacket): void {
    const { qos, packetId } = packet;
    const topic = packet.topicAlias === 0 ? packet.topic : this.#resolveAlias(packet);
    if (topic === undefined) return;
    // [MQTT-3.3.4-6]
    if (packet.subscriptionIds.length > 0) {
      return this.#fail(
        'protocol-error',
        ReasonCode.protocolError,
        'subscription ids are for servers to send',
      );
    }
    if (
      qos > 0 &&
      this.version === 5 &&
      !(this.rareParts.inbound ??= new InboundWindow()).add(qos, packetId, this.#options.maxInflightInbound)
    ) {
      // [MQTT-3.3.4-7], MQTT 5.0 §4.9
      return this.#fail('receive-maximum-exceeded');
    }
    if (topic === STATE_TOPIC) return this.#handleState(packet);
    if (isRequestTopic(topic)) {
      const requests = (this.rareParts.lineRequests ??= new LineRequests());
      const step = requests.ask(topic, packet, this.#options);
      if ('command' in step) return this.putCommand(step.command);
      if (step.answer !== undefined) this.#deliver(step.answer);
      return this.#refusePublish(qos, packetId, step.refusal);
    }
    const isTooLarge = packet.payload.length > this.#options.messageBytesMax;
    const refusal = checkTopicName(topic) ?? (isTooLarge ? 'message-too-large' : undefined);
    if (refusal === undefined) {
      this.putCommand({ kind: 'publish', publication: toPublication(packet, topic), packetId });
    } else this.#refusePublish(qos, packetId, refusal);
  }

  #handleState({ payload, qos, packetId }: PublishPacket): void {
    const reported = readState(payload);
    if (reported === undefined) return this.#refusePublish(qos, packetId, 'payload-invalid');
    const { state, gapMs } = reported;
    this.isAsleep = state.activity === 'asleep';
    if (gapMs !== undefined || this.hasGap) this.putProbePath(gapMs ?? 'usual');
    this.hasGap = gapMs !== undefined;
    this.putCommand({ kind: 'state', state, qos, packetId });
  }

  /** Undefined: the alias is none that may be used here, and the flow is ended. */
  #resolveAlias(packet: PublishPacket): string | undefined {
    const known = resolveAlias((this.rareParts.aliases ??= new TopicAliases(0)), packet);
    if (typeof known === 'string') return known;
    this.#fail('protocol-error', known.code, known.text);
    return undefined;
  }

  #refusePublish(qos: Qos, packetId: number, reason: Refusal): void {
    // QoS 0 has no answer: the message is dropped.
    if (qos === 0) return;
    if (this.version === 4) {
      // 3.1.1 has no negative answer: without any, the client keeps the message. But what is not allowed today is
      // not allowed tomorrow; closing would have the client send it again for ever. [MQTT-3.3.5-2] leaves both ways.
      if (!lastingRefusals.has(reason)) return this.#fail(reason);
      encodeAck(writer, 4, qos === 1 ? 'puback' : 'pubrec', packetId);
      return;
    }
    this.rare?.inbound?.remove(qos, packetId);
    const type = qos === 1 ? 'puback' : 'pubrec';
    encodeAck(writer, 5, type, packetId, reasonCodeIn(type, reason), this.#problem(reason));
  }

  #handlePubrec(packetId: number, reasonCode: number): void {
    // MQTT 5.0 §4.3.3: refused by the client, which frees the id without a PUBREL.
    if (reasonCode >= 0x80) this.#acknowledge('acknowledge', packetId);
    else if (!this.#acknowledge('received', packetId) && this.version === 5) {
      encodeAck(writer, 5, 'pubrel', packetId, ReasonCode.packetIdentifierNotFound);
    }
  }

  /** False when nothing was ever sent with this id. What the hub does not await it ignores. */
  #acknowledge(kind: 'acknowledge' | 'received' | 'complete', packetId: number): boolean {
    const sequence = sequenceOf(packetId, this.#lastSequence);
    if (sequence === 0) return false;
    this.putCommand({ kind, sequence });
    return true;
  }

  #handleSubscribe(packet: SubscribePacket): void {
    const sorted = sortSubscribe(packet);
    if (sorted === undefined) {
      return this.#fail('protocol-error', ReasonCode.protocolError, 'no local on a shared subscription');
    }
    const { requests, verdicts } = sorted;
    const ticket = packet.packetId;
    if (requests.length === 0) return this.#sendSuback(ticket, verdicts as SubscribeResults);
    if (!this.#rememberVerdicts(ticket, requests.length, verdicts)) return;
    this.putCommand({ kind: 'subscribe', ticket, subscriptions: requests });
  }

  #handleUnsubscribe(packet: UnsubscribePacket): void {
    const { requests, verdicts } = sortUnsubscribe(packet);
    const ticket = packet.packetId;
    if (requests.length === 0) return this.#sendUnsuback(ticket, verdicts as UnsubscribeResults);
    if (!this.#rememberVerdicts(ticket + UNSUBSCRIBE_KEY, requests.length, verdicts)) return;
    this.putCommand({ kind: 'unsubscribe', ticket, filters: requests });
  }

  /** Where the hub is asked about some filters only. False when too many wait; the flow is then ended. */
  #rememberVerdicts(key: number, askedCount: number, verdicts: Verdicts): boolean {
    if (askedCount === verdicts.length) return true;
    const waiting = (this.rareParts.partialRequests ??= new PartialRequests());
    if (waiting.add(key, verdicts)) return true;
    this.#fail('quota-exceeded');
    return false;
  }

  #mergeVerdicts<Result>(key: number, results: readonly Result[]): readonly (Result | Refusal)[] {
    return this.rare?.partialRequests?.complete(key, results) ?? results;
  }

  #handleDisconnect({ reasonCode, properties }: DisconnectPacket): void {
    const expiry = properties.sessionExpirySeconds;
    // MQTT 5.0 §3.14.2.2.2: a session that was to end with the connection cannot be made to stay.
    if (expiry !== undefined && expiry > 0 && !this.isDurable) {
      return this.#fail('protocol-error', ReasonCode.protocolError, 'the session expiry was 0 in CONNECT');
    }
    // [MQTT-3.14.4-3]: only a normal disconnection discards the will.
    this.#leaveHub(
      reasonCode !== ReasonCode.success,
      expiry === undefined ? undefined : Math.min(expiry, this.#options.sessionExpirySecondsMax),
    );
    this.#end(undefined);
  }

  // From the hub.

  #handleEvent(now: InstantMs, event: LinkEvent): void {
    if (this.#state === State.opening) {
      if (event.kind === 'opened') this.#handleOpened(now, event);
      else if (event.kind === 'refused' || event.kind === 'end') {
        this.#state = State.authenticating; // The hub has no flow any more: no `close` is owed.
        this.#refuseConnect(event.reason);
      }
      return;
    }
    if (this.#state !== State.open) return;
    switch (event.kind) {
      case 'deliver':
        return this.#deliver(event.delivery);
      case 'accepted':
        return this.#handleAccepted(event.qos, event.packetId, event.reason, event.matched);
      case 'completed':
        this.rare?.inbound?.remove(2, event.packetId);
        // The reason is not for 3.1.1, where it is not written.
        return encodeAck(
          writer,
          this.version,
          'pubcomp',
          event.packetId,
          event.found ? ReasonCode.success : ReasonCode.packetIdentifierNotFound,
        );
      case 'release':
        return this.#sendPubrel(event.sequence);
      case 'registered':
      case 'unregistered':
      case 'answered':
        return this.#deliver(this.rare!.lineRequests!.answer(event));
      case 'canary-due':
        return this.#deliver(canaryPush(event.silenceMs));
      case 'subscribed':
        return this.#sendSuback(event.ticket, this.#mergeVerdicts(event.ticket, event.results));
      case 'unsubscribed':
        return this.#sendUnsuback(
          event.ticket,
          this.#mergeVerdicts(event.ticket + UNSUBSCRIBE_KEY, event.results),
        );
      case 'end':
        return this.#disconnect(event.reason, reasonCodeIn('disconnect', event.reason));
      default:
        assert(false, `${event.kind} for a flow that is open`);
    }
  }

  #deliver(delivery: Delivery): void {
    const { sequence } = delivery;
    const version = this.version;
    const told = this.tellsCursor ? withSequence(delivery) : delivery;
    if (writeDelivery(writer, version, told, this.#clientPacketBytesMax, this.rare?.aliases ?? null)) {
      if (sequence > this.#lastSequence) this.#lastSequence = sequence;
      return;
    }
    // [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what the client cannot take counts as sent and done.
    if (sequence > 0) this.putCommand({ kind: 'acknowledge', sequence });
  }

  #sendPubrel(sequence: number): void {
    if (sequence > this.#lastSequence) this.#lastSequence = sequence;
    encodeAck(writer, this.version, 'pubrel', packetIdOf(sequence));
  }

  #handleAccepted(qos: Qos, packetId: number, reason: Refusal | undefined, matched: boolean): void {
    if (qos === 0) return;
    if (reason !== undefined) return this.#refusePublish(qos, packetId, reason);
    // A QoS 2 message counts until its PUBCOMP (MQTT 5.0 §4.9).
    if (qos === 1) this.rare?.inbound?.remove(qos, packetId);
    const code = matched ? ReasonCode.success : ReasonCode.noMatchingSubscribers;
    encodeAck(writer, this.version, qos === 1 ? 'puback' : 'pubrec', packetId, code);
  }

  #sendSuback(packetId: number, results: SubscribeResults): void {
    const properties = this.#problem(firstRefusal(results));
    writeSuback(this.#clientPacketBytesMax, writer, this.version, packetId, results, properties);
  }

  #sendUnsuback(packetId: number, results: UnsubscribeResults): void {
    const properties = this.#problem(firstRefusal(results));
    writeUnsuback(this.#clientPacketBytesMax, writer, this.version, packetId, results, properties);
  }

  /** [MQTT-3.1.2-29]: outside CONNACK and DISCONNECT a reason string only for who wants it. */
  #problem(reason: Refusal | undefined): Properties {
    return reason !== undefined && this.wantsProblemInformation && this.#canTakeReasonString()
      ? { reasonString: reasons[reason].text }
      : noProperties;
  }

  /** [MQTT-3.4.2-2] and its like: no reason string beyond the client's maximum packet size. */
  #canTakeReasonString(): boolean {
    return this.#clientPacketBytesMax >= mqttLimits.reasonStringPacketBytesMin;
  }

  // The ways to end.

  #handleWritable(writable: boolean): void {
    if (writable === this.isWritable) return;
    this.isWritable = writable;
    if (this.#state >= State.opening) this.putCommand({ kind: 'writable', writable });
  }

  #handleShutdown(): void {
    if (this.#state === State.open) return this.#fail('draining');
    if (this.#state === State.awaitingConnect) return this.#end('draining');
    return this.#refuseConnect('draining');
  }

  /** Tells the hub that an open flow is gone, and why to the peer. */
  #fail(reason: Refusal, code = reasonCodeIn('disconnect', reason), text?: string): void {
    this.#leaveHub();
    this.#disconnect(reason, code, text);
  }

  /** [MQTT-4.13.1-1]: DISCONNECT with a reason in 5.0; 3.1.1 knows none from a server. */
  #disconnect(reason: Refusal | undefined, code: number, text?: string): void {
    if (this.version === 5) {
      const reasonString = text ?? (reason === undefined ? undefined : reasons[reason].text);
      writeDisconnect(writer, code, this.#canTakeReasonString() ? reasonString : undefined);
    }
    this.#end(reason);
  }

  /**
   * The hub's last command of this flow. A will is published unless the client said farewell; when the server
   * goes it is for the hub to hold it back (MQTT 5.0 §3.1.2.5).
   */
  #leaveHub(publishWill = true, sessionExpirySeconds: number | undefined = undefined): void {
    if (this.#state !== State.opening && this.#state !== State.open) return;
    this.putCommand({ kind: 'close', publishWill, sessionExpirySeconds });
  }

  #end(reason: Refusal | undefined): void {
    this.putClose(reason);
    this.#shut();
  }

  /** Lets go of everything; outputs may still wait to be polled. */
  #shut(): void {
    this.#state = State.closed;
    this.#decoder?.stop();
    this.#opening = null;
    this.takeBackAuthenticate();
    this.rare = null;
  }
}

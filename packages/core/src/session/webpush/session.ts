/**
 * One WebSocket of a user agent that speaks Mozilla's push protocol, server side: from its first frame to its close.
 *
 * Speaks the protocol and nothing else. Whose secret it is and what is delivered the hub says; endpoints are made by the
 * host. Nothing that a client may rely on is said before the hub said it.
 *
 * Each chunk of input is the content of one text frame. What is written are frames with a line feed behind each.
 *
 * There is one of these for each sleeping device, so it is lean: numbers and flags, no closure, no timer, no collection
 * until one is needed, and one writer for all sessions.
 */
import { assert, ByteWriter, decodeUtf8, NEVER, toHex, type InstantMs } from '../../base/index.js';
import {
  decodePushHeaders,
  INBOX_TOPIC_PREFIX,
  normalizeVapidKey,
  type Urgency,
  urgencyNames,
  type Delivery,
  type FlowSession,
  type Identity,
  type LinkEvent,
  type Refusal,
  type SessionInput,
} from '../../domain/index.js';
import {
  AckCode,
  decodeFrame,
  encodeFrame,
  NackCode,
  type AckUpdate,
  type BroadcastVersion,
  type ClientMessage,
  type FrameUrgency,
  type HelloMessage,
  type NackMessage,
  type RefusedRequest,
  type RegisterMessage,
} from '../../wire/webpush/index.js';
import { BroadcastSubscriptions } from './broadcasts.js';
import { CloseCode, closeCodes, requestStatus } from './close-codes.js';
import { webPushLimits } from './limits.js';
import { passingVersion, sequenceIn, versionOf } from './notification-version.js';
import type { WebPushSessionOptions } from './session-options.js';
import { SessionState, State, type WaitingRequest } from './session-state.js';

/** What a session needs until its hello is answered. */
interface Opening {
  readonly peer: string;
  /** Who is counted for what a new user agent costs. */
  readonly address: string;
  /** From the hello on. */
  hello: HelloMessage | null;
  freshSecret: string;
  /** Frames that came meanwhile, oldest first. */
  early: Uint8Array[] | null;
  earlyBytes: number;
}

/** Shared by all sessions. Reset at the start of each input: an assertion must not leave bytes to the next flow. */
const writer = new ByteWriter(16 * 1024);

/** Why a notification failed, for its sender's receipt. */
const failures = {
  notDecrypted: 'the device could not decrypt it',
  notDelivered: 'the device could not hand it to the application',
} as const;

const nackReasons: Readonly<Record<NackCode, string>> = {
  [NackCode.uncaughtException]: 'the application threw an exception',
  [NackCode.unhandledRejection]: 'the application rejected it',
  [NackCode.internalError]: 'the device failed to run the application',
};

export class WebPushSession extends SessionState implements FlowSession {
  readonly #options: WebPushSessionOptions;
  /** Until the hello is answered. */
  #opening: Opening | null;
  #state: State = State.awaitingHello;
  /** Monotonic ms: the start, later the last sign of life. A whole number takes no memory of its own. */
  #lastSeenMs: number;
  /** Monotonic ms of the client's last ping. */
  #lastPingMs = 0;
  /** Of the inbox, 16 hex digits. */
  #epoch = '';
  #lastTicket = 0;

  /**
   * @param now when the connection was accepted: the time for the hello runs from here.
   * @param peer its address, as `LinkCommand` of kind `open` wants it.
   * @param address by which it is counted.
   */
  constructor(now: InstantMs, peer: string, address: string, options: WebPushSessionOptions) {
    super();
    this.#options = options;
    this.#opening = { peer, address, hello: null, freshSecret: '', early: null, earlyBytes: 0 };
    this.#lastSeenMs = Math.ceil(now.monotonic);
  }

  /** False while the hello is not answered and while the peer does not read what it is sent. */
  get wantsInput(): boolean {
    return this.isWritable && (this.#state === State.awaitingHello || this.#state === State.open);
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
        this.#handleFrame(now, input.chunk);
        break;
      case 'events':
        for (const event of input.events) this.#handleEvent(now, event);
        this.#readEarly(now);
        break;
      case 'authenticated':
        this.#handleAuthenticated(input.identity, input.freshSecret);
        break;
      case 'denied':
        if (this.#state === State.authenticating) this.#end(input.reason);
        break;
      case 'pong':
        this.#noteLife(now);
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
        this.#fail('draining');
        break;
    }
    this.putWritten(writer);
  }

  handleTimeout(now: InstantMs): void {
    if (now.monotonic < this.nextTimeoutMs()) return;
    writer.reset();
    if (this.#state === State.awaitingHello) {
      this.#end(undefined, CloseCode.policyViolation, 'no hello in time');
    } else if (this.#isBehindBroadcasts) this.#sendBroadcasts();
    else if (this.awaitsPong) {
      this.#leaveHub();
      this.#end(undefined, CloseCode.goingAway, 'a ping was not answered in time');
    } else {
      this.awaitsPong = true;
      this.putPing();
    }
    this.putWritten(writer);
  }

  nextTimeoutMs(): number {
    if (this.#state === State.awaitingHello) {
      return this.#lastSeenMs + (this.#options.helloTimeoutMs ?? webPushLimits.helloTimeoutMsMax);
    }
    if (this.#state !== State.open) return NEVER;
    if (this.#isBehindBroadcasts) return 0;
    const { pingAfterMs } = this.#options;
    if (pingAfterMs === undefined) return NEVER;
    const pingMs = this.#lastSeenMs + pingAfterMs;
    return this.awaitsPong ? pingMs + webPushLimits.pongTimeoutMsMax : pingMs;
  }

  // Frames in.

  #handleFrame(now: InstantMs, bytes: Uint8Array): void {
    const opening = this.#opening;
    if (opening !== null && this.#state !== State.awaitingHello) return this.#keepEarly(opening, bytes);
    this.#noteLife(now);
    const message = decodeFrame(bytes);
    if (message.type === 'malformed') this.#fail(message.reason, undefined, message.detail);
    else if (this.#state === State.open) this.#handleMessage(now, message);
    else if (message.type === 'hello') this.#handleHello(message);
    else this.#fail('protocol-error', undefined, 'the first message is a hello');
  }

  #noteLife(now: InstantMs): void {
    // The time for the hello runs from the connection.
    if (this.#state === State.awaitingHello) return;
    this.#lastSeenMs = Math.ceil(now.monotonic);
    this.awaitsPong = false;
  }

  /** A client may send ahead of the answer to its hello; what it sends waits here, within a bound. */
  #keepEarly(opening: Opening, bytes: Uint8Array): void {
    opening.earlyBytes += bytes.length;
    if (opening.earlyBytes > webPushLimits.earlyBytesMax) this.#fail('quota-exceeded');
    else (opening.early ??= []).push(Uint8Array.from(bytes));
  }

  #readEarly(now: InstantMs): void {
    if (this.#state !== State.open || this.#opening === null) return;
    const { early } = this.#opening;
    this.#opening = null;
    for (const frame of early ?? []) {
      if (this.#state === State.open) this.#handleFrame(now, frame);
    }
  }

  // The hello and its answer.

  #handleHello(hello: HelloMessage): void {
    this.#opening!.hello = hello;
    this.#state = State.authenticating;
    this.putAuthenticate({ kind: 'authenticate-agent', secret: hello.uaid });
  }

  #handleAuthenticated(identity: Identity, freshSecret: string | undefined): void {
    if (this.#state !== State.authenticating) return;
    assert(identity.kind === 'agent' && freshSecret !== undefined, 'a user agent has a fresh secret');
    const opening = this.#opening!;
    opening.freshSecret = freshSecret;
    this.#state = State.opening;
    this.putCommand({
      kind: 'open',
      link: 'webpush',
      peer: opening.peer,
      identity,
      clientId: '',
      clean: false,
      // The hub keeps a user agent as long as it has channels.
      sessionExpirySeconds: 0,
      receiveMaximum: webPushLimits.notificationsInflightMax,
      will: undefined,
    });
    if (!this.isWritable) this.putCommand({ kind: 'writable', writable: false });
  }

  #handleOpened(now: InstantMs, event: Extract<LinkEvent, { kind: 'opened' }>): void {
    const { hello, freshSecret, address } = this.#opening!;
    this.#state = State.open;
    this.#lastSeenMs = Math.ceil(now.monotonic);
    this.#epoch = toHex(event.epoch);
    const isKnown = event.sessionPresent;
    if (!isKnown && !this.#options.newAgents.take(now, address)) return this.#fail('quota-exceeded');
    this.#opening!.hello = null;
    this.#opening!.freshSecret = '';
    this.#subscribe(hello!.broadcasts);
    const broadcasts = this.rare?.broadcasts?.takeChanged(this.#options.broadcasts) ?? [];
    encodeFrame(writer, { type: 'hello', uaid: isKnown ? hello!.uaid! : freshSecret, broadcasts });
  }

  // Messages of an open flow.

  #handleMessage(now: InstantMs, message: ClientMessage | RefusedRequest): void {
    switch (message.type) {
      case 'hello':
        return this.#fail('already-connecting', undefined, 'a connection carries one hello');
      case 'register':
        return this.#handleRegister(message);
      case 'unregister':
        return this.#request({ channelId: message.channelId, endpoint: undefined });
      case 'refused-request':
        return this.#answer(message.request, message.channelId, 400);
      case 'ack':
        for (const update of message.updates) this.#handleAck(update);
        return;
      case 'nack':
        return this.#handleNack(message);
      case 'broadcast-subscribe':
        return this.#handleBroadcastSubscribe(message.broadcasts);
      case 'urgency':
        return this.#handleUrgency(message.min);
      case 'ping':
        return this.#handlePing(now);
    }
  }

  #handleRegister({ channelId, key }: RegisterMessage): void {
    const vapidKey = key === undefined ? undefined : normalizeVapidKey(key);
    if (key !== undefined && vapidKey === undefined) return this.#answer('register', channelId, 400);
    const endpoint = this.#options.mintEndpoint();
    if (endpoint === undefined) return this.#answer('register', channelId, requestStatus('endpoints-off'));
    this.#request({ channelId, endpoint }, vapidKey);
  }

  /** Asks the hub for a register, if there is an endpoint, or an unregister. */
  #request(request: WaitingRequest, vapidKey?: string): void {
    const { channelId: channel, endpoint } = request;
    const requests = (this.rareParts.requests ??= new Map());
    if (requests.size >= webPushLimits.requestsWaitingMax) {
      return this.#answer(endpoint === undefined ? 'unregister' : 'register', channel, 500);
    }
    const ticket = (this.#lastTicket += 1);
    requests.set(ticket, request);
    const common = { ticket, channel, qos: 0, packetId: 0 } as const;
    if (endpoint === undefined) this.putCommand({ kind: 'unregister', ...common });
    else this.putCommand({ kind: 'register', ...common, tokenSha256: endpoint.tokenSha256, vapidKey });
  }

  #handleRequested(ticket: number, reason: Refusal | undefined): void {
    const requests = this.rare?.requests;
    const request = requests?.get(ticket);
    assert(request !== undefined, 'the hub answers what it was asked');
    requests!.delete(ticket);
    if (requests!.size === 0) this.rare!.requests = null;
    const { channelId, endpoint } = request;
    const status = requestStatus(reason);
    this.#answer(endpoint === undefined ? 'unregister' : 'register', channelId, status, endpoint?.url);
  }

  #answer(request: RefusedRequest['request'], channelId: string, status: number, url = ''): void {
    const pushEndpoint = status === 200 ? url : '';
    if (request === 'register') encodeFrame(writer, { type: 'register', channelId, status, pushEndpoint });
    else encodeFrame(writer, { type: 'unregister', channelId, status });
  }

  /** A version that names nothing of this inbox is left alone; so is, by the hub, one that is not under way. */
  #handleAck({ version, code }: AckUpdate): void {
    const sequence = sequenceIn(version, this.#epoch);
    if (sequence === 0) return;
    const isRepeat = this.#takeRepeat(sequence);
    // Firefox says "not delivered" of a notification that it has had before: then it was the first that counts.
    const isFailure = code === AckCode.notDecrypted || (code === AckCode.notDelivered && !isRepeat);
    if (!isFailure) return this.putCommand({ kind: 'acknowledge', sequence });
    const reason = code === AckCode.notDecrypted ? failures.notDecrypted : failures.notDelivered;
    this.putCommand({ kind: 'fail', sequence, reason });
  }

  #takeRepeat(sequence: number): boolean {
    const repeats = this.rare?.repeats ?? null;
    if (repeats === null || !repeats.delete(sequence)) return false;
    if (repeats.size === 0) this.rare!.repeats = null;
    return true;
  }

  #handleNack({ version, code }: NackMessage): void {
    const sequence = sequenceIn(version, this.#epoch);
    if (sequence === 0) return;
    this.#takeRepeat(sequence);
    this.putCommand({ kind: 'fail', sequence, reason: nackReasons[code] });
  }

  /** The client sleeps or saves power: what is less urgent waits for something that is urgent enough. */
  #handleUrgency(min: FrameUrgency): void {
    const isAnything = min === 'very-low';
    this.putCommand({
      kind: 'state',
      state: {
        activity: isAnything ? 'active' : 'asleep',
        windowMs: isAnything ? undefined : 0,
        network: undefined,
        ...(!isAnything && { wakeUrgency: urgencyNames.indexOf(min) as Urgency }),
      },
      qos: 0,
      packetId: 0,
    });
    encodeFrame(writer, { type: 'urgency', status: 200 });
  }

  #handlePing(now: InstantMs): void {
    const intervalMsMin = this.#options.pingIntervalMsMin ?? webPushLimits.pingIntervalMsMin;
    if (this.hasPinged && now.monotonic - this.#lastPingMs < intervalMsMin) {
      return this.#fail('quota-exceeded', CloseCode.stayAway, 'pings come too often');
    }
    this.hasPinged = true;
    this.#lastPingMs = Math.floor(now.monotonic);
    encodeFrame(writer, { type: 'ping' });
  }

  // Broadcasts.

  /** Ids that the client asks for anew; the others keep the version that it was told. */
  #subscribe(broadcasts: readonly BroadcastVersion[]): void {
    for (const [id, version] of broadcasts) {
      const known = (this.rareParts.broadcasts ??= new BroadcastSubscriptions());
      if (known.size < webPushLimits.broadcastsPerFlowMax || known.has(id)) known.add(id, version);
    }
  }

  #handleBroadcastSubscribe(asked: readonly BroadcastVersion[]): void {
    const table = this.#options.broadcasts;
    this.#subscribe(asked);
    const unknown = asked.map(([id]) => id).filter((id) => table.get(id) === undefined);
    const broadcasts = this.rare?.broadcasts?.takeChanged(table) ?? [];
    if (broadcasts.length + unknown.length > 0)
      encodeFrame(writer, { type: 'broadcast', broadcasts, unknown });
  }

  get #isBehindBroadcasts(): boolean {
    const broadcasts = this.rare?.broadcasts ?? null;
    return broadcasts !== null && broadcasts.revision !== this.#options.broadcasts.revision;
  }

  #sendBroadcasts(): void {
    const broadcasts = this.rare!.broadcasts!.takeChanged(this.#options.broadcasts);
    if (broadcasts.length > 0) encodeFrame(writer, { type: 'broadcast', broadcasts, unknown: [] });
  }

  // From the hub.

  #handleEvent(now: InstantMs, event: LinkEvent): void {
    if (this.#state === State.opening) {
      if (event.kind === 'opened') this.#handleOpened(now, event);
      else if (event.kind === 'refused' || event.kind === 'end') {
        this.#state = State.authenticating; // The hub has no flow any more: no `close` is owed.
        this.#end(event.reason);
      }
      return;
    }
    if (this.#state !== State.open) return;
    switch (event.kind) {
      case 'deliver':
        return this.#deliver(now, event.delivery);
      case 'registered':
      case 'unregistered':
        return this.#handleRequested(event.ticket, event.reason);
      case 'end':
        return this.#end(event.reason);
      case 'release':
        // Of a message that the device took with QoS 2 while it was on MQTT: it waits for that link.
        return;
      default:
        assert(false, `${event.kind} for a flow of user agents`);
    }
  }

  #deliver(now: InstantMs, { sequence, topic, body, properties, duplicate }: Delivery): void {
    const name = decodeUtf8(topic, 0, topic.length);
    assert(name?.startsWith(INBOX_TOPIC_PREFIX) === true, 'only channels are delivered to user agents');
    if (sequence > 0 && duplicate) (this.rareParts.repeats ??= new Set()).add(sequence);
    const version =
      sequence > 0
        ? versionOf(this.#epoch, sequence)
        : passingVersion(this.#epoch, Math.floor(now.wall), (this.rareParts.passingCount += 1));
    encodeFrame(writer, {
      type: 'notification',
      channelId: name.slice(INBOX_TOPIC_PREFIX.length),
      version,
      data: body,
      headers: properties.length === 0 ? noHeaders : decodePushHeaders(properties),
    });
  }

  // The ways to end.

  #handleWritable(writable: boolean): void {
    if (writable === this.isWritable) return;
    this.isWritable = writable;
    if (this.#state >= State.opening) this.putCommand({ kind: 'writable', writable });
  }

  /** Tells the hub, where it has a flow, that it is gone, and why to the peer. */
  #fail(reason: Refusal, code?: CloseCode, text?: string): void {
    this.#leaveHub();
    this.#end(reason, code, text);
  }

  #leaveHub(): void {
    if (this.#state !== State.opening && this.#state !== State.open) return;
    this.putCommand({ kind: 'close', publishWill: false, sessionExpirySeconds: undefined });
  }

  #end(reason: Refusal | undefined, code?: CloseCode, text?: string): void {
    this.putClose(reason, {
      code: code ?? (reason === undefined ? CloseCode.goingAway : closeCodes[reason]),
      text: text ?? reason ?? '',
    });
    this.#shut();
  }

  /** Lets go of everything; outputs may still wait to be polled. */
  #shut(): void {
    this.#state = State.closed;
    this.#opening = null;
    this.takeBackAuthenticate();
    this.rare = null;
  }
}

const noHeaders = {};

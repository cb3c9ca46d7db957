/**
 * A device's end of its line: connects, comes back, keeps the path, removes repeats, says what the app does, and knows when a
 * sleeping device may sleep again. One for the life of the app; each connection is an {@link MqttClient} of its own.
 *
 * Opens no socket and stores nothing itself. Nothing that the app has handled is acknowledged before its driver says that
 * the cursor is stored. The rules are [SD-1] and on of docs/spec/device.md.
 */
import { encodeUtf8, NEVER, Prng, SECOND_MS, type InstantMs, type Machine } from '../base/index.js';
import { noBytes, type Activity } from '../domain/index.js';
import {
  isLastingEnd,
  MqttClient,
  type ClientEnd,
  type ClientInput,
  type ClientMessage,
  type ClientOutput,
} from '../session/mqtt-client/index.js';
import { Backoff } from './backoff.js';
import { GivenMessages } from './given-messages.js';
import { deviceLimits } from './limits.js';
import { Requests } from './requests.js';
import type { DeviceInput, DeviceOptions, DeviceOutput, Status } from './types.js';

const STATE_TOPIC = '$line/state';
const CURSOR_RETRY_MS = SECOND_MS;

/** What is known of the connection that is open, or being opened. */
interface Connection {
  readonly number: number;
  readonly client: MqttClient;
  receiveMaximum: number;
  /** The server wants to hear something so often, ms; NEVER: it does not. */
  sendGapMs: number;
  /** Monotonic ms. */
  receivedMs: number;
  sentMs: number;
  /** When the answer to a ping is due; NEVER: none is awaited. */
  answerDueMs: number;
  /** The silence after which it was asked, ms; 0: it was asked for another reason. */
  askedGapMs: number;
}

/** A connection that did not answer. */
interface Death {
  readonly gapMs: number;
  readonly key: string | undefined;
  readonly sinceMs: number;
  /** An attempt was begun since. */
  isTried: boolean;
}

export class DeviceMachine implements Machine<DeviceInput, DeviceOutput> {
  readonly #options: DeviceOptions;
  readonly #outputs: DeviceOutput[] = [];
  readonly #backoff: Backoff;
  readonly #given: GivenMessages;
  readonly #requests = new Requests();
  #isStarted = false;
  #status: Status = { kind: 'stopped' };
  #activity: Activity = 'active';
  #networkKey: string | undefined = '';
  #connection: Connection | null = null;
  #lastConnection = 0;
  #retryDueMs = NEVER;
  /** When the connection is to be asked for a sign of life. */
  #pingDueMs = NEVER;
  #cursorRetryMs = NEVER;
  /** The end of the wake window; NEVER: there is none. */
  #windowEndMs = NEVER;
  /** A connection that did not answer, until another one shows whether the network was there. */
  #death: Death | null = null;

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#backoff = new Backoff(new Prng(options.seed));
    this.#given = new GivenMessages(options.cursor);
  }

  get status(): Status {
    return this.#status;
  }

  handleInput(now: InstantMs, input: DeviceInput): void {
    this.#handle(now, input);
    this.#endWindowIfDone(now);
    this.#updatePingDue(now);
  }

  handleTimeout(now: InstantMs): void {
    if (now.monotonic < this.nextTimeoutMs()) return;
    this.#fire(now);
    this.#endWindowIfDone(now);
    this.#updatePingDue(now);
  }

  nextTimeoutMs(): number {
    const connection = this.#connection;
    const own = Math.min(this.#cursorRetryMs, this.#windowEndMs, this.#retryDueMs);
    if (connection === null) return own;
    if (!connection.client.isOpen) return Math.min(own, connection.client.nextTimeoutMs());
    return Math.min(own, connection.answerDueMs, this.#pingDueMs);
  }

  pollOutput(): DeviceOutput | undefined {
    return this.#outputs.shift();
  }

  #handle(now: InstantMs, input: DeviceInput): void {
    switch (input.kind) {
      case 'start':
        return this.#start(now);
      case 'stop':
        return this.#stop(now);
      case 'transport-open':
      case 'transport-closed':
      case 'bytes':
        return this.#handleTransport(now, input);
      case 'subscribe':
        return this.#subscribe(now, input);
      case 'publish':
        return this.#publish(now, input);
      case 'finish': {
        const packetId = this.#given.finish(input.message, input.isHandled, this.#connectionNumber);
        if (packetId > 0) this.#acknowledge(now, [packetId]);
        return this.#storeCursor();
      }
      case 'cursor-stored':
        this.#acknowledge(now, this.#given.handleStored(true, this.#connectionNumber));
        return this.#storeCursor();
      case 'cursor-failed':
        this.#given.handleStored(false, this.#connectionNumber);
        this.#cursorRetryMs = now.monotonic + CURSOR_RETRY_MS;
        return;
      case 'activity':
        return this.#handleActivity(now, input.activity);
      case 'network':
        return this.#handleNetwork(now, input.key);
    }
  }

  #fire(now: InstantMs): void {
    if (now.monotonic >= this.#cursorRetryMs) {
      this.#cursorRetryMs = NEVER;
      this.#storeCursor();
    }
    if (now.monotonic >= this.#windowEndMs) this.#endWindow(now, false);
    if (now.monotonic >= this.#retryDueMs) this.#connect(now);
    const connection = this.#connection;
    if (connection === null) return;
    connection.client.handleTimeout(now);
    this.#drain(now, connection);
    if (this.#connection !== connection || !connection.client.isOpen) return;
    if (now.monotonic >= connection.answerDueMs) this.#handleSilence(now, connection);
    else if (now.monotonic >= this.#pingDueMs) this.#ping(now, connection);
  }

  // Begin and end.

  #start(now: InstantMs): void {
    if (this.#isStarted && this.#status.kind !== 'refused') return;
    this.#isStarted = true;
    this.#backoff.reset();
    if (this.#networkKey === undefined) this.#setStatus({ kind: 'offline' });
    else this.#connect(now);
  }

  #stop(now: InstantMs): void {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#retryDueMs = NEVER;
    this.#death = null;
    this.#drop(now);
    this.#endWindow(now, true);
    this.#refuseRequests();
    this.#setStatus({ kind: 'stopped' });
  }

  #connect(now: InstantMs): void {
    this.#retryDueMs = NEVER;
    this.#openWindow(now);
    const number = (this.#lastConnection += 1);
    const { deviceId: clientId, username, password, sessionExpirySeconds } = this.#options;
    const client = new MqttClient(now, {
      clientId,
      username,
      password,
      sessionExpirySeconds,
      receiveMaximum: deviceLimits.inflightMax,
      packetBytesMax: deviceLimits.packetBytesMax,
      connectTimeoutMs: deviceLimits.connectTimeoutMs,
    });
    this.#connection = {
      number,
      client,
      receiveMaximum: 0,
      sendGapMs: NEVER,
      receivedMs: now.monotonic,
      sentMs: now.monotonic,
      answerDueMs: NEVER,
      askedGapMs: 0,
    };
    this.#setStatus({ kind: 'connecting', attempt: this.#backoff.attempts + 1 });
    this.#outputs.push({ kind: 'connect', connection: number, role: 'main' });
  }

  /** Lets go of the connection, with a farewell where there is somebody to hear it. */
  #drop(now: InstantMs): void {
    const connection = this.#connection;
    if (connection === null) return;
    connection.client.handleInput(now, { kind: 'leave' });
    this.#drain(now, connection);
  }

  #handleEnd(now: InstantMs, end: ClientEnd): void {
    this.#connection = null;
    if (!this.#isStarted || end.cause === 'left') return;
    if (isLastingEnd(end)) {
      this.#setStatus({ kind: 'refused', end });
      this.#refuseRequests();
      return this.#endWindow(now, true);
    }
    if (this.#networkKey === undefined) return this.#setStatus({ kind: 'offline' });
    let waitMs = this.#backoff.nextWaitMs(now.monotonic);
    if (this.#death?.isTried === false) {
      // Whether the network was there at all is to be known at once; but once only.
      this.#death.isTried = true;
      waitMs = 0;
    }
    this.#setStatus({ kind: 'waiting', end, waitMs });
    this.#retryDueMs = now.monotonic + waitMs;
  }

  // The connection.

  #handleTransport(
    now: InstantMs,
    input: Extract<DeviceInput, { kind: 'transport-open' | 'transport-closed' | 'bytes' }>,
  ): void {
    const connection = this.#connection;
    // Of one that was let go of.
    if (connection === null || connection.number !== input.connection) return;
    if (input.kind === 'bytes') {
      connection.receivedMs = now.monotonic;
      connection.answerDueMs = NEVER;
      this.#openWindow(now);
    }
    const inner: ClientInput =
      input.kind === 'bytes' ? { kind: 'bytes', chunk: input.chunk } : { kind: input.kind };
    connection.client.handleInput(now, inner);
    this.#drain(now, connection);
  }

  #say(now: InstantMs, connection: Connection, input: ClientInput): void {
    connection.client.handleInput(now, input);
    this.#drain(now, connection);
  }

  #drain(now: InstantMs, connection: Connection): void {
    const { client } = connection;
    for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
      this.#handleOutput(now, connection, output);
    }
  }

  #handleOutput(now: InstantMs, connection: Connection, output: ClientOutput): void {
    switch (output.kind) {
      case 'write':
        connection.sentMs = now.monotonic;
        this.#outputs.push({ kind: 'write', connection: connection.number, bytes: output.bytes });
        return;
      case 'opened':
        return this.#handleOpened(now, connection, output);
      case 'message':
        return this.#handleMessage(now, connection, output.message);
      case 'published': {
        const answer = this.#requests.handlePublished(output.packetId, output.reasonCode);
        if (answer !== undefined) this.#outputs.push({ kind: 'published', ...answer });
        return this.#sendRequests(now, connection);
      }
      case 'subscribed':
        for (const answer of this.#requests.handleSubscribed(output.packetId, output.reasonCodes)) {
          this.#outputs.push({ kind: 'subscribed', ...answer });
        }
        return this.#sendRequests(now, connection);
      case 'ended':
        this.#outputs.push({ kind: 'close', connection: connection.number });
        return this.#handleEnd(now, output.end);
    }
  }

  #handleOpened(
    now: InstantMs,
    connection: Connection,
    { epoch, sessionPresent, keepAliveSeconds, receiveMaximum }: Extract<ClientOutput, { kind: 'opened' }>,
  ): void {
    connection.receiveMaximum = receiveMaximum;
    connection.sendGapMs = keepAliveSeconds === 0 ? NEVER : keepAliveSeconds * SECOND_MS;
    this.#backoff.handleOpened(now.monotonic);
    this.#judgeDeath(now);
    this.#given.handleEpoch(epoch);
    this.#requests.handleOpened(sessionPresent);
    this.#setStatus({ kind: 'online', sessionPresent });
    this.#sendRequests(now, connection);
    // A new connection is taken for active: whoever connects is awake.
    if (this.#activity !== 'active') this.#sayActivity(now);
  }

  #handleMessage(now: InstantMs, connection: Connection, message: ClientMessage): void {
    const { sequence, packetId, topic, body, properties, retain, expirySeconds } = message;
    // The server sends QoS 0 whatever is unfinished here.
    if (packetId === 0 && this.#given.size >= deviceLimits.unfinishedMax) return;
    const { epoch } = this.#given;
    // A number without an epoch says nothing.
    const known = epoch === undefined ? 0 : sequence;
    const taken = this.#given.take(known, packetId, connection.number);
    if (taken === 'known') return;
    if (taken === 'repeat') return this.#say(now, connection, { kind: 'acknowledge', packetId });
    this.#outputs.push({
      kind: 'message',
      message: {
        id: taken,
        topic,
        body: body.slice(),
        properties: properties.slice(),
        retain,
        qos: packetId === 0 ? 0 : 1,
        place: epoch === undefined || known === 0 ? undefined : { epoch, sequence: known },
        expirySeconds,
      },
    });
  }

  // Requests of the app.

  #subscribe(now: InstantMs, { ticket, filter, qos }: Extract<DeviceInput, { kind: 'subscribe' }>): void {
    if (!this.#isStarted || this.#status.kind === 'refused') {
      this.#outputs.push({ kind: 'subscribed', ticket, outcome: 'stopped' });
    } else if (this.#requests.addSubscription(ticket, filter, qos)) {
      if (this.#connection?.client.isOpen === true) this.#sendRequests(now, this.#connection);
    } else this.#outputs.push({ kind: 'subscribed', ticket, outcome: 'too-many' });
  }

  #publish(now: InstantMs, { ticket, publication }: Extract<DeviceInput, { kind: 'publish' }>): void {
    const connection = this.#connection;
    const isOpen = connection?.client.isOpen === true;
    const answer = (outcome: number | 'stopped' | 'not-connected' | 'too-many'): void => {
      this.#outputs.push({ kind: 'published', ticket, outcome });
    };
    if (!this.#isStarted || this.#status.kind === 'refused') return answer('stopped');
    if (publication.qos === 0) {
      if (!isOpen) return answer('not-connected');
      this.#say(now, connection, { kind: 'publish', packetId: 0, publication, duplicate: false });
      return answer(0);
    }
    if (!this.#requests.addPublication(ticket, publication)) return answer('too-many');
    if (isOpen) this.#sendRequests(now, connection);
  }

  #sendRequests(now: InstantMs, connection: Connection): void {
    const { client, receiveMaximum } = connection;
    while (client.isOpen) {
      const input = this.#requests.next(receiveMaximum);
      if (input === undefined) return;
      this.#say(now, connection, input);
    }
  }

  #refuseRequests(): void {
    const { subscriptions, publications } = this.#requests.takeAll();
    for (const ticket of subscriptions)
      this.#outputs.push({ kind: 'subscribed', ticket, outcome: 'stopped' });
    for (const ticket of publications) this.#outputs.push({ kind: 'published', ticket, outcome: 'stopped' });
  }

  // Acknowledgements and the cursor.

  get #connectionNumber(): number {
    return this.#connection?.number ?? 0;
  }

  #acknowledge(now: InstantMs, packetIds: readonly number[]): void {
    const connection = this.#connection;
    for (const packetId of packetIds) {
      if (connection?.client.isOpen !== true) return;
      this.#say(now, connection, { kind: 'acknowledge', packetId });
    }
  }

  #storeCursor(): void {
    if (this.#cursorRetryMs !== NEVER) return;
    const cursor = this.#given.nextCursor();
    if (cursor !== undefined) this.#outputs.push({ kind: 'store-cursor', cursor });
  }

  // Keepalive.

  #updatePingDue(now: InstantMs): void {
    const connection = this.#connection;
    this.#pingDueMs = NEVER;
    if (connection?.client.isOpen !== true || connection.answerDueMs !== NEVER) return;
    const { receivedMs, sentMs, sendGapMs } = connection;
    this.#pingDueMs = Math.min(receivedMs + this.#options.keepalive.gapMs(now), sentMs + sendGapMs);
  }

  #ping(now: InstantMs, connection: Connection): void {
    const gapMs = this.#options.keepalive.gapMs(now);
    connection.askedGapMs = now.monotonic - connection.receivedMs >= gapMs ? gapMs : 0;
    const { keepalive } = this.#options;
    connection.answerDueMs = now.monotonic + (keepalive.answerMs ?? deviceLimits.keepaliveAnswerMs);
    this.#openWindow(now);
    this.#say(now, connection, { kind: 'ping' });
  }

  /** The connection was asked, and did not answer. */
  #handleSilence(now: InstantMs, connection: Connection): void {
    if (connection.askedGapMs > 0) {
      this.#death = {
        gapMs: connection.askedGapMs,
        key: this.#networkKey,
        sinceMs: now.monotonic,
        isTried: false,
      };
    }
    this.#say(now, connection, { kind: 'transport-closed' });
  }

  #judgeDeath(now: InstantMs): void {
    const death = this.#death;
    this.#death = null;
    if (death === null || death.key !== this.#networkKey) return;
    const { keepalive } = this.#options;
    if (now.monotonic - death.sinceMs > (keepalive.pathMs ?? deviceLimits.pathMs)) return;
    keepalive.handleDeath(now, death.gapMs);
  }

  #handleNetwork(now: InstantMs, key: string | undefined): void {
    if (key === this.#networkKey) return;
    this.#networkKey = key;
    this.#death = null;
    if (key !== undefined) this.#options.keepalive.handleNetwork(now, key);
    if (!this.#isStarted || this.#status.kind === 'refused') return;
    // What was open on the old network is lost, whether or not the platform has noticed.
    this.#drop(now);
    this.#retryDueMs = NEVER;
    this.#backoff.reset();
    if (key === undefined) this.#setStatus({ kind: 'offline' });
    else this.#connect(now);
  }

  // What the app does, and wake windows.

  #handleActivity(now: InstantMs, activity: Activity): void {
    const isSame = activity === this.#activity;
    this.#activity = activity;
    // Going to sleep is a window, too: it ends, and is said, when what is begun is done.
    if (activity === 'asleep') return this.#openWindow(now);
    this.#windowEndMs = NEVER;
    if (!isSame) this.#sayActivity(now);
  }

  /** The device sleeps, and something makes it run. */
  #openWindow(now: InstantMs): void {
    if (this.#activity !== 'asleep' || this.#windowEndMs !== NEVER) return;
    this.#windowEndMs = now.monotonic + this.#options.windowMs;
    this.#outputs.push({ kind: 'window', deadlineMs: this.#windowEndMs });
  }

  #endWindowIfDone(now: InstantMs): void {
    if (this.#windowEndMs === NEVER || this.#options.keepalive.keepsAwake) return;
    const connection = this.#connection;
    if (this.#given.size > 0 || this.#requests.isWaiting) return;
    // Without a connection there is something to do, unless it is not to be had now.
    if (connection !== null) {
      const { client, answerDueMs } = connection;
      if (!client.isOpen || client.isMidPacket || answerDueMs !== NEVER) return;
    }
    this.#endWindow(now, true);
  }

  #endWindow(now: InstantMs, isDone: boolean): void {
    if (this.#windowEndMs === NEVER) return;
    this.#windowEndMs = NEVER;
    if (isDone) this.#sayActivity(now);
    this.#outputs.push({ kind: 'window-over', isDone });
  }

  #sayActivity(now: InstantMs): void {
    const connection = this.#connection;
    if (connection?.client.isOpen !== true) return;
    const network = this.#networkKey === '' ? undefined : this.#networkKey;
    const state = { state: this.#activity, window: this.#options.windowMs, network };
    const body = encodeUtf8(JSON.stringify(state));
    this.#say(now, connection, {
      kind: 'publish',
      packetId: 0,
      publication: { topic: STATE_TOPIC, body, properties: noBytes, qos: 0, expirySeconds: undefined },
      duplicate: false,
    });
  }

  #setStatus(status: Status): void {
    this.#status = status;
    this.#outputs.push({ kind: 'status', status });
  }
}

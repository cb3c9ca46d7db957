/**
 * A device's end of its line: connects, comes back, keeps the path, removes repeats, says what the app does, and knows when a
 * sleeping device may sleep again. One for the life of the app; each connection is an `MqttClient` of its own.
 *
 * Opens no socket and stores nothing itself. Nothing that the app has handled is acknowledged before its driver says that
 * the cursor is stored. The rules are [SD-1] and on of docs/spec/device.md.
 */
import { NEVER, Prng, SECOND_MS, type InstantMs, type Machine } from '../base/index.js';
import type { Activity } from '../domain/index.js';
import {
  isLastingEnd,
  type ClientEnd,
  type ClientInput,
  type ClientMessage,
  type ClientOutput,
  type ClientPublication,
} from '../session/mqtt-client/index.js';
import { AppRequests } from './app-requests.js';
import { Backoff } from './backoff.js';
import { OpenCalls } from './calls.js';
import { CanaryProber } from './canary-prober.js';
import { GivenMessages } from './given-messages.js';
import type { NetworkLearner } from './keepalive/index.js';
import { deviceLimits } from './limits.js';
import { lineQuestion, lineTopics } from './line-topics.js';
import { Death, newMainConnection, type MainConnection } from './main-connection.js';
import { NetworkHints } from './network-hints.js';
import type { DeviceInput, DeviceMessage, DeviceOptions, DeviceOutput, Status } from './types.js';

const CURSOR_RETRY_MS = SECOND_MS;

export class DeviceMachine implements Machine<DeviceInput, DeviceOutput> {
  readonly #options: DeviceOptions;
  readonly #outputs: DeviceOutput[] = [];
  readonly #backoff: Backoff;
  readonly #given: GivenMessages;
  readonly #requests: AppRequests;
  readonly #calls = new OpenCalls();
  readonly #prober: CanaryProber;
  /** What the policy learns; undefined: nothing. */
  readonly #learner: NetworkLearner | undefined;
  readonly #hints: NetworkHints | undefined;
  #isStarted = false;
  #status: Status = { kind: 'stopped' };
  #activity: Activity = 'active';
  #networkKey: string | undefined = '';
  /** The platform has said something of the network. */
  #isNetworkTold = false;
  #connection: MainConnection | null = null;
  #lastConnection = 0;
  #retryDueMs = NEVER;
  /** When the connection is to be asked for a sign of life. */
  #pingDueMs = NEVER;
  #cursorRetryMs = NEVER;
  /** The end of the wake window; NEVER: there is none. */
  #windowEndMs = NEVER;
  /** A connection that did not answer, until another one shows whether the network was there. */
  #death: Death | null = null;
  /** What was learned, as it was stored last. */
  #knowledge = '{}';

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#backoff = new Backoff(new Prng(options.seed));
    this.#given = new GivenMessages(options.cursor);
    this.#learner = options.keepalive.learner;
    if (this.#learner !== undefined) {
      this.#learner.restore(options.knowledge ?? {});
      this.#knowledge = JSON.stringify(this.#learner.knowledge);
      this.#hints = new NetworkHints(this.#learner, options.keepalive.answerMs);
    }
    this.#requests = new AppRequests({
      put: (output) => void this.#outputs.push(output),
      isOver: () => !this.#isStarted || this.#status.kind === 'refused',
      receiveMaximum: () => (this.#connection?.client.isOpen ? this.#connection.receiveMaximum : undefined),
      say: (now, input) => this.#say(now, this.#connection!, input),
    });
    this.#prober = new CanaryProber({
      options,
      put: (output) => void this.#outputs.push(output),
      newConnection: () => (this.#lastConnection += 1),
      ask: (now, publication) => this.#ask(now, publication),
      handleVerdict: (now) => this.#storeKnowledge(now),
    });
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
    const own = Math.min(
      this.#cursorRetryMs,
      this.#windowEndMs,
      this.#retryDueMs,
      this.#calls.nextTimeoutMs(),
      this.#prober.nextTimeoutMs(),
      this.#hints?.nextTimeoutMs() ?? NEVER,
    );
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
        return this.#requests.subscribe(now, input);
      case 'publish':
        return this.#requests.publish(now, input);
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
      case 'wake':
        return this.#handleWake(now);
      case 'call-intent':
        return this.#requests.decideCall(now, input);
    }
  }

  #fire(now: InstantMs): void {
    if (now.monotonic >= this.#cursorRetryMs) {
      this.#cursorRetryMs = NEVER;
      this.#storeCursor();
    }
    if (now.monotonic >= this.#windowEndMs) this.#endWindow(now, false);
    if (now.monotonic >= this.#retryDueMs) this.#connect(now);
    for (let over = this.#calls.takeDue(now.monotonic); over; over = this.#calls.takeDue(now.monotonic)) {
      this.#outputs.push(over);
    }
    this.#prober.handleTimeout(now);
    if (this.#hints?.handleTimeout(now.monotonic) === true) this.#handleAnswered(now, 0);
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
    this.#requests.refuseAll();
    this.#setStatus({ kind: 'stopped' });
  }

  #connect(now: InstantMs): void {
    this.#retryDueMs = NEVER;
    this.#openWindow(now);
    const number = (this.#lastConnection += 1);
    this.#connection = newMainConnection(now, number, this.#options);
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
    this.#prober.drop(now);
    this.#hints?.handleLost();
    if (!this.#isStarted || end.cause === 'left') return;
    if (isLastingEnd(end)) {
      this.#setStatus({ kind: 'refused', end });
      this.#requests.refuseAll();
      return this.#endWindow(now, true);
    }
    if (this.#networkKey === undefined) return this.#setStatus({ kind: 'offline' });
    let waitMs = this.#backoff.nextWaitMs(now.monotonic);
    if (this.#death?.takeTry() === true) waitMs = 0;
    this.#setStatus({ kind: 'waiting', end, waitMs });
    this.#retryDueMs = now.monotonic + waitMs;
  }

  // The connection.

  #handleTransport(
    now: InstantMs,
    input: Extract<DeviceInput, { kind: 'transport-open' | 'transport-closed' | 'bytes' }>,
  ): void {
    const connection = this.#connection;
    if (connection === null || connection.number !== input.connection) {
      // A canary's; or of one that was let go of.
      this.#prober.handleTransport(now, input);
      return;
    }
    if (input.kind !== 'bytes') {
      if (input.kind === 'transport-closed' && input.isReset === true) this.#suspect(now, connection);
      connection.client.handleInput(now, { kind: input.kind });
      return this.#drain(now, connection);
    }
    const askedGapMs = connection.answerDueMs === NEVER ? 0 : connection.askedGapMs;
    connection.receivedMs = now.monotonic;
    connection.answerDueMs = NEVER;
    this.#openWindow(now);
    connection.client.handleInput(now, { kind: 'bytes', chunk: input.chunk });
    this.#drain(now, connection);
    if (this.#connection === connection) this.#handleAnswered(now, askedGapMs);
  }

  #say(now: InstantMs, connection: MainConnection, input: ClientInput): void {
    connection.client.handleInput(now, input);
    this.#drain(now, connection);
  }

  #drain(now: InstantMs, connection: MainConnection): void {
    const { client } = connection;
    for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
      this.#handleOutput(now, connection, output);
    }
  }

  #handleOutput(now: InstantMs, connection: MainConnection, output: ClientOutput): void {
    switch (output.kind) {
      case 'write':
        connection.sentMs = now.monotonic;
        this.#outputs.push({ kind: 'write', connection: connection.number, bytes: output.bytes });
        return;
      case 'opened':
        return this.#handleOpened(now, connection, output);
      case 'message':
        return this.#handleMessage(now, connection, output.message);
      case 'published':
        return this.#requests.handlePublished(now, output);
      case 'subscribed':
        return this.#requests.handleSubscribed(now, output);
      case 'ended':
        this.#outputs.push({ kind: 'close', connection: connection.number });
        return this.#handleEnd(now, output.end);
    }
  }

  #handleOpened(
    now: InstantMs,
    connection: MainConnection,
    opened: Extract<ClientOutput, { kind: 'opened' }>,
  ): void {
    const { epoch, sessionPresent, keepAliveSeconds, receiveMaximum, canarySilenceMsMax } = opened;
    connection.receiveMaximum = receiveMaximum;
    connection.sendGapMs = keepAliveSeconds === 0 ? NEVER : keepAliveSeconds * SECOND_MS;
    this.#backoff.handleOpened(now.monotonic);
    this.#judgeDeath(now);
    this.#prober.handleMainOpened(canarySilenceMsMax);
    this.#given.handleEpoch(epoch);
    this.#requests.handleOpened(sessionPresent);
    this.#setStatus({ kind: 'online', sessionPresent });
    this.#requests.send(now);
    // A new connection is taken for active: whoever connects is awake.
    if (this.#activity !== 'active') this.#sayActivity(now);
    this.#askForHint(now);
  }

  #handleMessage(now: InstantMs, connection: MainConnection, message: ClientMessage): void {
    const { sequence, packetId, topic, body, properties, retain, expirySeconds } = message;
    if (packetId === 0 && this.#handleLineAnswer(now, topic, body)) return;
    // The server sends QoS 0 whatever is unfinished here.
    if (packetId === 0 && this.#given.size >= deviceLimits.unfinishedMax) return;
    const { epoch } = this.#given;
    // A number without an epoch says nothing.
    const known = epoch === undefined ? 0 : sequence;
    const taken = this.#given.take(known, packetId, connection.number);
    if (taken === 'known') return;
    if (taken === 'repeat') return this.#say(now, connection, { kind: 'acknowledge', packetId });
    const given: DeviceMessage = {
      id: taken,
      topic,
      body: body.slice(),
      properties: properties.slice(),
      retain,
      qos: packetId === 0 ? 0 : 1,
      place: epoch === undefined || known === 0 ? undefined : { epoch, sequence: known },
      expirySeconds,
    };
    this.#put(this.#calls.read(now, given) ?? { kind: 'message', message: given });
  }

  /** The server answers what the machine itself has asked. False: it is a message. */
  #handleLineAnswer(now: InstantMs, topic: string, body: Uint8Array): boolean {
    switch (topic) {
      case lineTopics.alive:
        this.#prober.handleAlive(now, body);
        return true;
      case lineTopics.network:
        // What it hints at is taken up when all that came with it is read: `#handleAnswered`.
        this.#hints?.handleAnswer(this.#networkKey ?? '', body);
        return true;
      case lineTopics.call:
        this.#requests.handleIntentAnswer(body);
        return true;
      default:
        return false;
    }
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
    this.#pingDueMs = Math.min(receivedMs + this.#askGapMs(now), sentMs + sendGapMs);
  }

  /** After so much silence the connection is asked: what the policy says, unless the platform wakes the app less often. */
  #askGapMs(now: InstantMs): number {
    return Math.max(this.#options.keepalive.gapMs(now), this.#floorMs);
  }

  get #floorMs(): number {
    const { floorMs = 0, keepalive } = this.#options;
    return this.#activity === 'asleep' && !keepalive.keepsAwake ? floorMs : 0;
  }

  /** The platform may not run the app again before `floorMs` is over: what would be due until then is asked now. */
  #handleWake(now: InstantMs): void {
    const connection = this.#connection;
    if (connection?.client.isOpen !== true || connection.answerDueMs !== NEVER) return;
    const dueMs = connection.receivedMs + this.#options.keepalive.gapMs(now);
    if (dueMs < now.monotonic + this.#floorMs) this.#ping(now, connection);
  }

  #ping(now: InstantMs, connection: MainConnection): void {
    // A server that was told of a gap has kept the path alive meanwhile, so that no longer silence was there.
    const gapMs = this.#prober.takesCanaries ? this.#options.keepalive.gapMs(now) : this.#askGapMs(now);
    connection.askedGapMs = now.monotonic - connection.receivedMs >= gapMs ? gapMs : 0;
    const { answerMs = deviceLimits.keepaliveAnswerMs } = this.#options.keepalive;
    connection.answerDueMs = now.monotonic + answerMs;
    this.#openWindow(now);
    this.#say(now, connection, { kind: 'ping' });
  }

  /** The connection was asked, and did not answer. */
  #handleSilence(now: InstantMs, connection: MainConnection): void {
    this.#suspect(now, connection);
    this.#say(now, connection, { kind: 'transport-closed' });
  }

  /** It was asked after a silence, and did not answer, or with a reset: the silence may have been too long. */
  #suspect(now: InstantMs, { askedGapMs, answerDueMs }: MainConnection): void {
    if (askedGapMs === 0 || answerDueMs === NEVER) return;
    this.#death = new Death(now.monotonic, this.#networkKey, askedGapMs);
  }

  #judgeDeath(now: InstantMs): void {
    const { keepalive } = this.#options;
    const gapMs = this.#death?.judge(now.monotonic, this.#networkKey, keepalive.pathMs);
    this.#death = null;
    if (gapMs === undefined) return;
    keepalive.handleDeath(now, gapMs);
    this.#storeKnowledge(now);
  }

  /** The main connection is well: the policy may want something of a canary. */
  #handleAnswered(now: InstantMs, gapMs: number): void {
    if (this.#connection?.client.isOpen !== true || this.#hints?.isAwaiting === true) return;
    this.#prober.handleMainAnswer(now, gapMs);
    if (gapMs > 0) this.#storeKnowledge(now);
  }

  /** Has kept what the policy has learned since the last time, and tells the server. */
  #storeKnowledge(now: InstantMs): void {
    const knowledge = this.#learner?.knowledge ?? {};
    const text = JSON.stringify(knowledge);
    if (text === this.#knowledge) return;
    this.#knowledge = text;
    this.#put({ kind: 'store-knowledge', knowledge });
    if (this.#hasNetworkName) this.#ask(now, this.#hints?.handleLearned(this.#networkKey!));
  }

  /** The server can tell something of this network, or be told. */
  get #hasNetworkName(): boolean {
    return this.#prober.takesCanaries && this.#networkKey !== undefined && this.#networkKey !== '';
  }

  #handleNetwork(now: InstantMs, key: string | undefined): void {
    const isFirst = !this.#isNetworkTold;
    this.#isNetworkTold = true;
    if (key === this.#networkKey) return;
    this.#networkKey = key;
    this.#death = null;
    if (key !== undefined) this.#options.keepalive.handleNetwork(now, key);
    if (!this.#isStarted || this.#status.kind === 'refused') return;
    if (isFirst && key !== undefined && this.#connection !== null)
      return this.#handleName(now, this.#connection);
    // What was open on the old network is lost, whether or not the platform has noticed.
    this.#drop(now);
    this.#retryDueMs = NEVER;
    this.#backoff.reset();
    if (key === undefined) this.#setStatus({ kind: 'offline' });
    else this.#connect(now);
  }

  /** The network on which the device connects has got its name: the connection goes on, and what is measured begins anew under it. */
  #handleName(now: InstantMs, connection: MainConnection): void {
    this.#prober.drop(now);
    connection.askedGapMs = 0;
    if (!connection.client.isOpen) return;
    // Whoever sleeps says it at the end of the window.
    if (this.#activity === 'asleep') this.#openWindow(now);
    else if (this.#activity !== 'active') this.#sayActivity(now);
    this.#askForHint(now);
  }

  #askForHint(now: InstantMs): void {
    if (this.#hasNetworkName) this.#ask(now, this.#hints?.handleNamed(now.monotonic, this.#networkKey!));
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
      if (this.#prober.isBusy || this.#hints?.isAwaiting === true || this.#requests.isIntentWaiting) return;
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
    const network = this.#networkKey === '' ? undefined : this.#networkKey;
    const gapMs = this.#options.keepalive.gapMs(now);
    // The app cannot ask as often as the network wants: the server is to keep the path.
    const gap = this.#floorMs > gapMs ? Math.floor(gapMs) : undefined;
    const state = { state: this.#activity, window: this.#options.windowMs, network, gap };
    this.#ask(now, lineQuestion(lineTopics.state, state));
  }

  /** Publishes something of the machine's own, if there is a connection. */
  #ask(now: InstantMs, publication: ClientPublication | undefined): void {
    const connection = this.#connection;
    if (publication === undefined || connection?.client.isOpen !== true) return;
    this.#say(now, connection, { kind: 'publish', packetId: 0, publication, duplicate: false });
  }

  #setStatus(status: Status): void {
    this.#status = status;
    this.#put({ kind: 'status', status });
  }

  #put(output: DeviceOutput | undefined): void {
    if (output !== undefined) this.#outputs.push(output);
  }
}

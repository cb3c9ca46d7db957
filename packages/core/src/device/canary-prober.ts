/**
 * Carries out what a keepalive policy orders about canaries: opens them beside the main connection, asks the server about them, and
 * says what a look has found. The rules are [SD-11] and [SD-12] of docs/spec/device.md.
 *
 * Decides nothing about silences, and touches neither messages nor wake windows: what a canary receives is no activity.
 */
import { NEVER, type InstantMs } from '../base/index.js';
import {
  MqttClient,
  type ClientEnd,
  type ClientInput,
  type ClientOutput,
  type ClientPublication,
} from '../session/mqtt-client/index.js';
import type { CanaryLook, KeepalivePolicy } from './keepalive/index.js';
import { deviceLimits } from './limits.js';
import { isObject, lineQuestion, lineTopics, readObject } from './line-topics.js';
import type { DeviceInput, DeviceOptions, DeviceOutput } from './types.js';

/** What the prober needs of the machine that it is part of. */
export interface ProberHost {
  readonly options: DeviceOptions;
  put(output: DeviceOutput): void;
  newConnection(): number;
  /** Publishes on the main connection, which is open, with QoS 0. */
  ask(now: InstantMs, publication: ClientPublication): void;
  /** What the policy knows may have changed. */
  handleVerdict(now: InstantMs): void;
}

/** One canary, from its order to its end. */
interface Canary {
  readonly number: number;
  readonly client: MqttClient;
  readonly silenceMs: number;
  /** Monotonic ms of the CONNACK. */
  openedMs: number;
  hasArrived: boolean;
}

type Phase =
  /** There is no canary, or one that nobody has a use for yet. */
  | 'idle'
  | 'opening'
  /** Its silence runs. */
  | 'silent'
  /** The server was asked whether it has pushed. */
  | 'asking'
  /** Nothing has arrived: another canary shows whether the network is there. */
  | 'checking';

type TransportInput = Extract<
  DeviceInput,
  { readonly kind: 'transport-open' | 'transport-closed' | 'bytes' }
>;

/** Of PUBLISH and DISCONNECT; a canary gets nothing larger. */
const CANARY_PACKET_BYTES_MAX = 4_096;

export class CanaryProber {
  readonly #host: ProberHost;
  readonly #policy: KeepalivePolicy;
  #phase: Phase = 'idle';
  #canary: Canary | null = null;
  /** The one that shows whether the network is there. */
  #check: Canary | null = null;
  #answerDueMs = NEVER;
  /** Before this none is opened, monotonic ms. */
  #retryMs = -NEVER;
  /** The longest silence that the server takes, ms; 0: it takes no canaries. */
  #silenceMsMax = 0;

  constructor(host: ProberHost) {
    this.#host = host;
    this.#policy = host.options.keepalive;
  }

  /** Something is awaited that takes no silence: the device stays awake for it. */
  get isBusy(): boolean {
    return this.#phase === 'opening' || this.#phase === 'asking' || this.#phase === 'checking';
  }

  get takesCanaries(): boolean {
    return this.#silenceMsMax > 0;
  }

  nextTimeoutMs(): number {
    return Math.min(
      this.#answerDueMs,
      this.#canary?.client.nextTimeoutMs() ?? NEVER,
      this.#check?.client.nextTimeoutMs() ?? NEVER,
    );
  }

  handleTimeout(now: InstantMs): void {
    // Without an answer not even the main connection is known to be well.
    if (now.monotonic >= this.#answerDueMs) this.drop(now);
    for (const canary of [this.#canary, this.#check]) {
      if (canary === null) continue;
      canary.client.handleTimeout(now);
      this.#drain(now, canary);
    }
  }

  /** Another main connection has opened; what was tried beside the last one was dropped with it. */
  handleMainOpened(silenceMsMax: number): void {
    this.#silenceMsMax = silenceMsMax;
    this.#policy.learner?.handleServer(silenceMsMax > 0);
  }

  /** The main connection, which is open, has answered: as {@link KeepalivePolicy.handleAnswer}. */
  handleMainAnswer(now: InstantMs, gapMs: number): void {
    const order = this.#policy.handleAnswer?.(now, gapMs);
    if (order?.kind === 'look') this.#look(now);
    else if (order?.kind === 'open') this.#obey(now, order.silenceMs);
    else if (this.#phase === 'idle') this.#close(now);
  }

  /** False: the connection is none of its. */
  handleTransport(now: InstantMs, input: TransportInput): boolean {
    const canary = [this.#canary, this.#check].find((one) => one?.number === input.connection);
    if (canary === undefined || canary === null) return false;
    const inner: ClientInput =
      input.kind === 'bytes' ? { kind: 'bytes', chunk: input.chunk } : { kind: input.kind };
    canary.client.handleInput(now, inner);
    this.#drain(now, canary);
    return true;
  }

  /** The answer on `$line/alive`. */
  handleAlive(now: InstantMs, body: Uint8Array): void {
    const canary = this.#canary;
    if (this.#phase !== 'asking' || canary === null) return;
    this.#answerDueMs = NEVER;
    const told = readObject(body)?.['canary'];
    if (!isObject(told) || told['silence'] !== canary.silenceMs) {
      // The server knows nothing of it: nothing can be said.
      return this.#conclude(now, { hasArrived: false, isSent: false, isPathThere: false });
    }
    if (told['sent'] !== true && told['open'] === true) {
      // The device was too early: the push comes, and is looked for in the next wake.
      this.#phase = 'silent';
      return;
    }
    this.#phase = 'checking';
    this.#check = this.#open(now, canary.silenceMs);
  }

  /** Lets go of everything; the probe counts for nothing. */
  drop(now: InstantMs): void {
    this.#close(now);
    this.#policy.learner?.dropCanary();
  }

  #look(now: InstantMs): void {
    const canary = this.#canary;
    if (this.#phase !== 'silent' || canary === null) return;
    if (canary.hasArrived) return this.#conclude(now, { hasArrived: true, isSent: true, isPathThere: true });
    this.#phase = 'asking';
    this.#answerDueMs = now.monotonic + (this.#policy.answerMs ?? deviceLimits.keepaliveAnswerMs);
    this.#host.ask(now, lineQuestion(lineTopics.alive, undefined));
  }

  #obey(now: InstantMs, silenceMs: number): void {
    const { learner } = this.#policy;
    const canary = this.#canary;
    if (learner === undefined || this.isBusy) return;
    if (canary?.client.isOpen === true && canary.silenceMs === silenceMs && !canary.hasArrived) {
      // It was opened to show that the network is there, and does for this, too.
      learner.handleOpened({ ...now, monotonic: canary.openedMs });
      this.#phase = 'silent';
      return;
    }
    this.#close(now);
    if (silenceMs > this.#silenceMsMax || now.monotonic < this.#retryMs) return learner.dropCanary();
    this.#phase = 'opening';
    this.#canary = this.#open(now, silenceMs);
  }

  #open(now: InstantMs, silenceMs: number): Canary {
    const { deviceId: clientId, username, password } = this.#host.options;
    const number = this.#host.newConnection();
    const client = new MqttClient(now, {
      clientId,
      username,
      password,
      sessionExpirySeconds: 0,
      receiveMaximum: 1,
      packetBytesMax: CANARY_PACKET_BYTES_MAX,
      connectTimeoutMs: this.#policy.pathMs ?? deviceLimits.pathMs,
      canarySilenceMs: silenceMs,
    });
    this.#host.put({ kind: 'connect', connection: number, role: 'canary' });
    return { number, client, silenceMs, openedMs: now.monotonic, hasArrived: false };
  }

  #drain(now: InstantMs, canary: Canary): void {
    const { client } = canary;
    for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
      this.#handleOutput(now, canary, output);
    }
  }

  #handleOutput(now: InstantMs, canary: Canary, output: ClientOutput): void {
    switch (output.kind) {
      case 'write':
        this.#host.put({ kind: 'write', connection: canary.number, bytes: output.bytes });
        return;
      case 'opened':
        return this.#handleOpened(now, canary);
      case 'message':
        if (output.message.topic === lineTopics.canary) this.#handlePush(now, canary);
        return;
      case 'ended':
        this.#host.put({ kind: 'close', connection: canary.number });
        return this.#handleEnd(now, canary, output.end);
      case 'published':
      case 'subscribed':
      case 'unsubscribed':
        // Answers to what no canary has asked.
        break;
    }
  }

  #handleOpened(now: InstantMs, canary: Canary): void {
    canary.openedMs = now.monotonic;
    if (canary === this.#check) {
      const { hasArrived } = this.#canary!;
      return this.#conclude(now, { hasArrived, isSent: true, isPathThere: true });
    }
    if (this.#phase !== 'opening') return;
    this.#phase = 'silent';
    this.#policy.learner?.handleOpened(now);
  }

  #handlePush(now: InstantMs, canary: Canary): void {
    canary.hasArrived = true;
    if (canary !== this.#canary || (this.#phase !== 'asking' && this.#phase !== 'checking')) return;
    this.#conclude(now, { hasArrived: true, isSent: true, isPathThere: true });
  }

  #handleEnd(now: InstantMs, canary: Canary, end: ClientEnd): void {
    if (end.cause === 'left') return;
    if (canary === this.#check) {
      // The other one is left alone: it may have been taken the place of, which says nothing.
      this.#check = null;
      this.#retryMs = now.monotonic + (this.#policy.canaryRetryMs ?? deviceLimits.canaryRetryMs);
      return this.#conclude(now, { hasArrived: false, isSent: true, isPathThere: false });
    }
    if (this.#phase === 'opening') {
      this.#retryMs = now.monotonic + (this.#policy.canaryRetryMs ?? deviceLimits.canaryRetryMs);
      return this.drop(now);
    }
    // A connection that just ends may have been ended by the network, and is looked at when its time comes. Whatever the server
    // ends, other than by another canary in its place, says nothing about the network.
    if (end.cause !== 'network' && this.#phase !== 'checking' && !canary.hasArrived) this.drop(now);
  }

  #conclude(now: InstantMs, look: Omit<CanaryLook, 'isMainWell'>): void {
    const { learner } = this.#policy;
    const check = this.#check;
    this.#check = null;
    this.#answerDueMs = NEVER;
    this.#close(now);
    // One that was opened for the check may do for the next order.
    this.#canary = check?.client.isOpen === true ? check : null;
    if (check !== null && this.#canary === null) this.#leave(now, check);
    learner?.handleLook(now, look);
    this.#host.handleVerdict(now);
    this.handleMainAnswer(now, 0);
  }

  #close(now: InstantMs): void {
    const canaries = [this.#canary, this.#check];
    this.#canary = null;
    this.#check = null;
    this.#phase = 'idle';
    this.#answerDueMs = NEVER;
    for (const canary of canaries) if (canary !== null) this.#leave(now, canary);
  }

  #leave(now: InstantMs, canary: Canary): void {
    canary.client.handleInput(now, { kind: 'leave' });
    this.#drain(now, canary);
  }
}

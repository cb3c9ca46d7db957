/**
 * The Web Push channels of a device: asks the server for their endpoints on `$line/endpoint` (docs/spec/webpush.md), keeps
 * endpoints and keys, and opens what comes sealed for them. Knows the line only as something to publish with.
 */
import { decodeUtf8, encodeUtf8, toBase64Url } from '@wakeline/core/base';
import { abortReason, throwIfAborted } from '../aborted.js';
import { DeviceError } from '../errors.js';
import { hostLimits } from '../limits.js';
import { checkOptions, flag, signalRules, text, type OptionRules } from '../line/check-options.js';
import type { PushCrypto } from './push-crypto.js';
import {
  decodeSubscriptions,
  encodeSubscriptions,
  keySetsMax,
  makePushKeys,
  openPush,
  type StoredSubscription,
} from './stored-subscription.js';
import type { PushChannels, PushOutcome, PushSubscribeOptions, PushSubscription } from './types.js';

const subscribeRules: OptionRules<PushSubscribeOptions> = {
  ...signalRules,
  applicationServerKey: text,
  renew: flag,
};

const ENDPOINT_TOPIC = '$line/endpoint';
/** A topic of our own, for the answer to what is no channel has no topic of its channel. */
const ANSWER_TOPIC = '$line/endpoint/answer';
/** Refusals that say nothing of the request: the same one may be granted later. */
const passing: ReadonlySet<string> = new Set(['draining', 'hub-away', 'quota-exceeded', 'storage-full']);

/** What is asked of the line. */
export interface PushLink {
  readonly isOnline: boolean;
  /** With QoS 0 on the connection of now. Rejects if there is none. */
  publish(
    topic: string,
    body: string,
    options: { readonly responseTopic: string; readonly correlationData: Uint8Array },
  ): Promise<void>;
}

export interface PushSubscriptionsOptions {
  readonly crypto: PushCrypto | undefined;
  readonly link: PushLink;
  /** Puts the text in the place of the last one. Resolves when it would survive a loss of power; rejects with STORAGE_FAILED. */
  readonly store: (text: string) => Promise<void>;
  /** Resolves when {@link PushSubscriptions.load} was called, or the line is closed. */
  readonly ready: Promise<void>;
}

/** A message as far as it matters here. */
export interface ArrivedMessage {
  readonly channel: string | undefined;
  readonly body: Uint8Array;
  readonly userProperties: readonly (readonly [name: string, value: string])[];
}

/** What the server answers. */
interface Answer {
  readonly endpoint?: unknown;
  readonly ended?: unknown;
  readonly error?: { readonly code?: unknown; readonly message?: unknown };
}

interface Question {
  readonly body: string;
  readonly correlationData: Uint8Array;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

export class PushSubscriptions implements PushChannels {
  readonly #store: PushSubscriptionsOptions['store'];
  readonly #crypto: PushCrypto | undefined;
  readonly #link: PushLink;
  #channels = new Map<string, StoredSubscription>();
  /** By correlation data. */
  readonly #questions = new Map<string, Question>();
  /** One after the other: each begins with what the one before has stored. */
  #last: Promise<unknown>;
  #lastQuestion = 0;
  #closed: DeviceError | undefined;

  constructor({ crypto, link, store, ready }: PushSubscriptionsOptions) {
    this.#crypto = crypto;
    this.#link = link;
    this.#store = store;
    this.#last = ready;
  }

  /** What was stored; before everything else. @throws DeviceError STORAGE_FAILED */
  load(text: string | undefined): void {
    if (text === undefined) return;
    const channels = decodeSubscriptions(text);
    if (channels === undefined) {
      throw new DeviceError('STORAGE_FAILED', 'what is stored of Web Push subscriptions cannot be read back');
    }
    this.#channels = channels;
  }

  async subscribe(channel: string, options: PushSubscribeOptions = {}): Promise<PushSubscription> {
    checkOptions('push.subscribe', options, subscribeRules);
    const crypto = this.#crypto;
    if (crypto === undefined) {
      throw new DeviceError('CRYPTO_MISSING', 'Web Push needs cryptography that is not here');
    }
    return this.#inTurn(options.signal, () => this.#subscribe(crypto, channel, options));
  }

  async unsubscribe(channel: string, options: Pick<PushSubscribeOptions, 'signal'> = {}): Promise<void> {
    checkOptions('push.unsubscribe', options, signalRules);
    const { signal } = options;
    return this.#inTurn(signal, async () => {
      const known = this.#channels.get(channel);
      if (known !== undefined) {
        await this.#keep(channel, { ...known, endpoint: undefined, applicationServerKey: undefined });
      }
      await this.#ask(channel, { channel, end: true }, signal);
    });
  }

  /** The line has a connection, another one than before: what was asked on that one is not answered any more. */
  handleOnline(): void {
    for (const question of this.#questions.values()) this.#send(question);
  }

  /** Whether it was an answer to a question of this object. */
  handleAnswer(topic: string, correlationData: Uint8Array | undefined, body: Uint8Array): boolean {
    if (topic !== ANSWER_TOPIC || correlationData === undefined) return false;
    const id = toBase64Url(correlationData);
    const question = this.#questions.get(id);
    const answer = readAnswer(body);
    if (question === undefined || answer === undefined) return false;
    this.#questions.delete(id);
    question.resolve(answer);
    return true;
  }

  /** Whether the message is one to be opened; others need no waiting. */
  isSealed({ channel, userProperties }: ArrivedMessage): boolean {
    return (
      channel !== undefined &&
      this.#channels.has(channel) &&
      valueOf(userProperties, 'content-encoding') !== undefined
    );
  }

  /** What the sender wrote, or the message as it came and why it cannot be read. Only of one that {@link isSealed}. Never rejects. */
  async open({
    channel,
    body,
    userProperties,
  }: ArrivedMessage): Promise<{ readonly body: Uint8Array; readonly encryption: PushOutcome }> {
    const stored = this.#channels.get(channel ?? '');
    if (this.#crypto === undefined || stored === undefined) return { body, encryption: 'cannot-decrypt' };
    const outcome = await openPush(this.#crypto, stored, {
      body,
      contentEncoding: valueOf(userProperties, 'content-encoding'),
      encryption: valueOf(userProperties, 'encryption'),
      cryptoKey: valueOf(userProperties, 'crypto-key'),
    });
    return typeof outcome === 'string'
      ? { body, encryption: outcome }
      : { body: outcome, encryption: 'opened' };
  }

  /** Whoever waits gets this error. */
  close(error: DeviceError): void {
    this.#closed = error;
    for (const question of this.#questions.values()) question.reject(error);
    this.#questions.clear();
  }

  async #subscribe(
    crypto: PushCrypto,
    channel: string,
    { applicationServerKey, renew = false, signal }: PushSubscribeOptions,
  ): Promise<PushSubscription> {
    const known = this.#channels.get(channel);
    if (known?.endpoint !== undefined && known.applicationServerKey === applicationServerKey && !renew) {
      return subscriptionOf(known);
    }
    this.#makeRoom(channel);
    // Asked for anew, the endpoint of before ends, whether or not the answer reaches us.
    if (known?.endpoint !== undefined) await this.#keep(channel, { ...known, endpoint: undefined });
    const answer = await this.#ask(channel, { channel, key: applicationServerKey }, signal);
    if (typeof answer.endpoint !== 'string') {
      throw new DeviceError('REFUSED', `the server gave no endpoint for '${channel}'`);
    }
    const keys = [await makePushKeys(crypto), ...(known?.keys ?? [])].slice(0, keySetsMax);
    const subscription = { endpoint: answer.endpoint, applicationServerKey, keys };
    await this.#keep(channel, subscription);
    return subscriptionOf(subscription);
  }

  /** @throws DeviceError TOO_MANY */
  #makeRoom(channel: string): void {
    if (this.#channels.has(channel) || this.#channels.size < hostLimits.pushChannelsMax) return;
    const ended = [...this.#channels].find(([, { endpoint }]) => endpoint === undefined);
    if (ended === undefined) {
      throw new DeviceError(
        'TOO_MANY',
        `at most ${hostLimits.pushChannelsMax} channels have an endpoint here`,
      );
    }
    this.#channels.delete(ended[0]);
  }

  /** It holds once it is on disk; before, what held before. */
  async #keep(channel: string, subscription: StoredSubscription): Promise<void> {
    const channels = new Map(this.#channels);
    // The newest last, so that the oldest is the first to be forgotten.
    channels.delete(channel);
    channels.set(channel, subscription);
    await this.#store(encodeSubscriptions(channels));
    this.#channels = channels;
  }

  async #inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const run = async (): Promise<T> => {
      await before;
      throwIfAborted(signal);
      if (this.#closed !== undefined) throw this.#closed;
      return work();
    };
    const result = run();
    this.#last = result.catch(() => {});
    return result;
  }

  async #ask(channel: string, request: object, signal: AbortSignal | undefined): Promise<Answer> {
    this.#lastQuestion += 1;
    const correlationData = encodeUtf8(`wakeline-push-${this.#lastQuestion}`);
    const id = toBase64Url(correlationData);
    let handleAbort: (() => void) | undefined;
    try {
      const answer = await new Promise<Answer>((resolve, reject) => {
        throwIfAborted(signal);
        if (this.#closed !== undefined) throw this.#closed;
        handleAbort = (): void => reject(abortReason(signal!));
        signal?.addEventListener('abort', handleAbort, { once: true });
        const question = { body: JSON.stringify(request), correlationData, resolve, reject };
        this.#questions.set(id, question);
        if (this.#link.isOnline) this.#send(question);
      });
      if (answer.error !== undefined) throw refusalOf(channel, answer.error);
      return answer;
    } finally {
      this.#questions.delete(id);
      if (handleAbort !== undefined) signal?.removeEventListener('abort', handleAbort);
    }
  }

  #send({ body, correlationData }: Question): void {
    // Not sent means that the connection is gone: the next one sends it.
    const options = { responseTopic: ANSWER_TOPIC, correlationData };
    this.#link.publish(ENDPOINT_TOPIC, body, options).catch(() => {});
  }
}

function subscriptionOf({ endpoint, keys }: StoredSubscription): PushSubscription {
  const [{ publicKey, auth }] = keys as readonly [StoredSubscription['keys'][number]];
  return {
    endpoint: endpoint!,
    expirationTime: null,
    keys: { p256dh: toBase64Url(publicKey), auth: toBase64Url(auth) },
  };
}

function refusalOf(channel: string, { code, message }: NonNullable<Answer['error']>): DeviceError {
  const refusal = typeof code === 'string' ? code : 'unknown';
  const text = typeof message === 'string' ? message : refusal;
  return new DeviceError('REFUSED', `no endpoint for '${channel}': ${text}`, {
    refusal,
    retryable: passing.has(refusal),
  });
}

function readAnswer(body: Uint8Array): Answer | undefined {
  try {
    const value: unknown = JSON.parse(decodeUtf8(body, 0, body.length) ?? '');
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function valueOf(
  properties: readonly (readonly [name: string, value: string])[],
  name: string,
): string | undefined {
  return properties.find(([key]) => key === name)?.[1];
}

/** The line of an app: its API over the host of the device's machine. */
import { deviceLimits, type DeviceMessage, type RequestAnswer, type Status } from '@wakeline/core/device';
import { abortReason, throwIfAborted } from '../aborted.js';
import { DeviceError } from '../errors.js';
import { hostLimits } from '../limits.js';
import { PushSubscriptions } from '../push/push-subscriptions.js';
import { CallBook } from './call-book.js';
import { checkHandler, checkOptions, duration, qos, signalRules, type OptionRules } from './check-options.js';
import { parseDuration } from './duration.js';
import { endError } from './end-error.js';
import { errorOf, MachineHost } from './machine-host.js';
import { LineMessage } from './message.js';
import { parseOptions, type LineSettings } from './options.js';
import { Outlet, Reader } from './outlet.js';
import { checkFilter, toPublication } from './publication.js';
import type {
  Call,
  ConsumeOptions,
  HandleOptions,
  Line,
  LineOptions,
  LineParts,
  Message,
  OnlineOptions,
  PublishOptions,
  SubscribeOptions,
} from './types.js';

const INBOX_FILTER = '$line/inbox/#';

/** The longest timer that every platform has. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
const concurrencyMax = deviceLimits.inflightMax;
const handleRules: OptionRules<HandleOptions> = {
  ...signalRules,
  concurrency: {
    is: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= concurrencyMax,
    text: `a whole number from 1 to ${concurrencyMax}`,
  },
};
const onlineRules: OptionRules<OnlineOptions> = { ...signalRules, timeout: duration };
const subscribeRules: OptionRules<SubscribeOptions> = { ...signalRules, qos };

/** Who waits for an answer of the server. */
interface Asked {
  readonly what: string;
  readonly settle: (error: DeviceError | undefined) => void;
}

interface Watcher {
  readonly queue: Status[];
  readonly reader: Reader<Status>;
}

/**
 * Opens a line over parts of the app's own choosing. It connects by itself, now and whenever it has to.
 *
 * @throws DeviceError OPTION_INVALID. What makes a line impossible later is told by `closed`.
 */
export function openLineWith(options: LineOptions, parts: LineParts): Line {
  return new DeviceLine(options, parts);
}

class DeviceLine implements Line {
  readonly closed: Promise<DeviceError | undefined>;
  readonly push: PushSubscriptions;
  readonly #settings: LineSettings;
  readonly #host: MachineHost;
  readonly #platform: LineParts['platform'];
  readonly #messages = new Outlet<LineMessage>('messages');
  readonly #calls: CallBook;
  readonly #watchers = new Set<Watcher>();
  readonly #asked = new Map<number, Asked>();
  readonly #started: Promise<void>;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => void this.close();
  /** Messages that come behind one that is being opened wait with it. */
  #opening: Promise<void> | undefined;
  #isOpen = false;
  #askedBytes = 0;
  #lastTicket = 0;
  #status: Status = { kind: 'stopped' };
  /** Why the last connection ended, or could not be had. */
  #lastEnd: DeviceError | undefined;
  /** The text of a warning that is not said again before the line was online. */
  #warnedOf: string | undefined;
  #closing: Promise<void> | undefined;
  #end: DeviceError | undefined;
  #resolveClosed!: (end: DeviceError | undefined) => void;

  constructor(options: LineOptions, parts: LineParts) {
    this.#settings = parseOptions(options, parts);
    this.#platform = parts.platform;
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    const { keepalive, warn } = this.#settings;
    if (keepalive.warning !== undefined) warn(new DeviceError('KEEPALIVE_COSTLY', keepalive.warning));
    this.#host = new MachineHost(this.#settings, parts, {
      handleStatus: (status) => this.#handleStatus(status),
      handleMessage: (message) => this.#handleMessage(message),
      handleAnswer: (answer) => this.#handleAnswer(answer),
      handleCall: (told, deadlineMs) => this.#calls.handleCall(told, deadlineMs),
      handleCallOver: (told) => this.#calls.handleOver(told),
      handleIntended: (ticket, outcome, reason) => this.#calls.handleIntended(ticket, outcome, reason),
      handleStoredPush: (text) => this.#loadPush(text),
    });
    this.#calls = new CallBook({
      finish: (message, isHandled) => void this.#host.finish(message, isHandled).catch(() => undefined),
      intend: (ticket, call, intent) => this.#host.input({ kind: 'call-intent', ticket, call, intent }),
    });
    let ready!: () => void;
    const isOnline = (): boolean => this.#status.kind === 'online';
    this.push = new PushSubscriptions({
      crypto: parts.crypto,
      link: {
        get isOnline() {
          return isOnline();
        },
        publish: (topic, body, more) => this.publish(topic, body, { qos: 0, ...more }),
      },
      store: (text) => this.#host.storePush(text),
      ready: new Promise((resolve) => (ready = resolve)),
    });
    this.#started = this.#start();
    void this.#started.then(ready);
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#abort);
    if (this.#signal?.aborted === true) this.#abort();
  }

  get status(): Status {
    return this.#status;
  }

  get lastError(): unknown {
    const end = this.#lastEnd;
    return end?.code === 'NOT_CONNECTED' && end.cause !== undefined ? end.cause : end;
  }

  get windowEnd(): Date | undefined {
    return this.#host.windowEnd;
  }

  statuses(options: ConsumeOptions = {}): AsyncIterableIterator<Status> {
    checkOptions('statuses', options, signalRules);
    return this.#read(options.signal);
  }

  async online(options: OnlineOptions = {}): Promise<void> {
    checkOptions('online', options, onlineRules);
    const { signal, timeout } = options;
    const timeoutMs =
      timeout === undefined ? undefined : parseDuration(timeout, 'timeout', 1, TIMEOUT_MS_MAX);
    throwIfAborted(signal);
    const loop = this.#read(signal);
    let isLate = false;
    const late = (): void => {
      isLate = true;
      loop.end();
    };
    const clear = timeoutMs === undefined ? undefined : this.#platform.setTimer(late, timeoutMs);
    try {
      for await (const status of loop) {
        if (status.kind === 'online') return;
        if (status.kind === 'refused') throw this.#lastEnd!;
      }
    } finally {
      clear?.();
    }
    throwIfAborted(signal);
    throw isLate ? this.#lateError(timeoutMs!) : this.#closedError();
  }

  messages(options: ConsumeOptions = {}): AsyncIterableIterator<Message> {
    checkOptions('messages', options, signalRules);
    return this.#messages.read(options.signal);
  }

  onMessage(handler: (message: Message) => void | Promise<void>, options: HandleOptions = {}): void {
    checkHandler('onMessage', handler);
    checkOptions('onMessage', options, handleRules);
    const { concurrency = 1, signal } = options;
    const handle = async (message: LineMessage): Promise<void> => {
      try {
        await handler(message);
      } catch (error) {
        this.#warnOfHandler(`the handler of a message on ${message.topic}`, error);
        return message.giveBack();
      }
      // What is not stored any more comes again, and nobody is to be told.
      void message.ack();
    };
    this.#messages.handle(handle, concurrency, signal);
  }

  calls(options: ConsumeOptions = {}): AsyncIterableIterator<Call> {
    checkOptions('calls', options, signalRules);
    return this.#calls.outlet.read(options.signal);
  }

  onCall(handler: (call: Call) => void | Promise<void>, options: ConsumeOptions = {}): void {
    checkHandler('onCall', handler);
    checkOptions('onCall', options, signalRules);
    const handle = async (call: Call): Promise<void> => {
      try {
        await handler(call);
        call.ack();
      } catch (error) {
        this.#warnOfHandler(`the handler of call ${call.id}`, error);
      }
    };
    this.#calls.outlet.handle(handle, hostLimits.callsWaitingMax, options.signal);
  }

  async subscribe(filter: string, options: SubscribeOptions = {}): Promise<void> {
    checkFilter(filter);
    checkOptions('subscribe', options, subscribeRules);
    const { signal } = options;
    await this.#ask(`to subscribe to ${filter}`, 0, signal, (ticket) =>
      this.#host.input({ kind: 'subscribe', ticket, filter, qos: options.qos ?? 1 }),
    );
  }

  async publish(topic: string, body: string | Uint8Array, options: PublishOptions = {}): Promise<void> {
    const publication = toPublication(topic, body, options);
    const { length } = publication.body;
    const isTooMuch =
      publication.qos === 0
        ? this.#host.unsentBytes + length > hostLimits.unsentBytesMax
        : this.#askedBytes + length > hostLimits.publicationBytesMax;
    if (isTooMuch) {
      throw new DeviceError('TOO_MANY', `to publish to ${topic}: too many bytes wait`, { retryable: true });
    }
    await this.#ask(`to publish to ${topic}`, publication.qos === 0 ? 0 : length, options.signal, (ticket) =>
      this.#host.input({ kind: 'publish', ticket, publication }),
    );
  }

  retry(): void {
    if (this.#closing === undefined) this.#host.input({ kind: 'start' });
  }

  close(): Promise<void> {
    this.#closing ??= this.#stop();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    try {
      await this.#host.start();
      this.#isOpen = true;
    } catch (error) {
      // The app has closed it before it was open.
      if (this.#closing !== undefined) return;
      const end =
        error instanceof DeviceError
          ? error
          : new DeviceError('STORAGE_FAILED', 'the storage cannot be opened', { cause: error });
      this.#end = end;
      this.#settings.warn(end);
      void this.close();
      return;
    }
    if (this.#settings.inbox) void this.#subscribeInbox();
  }

  async #subscribeInbox(): Promise<void> {
    try {
      await this.subscribe(INBOX_FILTER);
    } catch (error) {
      if (error instanceof DeviceError && error.code !== 'CLOSED') this.#settings.warn(error);
    }
  }

  async #stop(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#abort);
    // One that waits for its turn waits no longer.
    if (!this.#isOpen) await this.#host.giveUp();
    await this.#started;
    await this.#host.stop();
    for (const ticket of this.#asked.keys()) this.#handleAnswer({ ticket, outcome: 'stopped' });
    this.push.close(this.#closedError());
    this.#messages.end();
    this.#calls.end();
    for (const { reader } of this.#watchers) reader.finish();
    this.#watchers.clear();
    this.#resolveClosed(this.#end);
  }

  #read(signal: AbortSignal | undefined): Reader<Status> {
    const queue = [this.#status];
    const reader = new Reader(queue, signal, () => this.#watchers.delete(watcher));
    const watcher: Watcher = { queue, reader };
    if (this.#closing !== undefined) reader.end();
    else if (signal?.aborted !== true) this.#watchers.add(watcher);
    return reader;
  }

  #handleStatus(status: Status): void {
    const wasOnline = this.#status.kind === 'online';
    this.#status = status;
    if (status.kind === 'online') {
      this.#warnedOf = undefined;
      this.push.handleOnline();
    } else if (status.kind === 'waiting' || status.kind === 'refused') this.#handleEnd(status, wasOnline);
    for (const { queue, reader } of this.#watchers) {
      queue.push(status);
      if (queue.length > hostLimits.statusesWaitingMax) queue.shift();
      reader.serve();
    }
  }

  #handleEnd({ kind, end }: Extract<Status, { kind: 'waiting' | 'refused' }>, wasOnline: boolean): void {
    const error = endError(end, this.#settings.url, this.#host.lastError, wasOnline);
    this.#lastEnd = error;
    // Nothing more will come of a line that is refused by itself, and hardly of one whose URL is wrong: an app that does not look at the
    // status must hear of it, once.
    if (kind === 'refused') this.#settings.warn(error);
    else if (error.code === 'NOT_MQTT' && this.#warnedOf !== error.message) {
      this.#warnedOf = error.message;
      this.#settings.warn(error);
    }
  }

  #handleMessage(message: DeviceMessage): void {
    const arrived = new LineMessage(message, (finished, isHandled) => this.#host.finish(finished, isHandled));
    const { topic, correlationData, body } = arrived;
    if (this.push.handleAnswer(topic, correlationData, body)) return void arrived.ack();
    const isSealed = this.push.isSealed(arrived);
    if (!isSealed && this.#opening === undefined) return this.#messages.put(arrived);
    const before = this.#opening;
    const opening = this.#open(arrived, isSealed, before).finally(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    this.#opening = opening;
  }

  async #open(message: LineMessage, isSealed: boolean, before: Promise<void> | undefined): Promise<void> {
    const opened = isSealed ? await this.push.open(message) : undefined;
    await before;
    if (opened !== undefined) message.setOpened(opened.body, opened.encryption);
    this.#messages.put(message);
  }

  #loadPush(text: string | undefined): void {
    try {
      this.push.load(text);
    } catch (error) {
      this.#settings.warn(error as DeviceError);
    }
  }

  async #ask(
    what: string,
    bytes: number,
    signal: AbortSignal | undefined,
    say: (ticket: number) => void,
  ): Promise<void> {
    throwIfAborted(signal);
    this.#askedBytes += bytes;
    try {
      await this.#started;
      if (this.#closing !== undefined) throw this.#closedError();
      throwIfAborted(signal);
      await this.#answered(what, signal, say);
    } finally {
      this.#askedBytes -= bytes;
    }
  }

  #answered(what: string, signal: AbortSignal | undefined, say: (ticket: number) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const ticket = (this.#lastTicket += 1);
      const abort = (): void => {
        this.#asked.delete(ticket);
        reject(abortReason(signal!));
      };
      signal?.addEventListener('abort', abort, { once: true });
      const settle = (error: DeviceError | undefined): void => {
        signal?.removeEventListener('abort', abort);
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#asked.set(ticket, { what, settle });
      say(ticket);
    });
  }

  #handleAnswer(answer: RequestAnswer): void {
    const asked = this.#asked.get(answer.ticket);
    this.#asked.delete(answer.ticket);
    asked?.settle(errorOf(asked.what, answer));
  }

  #warnOfHandler(what: string, cause: unknown): void {
    const text = cause instanceof Error ? cause.message : String(cause);
    this.#settings.warn(new DeviceError('HANDLER_FAILED', `${what} threw: ${text}`, { cause }));
  }

  #lateError(timeoutMs: number): DeviceError {
    const last = this.#lastEnd;
    const { kind } = this.#status;
    const why = kind === 'offline' ? 'there is no network' : (last?.message ?? 'nothing has answered yet');
    return new DeviceError('NOT_CONNECTED', `not connected within ${timeoutMs} ms: ${why}`, {
      cause: kind === 'offline' ? undefined : last,
      retryable: true,
      reason: last?.reason,
    });
  }

  #closedError(): DeviceError {
    return this.#end ?? new DeviceError('CLOSED', 'the line is closed');
  }
}

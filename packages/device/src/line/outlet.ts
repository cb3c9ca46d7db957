/**
 * From what comes in to whoever takes it: a queue with one taker at a time, a loop or a handler. It is not bounded here:
 * whoever puts something in knows how much may wait.
 */
import { DeviceError } from '../errors.js';

type Result<T> = IteratorResult<T, undefined>;

/** A loop over a queue that others fill; ends by `return`, by its signal, or with the queue. */
export class Reader<T> implements AsyncIterableIterator<T> {
  readonly #queue: T[];
  readonly #signal: AbortSignal | undefined;
  readonly #onDone: () => void;
  readonly #asked: ((result: Result<T>) => void)[] = [];
  readonly #abort = (): void => this.end();
  #isDone = false;
  #isLast = false;

  constructor(queue: T[], signal: AbortSignal | undefined, onDone: () => void) {
    this.#queue = queue;
    this.#signal = signal;
    this.#onDone = onDone;
    signal?.addEventListener('abort', this.#abort);
    if (signal?.aborted === true) this.end();
  }

  next(): Promise<Result<T>> {
    if (this.#isLast && this.#queue.length === 0) this.end();
    if (this.#isDone) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.serve();
    });
  }

  return(): Promise<Result<T>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Something was put into the queue. */
  serve(): void {
    while (this.#asked.length > 0 && this.#queue.length > 0) {
      this.#asked.shift()!({ done: false, value: this.#queue.shift()! });
    }
  }

  /** Nothing more is put into the queue: the loop ends behind what is in it. */
  finish(): void {
    this.#isLast = true;
    if (this.#asked.length > 0) this.end();
  }

  end(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const resolve of this.#asked.splice(0)) resolve({ done: true, value: undefined });
    this.#onDone();
  }
}

export class Outlet<T> {
  readonly #name: string;
  readonly #waiting: T[] = [];
  #reader: Reader<T> | undefined;
  #isEnded = false;

  /** @param name of what comes, for the error. */
  constructor(name: string) {
    this.#name = name;
  }

  get size(): number {
    return this.#waiting.length;
  }

  put(value: T): void {
    if (this.#isEnded) return;
    this.#waiting.push(value);
    this.#reader?.serve();
  }

  /** Takes out what waits and is not to be taken any more. */
  remove(isGone: (value: T) => boolean): void {
    const kept = this.#waiting.filter((value) => !isGone(value));
    this.#waiting.splice(0, this.#waiting.length, ...kept);
  }

  /** Drops what waits, and ends the loop. */
  end(): void {
    this.#isEnded = true;
    this.#waiting.length = 0;
    this.#reader?.end();
  }

  /** @throws DeviceError CONSUMER_TAKEN */
  read(signal: AbortSignal | undefined): Reader<T> {
    if (this.#reader !== undefined) {
      throw new DeviceError('CONSUMER_TAKEN', `the ${this.#name} of this line go to somebody already`);
    }
    let isOver = false;
    const reader = new Reader(this.#waiting, signal, () => {
      isOver = true;
      if (this.#reader === reader) this.#reader = undefined;
    });
    if (this.#isEnded) reader.end();
    // A signal that was aborted before has ended it at once.
    else if (!isOver) this.#reader = reader;
    return reader;
  }

  /**
   * Gives each to the handler, at most so many at the same time.
   *
   * @param handler never throws or rejects.
   * @throws DeviceError CONSUMER_TAKEN
   */
  handle(handler: (value: T) => Promise<void>, concurrency: number, signal: AbortSignal | undefined): void {
    const reader = this.read(signal);
    const work = async (): Promise<void> => {
      for (let next = await reader.next(); next.done !== true; next = await reader.next()) {
        await handler(next.value);
      }
    };
    for (let index = 0; index < concurrency; index += 1) void work();
  }
}

/**
 * Who waits for the stage of a message to change. A change is noted when it happens and told after the next commit,
 * since what is told must be on disk.
 */
import { DeadlineHeap } from '../base/deadline-heap.js';
import type { Limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import { messageIdText } from './receipts.js';

export interface Watcher {
  readonly messageId: string;
  /** Tells the asker; called once. */
  readonly answer: () => void;
}

export class MessageWatchers {
  readonly #limits: Limits;
  readonly #byMessage = new Map<string, Watcher[]>();
  /** Monotonic ms. */
  readonly #deadlines = new DeadlineHeap<Watcher>();
  /** Messages whose stage has changed since the last commit. */
  readonly #changed = new Set<string>();
  #count = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get isFull(): boolean {
    return this.#count >= this.#limits.messageWatchersMax;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Monotonic ms of the first deadline. */
  get nextMs(): number {
    return this.#deadlines.nextMs;
  }

  add(watcher: Watcher, dueMs: number): void {
    const others = this.#byMessage.get(watcher.messageId);
    if (others === undefined) this.#byMessage.set(watcher.messageId, [watcher]);
    else others.push(watcher);
    this.#count++;
    this.#deadlines.add(dueMs, watcher);
  }

  /** The message is at another stage. */
  note(messageId: Uint8Array): void {
    if (this.#count > 0) this.#changed.add(messageIdText(messageId));
  }

  /** What was noted is on disk. */
  committed(): void {
    if (this.#changed.size === 0) return;
    for (const messageId of this.#changed) {
      const watchers = this.#byMessage.get(messageId) ?? [];
      this.#byMessage.delete(messageId);
      this.#count -= watchers.length;
      for (const { answer } of watchers) answer();
    }
    this.#changed.clear();
    if (this.#count === 0) this.#deadlines.clear();
  }

  /** Nobody waits any longer. */
  answerAll(): void {
    for (const watchers of this.#byMessage.values()) for (const { answer } of watchers) answer();
    this.#byMessage.clear();
    this.#changed.clear();
    this.#deadlines.clear();
    this.#count = 0;
  }

  handleTimeout(now: InstantMs): void {
    for (;;) {
      const watcher = this.#deadlines.takeDue(now.monotonic);
      if (watcher === undefined) return;
      const watchers = this.#byMessage.get(watcher.messageId);
      const index = watchers?.indexOf(watcher) ?? -1;
      if (watchers === undefined || index < 0) continue;
      watchers.splice(index, 1);
      if (watchers.length === 0) this.#byMessage.delete(watcher.messageId);
      this.#count--;
      watcher.answer();
    }
  }
}

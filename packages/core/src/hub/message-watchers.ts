/**
 * Who waits for the stage of a message to change. A change is noted when it happens and told after the next commit,
 * since what is told must be on disk. Each address has a share of the places, and an asker who leaves gives its own back.
 */
import { DeadlineHeap } from '../base/deadline-heap.js';
import type { Limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import { messageIdText } from './receipts.js';

export interface Watcher {
  readonly messageId: string;
  /** Names it for {@link MessageWatchers.end}; no two that wait have the same. */
  readonly watchId: string;
  /** What it is counted by. */
  readonly addressKey: string;
  /** Monotonic ms. */
  readonly dueMs: number;
  /** Tells the asker; called once. */
  readonly answer: () => void;
}

/** Deadlines of watchers that are gone, kept until they are more than this and than those of the others. */
const GONE_MAX = 1_000;

export class MessageWatchers {
  readonly #limits: Limits;
  readonly #byId = new Map<string, Watcher>();
  readonly #byMessage = new Map<string, Set<Watcher>>();
  readonly #countByAddress = new Map<string, number>();
  readonly #deadlines = new DeadlineHeap<Watcher>();
  /** Messages whose stage has changed since the last commit. */
  readonly #changed = new Set<string>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Whether another one of the address has a place. */
  hasRoom(addressKey: string): boolean {
    const ofAddress = this.#countByAddress.get(addressKey) ?? 0;
    return (
      this.#byId.size < this.#limits.messageWatchersMax &&
      ofAddress < this.#limits.messageWatchersPerAddressMax
    );
  }

  get isEmpty(): boolean {
    return this.#byId.size === 0;
  }

  /** Monotonic ms of the first deadline. */
  get nextMs(): number {
    return this.#deadlines.nextMs;
  }

  /** Deadlines that are remembered. */
  get deadlineCount(): number {
    return this.#deadlines.size;
  }

  /** False: one with this name waits already. Ask {@link hasRoom} before. */
  add(watcher: Watcher): boolean {
    const { messageId, watchId, addressKey, dueMs } = watcher;
    if (this.#byId.has(watchId)) return false;
    this.#byId.set(watchId, watcher);
    const others = this.#byMessage.get(messageId);
    if (others === undefined) this.#byMessage.set(messageId, new Set([watcher]));
    else others.add(watcher);
    this.#countByAddress.set(addressKey, (this.#countByAddress.get(addressKey) ?? 0) + 1);
    this.#deadlines.add(dueMs, watcher);
    return true;
  }

  /** The message is at another stage. */
  note(messageId: Uint8Array): void {
    if (!this.isEmpty) this.#changed.add(messageIdText(messageId));
  }

  /** What was noted is on disk. */
  committed(): void {
    if (this.#changed.size === 0) return;
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const messageId of changed)
      for (const watcher of this.#byMessage.get(messageId) ?? []) this.#answer(watcher);
  }

  /** The asker of this one has left, or wants no more: it is answered at once. */
  end(watchId: string): void {
    const watcher = this.#byId.get(watchId);
    if (watcher !== undefined) this.#answer(watcher);
  }

  /** Nobody waits any longer. */
  answerAll(): void {
    for (const watcher of this.#byId.values()) this.#answer(watcher);
    this.#changed.clear();
  }

  handleTimeout(now: InstantMs): void {
    for (;;) {
      const watcher = this.#deadlines.takeDue(now.monotonic);
      if (watcher === undefined) return;
      if (this.#byId.get(watcher.watchId) === watcher) this.#answer(watcher);
    }
  }

  #answer(watcher: Watcher): void {
    const { messageId, watchId, addressKey, answer } = watcher;
    this.#byId.delete(watchId);
    const others = this.#byMessage.get(messageId);
    others?.delete(watcher);
    if (others?.size === 0) this.#byMessage.delete(messageId);
    const left = this.#countByAddress.get(addressKey)! - 1;
    if (left === 0) this.#countByAddress.delete(addressKey);
    else this.#countByAddress.set(addressKey, left);
    this.#forgetDeadlines();
    answer();
  }

  /** Deadlines cannot be taken out one by one: when most are of watchers that are gone, the others are put in anew. */
  #forgetDeadlines(): void {
    const waiting = this.#byId.size;
    if (waiting > 0 && this.#deadlines.size - waiting <= Math.max(GONE_MAX, waiting)) return;
    this.#deadlines.clear();
    for (const watcher of this.#byId.values()) this.#deadlines.add(watcher.dueMs, watcher);
  }
}

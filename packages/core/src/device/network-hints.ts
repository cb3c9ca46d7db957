/**
 * Asks the server once what it knows of a network that is new here (`$line/network`), and tells it what was learned. The rule is
 * [SD-13] of docs/spec/device.md. Sends nothing: it says what is to be asked.
 */
import { NEVER } from '../base/index.js';
import type { ClientPublication } from '../session/mqtt-client/index.js';
import type { NetworkLearner } from './keepalive/index.js';
import { deviceLimits } from './limits.js';
import { lineQuestion, lineTopics, readObject } from './line-topics.js';

export class NetworkHints {
  readonly #learner: NetworkLearner;
  readonly #answerMs: number;
  /** Monotonic ms; NEVER: no hint is awaited. */
  #answerDueMs = NEVER;
  /** Networks that were asked about in this life of the app. */
  readonly #asked = new Set<string>();
  /** Networks of which the server has not been told the last that was learned. */
  readonly #untold = new Set<string>();

  constructor(learner: NetworkLearner, answerMs: number = deviceLimits.keepaliveAnswerMs) {
    this.#learner = learner;
    this.#answerMs = answerMs;
  }

  /** Until it is there, nothing is tried on this network. */
  get isAwaiting(): boolean {
    return this.#answerDueMs !== NEVER;
  }

  nextTimeoutMs(): number {
    return this.#answerDueMs;
  }

  /** True: no hint has come, and none is awaited any more. */
  handleTimeout(nowMs: number): boolean {
    if (nowMs < this.#answerDueMs) return false;
    this.#answerDueMs = NEVER;
    return true;
  }

  /** No answer will come any more on the connection that there was. */
  handleLost(): void {
    this.#answerDueMs = NEVER;
  }

  /** The main connection is open, and the network has a name: one of the two is new. What to say; undefined: nothing. */
  handleNamed(nowMs: number, key: string): ClientPublication | undefined {
    if (this.#untold.has(key)) return this.#report(key);
    if (this.#learner.isLearned(key) || this.#asked.has(key)) return undefined;
    if (this.#asked.size >= deviceLimits.networksMax) this.#asked.clear();
    this.#asked.add(key);
    this.#answerDueMs = nowMs + this.#answerMs;
    return lineQuestion(lineTopics.network, { network: key });
  }

  /** Something was learned of a network that has a name. What to say. */
  handleLearned(key: string): ClientPublication | undefined {
    if (this.#untold.size >= deviceLimits.networksMax) this.#untold.clear();
    this.#untold.add(key);
    return this.#report(key);
  }

  /** The server has answered. True: a hint was awaited. */
  handleAnswer(key: string, body: Uint8Array): boolean {
    const answer = readObject(body);
    // Of another network, or it says why there is no answer.
    if (answer === undefined || answer['network'] !== key) return false;
    this.#untold.delete(key);
    const wasAwaiting = this.isAwaiting;
    this.#answerDueMs = NEVER;
    const hint = answer['hint'];
    if (typeof hint === 'number' && hint > 0) this.#learner.handleHint(key, hint);
    return wasAwaiting;
  }

  #report(key: string): ClientPublication | undefined {
    const known = this.#learner.knowledge[key];
    if (known === undefined) return undefined;
    const { lowMs, highMs } = known;
    const low = Math.floor(lowMs);
    return lineQuestion(lineTopics.network, {
      network: key,
      low,
      ...(highMs !== undefined && { high: Math.ceil(highMs) }),
    });
  }
}

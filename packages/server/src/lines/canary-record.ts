/** What a line process remembers of a canary, so that the next hub can take it up: how long it has been silent. */
import type { FlowId, LinkCommand, LinkEvent } from '@wakeline/core/domain';
import type { Clock } from '../runtime/clock.js';
import { FlowRecord } from './flow-record.js';

type Canary = Extract<LinkCommand, { kind: 'canary' }>;

export class CanaryRecord extends FlowRecord {
  readonly #clock: Clock;
  readonly #clientId: string;
  readonly #silenceMs: number;
  /** Monotonic ms of `opened`. */
  #openedMs = 0;
  #isSent = false;

  constructor(flow: FlowId, canary: Canary, clock: Clock) {
    super(flow, { ...canary, receiveMaximum: 1 });
    this.#clock = clock;
    this.#clientId = canary.clientId;
    this.#silenceMs = canary.silenceMs;
  }

  override noteEvent(event: LinkEvent): void {
    super.noteEvent(event);
    if (event.kind === 'opened') this.#openedMs = this.#clock().monotonic;
    else if (event.kind === 'canary-due') this.#isSent = true;
  }

  /** The command that has a new hub take it up. */
  resumeCanary(): Canary {
    const { link, peer, identity } = this;
    return {
      kind: 'canary',
      link,
      peer,
      identity,
      clientId: this.#clientId,
      silenceMs: this.#silenceMs,
      resumed: { elapsedMs: this.#clock().monotonic - this.#openedMs, isSent: this.#isSent },
    };
  }
}

/** Calls of a line, as an app gets them: the test says how they end. */
import type { Call, CallOutcome } from '../../../src/line/types.js';

export class FakeCall implements Call {
  readonly id: string;
  kind: Call['kind'] = 'call';
  readonly aor = 'sip:bob@example.org';
  readonly sipCallId = undefined;
  readonly started = new Date();
  readonly reason = undefined;
  end: Call['end'];
  isAcknowledged = false;
  readonly from: string | undefined;
  readonly fromName: string | undefined;
  readonly deadline = new Date(Date.now() + 30_000);
  /** What the app said of it. */
  readonly said: string[] = [];
  outcome: CallOutcome | Error = 'done';
  readonly #over = new AbortController();

  constructor(id: string, from?: string, fromName?: string) {
    this.id = id;
    this.from = from;
    this.fromName = fromName;
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  hangUp(): void {
    this.end = 'cancelled';
    this.#over.abort(this.end);
  }

  ack(): void {
    this.isAcknowledged = true;
  }

  answer(): Promise<CallOutcome> {
    return this.#say('answer');
  }

  decline(): Promise<CallOutcome> {
    return this.#say('decline');
  }

  async #say(intent: string): Promise<CallOutcome> {
    this.said.push(intent);
    if (this.outcome instanceof Error) throw this.outcome;
    return this.outcome;
  }
}

/** A line that gives calls to its one handler. */
export class FakeLine {
  #handler: ((call: Call) => void | Promise<void>) | undefined;

  onCall(handler: (call: Call) => void | Promise<void>): void {
    this.#handler = handler;
  }

  /** Resolves when the handler is done with it. */
  async ring(call: Call): Promise<void> {
    await this.#handler!(call);
  }
}

/** Lets what was begun go on as far as it can. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Requests to the hub that wait for their reply, and those that wait to be asked while the hub has enough. */
import type { ControlReply, ControlRequest, Refusal } from '@wakeline/core/domain';
import type { HubRequest } from '../http/options.js';

export class RequestDesk {
  readonly #waiting = new Map<number, (reply: ControlReply) => void>();
  readonly #waitingMax: number;
  #held: ControlRequest[] = [];
  #lastTicket = 0;

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /** Gives the request its ticket and hands it to `ask`; resolves with its reply. */
  open(request: HubRequest, ask: (request: ControlRequest) => void): Promise<ControlReply> {
    const ticket = ++this.#lastTicket;
    if (this.#waiting.size >= this.#waitingMax) return Promise.resolve(refused(ticket, 'quota-exceeded'));
    return new Promise((resolve) => {
      this.#waiting.set(ticket, resolve);
      ask({ ...request, ticket });
    });
  }

  /** Asks later: see {@link release}. */
  hold(request: ControlRequest): void {
    this.#held.push(request);
  }

  /** Asks what was held, oldest first, as long as `mayAsk`. */
  release(mayAsk: () => boolean, ask: (request: ControlRequest) => void): void {
    let asked = 0;
    while (asked < this.#held.length && mayAsk()) ask(this.#held[asked++]!);
    if (asked > 0) this.#held = this.#held.slice(asked);
  }

  reply(reply: ControlReply): void {
    const resolve = this.#waiting.get(reply.ticket);
    this.#waiting.delete(reply.ticket);
    resolve?.(reply);
  }

  /** Whoever still waits is told that the server leaves. */
  close(): void {
    for (const [ticket, resolve] of this.#waiting) resolve(refused(ticket, 'draining'));
    this.#waiting.clear();
    this.#held = [];
  }
}

export function refused(ticket: number, reason: Refusal): ControlReply {
  return { kind: 'refused', ticket, reason };
}

/** What the hub has to say in this turn: events by flow, replies to requests. */
import type { ControlReply } from '../domain/control.js';
import type { LinkEvent } from '../domain/link.js';
import type { Flow } from './device-state.js';
import type { HubOutput } from './machine.js';

export class Outbox {
  readonly #flows: Flow[] = [];
  readonly #others: HubOutput[] = [];

  /** Events of one flow leave together, in order. */
  push(flow: Flow, event: LinkEvent): void {
    if (flow.events.length === 0) this.#flows.push(flow);
    flow.events.push(event);
  }

  /** An event for a flow that has no state here, e.g. because it was refused. */
  pushBare(flow: number, event: LinkEvent): void {
    this.#others.push({ kind: 'link', flow, events: [event] });
  }

  reply(reply: ControlReply): void {
    this.#others.push({ kind: 'reply', reply });
  }

  poll(): HubOutput | undefined {
    const other = this.#others.shift();
    if (other !== undefined) return other;
    const flow = this.#flows.pop();
    if (flow === undefined) return undefined;
    const { events } = flow;
    flow.events = [];
    return { kind: 'link', flow: flow.id, events };
  }
}

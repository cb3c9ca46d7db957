/** What the hub has to say in this turn: events by flow, replies to requests. */
import type { CallEvent, WakeRequest } from '../domain/call.js';
import type { ControlReply } from '../domain/control.js';
import type { LinkEvent } from '../domain/link.js';
import type { Flow } from './device-state.js';
import type { HubOutput } from './machine.js';

export class Outbox {
  /** Those with events, in the order of their first; those before `#flowsStart` are polled. */
  #flows: Flow[] = [];
  #flowsStart = 0;
  readonly #others: HubOutput[] = [];
  #callEvents: CallEvent[] = [];
  /** Events collected and not polled. */
  count = 0;
  /** Bytes of QoS 0 bodies among them. */
  bytes = 0;

  /** Events of one flow leave together, in order. */
  push(flow: Flow, event: LinkEvent): void {
    if (flow.events === null) {
      flow.events = { list: [event], bodyBytes: 0 };
      this.#flows.push(flow);
    } else flow.events.list.push(event);
    this.count++;
  }

  /** A QoS 0 delivery: what it weighs is counted until it is polled. */
  pushBody(flow: Flow, event: LinkEvent, bytes: number): void {
    this.push(flow, event);
    flow.events!.bodyBytes += bytes;
    this.bytes += bytes;
  }

  /** An event for a flow that has no state here, e.g. because it was refused. */
  pushBare(flow: number, event: LinkEvent): void {
    this.#others.push({ kind: 'link', flow, events: [event] });
  }

  reply(reply: ControlReply): void {
    this.#others.push({ kind: 'reply', reply });
  }

  /** Said to the SIP stack, in order. */
  call(event: CallEvent): void {
    this.#callEvents.push(event);
  }

  /** What was said to the SIP stack until now leaves as an output of its own. */
  closeCallEvents(): void {
    if (this.#callEvents.length === 0) return;
    this.#others.push({ kind: 'calls', events: this.#callEvents });
    this.#callEvents = [];
  }

  wake(wake: WakeRequest): void {
    this.#others.push({ kind: 'wake', wake });
  }

  poll(): HubOutput | undefined {
    const other = this.#others.shift();
    if (other !== undefined) return other;
    if (this.#callEvents.length > 0) {
      const events = this.#callEvents;
      this.#callEvents = [];
      return { kind: 'calls', events };
    }
    if (this.#flowsStart === this.#flows.length) {
      if (this.#flowsStart > 0) this.#flows = [];
      this.#flowsStart = 0;
      return undefined;
    }
    const flow = this.#flows[this.#flowsStart++];
    const { list, bodyBytes } = flow.events!;
    flow.events = null;
    this.count -= list.length;
    this.bytes -= bodyBytes;
    return { kind: 'link', flow: flow.id, events: list };
  }
}

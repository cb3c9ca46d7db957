/**
 * What a line process remembers of a connection, so that the next hub can take it up: who it is, what was sent on it
 * and not acknowledged, and whether the device waits for an answer. Knows no protocol: commands and events tell all.
 */
import type { DeviceState, FlowId, Identity, LinkCommand, LinkEvent } from '@wakeline/core/domain';

type Open = Extract<LinkCommand, { kind: 'open' }>;
type Resume = Extract<LinkCommand, { kind: 'resume' }>;

export class FlowRecord {
  readonly flow: FlowId;
  readonly link: Open['link'];
  readonly peer: string;
  readonly identity: Identity;
  readonly receiveMaximum: number;
  /** The hub let the device in, now or before it was started anew. */
  isOpened = false;
  deviceId = '';
  /** A character for each byte: less memory than an array. */
  #epoch = '';
  #lastSequence = 0;
  /** Requests that the hub was given and has not answered. */
  unanswered = 0;
  isWritable = true;
  /** Sent and not acknowledged. null: none. */
  #sent: Set<number> | null = null;
  /** PUBREL is out. null: none. */
  #released: Set<number> | null = null;
  /** PUBREC was given to the hub, PUBREL has not come. null: none. */
  #awaited: Set<number> | null = null;
  /** What the device last said it is doing. */
  #state: DeviceState | undefined = undefined;
  /** Commands that wait for a hub, oldest first. null: none. */
  held: LinkCommand[] | null = null;
  heldBytes = 0;

  constructor(flow: FlowId, open: Pick<Open, 'link' | 'peer' | 'identity' | 'receiveMaximum'>) {
    this.flow = flow;
    this.link = open.link;
    this.peer = open.peer;
    this.identity = open.identity;
    this.receiveMaximum = open.receiveMaximum;
  }

  /** The command is being given to the hub. */
  noteCommand(command: LinkCommand, recent: RecentAcknowledgements, nowMs: number): void {
    switch (command.kind) {
      case 'open':
      case 'canary':
      case 'release':
      case 'subscribe':
      case 'unsubscribe':
        this.unanswered += 1;
        return;
      case 'register':
      case 'unregister':
      case 'ask':
        this.unanswered += command.qos > 0 ? 2 : 1;
        return;
      case 'publish':
        if (command.publication.qos > 0) this.unanswered += 1;
        return;
      case 'state':
        if (command.qos > 0) this.unanswered += 1;
        this.#state = command.state;
        return;
      case 'acknowledge':
      case 'fail':
        this.#sent = without(this.#sent, command.sequence);
        recent.add(nowMs, this.flow, command.sequence, false);
        return;
      case 'received':
        this.#noteReceived(command.sequence);
        return;
      case 'complete':
        this.#released = without(this.#released, command.sequence);
        recent.add(nowMs, this.flow, command.sequence, true);
        return;
      case 'writable':
        this.isWritable = command.writable;
        break;
      case 'awake':
      case 'resume':
      case 'close':
    }
  }

  /** What the hub does not know it does not answer. */
  #noteReceived(sequence: number): void {
    const isAwaited = this.#awaited?.has(sequence) === true;
    const isKnown = this.#sent?.has(sequence) === true || this.#released?.has(sequence) === true;
    if (isAwaited || !isKnown) return;
    this.#sent = without(this.#sent, sequence);
    this.#released = without(this.#released, sequence);
    (this.#awaited ??= new Set()).add(sequence);
    this.unanswered += 1;
  }

  /** The event came from the hub. */
  noteEvent(event: LinkEvent): void {
    switch (event.kind) {
      case 'deliver': {
        const { sequence } = event.delivery;
        if (sequence === 0) return;
        (this.#sent ??= new Set()).add(sequence);
        if (sequence > this.#lastSequence) this.#lastSequence = sequence;
        return;
      }
      case 'opened':
        this.unanswered -= 1;
        this.isOpened = true;
        this.deviceId = event.deviceId;
        this.#epoch = Buffer.from(event.epoch).toString('latin1');
        for (const sequence of event.released) this.#noteRelease(sequence);
        return;
      case 'accepted':
      case 'completed':
      case 'subscribed':
      case 'unsubscribed':
      case 'registered':
      case 'unregistered':
      case 'answered':
        this.unanswered -= 1;
        return;
      case 'release':
        this.#noteRelease(event.sequence);
        break;
      case 'canary-due':
      case 'refused':
      case 'end':
    }
  }

  #noteRelease(sequence: number): void {
    if (this.#awaited?.delete(sequence) === true) {
      this.unanswered -= 1;
      if (this.#awaited.size === 0) this.#awaited = null;
    }
    (this.#released ??= new Set()).add(sequence);
    if (sequence > this.#lastSequence) this.#lastSequence = sequence;
  }

  /** The command that has a new hub take the connection up. */
  resume(recent: FlowAcknowledgements | undefined): Resume {
    return {
      kind: 'resume',
      link: this.link,
      peer: this.peer,
      identity: this.identity,
      deviceId: this.deviceId,
      epoch: new Uint8Array(Buffer.from(this.#epoch, 'latin1')),
      receiveMaximum: this.receiveMaximum,
      lastSequence: this.#lastSequence,
      sent: this.#sent === null ? none : [...this.#sent],
      released: this.#released === null ? none : [...this.#released],
      acknowledged: recent?.acknowledged ?? none,
      completed: recent?.completed ?? none,
      state: this.#state,
    };
  }
}

const none: readonly number[] = [];

function without(set: Set<number> | null, sequence: number): Set<number> | null {
  if (set === null) return null;
  set.delete(sequence);
  return set.size === 0 ? null : set;
}

/** Acknowledgements of one flow that the hub may not have written. */
export interface FlowAcknowledgements {
  readonly acknowledged: number[];
  readonly completed: number[];
}

/**
 * Acknowledgements of the last moments, over all flows: for at least `keptMs` and at most twice as long. One list of
 * numbers, since on a busy line there are hundreds of thousands a second.
 */
export class RecentAcknowledgements {
  readonly #keptMs: number;
  #sinceMs = 0;
  /** flow, sequence, 1 for a completion; again and again. */
  #newer: number[] = [];
  #older: number[] = [];

  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  add(nowMs: number, flow: FlowId, sequence: number, isCompletion: boolean): void {
    this.forget(nowMs);
    this.#newer.push(flow, sequence, isCompletion ? 1 : 0);
  }

  /** Lets go of what is old. To be called now and then when nothing is added. */
  forget(nowMs: number): void {
    if (nowMs - this.#sinceMs < this.#keptMs) return;
    this.#older = nowMs - this.#sinceMs < 2 * this.#keptMs ? this.#newer : [];
    this.#newer = [];
    this.#sinceMs = nowMs;
  }

  byFlow(): Map<FlowId, FlowAcknowledgements> {
    const flows = new Map<FlowId, FlowAcknowledgements>();
    for (const list of [this.#older, this.#newer]) {
      for (let index = 0; index < list.length; index += 3) {
        const flow = list[index]!;
        let recent = flows.get(flow);
        if (recent === undefined) flows.set(flow, (recent = { acknowledged: [], completed: [] }));
        (list[index + 2] === 1 ? recent.completed : recent.acknowledged).push(list[index + 1]!);
      }
    }
    return flows;
  }
}

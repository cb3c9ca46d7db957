/** What happened to one call, when and on which leg: bounded, oldest first. */
import { limits } from '../../base/limits.js';
import type { CallEventKind, CallTraceEvent } from '../../domain/call-view.js';

/** Events kept free for how the call ends. */
const RESERVED = 20;

/** Kinds that say how a call ended. */
const ends: ReadonlySet<CallEventKind> = new Set(['answer', 'finish', 'cancel', 'tell', 'final', 'intent']);

const TEXT_CHARACTERS_MAX = 256;

export interface TraceAbout {
  readonly leg?: number | undefined;
  readonly attempt?: number | undefined;
  readonly status?: number | undefined;
}

export class CallTrace {
  #events: CallTraceEvent[] = [];
  dropped = 0;

  get events(): readonly CallTraceEvent[] {
    return this.#events;
  }

  restore(events: readonly CallTraceEvent[], dropped: number): void {
    this.#events = [...events];
    this.dropped = dropped;
  }

  add(atMs: number, kind: CallEventKind, text: string, about: TraceAbout = {}): void {
    const room = limits.callEventsMax - (ends.has(kind) ? 0 : RESERVED);
    if (this.#events.length >= room) {
      this.dropped++;
      return;
    }
    const { leg, attempt, status } = about;
    this.#events.push({ atMs, kind, leg, attempt, status, text: text.slice(0, TEXT_CHARACTERS_MAX) });
  }
}

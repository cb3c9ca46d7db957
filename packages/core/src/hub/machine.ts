/** What goes into the hub and what comes out of it. */
import type { CallCommand, CallEvent, WakeOutcome, WakeRequest } from '../domain/call.js';
import type { ControlReply, ControlRequest } from '../domain/control.js';
import type { FlowId, LinkCommand, LinkEvent } from '../domain/link.js';
import type { StoreChange } from '../ports/store.js';
import type { Stage } from '../domain/message.js';

export type HubInput =
  /** Commands of one flow, in order. The first of a flow's life is `open`, the last `close`. */
  | { readonly kind: 'link'; readonly flow: FlowId; readonly commands: readonly LinkCommand[] }
  | { readonly kind: 'request'; readonly request: ControlRequest }
  /** What the SIP stack says, in order. Only where `HubOptions.calls` is set. */
  | { readonly kind: 'calls'; readonly commands: readonly CallCommand[] }
  /** What became of a wake that the hub asked for. One for each. */
  | { readonly kind: 'wake-result'; readonly ticket: number; readonly outcome: WakeOutcome }
  /** The commit that the hub asked for is synced. */
  | { readonly kind: 'committed' }
  /** The commit failed; nothing of it is kept. */
  | { readonly kind: 'commit-failed' }
  /** Free space crossed the floor, in either direction. */
  | { readonly kind: 'disk'; readonly appendsAllowed: boolean }
  /** The server is leaving: no new flow is accepted; pending commits go on. */
  | { readonly kind: 'drain' };

/** One thing that happened to a message on its way, for timelines, receipts and metrics. */
export interface TimelineEvent {
  readonly stage: Stage;
  readonly deviceId: string;
  readonly sequence: number;
  /** Only for messages whose sender asked for a receipt. */
  readonly messageId: string | undefined;
  readonly reason: string | undefined;
}

export type HubOutput =
  /** Events for one flow, in order, to be written in one go. */
  | { readonly kind: 'link'; readonly flow: FlowId; readonly events: readonly LinkEvent[] }
  | { readonly kind: 'reply'; readonly reply: ControlReply }
  /** For the SIP stack, in order. The first of all, where `HubOptions.calls` is set, has `restored` alone. */
  | { readonly kind: 'calls'; readonly events: readonly CallEvent[] }
  /** Wake a device by an endpoint that is not ours. Answered by `wake-result`. */
  | { readonly kind: 'wake'; readonly wake: WakeRequest }
  /** Make this durable, then say `committed` or `commit-failed`. One at a time. */
  | { readonly kind: 'commit'; readonly changes: readonly StoreChange[] };

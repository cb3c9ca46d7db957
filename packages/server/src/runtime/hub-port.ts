/**
 * What the side that holds the sockets and the side that owns the hub say to each other. In one process they call
 * each other; with line processes a link carries the same calls.
 *
 * Everything of a turn is handed over at once, so that many reads share one drain, one commit and one write a flow.
 */
import type { InstantMs } from '@wakeline/core/base';
import type { ControlReply, ControlRequest, FlowId, LinkCommand, LinkEvent } from '@wakeline/core/domain';

/** The hub, for who holds the sockets. */
export interface HubPort {
  /** Nothing more should be read from senders, and no request be given, until a turn finds that this has ended. */
  readonly isCongested: boolean;
  /** What the hub has to say is so much that {@link HubPort.letOut} should be called before more is given. */
  readonly hasMuchToSay: boolean;
  /** The hub is being started anew; what is given waits for it. */
  readonly isAway: boolean;
  /** So much of the flow waits for the hub that it should not be read. Asked while `isAway` only. */
  isFlowCongested(flow: FlowId): boolean;
  /** Commands of one flow, in order: the first of its life is `open`, the last `close`. */
  giveCommands(now: InstantMs, flow: FlowId, commands: readonly LinkCommand[]): void;
  giveRequest(now: InstantMs, request: ControlRequest): void;
  /** Hands over what the hub has to say so far, without waiting for the turn's end. */
  letOut(now: InstantMs): void;
  /** A turn comes soon. Cheap, and may be called as often as one likes. */
  scheduleTurn(): void;
}

/** Who holds the sockets, for the hub. */
export interface HubClient {
  /** A turn begins: what was held back may be given now. */
  beginTurn(now: InstantMs): void;
  /** Events for one flow, in order. A flow that is gone meanwhile is passed over. */
  handleEvents(now: InstantMs, flow: FlowId, events: readonly LinkEvent[]): void;
  handleReply(reply: ControlReply): void;
  /** That was all for now: what the events caused is to be written. May give commands, and so be entered again. */
  endEvents(now: InstantMs): void;
}

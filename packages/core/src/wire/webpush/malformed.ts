/** What the decoder returns in place of a message when a frame is not one. A value: bad input is no exception. */

/** Names from the domain's table of refusals, so that a session passes them on as they are. */
export type MalformedReason = 'packet-malformed' | 'packet-too-large' | 'protocol-error';

/** A frame that is no message of the protocol. */
export interface MalformedFrame {
  readonly type: 'malformed';
  readonly reason: MalformedReason;
  /** For people and for the close frame: which rule was broken. At most 100 ASCII characters; may change. */
  readonly detail: string;
}

/**
 * A request that is readable but wrong, so that it can be answered: the client waits for an answer with the same
 * channel id.
 */
export interface RefusedRequest {
  readonly type: 'refused-request';
  readonly request: 'register' | 'unregister';
  /** As it was sent, within `channelIdEchoMax` characters. */
  readonly channelId: string;
  /** As in {@link MalformedFrame}. */
  readonly detail: string;
}

export function malformed(reason: MalformedReason, detail: string): MalformedFrame {
  return { type: 'malformed', reason, detail };
}

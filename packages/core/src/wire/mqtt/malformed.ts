/** What the decoder returns in place of a packet when the bytes are not one. A value: bad input is no exception. */

/** Names from the domain's table of refusals, so that a session passes them on as they are. */
export type MalformedReason =
  'packet-malformed' | 'packet-too-large' | 'protocol-error' | 'topic-invalid' | 'unsupported-version';

/** After one of these the connection cannot be read any further: its framing is no longer known. */
export class Malformed {
  readonly type = 'malformed';
  readonly reason: MalformedReason;
  /** The reason code of MQTT 5.0 §2.4 that says the same. */
  readonly reasonCode: number;
  /** For people: which rule was broken. May change. */
  readonly detail: string;

  constructor(reason: MalformedReason, reasonCode: number, detail: string) {
    this.reason = reason;
    this.reasonCode = reasonCode;
    this.detail = detail;
  }
}

/** Reason code 0x81: the bytes do not follow the format. */
export function malformedPacket(detail: string): Malformed {
  return new Malformed('packet-malformed', 0x81, detail);
}

/** Reason code 0x82: well formed, but not allowed. */
export function protocolError(detail: string): Malformed {
  return new Malformed('protocol-error', 0x82, detail);
}

/** Bounds of one SIP message on the wire. docs/limits.md says what happens at each. */
export const sipMessageLimits = {
  /** Body of one message, bytes: an SDP with many candidates and a multipart beside it have room. */
  bodyBytesMax: 64 * 1024,
  /** Start line and header lines with the empty line behind them, bytes; looked at before they are kept. */
  headBytesMax: 32 * 1024,
  /** Header lines of one message; a folded line counts once. */
  headerLinesMax: 256,
  /** Parameters of one value of a header, and of one URI. */
  parametersMax: 64,
  /** Attributes of one STUN message. */
  stunAttributesMax: 32,
  /** One STUN message, bytes. */
  stunBytesMax: 1_280,
} as const;

/** The bounds of a message, some of them changed. */
export interface SipMessageLimits {
  readonly bodyBytesMax: number;
  readonly headBytesMax: number;
  readonly headerLinesMax: number;
}

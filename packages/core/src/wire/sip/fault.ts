/** What parser and framer return in place of a message when the bytes are not one. A value: bad input is no exception. */
import type { SipFaultCode } from './fault-code.js';
import type { SipRequest } from './message.js';

/** Bytes that are no message, with what is needed to answer them. */
export interface SipFault {
  readonly kind: 'fault';
  readonly code: SipFaultCode;
  /** The status that says so: 400, 413 (body), 505 (version) or 513 (head). */
  readonly status: 400 | 413 | 505 | 513;
  /** Reason phrase of that status, for people: which rule was broken. ASCII; may change. */
  readonly message: string;
  /**
   * There if the fault can be answered: a request, not an ACK, with a readable top Via. Only for `buildResponse` and
   * its `topVia`; its other typed getters may fail.
   */
  readonly request: SipRequest | undefined;
  /** On a stream: whether where the next message begins is still known. If not, the framer reads no more. */
  readonly canContinue: boolean;
}

const statuses: { readonly [Code in SipFaultCode]?: SipFault['status'] } = {
  version: 505,
  'head-too-large': 513,
  'headers-too-many': 513,
  'body-too-large': 413,
};

/** A fault whose request, if any, is added by the one who can tell whether it can be answered. */
export function sipFault(
  code: SipFaultCode,
  message: string,
  request?: SipRequest,
  canContinue = false,
): SipFault {
  return { kind: 'fault', code, status: statuses[code] ?? 400, message, request, canContinue };
}

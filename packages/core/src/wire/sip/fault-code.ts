/** What can be wrong with the bytes of a message. */

/**
 * What is wrong:
 * `line-ending`: CR or LF alone, or no empty line behind the headers; `start-line`: neither a request nor a
 * response; `version`: another version of SIP; `header-line`: no name and colon; `header-missing`,
 * `header-repeated`, `header-malformed`: of those without which a message cannot be handled (Via, From, To, Call-ID,
 * CSeq, Max-Forwards, Content-Length); `body-truncated`: the body ends before its Content-Length;
 * `head-too-large`, `headers-too-many`, `body-too-large`: a limit of the same name.
 */
export type SipFaultCode =
  | 'line-ending'
  | 'start-line'
  | 'version'
  | 'header-line'
  | 'header-missing'
  | 'header-repeated'
  | 'header-malformed'
  | 'body-truncated'
  | 'head-too-large'
  | 'headers-too-many'
  | 'body-too-large';

/** What is wrong with the lines of a message; of which nothing else is known then. */
export interface HeadFault {
  readonly kind: 'head-fault';
  readonly code: SipFaultCode;
  /** As in `SipFault`. */
  readonly message: string;
}

export function headFault(code: SipFaultCode, message: string): HeadFault {
  return { kind: 'head-fault', code, message };
}

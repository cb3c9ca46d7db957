/** How the messages of the torture tables are written down. */
import { encodeUtf8 } from '../../../src/base/index.js';
import type { SipFaultCode } from '../../../src/wire/sip/index.js';

/**
 * What an element does with a message: forwards or accepts it, discards it without a word, or answers with one of
 * these statuses.
 */
export type Expectation = 'forward' | 'accept' | 'discard' | readonly number[];

export interface TortureMessage {
  /** Its name in the RFC. */
  readonly name: string;
  readonly rfc: 4475 | 5118;
  readonly section: string;
  readonly bytes: Uint8Array;
  /** What the parser makes of it: a message, or a fault. */
  readonly parser: 'message' | SipFaultCode;
  /**
   * What the RFC has a proxy do that knows the user of the Request-URI at a live contact, and a registrar for its
   * domain; undefined where the message does not concern one.
   */
  readonly proxy: Expectation | undefined;
  readonly registrar?: Expectation;
  /** What it is about, and what there is to it. */
  readonly about: string;
}

/** A message as it is written here, its line ends as CRLF. */
export function lines(text: string): Uint8Array {
  return encodeUtf8(text.replaceAll('\n', '\r\n'));
}

/** The session description that most of them carry. */
export function sdp(address: string, time = '0 0', originAddress = address): string {
  return `v=0
o=mhandley 29739 7272939 IN IP4 ${originAddress}
s=-
c=IN IP4 ${address}
t=${time}
m=audio 49217 RTP/AVP 0 12
m=video 3227 RTP/AVP 31
a=rtpmap:31 LPC
`;
}

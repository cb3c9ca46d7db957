/**
 * SIP on the wire (RFC 3261): bytes to messages and back, on datagrams, WebSocket frames and streams.
 *
 * Knows the format and nothing of its meaning: what a message asks for is the business of transactions, registrar
 * and proxy in `session/sip`. What is not understood stays as it came.
 */
export {
  buildAck,
  buildCancel,
  buildRequest,
  buildResponse,
  echoOf,
  type HeaderList,
  type RequestOptions,
  type ResponseOptions,
} from './build.js';
export {
  formatChallenge,
  formatCredentials,
  offeredQops,
  parseChallenge,
  parseCredentials,
  type DigestFields,
} from './digest.js';
export { MessageEditor } from './editor.js';
export { escapeUriPart, unescapeUriPart } from './escape.js';
export type { SipFault } from './fault.js';
export type { SipFaultCode } from './fault-code.js';
export { SipFramer, type SipPing } from './framer.js';
export { formatParameters, isToken, parseParameters, quote, splitList, unquote } from './grammar.js';
export { findKnownHeader, type KnownHeader } from './header-names.js';
export { addressBytes, canonicalHost, formatAddress, isHost } from './host.js';
export { sipMessageLimits, type SipMessageLimits } from './limits.js';
export { SipRequest, SipResponse, type CSeq, type SipMessage } from './message.js';
export { formatNameAddr, NameAddr, parseNameAddr } from './name-addr.js';
export { noParameters, type Parameters } from './parameters.js';
export { parseMessage } from './parse-message.js';
export { encodeStunAnswer, isStun, parseStunBindingRequest, type StunBindingRequest } from './stun.js';
export {
  areUrisEqual,
  formatSipUri,
  parseSipUri,
  parseUri,
  withoutUriParameters,
  type OtherUri,
  type SipUri,
  type SipUriParts,
  type Uri,
} from './uri.js';
export { BRANCH_COOKIE, formatVia, parseVia, type Via } from './via.js';

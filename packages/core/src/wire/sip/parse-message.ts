/** From the bytes of one message to a message, or to what is wrong with them. */
import { sipFault, type SipFault } from './fault.js';
import type { SipFaultCode } from './fault-code.js';
import { isTokenUnit, parseDecimal } from './grammar.js';
import { decodeText, scanHead, type MessageHead } from './head.js';
import { HeaderId, knownHeader } from './header-names.js';
import { sipMessageLimits, type SipMessageLimits } from './limits.js';
import { SipRequest, SipResponse, type SipMessage } from './message.js';

/**
 * Parses a datagram, a WebSocket frame, or a message cut out of a stream. The message is a view of `bytes`, which
 * must not change. Bytes behind what Content-Length says are ignored (RFC 3261 §18.3). CRLF in front is skipped.
 */
export function parseMessage(
  bytes: Uint8Array,
  limits: SipMessageLimits = sipMessageLimits,
): SipMessage | SipFault {
  // The host's own class of bytes may give `subarray` another cost.
  const source =
    bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  let start = 0;
  while (source[start] === 0x0d && source[start + 1] === 0x0a) start += 2;
  const head = scanHead(source, start, source.length, limits);
  if ('kind' in head) return sipFault(head.code, head.message);
  const length = contentLength(head);
  const held = source.length - head.end;
  const bodyBytes = length === undefined || length < 0 ? held : Math.min(length, held);
  const message = readMessage(head, head.end + bodyBytes, true);
  if (message.kind === 'fault') return message;
  if (length === -1) return faultOf(message, 'header-malformed', 'Content-Length is malformed');
  if (Math.max(length ?? 0, bodyBytes) > limits.bodyBytesMax) {
    return faultOf(message, 'body-too-large', 'Body too large');
  }
  // RFC 3261 §18.3
  if (length !== undefined && length > held) {
    return faultOf(message, 'body-truncated', 'The body ends before its Content-Length');
  }
  return message;
}

/** What Content-Length says; undefined if it is absent, -1 if it is malformed. */
export function contentLength(head: MessageHead): number | undefined {
  const line = head.find(HeaderId.contentLength);
  if (line < 0) return undefined;
  if ((head.repeated >> HeaderId.contentLength) & 1) return -1;
  return parseDecimal(head.textAt(line), Number.MAX_SAFE_INTEGER) ?? -1;
}

/** Headers that come once, RFC 3261 §7.3.1, among those that are looked at. */
const singles =
  (1 << HeaderId.from) |
  (1 << HeaderId.to) |
  (1 << HeaderId.callId) |
  (1 << HeaderId.cseq) |
  (1 << HeaderId.maxForwards) |
  (1 << HeaderId.contentLength);

/** RFC 3261 §8.1.1. Max-Forwards is not among them: RFC 2543 did not have it. */
const mandatory =
  (1 << HeaderId.via) |
  (1 << HeaderId.from) |
  (1 << HeaderId.to) |
  (1 << HeaderId.callId) |
  (1 << HeaderId.cseq);

/** The message with this head. `canContinue`: whether a stream is still readable behind a malformed one. */
export function readMessage(head: MessageHead, bodyEnd: number, canContinue: boolean): SipMessage | SipFault {
  const message = readStartLine(head, bodyEnd);
  if (message.kind === 'fault') return message;
  const wrong = checkHeaders(head, message);
  return wrong === undefined ? message : faultOf(message, wrong[0], wrong[1], canContinue);
}

/** A fault of a message of which the start line is understood; with its request if it can be answered. */
export function faultOf(
  message: SipMessage,
  code: SipFaultCode,
  text: string,
  canContinue = false,
): SipFault {
  // RFC 4475 §3.3.1: even without From, To and Call-ID there is an answer, as long as it finds its way.
  const canAnswer =
    message.kind === 'request' && message.method !== 'ACK' && message.readTopVia() !== undefined;
  return sipFault(code, text, canAnswer ? message : undefined, canContinue);
}

function readStartLine(head: MessageHead, bodyEnd: number): SipMessage | SipFault {
  const { bytes, start, startLineEnd } = head;
  let space = start;
  while (space < startLineEnd && isTokenUnit(bytes[space]!)) space += 1;
  // `SIP/2.0 200 OK`: a slash is no part of a token.
  if (bytes[space] === 0x2f) return readStatusLine(head, bodyEnd);
  if (space === start || bytes[space] !== 0x20) return startLineFault('Request-Line is malformed');
  const uriStart = space + 1;
  let uriEnd = uriStart;
  while (uriEnd < startLineEnd && bytes[uriEnd]! > 0x20) uriEnd += 1;
  const method = decodeText(bytes, start, space);
  const uri = decodeText(bytes, uriStart, uriEnd);
  const version = decodeText(bytes, uriEnd + 1, startLineEnd);
  const request = new SipRequest(head, bodyEnd, method, uri);
  if (bytes[uriEnd] !== 0x20 || !isUriLike(bytes, uriStart, uriEnd)) {
    return faultOf(request, 'start-line', 'Request-Line is malformed');
  }
  if (version.toUpperCase() === 'SIP/2.0') return request;
  return /^SIP\/\d+\.\d+$/i.test(version)
    ? faultOf(request, 'version', 'Version not supported')
    : faultOf(request, 'start-line', 'Request-Line is malformed');
}

/** A letter, a colon somewhere behind it, and nothing that separates URIs from what is around them. */
function isUriLike(bytes: Uint8Array, start: number, end: number): boolean {
  const lower = bytes[start]! | 0x20;
  let hasColon = false;
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    if (byte === 0x22 || byte === 0x3c || byte === 0x3e) return false;
    if (byte === 0x3a) hasColon = true;
  }
  return hasColon && lower >= 0x61 && lower <= 0x7a;
}

function readStatusLine(head: MessageHead, bodyEnd: number): SipMessage | SipFault {
  const line = decodeText(head.bytes, head.start, head.startLineEnd);
  // The space in front of an empty reason phrase is often left out.
  const match = /^SIP\/(\d+\.\d+) ([1-6]\d\d)(?: (.*))?$/is.exec(line);
  if (match === null) return startLineFault('Status-Line is malformed');
  if (match[1] !== '2.0') return sipFault('version', 'Version not supported');
  return new SipResponse(head, bodyEnd, Number(match[2]), match[3] ?? '');
}

function startLineFault(text: string): SipFault {
  return sipFault('start-line', text);
}

/** The first thing that is wrong with the headers that every message is handled by. */
function checkHeaders(head: MessageHead, message: SipMessage): readonly [SipFaultCode, string] | undefined {
  const missing = mandatory & ~head.present;
  if (missing !== 0) return ['header-missing', `${firstName(missing)} is missing`];
  const repeated = head.repeated & singles;
  if (repeated !== 0) return ['header-repeated', `${firstName(repeated)} comes twice`];
  if (message.readTopVia() === undefined) return malformed('Via');
  if (message.readFrom() === undefined) return malformed('From');
  if (message.readTo() === undefined) return malformed('To');
  if (message.readCallId() === undefined) return malformed('Call-ID');
  const cseq = message.readCSeq();
  if (cseq === undefined) return malformed('CSeq');
  if (message.kind === 'response') return undefined;
  // RFC 3261 §8.1.1.5
  if (cseq.method !== message.method) return ['header-malformed', 'CSeq names another method'];
  const hasMaxForwards = (head.present >> HeaderId.maxForwards) & 1;
  return hasMaxForwards && message.maxForwards === undefined ? malformed('Max-Forwards') : undefined;
}

function malformed(name: string): readonly [SipFaultCode, string] {
  return ['header-malformed', `${name} is malformed`];
}

function firstName(bits: number): string {
  return knownHeader(31 - Math.clz32(bits & -bits)).name;
}

/**
 * STUN (RFC 5389) as far as a SIP port answers it: RFC 5626 §4.4.2 keeps a flow over UDP alive by binding requests.
 */
import { addressBytes } from './host.js';
import { sipMessageLimits as limits } from './limits.js';

const HEADER_BYTES = 20;
const MAGIC_COOKIE = 0x2112_a442;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const BINDING_ERROR = 0x0111;
const XOR_MAPPED_ADDRESS = 0x0020;
const ERROR_CODE = 0x0009;
const UNKNOWN_ATTRIBUTES = 0x000a;
/** RFC 5389 §15: attributes below this must be understood; these few are, and change nothing here. */
const COMPREHENSION_OPTIONAL = 0x8000;
/** USERNAME, MESSAGE-INTEGRITY, REALM, NONCE; PRIORITY and USE-CANDIDATE of ICE are not. */
const understood = new Set([0x0006, 0x0008, 0x0014, 0x0015]);

/** A binding request. */
export interface StunBindingRequest {
  /** Twelve bytes. A view. */
  readonly transactionId: Uint8Array;
  /** Types of attributes that would have to be understood: to be answered with 420. */
  readonly unknownAttributes: readonly number[];
}

/**
 * Whether a datagram is STUN rather than SIP, RFC 5626 §8: by its first two bits, and by the cookie, since a method
 * may begin with a digit or another character of these.
 */
export function isStun(datagram: Uint8Array): boolean {
  if (datagram.length < HEADER_BYTES || datagram[0]! >= 0x40) return false;
  return new DataView(datagram.buffer, datagram.byteOffset, HEADER_BYTES).getUint32(4) === MAGIC_COOKIE;
}

/** Undefined if it is anything but a well-formed binding request: there is no answer to that. */
export function parseStunBindingRequest(datagram: Uint8Array): StunBindingRequest | undefined {
  const { length } = datagram;
  if (length < HEADER_BYTES || length > limits.stunBytesMax || length % 4 !== 0) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, length);
  if (view.getUint16(0) !== BINDING_REQUEST || view.getUint16(2) !== length - HEADER_BYTES) return undefined;
  if (view.getUint32(4) !== MAGIC_COOKIE) return undefined;
  const unknownAttributes: number[] = [];
  let attributes = 0;
  for (let at = HEADER_BYTES; at < length; attributes += 1) {
    if (attributes === limits.stunAttributesMax) return undefined;
    const type = view.getUint16(at);
    const valueBytes = view.getUint16(at + 2);
    at += 4 + Math.ceil(valueBytes / 4) * 4;
    if (at > length) return undefined;
    if (type < COMPREHENSION_OPTIONAL && !understood.has(type)) unknownAttributes.push(type);
  }
  return { transactionId: datagram.subarray(8, HEADER_BYTES), unknownAttributes };
}

/**
 * The answer: XOR-MAPPED-ADDRESS with the sender's address (IPv4, or IPv6 with or without brackets) and port, or
 * the error 420. Undefined if the address is none.
 */
export function encodeStunAnswer(
  request: StunBindingRequest,
  address: string,
  port: number,
): Uint8Array | undefined {
  if (request.unknownAttributes.length > 0) return encodeUnknownAttributes(request);
  const raw = addressBytes(address);
  if (raw === undefined) return undefined;
  const { bytes, view } = beginAnswer(BINDING_SUCCESS, 8 + raw.length, request.transactionId);
  view.setUint16(20, XOR_MAPPED_ADDRESS);
  view.setUint16(22, 4 + raw.length);
  bytes[25] = raw.length === 4 ? 1 : 2;
  view.setUint16(26, port ^ (MAGIC_COOKIE >>> 16));
  // Cookie and transaction id follow each other in the header: together they are what IPv6 is masked with.
  for (const [index, byte] of raw.entries()) bytes[28 + index] = byte ^ bytes[4 + index]!;
  return bytes;
}

function encodeUnknownAttributes({ transactionId, unknownAttributes }: StunBindingRequest): Uint8Array {
  const listBytes = Math.ceil(unknownAttributes.length / 2) * 4;
  const { view } = beginAnswer(BINDING_ERROR, 8 + 4 + listBytes, transactionId);
  view.setUint16(20, ERROR_CODE);
  view.setUint16(22, 4);
  view.setUint16(26, (4 << 8) | 20);
  view.setUint16(28, UNKNOWN_ATTRIBUTES);
  view.setUint16(30, unknownAttributes.length * 2);
  for (const [index, type] of unknownAttributes.entries()) view.setUint16(32 + index * 2, type);
  return new Uint8Array(view.buffer);
}

function beginAnswer(
  type: number,
  attributeBytes: number,
  transactionId: Uint8Array,
): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(HEADER_BYTES + attributeBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, type);
  view.setUint16(2, attributeBytes);
  view.setUint32(4, MAGIC_COOKIE);
  bytes.set(transactionId, 8);
  return { bytes, view };
}

/**
 * Where the lines of a message lie. One pass finds start line, header lines and names; nothing is decoded.
 *
 * CR and LF are taken only together: a line that one hop ends where another does not is how headers are smuggled.
 */
import { decodeUtf8 } from '../../base/index.js';
import { headFault, type HeadFault } from './fault-code.js';
import { isTokenUnit } from './grammar.js';
import { findKnownHeader, HeaderId, headerIdAt } from './header-names.js';
import type { SipMessageLimits } from './limits.js';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;

/** Numbers kept of each line. */
const STRIDE = 4;

/** The lines of one message, in their order. The bytes must not change while it is used. */
export class MessageHead {
  readonly bytes: Uint8Array;
  /** Of the start line: its first byte, and the CR behind it. */
  readonly start: number;
  readonly startLineEnd: number;
  /** The first byte behind the empty line. */
  readonly end: number;
  /** Bit `id` is set if a header of that number below 32 is there, and if it is there in two lines. */
  readonly present: number;
  readonly repeated: number;
  /** Of each line: id, first byte, first byte behind the colon, first byte behind its CRLF. */
  readonly #lines: readonly number[];

  constructor(
    bytes: Uint8Array,
    start: number,
    startLineEnd: number,
    end: number,
    lines: readonly number[],
    present: number,
    repeated: number,
  ) {
    this.bytes = bytes;
    this.start = start;
    this.startLineEnd = startLineEnd;
    this.end = end;
    this.#lines = lines;
    this.present = present;
    this.repeated = repeated;
  }

  get lineCount(): number {
    return this.#lines.length / STRIDE;
  }

  /** The number of the header in line `line`, see {@link HeaderId}. */
  idAt(line: number): number {
    return this.#lines[line * STRIDE]!;
  }

  /** The first byte of the line. */
  startAt(line: number): number {
    return this.#lines[line * STRIDE + 1]!;
  }

  /** The first byte behind the colon. */
  valueAt(line: number): number {
    return this.#lines[line * STRIDE + 2]!;
  }

  /** The first byte behind the CRLF that ends the line. */
  endAt(line: number): number {
    return this.#lines[line * STRIDE + 3]!;
  }

  /** The name in the line, as it was written. */
  nameAt(line: number): string {
    let end = this.valueAt(line) - 1;
    while (isSpace(this.bytes[end - 1]!)) end -= 1;
    return decodeText(this.bytes, this.startAt(line), end);
  }

  /** The value in the line: folds replaced by a space, without white space around it. */
  textAt(line: number): string {
    return decodeValue(this.bytes, this.valueAt(line), this.endAt(line) - 2);
  }

  /** The first line from `from` on that has this number; -1 if none has. */
  find(id: number, from = 0): number {
    const lines = this.#lines;
    for (let index = from * STRIDE; index < lines.length; index += STRIDE) {
      if (lines[index] === id) return index / STRIDE;
    }
    return -1;
  }

  /** The same by name: long or compact, any case, also of headers that are not known. */
  findName(name: string, from = 0): number {
    const known = findKnownHeader(name);
    if (known !== undefined) return this.find(known.id, from);
    const lower = name.toLowerCase();
    let line = this.find(HeaderId.unknown, from);
    while (line >= 0 && this.nameAt(line).toLowerCase() !== lower)
      line = this.find(HeaderId.unknown, line + 1);
    return line;
  }
}

/** The lines of the message that begins at `start`; its empty line must end at or before `end`. */
export function scanHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  limits: SipMessageLimits,
): MessageHead | HeadFault {
  const startLineEnd = lineEnd(bytes, start, end);
  if (startLineEnd < 0) return endFault(end - start, limits);
  const lines: number[] = [];
  let present = 0;
  let repeated = 0;
  let at = startLineEnd + 2;
  while (at + 1 < end && bytes[at] !== CR) {
    if (lines.length >= limits.headerLinesMax * STRIDE) {
      return headFault('headers-too-many', 'Too many header lines');
    }
    let colon = at;
    while (colon < end && isTokenUnit(bytes[colon]!)) colon += 1;
    const id = colon === at ? HeaderId.unknown : headerIdAt(bytes, at, colon);
    const nameEnd = colon;
    while (colon < end && isSpace(bytes[colon]!)) colon += 1;
    if (nameEnd === at || colon >= end || bytes[colon] !== COLON) {
      return headFault('header-line', 'A header line has a name and a colon');
    }
    let close = colon;
    // A line that begins with white space goes on with the one before.
    do {
      close = lineEnd(bytes, close, end);
      if (close < 0) return endFault(end - start, limits);
      close += 2;
    } while (close < end && isSpace(bytes[close]!));
    if (close - start > limits.headBytesMax) return headTooLarge();
    lines.push(id, at, colon + 1, close);
    if (id !== HeaderId.unknown && id < 32) {
      const bit = 1 << id;
      repeated |= present & bit;
      present |= bit;
    }
    at = close;
  }
  if (at + 1 >= end) return endFault(end - start, limits);
  if (bytes[at + 1] !== LF) return lineEndingFault();
  if (at + 2 - start > limits.headBytesMax) return headTooLarge();
  return new MessageHead(bytes, start, startLineEnd, at + 2, lines, present, repeated);
}

/** The index of the CRLF at or behind `at`; -1 if CR or LF stand alone or there is none. */
function lineEnd(bytes: Uint8Array, at: number, end: number): number {
  let index = at;
  for (; index < end; index += 1) {
    const byte = bytes[index]!;
    if (byte <= CR && (byte === CR || byte === LF)) break;
  }
  return index + 1 < end && bytes[index] === CR && bytes[index + 1] === LF ? index : -1;
}

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

function endFault(headBytes: number, limits: SipMessageLimits): HeadFault {
  return headBytes > limits.headBytesMax ? headTooLarge() : lineEndingFault();
}

function lineEndingFault(): HeadFault {
  return headFault('line-ending', 'Lines end with CRLF, headers with an empty line');
}

function headTooLarge(): HeadFault {
  return headFault('head-too-large', 'Message too large');
}

/** Text of a header: UTF-8, or if it is none, a character for each byte. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    if (byte >= 0x80) return decodeUtf8(bytes, start, end) ?? decodeBytes(bytes, start, end);
    text += String.fromCharCode(byte);
  }
  return text;
}

/** A character for each byte, so that indexes into the text are indexes into the bytes. */
export function decodeBytes(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let index = start; index < end; index += 1) text += String.fromCharCode(bytes[index]!);
  return text;
}

/** A value in `bytes[start … end)`: folds replaced by a space, white space around it removed. */
export function decodeValue(bytes: Uint8Array, start: number, end: number): string {
  let from = start;
  while (from < end && bytes[from]! <= SPACE && isLinear(bytes[from]!)) from += 1;
  let to = end;
  while (to > from && bytes[to - 1]! <= SPACE && isLinear(bytes[to - 1]!)) to -= 1;
  const text = decodeText(bytes, from, to);
  return text.includes('\r') ? text.replaceAll(/[ \t]*(?:\r\n)+[ \t]+/g, ' ') : text;
}

function isLinear(byte: number): boolean {
  return isSpace(byte) || byte === CR || byte === LF;
}

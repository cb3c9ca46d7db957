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
/** Added to the id of a line that has folds. */
const FOLDED = 0x100;
const ID_BITS = 0xff;

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
    return this.#lines[line * STRIDE]! & ID_BITS;
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
    const text = decodeValue(this.bytes, this.valueAt(line), this.endAt(line) - 2);
    return this.#lines[line * STRIDE]! >= FOLDED ? unfold(text) : text;
  }

  /** The first line from `from` on that has this number; -1 if none has. */
  find(id: number, from = 0): number {
    const lines = this.#lines;
    for (let index = from * STRIDE; index < lines.length; index += STRIDE) {
      if ((lines[index]! & ID_BITS) === id) return index / STRIDE;
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
    let close = lineEnd(bytes, colon, end);
    let folded = 0;
    // A line that begins with white space goes on with the one before.
    while (close >= 0 && close + 2 < end && isSpace(bytes[close + 2]!)) {
      folded = FOLDED;
      close = lineEnd(bytes, close + 2, end);
    }
    if (close < 0) return endFault(end - start, limits);
    close += 2;
    if (close - start > limits.headBytesMax) return headTooLarge();
    lines.push(id + folded, at, colon + 1, close);
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

/** Bytes up to which a loop makes a text sooner than a call that takes them all. */
const LOOP_BYTES_MAX = 24;
/** Units handed to one `String.fromCharCode.apply`: far below any engine's limit of arguments. */
const UNITS_PER_CALL = 4096;

/** Text of a header: UTF-8, or if it is none, a character for each byte. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  let bits = 0;
  for (let index = start; index < end; index += 1) bits |= bytes[index]!;
  if (bits < 0x80) return decodeBytes(bytes, start, end);
  return decodeUtf8(bytes, start, end) ?? decodeBytes(bytes, start, end);
}

/** A character for each byte, so that indexes into the text are indexes into the bytes. */
export function decodeBytes(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= LOOP_BYTES_MAX) return decodeFew(bytes, start, end);
  let text = '';
  for (let index = start; index < end; index += UNITS_PER_CALL) {
    const units = bytes.subarray(index, Math.min(end, index + UNITS_PER_CALL));
    // The engine reads a typed array here without making a list of numbers of it.
    text += String.fromCharCode.apply(null, units as unknown as number[]);
  }
  return text;
}

function decodeFew(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  let index = start;
  for (; index + 4 <= end; index += 4) {
    text += String.fromCharCode(bytes[index]!, bytes[index + 1]!, bytes[index + 2]!, bytes[index + 3]!);
  }
  for (; index < end; index += 1) text += String.fromCharCode(bytes[index]!);
  return text;
}

/** A value in `bytes[start … end)` without white space around it; folds are still in it. */
export function decodeValue(bytes: Uint8Array, start: number, end: number): string {
  let from = start;
  while (from < end && isLinear(bytes[from]!)) from += 1;
  let to = end;
  while (to > from && isLinear(bytes[to - 1]!)) to -= 1;
  return decodeText(bytes, from, to);
}

/** Each fold, with the white space around it, as one space. By hand: an expression would look at long spaces often. */
function unfold(text: string): string {
  return text
    .split('\r\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ');
}

function isLinear(byte: number): boolean {
  return isSpace(byte) || byte === CR || byte === LF;
}

/**
 * Strict UTF-8 (RFC 3629) without the host: core has no TextDecoder, and a decoder that repairs its input would
 * let two different byte strings name one topic.
 */

/** Code units handed to one `String.fromCharCode.apply`: far below any engine's limit of arguments. */
const UNITS_PER_CALL = 4096;

/** Bytes of the well-formed sequence at `position`, 1 … 4; 0 if there is none before `end`. */
function sequenceBytes(bytes: Uint8Array, position: number, end: number): number {
  const lead = bytes[position]!;
  if (lead < 0x80) return 1;
  // 0x80 … 0xBF continue; 0xC0 and 0xC1 could only begin an overlong form.
  if (lead < 0xc2) return 0;
  if (position + 1 >= end) return 0;
  const second = bytes[position + 1]!;
  if (lead < 0xe0) return (second & 0xc0) === 0x80 ? 2 : 0;
  if (lead < 0xf0) {
    // RFC 3629 §4: E0 A0..BF is not overlong, ED 80..9F is no surrogate.
    if (second < (lead === 0xe0 ? 0xa0 : 0x80) || second > (lead === 0xed ? 0x9f : 0xbf)) return 0;
    return position + 2 < end && (bytes[position + 2]! & 0xc0) === 0x80 ? 3 : 0;
  }
  if (lead > 0xf4) return 0;
  // F0 90..BF is not overlong, F4 80..8F is not beyond U+10FFFF.
  if (second < (lead === 0xf0 ? 0x90 : 0x80) || second > (lead === 0xf4 ? 0x8f : 0xbf)) return 0;
  if (position + 3 >= end) return 0;
  return (bytes[position + 2]! & 0xc0) === 0x80 && (bytes[position + 3]! & 0xc0) === 0x80 ? 4 : 0;
}

/** Whether `bytes[start … end)` is well-formed UTF-8 without U+0000, which most protocols forbid in text. */
export function isTextUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let position = start;
  while (position < end) {
    const length = sequenceBytes(bytes, position, end);
    if (length === 0 || bytes[position] === 0) return false;
    position += length;
  }
  return true;
}

/** The string in `bytes[start … end)`; undefined if it is not well-formed. U+0000 is passed through. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  let position = start;
  while (position < end && bytes[position]! < 0x80) position += 1;
  if (position === end) return fromUnits(bytes, start, end);
  const units = new Uint16Array(end - start);
  let count = 0;
  for (let index = start; index < position; index += 1) units[count++] = bytes[index]!;
  while (position < end) {
    const length = sequenceBytes(bytes, position, end);
    if (length === 0) return undefined;
    const lead = bytes[position]!;
    if (length === 1) units[count++] = lead;
    else if (length === 2) units[count++] = ((lead & 0x1f) << 6) | (bytes[position + 1]! & 0x3f);
    else {
      const middle = ((bytes[position + 1]! & 0x3f) << 6) | (bytes[position + 2]! & 0x3f);
      if (length === 3) units[count++] = ((lead & 0x0f) << 12) | middle;
      else {
        const point = (((lead & 0x07) << 18) | (middle << 6) | (bytes[position + 3]! & 0x3f)) - 0x10000;
        units[count++] = 0xd800 | (point >> 10);
        units[count++] = 0xdc00 | (point & 0x3ff);
      }
    }
    position += length;
  }
  return fromUnits(units, 0, count);
}

function fromUnits(units: Uint8Array | Uint16Array, start: number, end: number): string {
  if (end - start <= UNITS_PER_CALL) return fromCharCodes(units.subarray(start, end));
  let text = '';
  for (let index = start; index < end; index += UNITS_PER_CALL) {
    text += fromCharCodes(units.subarray(index, Math.min(index + UNITS_PER_CALL, end)));
  }
  return text;
}

function fromCharCodes(units: Uint8Array | Uint16Array): string {
  // The engine reads a typed array here without making a list of numbers of it.
  return String.fromCharCode.apply(null, units as unknown as number[]);
}

/** Bytes that {@link writeUtf8} will write for `text`. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (isPairAt(text, index, unit)) {
      bytes += 2;
      index += 1;
    } else bytes += 2;
  }
  return bytes;
}

/**
 * Writes `text` at `offset` and returns the offset behind it. `target` must have room. A lone surrogate becomes
 * U+FFFD, as in every encoder of the platform.
 */
export function writeUtf8(target: Uint8Array, offset: number, text: string): number {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) target[offset++] = unit;
    else if (unit < 0x800) {
      target[offset++] = 0xc0 | (unit >> 6);
      target[offset++] = 0x80 | (unit & 0x3f);
    } else if (isPairAt(text, index, unit)) {
      const point = 0x10000 + ((unit & 0x3ff) << 10) + (text.charCodeAt(index + 1) & 0x3ff);
      index += 1;
      target[offset++] = 0xf0 | (point >> 18);
      target[offset++] = 0x80 | ((point >> 12) & 0x3f);
      target[offset++] = 0x80 | ((point >> 6) & 0x3f);
      target[offset++] = 0x80 | (point & 0x3f);
    } else {
      const point = unit >= 0xd800 && unit <= 0xdfff ? 0xfffd : unit;
      target[offset++] = 0xe0 | (point >> 12);
      target[offset++] = 0x80 | ((point >> 6) & 0x3f);
      target[offset++] = 0x80 | (point & 0x3f);
    }
  }
  return offset;
}

/** The UTF-8 of `text` in an array of its own. Not for the hot path. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(utf8Bytes(text));
  writeUtf8(bytes, 0, text);
  return bytes;
}

function isPairAt(text: string, index: number, unit: number): boolean {
  if (unit < 0xd800 || unit > 0xdbff) return false;
  const next = text.charCodeAt(index + 1);
  return next >= 0xdc00 && next <= 0xdfff;
}

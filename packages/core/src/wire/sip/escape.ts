/** `%HH` in URIs (RFC 3261 §19.1.2): what may stand unescaped in which part, and back. */
import { decodeUtf8, encodeUtf8 } from '../../base/index.js';

const UNRESERVED = /[A-Za-z0-9\-_.!~*'()]/;
const hexDigits = '0123456789ABCDEF';

/** What may stand unescaped beside letters, digits and marks, by part of a URI. */
const allowed = {
  user: '&=+$,;?/',
  password: '&=+$,',
  parameter: '[]/:&+$',
  header: '[]/?:+$',
} as const;

/** Escapes what may not stand in this part of a URI. In a parameter that is, among others, `?`, `=`, `#`, `;`, `@`. */
export function escapeUriPart(text: string, part: keyof typeof allowed): string {
  let escaped = '';
  for (const character of text) {
    if (UNRESERVED.test(character) || allowed[part].includes(character)) escaped += character;
    else
      for (const byte of encodeUtf8(character)) escaped += `%${hexDigits[byte >> 4]}${hexDigits[byte & 15]}`;
  }
  return escaped;
}

/** The text without its escapes; undefined if one is no `%HH`, or the bytes are no UTF-8. */
export function unescapeUriPart(text: string): string | undefined {
  if (!text.includes('%')) return text;
  const source = encodeUtf8(text);
  const bytes = new Uint8Array(source.length);
  let length = 0;
  for (let index = 0; index < source.length; index += 1) {
    if (source[index] !== 0x25) {
      bytes[length++] = source[index]!;
      continue;
    }
    const value = hexValue(source[index + 1]) * 16 + hexValue(source[index + 2]);
    if (Number.isNaN(value)) return undefined;
    bytes[length++] = value;
    index += 2;
  }
  return decodeUtf8(bytes, 0, length);
}

/**
 * The form in which equal texts are equal: RFC 3261 §19.1.4 takes a character for its escape, unless it is
 * reserved.
 */
export function canonicalEscapes(text: string): string {
  if (!text.includes('%')) return text;
  return text.replaceAll(/%([0-9A-Fa-f]{2})/g, (whole, digits: string) => {
    const character = String.fromCharCode(Number.parseInt(digits, 16));
    return UNRESERVED.test(character) ? character : whole.toUpperCase();
  });
}

function hexValue(unit: number | undefined): number {
  if (unit === undefined) return Number.NaN;
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30;
  const lower = unit | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : Number.NaN;
}

/**
 * The pieces of which header values are made (RFC 3261 §25.1): tokens, quoted strings, lists, parameters.
 *
 * Works on values whose folds were replaced by a space. Where the grammar allows white space, it is skipped.
 */
import { sipMessageLimits as limits } from './limits.js';
import { noParameters, ParameterList, type Parameters } from './parameters.js';

const isTokenCode = new Uint8Array(256);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~") {
  isTokenCode[character.charCodeAt(0)] = 1;
}

const SPACE = 0x20;
const TAB = 0x09;
const QUOTE = 0x22;
const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const LESS = 0x3c;
const EQUALS = 0x3d;
const GREATER = 0x3e;
const BACKSLASH = 0x5c;

/** Whether a byte or UTF-16 unit may stand in a token. */
export function isTokenUnit(unit: number): boolean {
  return unit < 256 && isTokenCode[unit] === 1;
}

/** Whether `text` is a token: not empty, and nothing but its characters. */
export function isToken(text: string): boolean {
  return text !== '' && tokenEnd(text, 0) === text.length;
}

/** The index behind the token at `at`; `at` itself if there is none. */
export function tokenEnd(text: string, at: number): number {
  let index = at;
  while (index < text.length && isTokenUnit(text.charCodeAt(index))) index += 1;
  return index;
}

/** The index of the next character that is no white space. */
export function skipSpace(text: string, at: number): number {
  let index = at;
  for (; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit !== SPACE && unit !== TAB) break;
  }
  return index;
}

/** The index behind the quoted string that begins at `at`; -1 if it has no end. */
export function quotedEnd(text: string, at: number): number {
  for (let index = at + 1; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit === QUOTE) return index + 1;
    if (unit === BACKSLASH) index += 1;
  }
  return -1;
}

/** What a quoted string, quotes included, says. */
export function unquote(quoted: string): string {
  const inner = quoted.slice(1, -1);
  return inner.includes('\\') ? inner.replaceAll(/\\([\s\S])/g, '$1') : inner;
}

/** `text` as a quoted string. CR and LF, which cannot be written, become spaces. */
export function quote(text: string): string {
  return `"${text.replaceAll(/[\r\n]+/g, ' ').replaceAll(/["\\]/g, '\\$&')}"`;
}

/**
 * The values of a comma-separated list, without white space around them and without empty ones. Commas in quoted
 * strings and between `<` and `>` do not separate; a quoted string without an end reaches to the end.
 */
export function splitList(text: string): string[] {
  const values: string[] = [];
  let start = 0;
  while (start <= text.length) {
    const end = listValueEnd(text, start);
    const value = text.slice(start, end).trim();
    if (value !== '') values.push(value);
    start = end + 1;
  }
  return values;
}

/** The index of the comma that ends the list value at `start`, or of the end of the text. */
export function listValueEnd(text: string, start: number): number {
  let isInAngles = false;
  for (let index = start; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit === QUOTE && !isInAngles) {
      const end = quotedEnd(text, index);
      if (end < 0) return text.length;
      index = end - 1;
    } else if (unit === LESS) isInAngles = true;
    else if (unit === GREATER) isInAngles = false;
    else if (unit === COMMA && !isInAngles) return index;
  }
  return text.length;
}

/**
 * `;name=value` from `at` to the end of the text: values are tokens, hosts or quoted strings. Undefined if it is
 * something else, or there are more than `parametersMax`. A name that comes twice keeps its first value.
 */
export function parseParameters(text: string, at: number, separator = SEMICOLON): Parameters | undefined {
  let index = skipSpace(text, at);
  if (index === text.length) return noParameters;
  const names: string[] = [];
  const values: (string | undefined)[] = [];
  while (index < text.length) {
    if (text.charCodeAt(index) !== separator || names.length === limits.parametersMax) return undefined;
    const start = skipSpace(text, index + 1);
    const nameEnd = tokenEnd(text, start);
    if (nameEnd === start) return undefined;
    index = skipSpace(text, nameEnd);
    let value: string | undefined;
    if (index < text.length && text.charCodeAt(index) === EQUALS) {
      const valueStart = skipSpace(text, index + 1);
      const isQuoted = text.charCodeAt(valueStart) === QUOTE;
      const valueEnd = isQuoted ? quotedEnd(text, valueStart) : plainValueEnd(text, valueStart, separator);
      if (valueEnd <= valueStart) return undefined;
      value = text.slice(valueStart, valueEnd);
      if (isQuoted) value = unquote(value);
      index = skipSpace(text, valueEnd);
    }
    const name = text.slice(start, nameEnd).toLowerCase();
    if (names.includes(name)) continue;
    names.push(name);
    values.push(value);
  }
  return new ParameterList(names, values);
}

/** Wider than `token / host`: what phones send unquoted is no reason to lose a call. */
function plainValueEnd(text: string, at: number, separator: number): number {
  let index = at;
  for (; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit <= SPACE || unit === separator || unit === QUOTE || unit === COMMA) break;
    if (unit === LESS || unit === GREATER) break;
  }
  return index;
}

/** `;name=value…`: values that are neither token nor host are quoted. */
export function formatParameters(parameters: Parameters): string {
  let text = '';
  for (const [name, value] of parameters) {
    if (value === undefined) text += `;${name}`;
    else text += `;${name}=${/^[\w.!%*+`'~:[\]-]+$/.test(value) ? value : quote(value)}`;
  }
  return text;
}

/** A number of decimal digits alone, at most `max`; undefined if it is none. */
export function parseDecimal(text: string, max: number): number | undefined {
  if (text === '' || text.length > 15) return parseLongDecimal(text, max);
  let value = 0;
  for (let index = 0; index < text.length; index += 1) {
    const digit = text.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  return value <= max ? value : undefined;
}

/** Leading zeros make no number too large. */
function parseLongDecimal(text: string, max: number): number | undefined {
  const digits = /^0*(\d{1,15})$/.exec(text)?.[1];
  return digits === undefined ? undefined : parseDecimal(digits, max);
}

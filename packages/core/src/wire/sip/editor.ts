/**
 * Changes to a message that leave every byte of the rest as it came: what a proxy does to what it forwards.
 *
 * Lines that are not touched are copied from the message; one that is changed is written anew.
 */
import { assert } from '../../base/index.js';
import { listValueEnd, parseDecimal, quotedEnd } from './grammar.js';
import { decodeBytes } from './head.js';
import { concatenate, headerLine, lineBytes } from './lines.js';
import { findKnownHeader, HeaderId } from './header-names.js';
import type { SipMessage } from './message.js';

/** A header line: of the message by its number there, or another one with its CRLF. */
type Line =
  { readonly id: number; readonly source: number } | { readonly id: number; readonly bytes: Uint8Array };

/** Edits one message; the message itself stays as it is. Not to be used after `serialize`. */
export class MessageEditor {
  readonly #message: SipMessage;
  readonly #lines: Line[] = [];
  #startLine: string | undefined;
  #body: Uint8Array | undefined;

  constructor(message: SipMessage) {
    this.#message = message;
    const { head } = message;
    for (let line = 0; line < head.lineCount; line += 1)
      this.#lines.push({ id: head.idAt(line), source: line });
  }

  /** The Request-URI of a request. */
  setRequestUri(uri: string): this {
    assert(this.#message.kind === 'request', 'a request has a Request-URI');
    this.#startLine = `${this.#message.method} ${uri} SIP/2.0`;
    return this;
  }

  /** A line above all others of its name, or if there are none, below Via. A Via goes to the top. */
  prepend(name: string, value: string): this {
    const line = newLine(name, value);
    let at = this.#find(name);
    if (at < 0) {
      at = 0;
      if (line.id !== HeaderId.via) while (this.#lines[at]?.id === HeaderId.via) at += 1;
    }
    this.#lines.splice(at, 0, line);
    return this;
  }

  /** A line below all others. */
  append(name: string, value: string): this {
    this.#lines.push(newLine(name, value));
    return this;
  }

  /** Takes all lines of a name out. */
  removeAll(name: string): this {
    for (let at = this.#find(name); at >= 0; at = this.#find(name, at)) this.#lines.splice(at, 1);
    return this;
  }

  /** Takes the first value out: of a list the first of its values, else the first line. */
  removeFirst(name: string): this {
    const at = this.#find(name);
    if (at < 0) return this;
    const rest = findKnownHeader(name)?.isList === true ? this.#behindFirst(at) : undefined;
    if (rest === undefined) this.#lines.splice(at, 1);
    else this.#lines[at] = changedLine(this.#lines[at]!.id, rest);
    return this;
  }

  /** One line in place of all of this name: where the first was, or below all others if there was none. */
  replace(name: string, value: string): this {
    const at = this.#find(name);
    this.removeAll(name);
    this.#lines.splice(at < 0 ? this.#lines.length : at, 0, newLine(name, value));
    return this;
  }

  pushVia(via: string): this {
    return this.prepend('Via', via);
  }

  popVia(): this {
    return this.removeFirst('Via');
  }

  /** Sets a parameter of the top Via, `received` or `rport`; it replaces one of that name. */
  setTopViaParam(name: string, value: string): this {
    const at = this.#find('Via');
    assert(at >= 0, 'a message has a Via');
    const text = this.#lineText(at);
    const [start, end] = firstValue(text);
    const via = text.slice(start, end);
    const [from, to] = parameterIn(via, name) ?? [via.trimEnd().length, via.length];
    const changed = `${via.slice(0, from)};${name}=${value}${via.slice(to)}`;
    this.#lines[at] = changedLine(HeaderId.via, text.slice(0, start) + changed + text.slice(end));
    return this;
  }

  /**
   * Counts Max-Forwards down, or adds it with `initial` where there is none (RFC 3261 §16.6). It must not be 0.
   */
  decrementMaxForwards(initial = 70): this {
    const at = this.#find('Max-Forwards');
    if (at < 0) return this.prepend('Max-Forwards', String(initial));
    const text = this.#lineText(at);
    const hops = parseDecimal(text.slice(text.indexOf(':') + 1).trim(), 255);
    assert(hops !== undefined && hops > 0, 'a request without hops left is not forwarded');
    this.#lines[at] = newLine('Max-Forwards', String(hops - 1));
    return this;
  }

  /** Another body, with its Content-Length; the Content-Type too if one is given. */
  setBody(body: Uint8Array, contentType?: string): this {
    this.#body = body;
    this.replace('Content-Length', String(body.length));
    if (contentType !== undefined) this.replace('Content-Type', contentType);
    return this;
  }

  /** The bytes of the message with its changes; with a Content-Length, since it may go to a stream. */
  serialize(): Uint8Array {
    const { head, body: oldBody } = this.#message;
    const body = this.#body ?? oldBody;
    if (this.#find('Content-Length') < 0) this.append('Content-Length', String(body.length));
    const parts: Uint8Array[] = [];
    if (this.#startLine === undefined) parts.push(head.bytes.subarray(head.start, head.startLineEnd + 2));
    else parts.push(lineBytes(this.#startLine));
    // Lines that follow each other as they did in the message are copied at once.
    for (let index = 0; index < this.#lines.length; index += 1) {
      const line = this.#lines[index]!;
      if ('bytes' in line) {
        parts.push(line.bytes);
        continue;
      }
      let last = line.source;
      for (let next = this.#lines[index + 1]; next !== undefined && 'source' in next; index += 1) {
        if (next.source !== last + 1) break;
        last = next.source;
        next = this.#lines[index + 2];
      }
      parts.push(head.bytes.subarray(head.startAt(line.source), head.endAt(last)));
    }
    parts.push(lineBytes(''), body);
    return concatenate(parts);
  }

  #find(name: string, from = 0): number {
    const id = findKnownHeader(name)?.id;
    const lower = name.toLowerCase();
    for (let index = from; index < this.#lines.length; index += 1) {
      const line = this.#lines[index]!;
      if (id === undefined ? line.id === HeaderId.unknown && this.#nameOf(line) === lower : line.id === id) {
        return index;
      }
    }
    return -1;
  }

  #nameOf(line: Line): string {
    if ('source' in line) return this.#message.head.nameAt(line.source).toLowerCase();
    return decodeBytes(line.bytes, 0, line.bytes.indexOf(0x3a)).trim().toLowerCase();
  }

  /** The line as it is, folds included, without its CRLF; a character for each byte. */
  #lineText(index: number): string {
    const line = this.#lines[index]!;
    if ('bytes' in line) return decodeBytes(line.bytes, 0, line.bytes.length - 2);
    const { head } = this.#message;
    return decodeBytes(head.bytes, head.startAt(line.source), head.endAt(line.source) - 2);
  }

  /** The line without its first value; undefined if that is the only one. */
  #behindFirst(index: number): string | undefined {
    const text = this.#lineText(index);
    const rest = text.slice(firstValue(text)[1] + 1).trim();
    return rest === '' ? undefined : `${text.slice(0, text.indexOf(':') + 1)} ${rest}`;
  }
}

/** Where the first value of a line that is a list begins and ends. Empty values are none. */
function firstValue(text: string): readonly [start: number, end: number] {
  let start = text.indexOf(':') + 1;
  let end = listValueEnd(text, start);
  while (end < text.length && text.slice(start, end).trim() === '') {
    start = end + 1;
    end = listValueEnd(text, start);
  }
  return [start, end];
}

/** Where the first parameter of this name stands in a value, from its semicolon to its end. Not within quotes. */
function parameterIn(value: string, name: string): readonly [from: number, to: number] | undefined {
  let from = semicolonIn(value, 0);
  while (from < value.length) {
    const next = semicolonIn(value, from + 1);
    const parameter = value.slice(from + 1, next);
    if (parameter.split('=', 1)[0]!.trim().toLowerCase() === name) {
      return [from, from + 1 + parameter.trimEnd().length];
    }
    from = next;
  }
  return undefined;
}

function semicolonIn(value: string, from: number): number {
  for (let index = from; index < value.length; index += 1) {
    if (value[index] === ';') return index;
    if (value[index] !== '"') continue;
    const end = quotedEnd(value, index);
    if (end < 0) break;
    index = end - 1;
  }
  return value.length;
}

function newLine(name: string, value: string): Line {
  return { id: findKnownHeader(name)?.id ?? HeaderId.unknown, bytes: headerLine(name, value) };
}

/** A line of the message that was changed: `text` has a character for each byte, and maybe folds. */
function changedLine(id: number, text: string): Line {
  return { id, bytes: Uint8Array.from(`${text}\r\n`, (character) => character.charCodeAt(0)) };
}

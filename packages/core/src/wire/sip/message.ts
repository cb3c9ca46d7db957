/**
 * A SIP message as it came: bytes, and views of them that are made when they are asked for.
 *
 * What the parser has checked (top Via, From, To, Call-ID, CSeq, and of a request Max-Forwards) is always there. A
 * typed getter of anything else tells what is absent from what is malformed where that matters to the caller. A
 * message is never changed: see `MessageEditor`.
 */
import { assert } from '../../base/index.js';
import { parseCredentials, type DigestFields } from './digest.js';
import { isToken, parseDecimal, splitList } from './grammar.js';
import type { MessageHead } from './head.js';
import { findKnownHeader, HeaderId } from './header-names.js';
import { parseNameAddr, type NameAddr } from './name-addr.js';
import { parseUri, type Uri } from './uri.js';
import { parseVia, type Via } from './via.js';

/** CSeq: what orders the requests of a dialog or a registration. */
export interface CSeq {
  /** 0 … 2^31 - 1. */
  readonly number: number;
  readonly method: string;
}

/** RFC 3261 §8.1.1.5. */
const CSEQ_MAX = 2 ** 31 - 1;
/** RFC 3261 §20.22. */
const MAX_FORWARDS_MAX = 255;
/** RFC 3261 §20.19, seconds. */
const EXPIRES_MAX = 2 ** 32 - 1;

/** What requests and responses have in common. */
abstract class Message {
  /** Where the lines lie. For what goes through a message without decoding it. */
  readonly head: MessageHead;
  readonly #bodyEnd: number;
  #topVia: Via | undefined;
  #from: NameAddr | undefined;
  #to: NameAddr | undefined;
  #callId: string | undefined;
  #cseq: CSeq | undefined;
  /** Lists by header number; null: malformed. */
  #lists: Map<number, readonly NameAddr[] | null> | undefined;
  #vias: readonly Via[] | null | undefined;

  constructor(head: MessageHead, bodyEnd: number) {
    this.head = head;
    this.#bodyEnd = bodyEnd;
  }

  /** The message as it came, from the start line to the end of the body. A view; shared with whoever gave it. */
  get bytes(): Uint8Array {
    return this.head.bytes.subarray(this.head.start, this.#bodyEnd);
  }

  /** The body, of as many bytes as Content-Length says; empty if there is none. A view. */
  get body(): Uint8Array {
    return this.head.bytes.subarray(this.head.end, this.#bodyEnd);
  }

  /** Whether there is such a header. */
  has(name: string): boolean {
    return this.head.findName(name) >= 0;
  }

  /**
   * The first value of a header, folds replaced by a space; undefined if there is none. Names in any case, long or
   * compact. Of a header that may be a list, the first of its values.
   */
  header(name: string): string | undefined {
    const { head } = this;
    const isList = findKnownHeader(name)?.isList === true;
    for (let line = head.findName(name); line >= 0; line = head.findName(name, line + 1)) {
      const text = head.textAt(line);
      if (!isList) return text;
      const [value] = splitList(text);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** All values of a header, in their order, those of lists one by one; empty ones of lists are left out. */
  headers(name: string): string[] {
    const known = findKnownHeader(name);
    if (known?.isList === true) return this.#values(known.id);
    const { head } = this;
    const values: string[] = [];
    for (let line = head.findName(name); line >= 0; line = head.findName(name, line + 1)) {
      values.push(head.textAt(line));
    }
    return values;
  }

  /** The topmost Via. */
  get topVia(): Via {
    return checked(this.readTopVia());
  }

  get from(): NameAddr {
    return checked(this.readFrom());
  }

  get to(): NameAddr {
    return checked(this.readTo());
  }

  get callId(): string {
    return checked(this.readCallId());
  }

  get cseq(): CSeq {
    return checked(this.readCSeq());
  }

  /** All Via values from the top; undefined if one is malformed. */
  get vias(): readonly Via[] | undefined {
    if (this.#vias === undefined) {
      const vias = this.#values(HeaderId.via).map(parseVia);
      this.#vias = vias.includes(undefined) ? null : (vias as Via[]);
    }
    return this.#vias ?? undefined;
  }

  /** Contact values, none if there is no header; `*` as RFC 3261 §10.2.2 has it; undefined if one is malformed. */
  get contacts(): readonly NameAddr[] | '*' | undefined {
    return this.#nameAddrs(HeaderId.contact) ?? (this.#isStar() ? '*' : undefined);
  }

  /** Route values from the top; undefined if one is malformed. The three below alike. */
  get routes(): readonly NameAddr[] | undefined {
    return this.#nameAddrs(HeaderId.route);
  }

  get recordRoutes(): readonly NameAddr[] | undefined {
    return this.#nameAddrs(HeaderId.recordRoute);
  }

  get paths(): readonly NameAddr[] | undefined {
    return this.#nameAddrs(HeaderId.path);
  }

  /** Seconds, 0 … 2^32 - 1; undefined if absent or malformed: RFC 3261 §10.3 treats both alike. */
  get expires(): number | undefined {
    const line = this.head.find(HeaderId.expires);
    return line < 0 ? undefined : parseDecimal(this.head.textAt(line), EXPIRES_MAX);
  }

  /** Option tags in Require, lower case. */
  get requires(): readonly string[] {
    return this.#optionTags(HeaderId.require);
  }

  /** Option tags in Proxy-Require, lower case. */
  get proxyRequires(): readonly string[] {
    return this.#optionTags(HeaderId.proxyRequire);
  }

  /** Option tags in Supported, lower case. */
  get supported(): readonly string[] {
    return this.#optionTags(HeaderId.supported);
  }

  /** Content-Type as it was written. */
  get contentType(): string | undefined {
    return this.header('Content-Type');
  }

  /** For the parser, as the four below: undefined if absent or malformed. */
  readTopVia(): Via | undefined {
    if (this.#topVia !== undefined) return this.#topVia;
    const text = this.#text(HeaderId.via);
    const via = parseVia(text.includes(',') ? (splitList(text)[0] ?? '') : text);
    return via === undefined ? undefined : (this.#topVia = via);
  }

  readFrom(): NameAddr | undefined {
    return (this.#from ??= parseNameAddr(this.#text(HeaderId.from)));
  }

  readTo(): NameAddr | undefined {
    return (this.#to ??= parseNameAddr(this.#text(HeaderId.to)));
  }

  /** Any text without white space: more than the words of RFC 3261 §25.1. */
  readCallId(): string | undefined {
    if (this.#callId !== undefined) return this.#callId;
    const text = this.#text(HeaderId.callId);
    return text === '' || /\s/.test(text) ? undefined : (this.#callId = text);
  }

  readCSeq(): CSeq | undefined {
    return (this.#cseq ??= parseCSeq(this.#text(HeaderId.cseq)));
  }

  #text(id: number): string {
    const line = this.head.find(id);
    return line < 0 ? '' : this.head.textAt(line);
  }

  #values(id: number): string[] {
    const { head } = this;
    const values: string[] = [];
    for (let line = head.find(id); line >= 0; line = head.find(id, line + 1)) {
      const text = head.textAt(line);
      // Most lines have one value.
      if (text.includes(',')) values.push(...splitList(text));
      else if (text !== '') values.push(text);
    }
    return values;
  }

  #nameAddrs(id: number): readonly NameAddr[] | undefined {
    if (((this.head.present >> id) & 1) === 0) return [];
    this.#lists ??= new Map();
    let list = this.#lists.get(id);
    if (list === undefined) {
      list = parseEach(this.#values(id));
      this.#lists.set(id, list);
    }
    return list ?? undefined;
  }

  #isStar(): boolean {
    const values = this.#values(HeaderId.contact);
    return values.length === 1 && values[0] === '*';
  }

  #optionTags(id: number): readonly string[] {
    if (((this.head.present >> id) & 1) === 0) return [];
    return this.#values(id).map((tag) => tag.toLowerCase());
  }
}

function parseEach(values: readonly string[]): readonly NameAddr[] | null {
  const parsed: NameAddr[] = [];
  for (const value of values) {
    const one = parseNameAddr(value);
    if (one === undefined) return null;
    parsed.push(one);
  }
  return parsed;
}

function parseCSeq(text: string): CSeq | undefined {
  const match = /^(\d+)[ \t]+(\S+)$/.exec(text);
  const number = match === null ? undefined : parseDecimal(match[1]!, CSEQ_MAX);
  const method = match?.[2];
  if (number === undefined || method === undefined || !isToken(method)) return undefined;
  return { number, method };
}

function checked<Value>(value: Value | undefined): Value {
  assert(value !== undefined, 'the headers without which there is no message were checked');
  return value;
}

export class SipRequest extends Message {
  readonly kind = 'request';
  /** As it was written: methods have a case. */
  readonly method: string;
  /** The Request-URI as it was written. */
  readonly uri: string;
  #requestUri: Uri | null | undefined;
  #maxForwards: number | undefined;

  constructor(head: MessageHead, bodyEnd: number, method: string, uri: string) {
    super(head, bodyEnd);
    this.method = method;
    this.uri = uri;
  }

  /** The Request-URI; undefined if it is malformed. */
  get requestUri(): Uri | undefined {
    if (this.#requestUri === undefined) this.#requestUri = parseUri(this.uri) ?? null;
    return this.#requestUri ?? undefined;
  }

  /** 0 … 255; undefined if there is none. */
  get maxForwards(): number | undefined {
    if (this.#maxForwards === undefined && (this.head.present >> HeaderId.maxForwards) & 1) {
      const text = this.head.textAt(this.head.find(HeaderId.maxForwards));
      this.#maxForwards = parseDecimal(text, MAX_FORWARDS_MAX);
    }
    return this.#maxForwards;
  }

  /** Authorization, one for each line; those that cannot be read are left out. */
  get authorizations(): readonly DigestFields[] {
    return this.#credentials('Authorization');
  }

  /** Proxy-Authorization, likewise: one for each realm on the way. */
  get proxyAuthorizations(): readonly DigestFields[] {
    return this.#credentials('Proxy-Authorization');
  }

  #credentials(name: string): readonly DigestFields[] {
    return this.headers(name)
      .map(parseCredentials)
      .filter((fields) => fields !== undefined);
  }
}

export class SipResponse extends Message {
  readonly kind = 'response';
  /** 100 … 699. */
  readonly status: number;
  /** Reason phrase; may be empty. */
  readonly reason: string;

  constructor(head: MessageHead, bodyEnd: number, status: number, reason: string) {
    super(head, bodyEnd);
    this.status = status;
    this.reason = reason;
  }
}

export type SipMessage = SipRequest | SipResponse;

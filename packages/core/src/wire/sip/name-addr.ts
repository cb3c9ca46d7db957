/** A display name, a URI and parameters, as in From, To, Contact, Route, Record-Route and Path (RFC 3261 §20.10). */
import {
  formatParameters,
  isTokenUnit,
  parseParameters,
  quote,
  quotedEnd,
  skipSpace,
  unquote,
} from './grammar.js';
import type { Parameters } from './parameters.js';
import { parseUri, type Uri } from './uri.js';

/** One value of such a header. The URI is parsed when it is asked for. */
export class NameAddr {
  /** Without quotes; undefined if there is none. */
  readonly display: string | undefined;
  /** As it was written, without `<` and `>`; not empty, no white space. */
  readonly uriText: string;
  /** Parameters of the header, not of the URI. */
  readonly params: Parameters;
  /** The whole value as it was written, folds replaced by a space. */
  readonly text: string;
  #uri: Uri | undefined;
  #isUriParsed = false;

  constructor(display: string | undefined, uriText: string, params: Parameters, text: string) {
    this.display = display;
    this.uriText = uriText;
    this.params = params;
    this.text = text;
  }

  /** Undefined if the URI is malformed. */
  get uri(): Uri | undefined {
    if (!this.#isUriParsed) {
      this.#uri = parseUri(this.uriText);
      this.#isUriParsed = true;
    }
    return this.#uri;
  }

  /** The tag of From and To. */
  get tag(): string | undefined {
    return this.params.get('tag');
  }
}

/** Undefined if the value is malformed. */
export function parseNameAddr(text: string): NameAddr | undefined {
  let at = skipSpace(text, 0);
  let display: string | undefined;
  if (text.charCodeAt(at) === 0x22) {
    const end = quotedEnd(text, at);
    if (end < 0) return undefined;
    display = unquote(text.slice(at, end));
    at = skipSpace(text, end);
    if (text.charCodeAt(at) !== 0x3c) return undefined;
  } else {
    const angle = text.indexOf('<', at);
    if (angle < 0) return parseAddrSpec(text, at);
    display = text.slice(at, angle).trim() || undefined;
    // RFC 4475 §3.1.2.15: what stands without quotes is made of tokens. Beyond ASCII it is let through.
    if (display !== undefined && !isTokens(display)) return undefined;
    at = angle;
  }
  const close = text.indexOf('>', at);
  if (close < 0) return undefined;
  const uriText = text.slice(at + 1, close);
  if (!isUriLike(uriText)) return undefined;
  const params = parseParameters(text, close + 1);
  return params === undefined ? undefined : new NameAddr(display, uriText, params, text);
}

/** RFC 3261 §20.10: without `<` and `>` all parameters are the header's, and `,` and `?` cannot be in the URI. */
function parseAddrSpec(text: string, at: number): NameAddr | undefined {
  const semicolon = text.indexOf(';', at);
  const uriText = (semicolon < 0 ? text.slice(at) : text.slice(at, semicolon)).trim();
  if (!isUriLike(uriText) || uriText.includes('?') || uriText.includes(',')) return undefined;
  const params = parseParameters(text, semicolon < 0 ? text.length : semicolon);
  return params === undefined ? undefined : new NameAddr(undefined, uriText, params, text);
}

function isTokens(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit !== 0x20 && unit !== 0x09 && unit < 0x80 && !isTokenUnit(unit)) return false;
  }
  return true;
}

function isUriLike(text: string): boolean {
  if (text.indexOf(':') <= 0) return false;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit <= 0x20 || unit === 0x22 || unit === 0x3c || unit === 0x3e) return false;
  }
  return true;
}

/** A value from its parts: with `<` and `>`, the display name in quotes. */
export function formatNameAddr(parts: {
  readonly display?: string | undefined;
  /** As it is to be written. */
  readonly uri: string;
  readonly params?: Parameters | undefined;
}): string {
  const display = parts.display === undefined ? '' : `${quote(parts.display)} `;
  const params = parts.params === undefined ? '' : formatParameters(parts.params);
  return `${display}<${parts.uri}>${params}`;
}

/**
 * The header fields that are known by name: their compact forms (RFC 3261 §7.3.3) and whether a comma separates
 * values in them. A header that is not here is kept and forwarded all the same; its value is never split.
 */

/** Numbers of the header fields that this folder reads itself; the others get theirs from their place in the table. */
export const HeaderId = {
  unknown: 0,
  via: 1,
  from: 2,
  to: 3,
  callId: 4,
  cseq: 5,
  maxForwards: 6,
  contentLength: 7,
  contact: 8,
  route: 9,
  recordRoute: 10,
  expires: 11,
  path: 12,
  require: 13,
  proxyRequire: 14,
  supported: 15,
  authorization: 16,
  proxyAuthorization: 17,
  wwwAuthenticate: 18,
  proxyAuthenticate: 19,
  contentType: 20,
  timestamp: 21,
  minExpires: 22,
} as const;

/** A header field by its number, as in {@link HeaderId}. */
export interface KnownHeader {
  readonly id: number;
  /** As RFC 3261 and its extensions write it. */
  readonly name: string;
  /** Whether its values may stand in one line, separated by commas. */
  readonly isList: boolean;
}

const singles = 'single';
const lists = 'list';

/** Name, kind and compact form; the first rows in the order of {@link HeaderId}. */
const rows: readonly (readonly [name: string, kind: typeof singles | typeof lists, compact?: string])[] = [
  ['Via', lists, 'v'],
  ['From', singles, 'f'],
  ['To', singles, 't'],
  ['Call-ID', singles, 'i'],
  ['CSeq', singles],
  ['Max-Forwards', singles],
  ['Content-Length', singles, 'l'],
  ['Contact', lists, 'm'],
  ['Route', lists],
  ['Record-Route', lists],
  ['Expires', singles],
  ['Path', lists],
  ['Require', lists],
  ['Proxy-Require', lists],
  ['Supported', lists, 'k'],
  // RFC 3261 §7.3.1: these four have commas of their own.
  ['Authorization', singles],
  ['Proxy-Authorization', singles],
  ['WWW-Authenticate', singles],
  ['Proxy-Authenticate', singles],
  ['Content-Type', singles, 'c'],
  ['Timestamp', singles],
  ['Min-Expires', singles],
  ['Accept', lists],
  ['Accept-Contact', lists, 'a'],
  ['Accept-Encoding', lists],
  ['Accept-Language', lists],
  ['Alert-Info', lists],
  ['Allow', lists],
  ['Allow-Events', lists, 'u'],
  ['Authentication-Info', singles],
  ['Call-Info', lists],
  ['Content-Disposition', singles],
  ['Content-Encoding', lists, 'e'],
  ['Content-Language', lists],
  ['Date', singles],
  ['Diversion', lists],
  ['Error-Info', lists],
  ['Event', singles, 'o'],
  ['Feature-Caps', lists],
  ['Flow-Timer', singles],
  ['History-Info', lists],
  ['Identity', singles, 'y'],
  ['In-Reply-To', lists],
  ['Max-Breadth', singles],
  ['MIME-Version', singles],
  ['Organization', singles],
  ['P-Asserted-Identity', lists],
  ['P-Preferred-Identity', lists],
  ['Priority', singles],
  ['Privacy', singles],
  ['RAck', singles],
  ['Reason', lists],
  ['Refer-To', singles, 'r'],
  ['Referred-By', singles, 'b'],
  ['Reject-Contact', lists, 'j'],
  ['Replaces', singles],
  ['Reply-To', singles],
  ['Request-Disposition', lists, 'd'],
  ['Retry-After', singles],
  ['RSeq', singles],
  ['Server', singles],
  ['Service-Route', lists],
  ['Session-Expires', singles, 'x'],
  ['Subject', singles, 's'],
  ['Subscription-State', singles],
  ['Unsupported', lists],
  ['User-Agent', singles],
  ['Warning', lists],
];

const known: readonly KnownHeader[] = [
  { id: HeaderId.unknown, name: '', isList: false },
  ...rows.map(([name, kind], index) => ({ id: index + 1, name, isList: kind === lists })),
];

const byText = new Map<string, KnownHeader>();
/** Length and lower-cased first byte to the names with these. */
const byShape: (readonly (readonly [name: Uint8Array, id: number])[] | undefined)[] = [];
const NAME_BYTES_MAX = 31;

for (const [index, [name, , compact]] of rows.entries()) {
  for (const text of compact === undefined ? [name] : [name, compact]) {
    const lower = text.toLowerCase();
    byText.set(lower, known[index + 1]!);
    byText.set(text, known[index + 1]!);
    const bytes = Uint8Array.from(lower, (character) => character.charCodeAt(0));
    const shape = shapeOf(bytes.length, bytes[0]!);
    byShape[shape] = [...(byShape[shape] ?? []), [bytes, index + 1]];
  }
}
// No holes: a look-up of an element that is not there is slow.
for (let shape = 0; shape <= shapeOf(NAME_BYTES_MAX, 0x1f); shape += 1) byShape[shape] ??= undefined;

function shapeOf(length: number, firstByte: number): number {
  return (length << 5) | (firstByte & 0x1f);
}

/** What is known of a header field; undefined if nothing. Any case, long or compact. */
export function findKnownHeader(name: string): KnownHeader | undefined {
  return byText.get(name) ?? byText.get(name.toLowerCase());
}

/** What is known of the header field with this number. */
export function knownHeader(id: number): KnownHeader {
  return known[id]!;
}

/** The number of the header field whose name, a token, is in `bytes[start … end)`. */
export function headerIdAt(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > NAME_BYTES_MAX) return HeaderId.unknown;
  const candidates = byShape[shapeOf(length, bytes[start]!)];
  if (candidates === undefined) return HeaderId.unknown;
  for (const [name, id] of candidates) {
    let index = 0;
    // Within the characters of a token this bit is the case of letters and nothing else.
    while (index < length && (bytes[start + index]! | 0x20) === name[index]) index += 1;
    if (index === length) return id;
  }
  return HeaderId.unknown;
}

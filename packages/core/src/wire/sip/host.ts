/** Hosts in SIP: names, IPv4 addresses and IPv6 references, and the addresses' bytes. */

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const HYPHEN = 0x2d;

/** 1: may stand in a name. An underscore may, since names of the Windows world have it. */
const isNameCode = new Uint8Array(128);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-') {
  isNameCode[character.charCodeAt(0)] = 1;
}

/** The index behind what may be a host at `at`: a reference in brackets, or characters of names. */
export function hostEnd(text: string, at: number): number {
  if (text.charCodeAt(at) === OPEN_BRACKET) {
    const close = text.indexOf(']', at);
    return close < 0 ? at : close + 1;
  }
  let index = at;
  for (; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 128 || isNameCode[unit] === 0) break;
  }
  return index;
}

/** Whether `text` is a host name, an IPv4 address or an IPv6 reference in brackets. */
export function isHost(text: string): boolean {
  const { length } = text;
  const first = text.charCodeAt(0);
  if (first === OPEN_BRACKET)
    return text.charCodeAt(length - 1) === CLOSE_BRACKET && addressBytes(text) !== undefined;
  // A dot may end a name and not begin one.
  if (length === 0 || first === HYPHEN || first === 0x2e) return false;
  return hostEnd(text, 0) === length && text.charCodeAt(length - 1) !== HYPHEN;
}

/** The four or sixteen bytes of an address, an IPv6 one with or without brackets; undefined for names. */
export function addressBytes(host: string): Uint8Array | undefined {
  if (host.startsWith('[')) return host.endsWith(']') ? ipv6Bytes(host.slice(1, -1)) : undefined;
  return host.includes(':') ? ipv6Bytes(host) : ipv4Bytes(host);
}

/**
 * The form of a host by which equal ones are equal texts: lower case, IPv6 in its shortest form in brackets
 * (RFC 5952), without the dot at the end of a name.
 */
export function canonicalHost(host: string): string {
  if (host.includes(':')) {
    const bytes = addressBytes(host);
    return bytes === undefined ? host.toLowerCase() : `[${formatIpv6(bytes)}]`;
  }
  const lower = host.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

/** An address as text, IPv6 without brackets, from its four or sixteen bytes. */
export function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join('.') : formatIpv6(bytes);
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  // RFC 5118 §4.10: an erroneous grammar made three colons of two where an IPv4 address follows.
  const halves = text.replace(':::', '::').split('::');
  if (halves.length > 2) return undefined;
  const head = groupBytes(halves[0]!, halves.length === 1);
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? Uint8Array.from(head) : undefined;
  const tail = groupBytes(halves[1]!, true);
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** `isEnd`: the address ends with these groups, and so may end as IPv4. */
function groupBytes(text: string, isEnd: boolean): number[] | undefined {
  const bytes: number[] = [];
  if (text === '') return bytes;
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (group.includes('.')) {
      const ipv4 = isEnd && index === groups.length - 1 ? ipv4Bytes(group) : undefined;
      if (ipv4 === undefined) return undefined;
      bytes.push(...ipv4);
    } else {
      if (!/^[0-9A-Fa-f]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function formatIpv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) groups.push((bytes[index]! << 8) | bytes[index + 1]!);
  let start = -1;
  let length = 1;
  for (let index = 0; index < 8; index += 1) {
    let end = index;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - index > length) {
      start = index;
      length = end - index;
    }
  }
  const texts = groups.map((group) => group.toString(16));
  if (start < 0) return texts.join(':');
  return `${texts.slice(0, start).join(':')}::${texts.slice(start + length).join(':')}`;
}

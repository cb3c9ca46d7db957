/**
 * IP addresses as text, as limits count them: one rule for listeners, sessions and hub.
 *
 * Must not: check that a text is an address; whoever took it from a socket or a header has.
 */

const IPV4_IN_IPV6 = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/** An IPv4 address that came over an IPv6 socket, as IPv4; anything else unchanged, without a zone. */
export function plainAddress(address: string): string {
  const inner = IPV4_IN_IPV6.exec(address)?.[1];
  if (inner !== undefined) return inner;
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}

/** What peers are counted by: the IPv4 address, or the /64 of an IPv6 address, since one host is usually given that many. */
export function limitKey(address: string): string {
  const plain = plainAddress(address);
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups =
    tail === undefined ? front : [...front, ...zeroGroups(8 - front.length - back.length), ...back];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

/** {@link limitKey} of an address with its port: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
export function limitKeyOfPeer(peer: string): string {
  const end = peer.lastIndexOf(':');
  const host = end < 0 ? peer : peer.slice(0, end);
  return limitKey(host.startsWith('[') ? host.slice(1, -1) : host);
}

function zeroGroups(count: number): string[] {
  return Array.from({ length: Math.max(0, count) }, () => '0');
}

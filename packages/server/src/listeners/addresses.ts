/** Peer addresses as limits and proxies see them. */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import type { Socket } from 'node:net';

/** Who is at the other end of a connection. */
export interface Peer {
  /** As {@link plainAddress}; empty: the connection is gone. */
  readonly address: string;
  readonly port: number;
}

/** Node remembers the answers of the host with the socket. */
interface AddressMemory {
  _peername?: unknown;
  _sockname?: unknown;
}

/** A sleeping line need not remember the ends of its connection; the host tells them again when asked. */
export function forgetAddresses(socket: Socket): void {
  const memory = socket as AddressMemory;
  if (memory._peername !== undefined) memory._peername = undefined;
  if (memory._sockname) memory._sockname = null;
}

/** Asks the host who is at the other end. */
export function peerOf(socket: Socket): Peer {
  const peer = { address: plainAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
  forgetAddresses(socket);
  return peer;
}

/** An IPv4 address that came over an IPv6 socket, as IPv4; anything else unchanged, without a zone. */
export function plainAddress(address: string): string {
  if (address.startsWith('::ffff:') && isIPv4(address.slice(7))) return address.slice(7);
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}

/**
 * What connections are counted by: the IPv4 address, or the /64 of an IPv6 address, since one host is usually
 * given that many.
 */
export function limitKey(address: string): string {
  const plain = plainAddress(address);
  if (!isIPv6(plain)) return plain;
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

function zeroGroups(count: number): string[] {
  return Array.from({ length: Math.max(0, count) }, () => '0');
}

/** Addresses and networks: `192.0.2.1`, `2001:db8::/32`. */
export class AddressList {
  readonly #list = new BlockList();
  readonly isEmpty: boolean;

  /** Entries were checked by the configuration; one that is no address is ignored. */
  constructor(entries: readonly string[]) {
    let count = 0;
    for (const entry of entries) {
      const [text = '', prefix] = entry.split('/');
      const address = plainAddress(text);
      const version = isIP(address);
      if (version === 0) continue;
      count += 1;
      const family = version === 4 ? 'ipv4' : 'ipv6';
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
    this.isEmpty = count === 0;
  }

  has(address: string): boolean {
    if (this.isEmpty) return false;
    const plain = plainAddress(address);
    const version = isIP(plain);
    return version !== 0 && this.#list.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  }
}

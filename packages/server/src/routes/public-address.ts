/**
 * Which addresses belong to the Internet: what a stranger may make the server connect to. Everything else (this machine,
 * private networks, links, carriers' insides, groups, documentation, and all that only wraps an IPv4 address of these) is
 * a way into somebody's house.
 *
 * The lists are those of IANA's registries of special-purpose addresses (RFC 6890 and its successors).
 */
import { BlockList, isIP } from 'node:net';

const special = new BlockList();

for (const [network, prefix] of [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // insides of carriers
  ['127.0.0.0', 8], // this machine
  ['169.254.0.0', 16], // this link
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocols
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // groups
  ['240.0.0.0', 4], // reserved, broadcast
] as const) {
  special.addSubnet(network, prefix, 'ipv4');
}

for (const [network, prefix] of [
  ['2001::', 23], // protocols, Teredo among them
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4: an IPv4 address within
  ['3fff::', 20], // documentation
  ['5f00::', 16], // segment routing
] as const) {
  special.addSubnet(network, prefix, 'ipv6');
}

const unicast = new BlockList();
unicast.addSubnet('2000::', 3, 'ipv6');

/** Whether `address` (text, without brackets) is a global unicast address. False for what is no address. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, 'ipv4');
    case 6:
      // Loopback, link-local, unique local, multicast, mapped and translated IPv4 lie outside of 2000::/3.
      return unicast.check(address, 'ipv6') && !special.check(address, 'ipv6');
    default:
      return false;
  }
}

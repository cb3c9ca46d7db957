/**
 * A name for the network that a Linux machine is on, which tells one from another: the hardware address of its default gateway, hashed, or
 * where the gateway has none (mobile, tunnels) the interface. What `/proc/net` says, read; nothing is sent.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

const DEFAULT_DESTINATION = '00000000';
const NO_ADDRESS = '00:00:00:00:00:00';
const KEY_CHARS = 16;

/** Undefined: there is no default route, or no way to tell; that is no reason not to connect. */
export async function readNetworkKey(): Promise<string | undefined> {
  try {
    return networkKeyOf(
      await readFile('/proc/net/route', 'latin1'),
      await readFile('/proc/net/arp', 'latin1'),
    );
  } catch {
    // Not Linux, or not for us to read.
    return undefined;
  }
}

/** @param routes,neighbours the texts of `/proc/net/route` and `/proc/net/arp`. */
export function networkKeyOf(routes: string, neighbours: string): string | undefined {
  const route = routes
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination]) => destination === DEFAULT_DESTINATION)
    // The lowest metric is the one that is used.
    .toSorted((a, b) => Number(a[6]) - Number(b[6]))[0];
  if (route === undefined) return undefined;
  const [device = '', , gateway = ''] = route;
  if (gateway === DEFAULT_DESTINATION) return hashOf(`interface ${device}`);
  const address = addressOf(gateway);
  const neighbour = neighbours
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/))
    .find(([ip, , , , , on]) => ip === address && on === device);
  // A gateway that was not spoken to for a while is known again a moment later.
  if (neighbour === undefined || neighbour[3] === NO_ADDRESS) return undefined;
  return hashOf(`gateway ${neighbour[3]}`);
}

/** An address of 8 hex digits, the lowest byte first, as it is written. */
function addressOf(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  return bytes
    .toReversed()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}

function hashOf(text: string): string {
  return createHash('sha256').update(`wakeline network ${text}`).digest('hex').slice(0, KEY_CHARS);
}

/** Peer addresses as the host tells them and as proxies are named. */
import { BlockList, isIP } from 'node:net';
import type { Socket } from 'node:net';
import { plainAddress } from '@wakeline/core/base';

/** Who is at the other end of a connection. */
export interface Peer {
  /** As `plainAddress` has it; empty: the connection is gone. */
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

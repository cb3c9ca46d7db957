/**
 * What devices say of their networks, as hints for others on the same one: the longest silence after which each of them
 * was still reached. Kept on disk, in the table `network` under the hash of the network's name; forgotten after a week,
 * since networks change.
 *
 * Must not: see a network's name, or tell of fewer devices than `limits.networkHintDevicesMin`.
 */
import { fromHex } from '../base/hex.js';
import type { Limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import type { CommitQueue } from './commit-queue.js';
import type { Device } from './device-state.js';
import { encodeJson } from './rows.js';

/** What one device says: its number, its silence (ms), and when it said so (wall-clock ms). */
export type NetworkValue = readonly [number: number, lowMs: number, toldMs: number];

/** What the table has under the hash of a network, oldest value first. */
export type NetworkRow = readonly NetworkValue[];

/** How many in a hundred of the others may find that the hint is too long for them. */
const HINT_PERCENTILE = 5;

/** A value that is said again is written again when it is older than this, ms. */
const RETOLD_MS = 24 * 3_600_000;

/** Networks forgotten in one sweep. */
const SWEEP_ROWS_MAX = 1_000;

export class Networks {
  readonly #queue: CommitQueue;
  readonly #limits: Limits;
  /** By hash, the one of which somebody spoke last at the end. Rows are replaced, never changed. */
  readonly #rows = new Map<string, NetworkRow>();
  /** Hashes of the networks of which a device has said something, by its number, oldest first. */
  readonly #ofDevice = new Map<number, Set<string>>();

  constructor(queue: CommitQueue, limits: Limits) {
    this.#queue = queue;
    this.#limits = limits;
  }

  get count(): number {
    return this.#rows.size;
  }

  /** The 5th percentile of what devices other than this one say, ms; undefined: they are too few. */
  hint(now: InstantMs, sha256: string, { number: own }: Device): number | undefined {
    const { networkHintDevicesMin } = this.#limits;
    const others = this.#fresh(now, this.#rows.get(sha256) ?? none)
      .filter(([number]) => number !== own)
      .map(([, lowMs]) => lowMs)
      .sort((a, b) => a - b);
    if (others.length < networkHintDevicesMin) return undefined;
    return others[Math.ceil((others.length * HINT_PERCENTILE) / 100) - 1];
  }

  /**
   * The device's value for the network from now on. True: that is to be on disk before it is relied on; the row goes with
   * the batch being filled. A device that keeps nothing is not remembered: it could come under any number of names.
   */
  tell(now: InstantMs, sha256: string, device: Device, lowMs: number): boolean {
    const { number } = device;
    if (!device.isDurable) return false;
    const old = this.#rows.get(sha256);
    const said = old?.find(([teller]) => teller === number);
    if (said !== undefined && said[1] === lowMs && now.wall - said[2] < RETOLD_MS) return false;
    const kept = this.#fresh(now, old ?? none).filter(([teller]) => teller !== number);
    const room = this.#limits.networkDevicesMax - 1;
    const row: NetworkRow = [
      ...kept.slice(Math.max(0, kept.length - room)),
      [number, lowMs, Math.round(now.wall)],
    ];
    this.#set(sha256, row);
    this.#queue.after({
      committed() {},
      undo: () => {
        if (this.#rows.get(sha256) === row) this.#put(sha256, old);
      },
    });
    this.#makeRoom(number);
    return true;
  }

  /** After a start: what the table has. */
  recover(rows: Iterable<readonly [sha256: string, row: NetworkRow]>): void {
    const toldMs = (row: NetworkRow): number => row.at(-1)?.[2] ?? 0;
    const sorted = [...rows].sort((a, b) => toldMs(a[1]) - toldMs(b[1]));
    for (const [sha256, row] of sorted) this.#put(sha256, row);
  }

  /** Forgets networks of which nobody has spoken for too long; a bounded number a call. */
  sweep(now: InstantMs): void {
    let count = 0;
    for (const [sha256, row] of this.#rows) {
      if (count++ >= SWEEP_ROWS_MAX || this.#fresh(now, row).length > 0) return;
      this.#forget(sha256);
    }
  }

  #fresh(now: InstantMs, row: NetworkRow): NetworkRow {
    const since = now.wall - this.#limits.networkKeptMs;
    return row.filter(([, , toldMs]) => toldMs > since);
  }

  /** No device speaks of more networks than it may, and there are no more of them than there may be. */
  #makeRoom(number: number): void {
    const { networksMax, networksPerDeviceMax } = this.#limits;
    const own = this.#ofDevice.get(number);
    if (own !== undefined && own.size > networksPerDeviceMax) {
      const [oldest] = own;
      const rest = this.#rows.get(oldest)!.filter(([teller]) => teller !== number);
      if (rest.length === 0) this.#forget(oldest);
      else this.#set(oldest, rest);
    }
    if (this.#rows.size <= networksMax) return;
    const [oldest] = this.#rows.keys();
    this.#forget(oldest);
  }

  #set(sha256: string, row: NetworkRow): void {
    this.#put(sha256, row);
    this.#queue.put('network', keyOf(sha256), encodeJson(row));
  }

  #forget(sha256: string): void {
    this.#put(sha256, undefined);
    this.#queue.put('network', keyOf(sha256), undefined);
  }

  /** In memory only. */
  #put(sha256: string, row: NetworkRow | undefined): void {
    for (const [number] of this.#rows.get(sha256) ?? none) {
      const own = this.#ofDevice.get(number);
      own?.delete(sha256);
      if (own?.size === 0) this.#ofDevice.delete(number);
    }
    this.#rows.delete(sha256);
    if (row === undefined) return;
    this.#rows.set(sha256, row);
    for (const [number] of row) {
      const own = this.#ofDevice.get(number);
      if (own === undefined) this.#ofDevice.set(number, new Set([sha256]));
      else own.add(sha256);
    }
  }
}

const none: NetworkRow = [];

function keyOf(sha256: string): Uint8Array {
  const key = fromHex(sha256);
  if (key === undefined) throw new TypeError('a hash is hexadecimal text');
  return key;
}

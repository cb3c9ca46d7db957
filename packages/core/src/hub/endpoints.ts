/**
 * The endpoints of all devices: which token leads to which channel of which device, and which tokens did until lately.
 *
 * Kept in memory whole, as devices are, and in the table `endpoint` under the token's hash; an endpoint that has ended
 * leaves a row behind for a while, so that its senders hear that it is gone for good and not that they mistyped it.
 *
 * Must not: see a token, or answer anybody.
 */
import { fromHex } from '../base/hex.js';
import type { Limits } from '../base/limits.js';
import type { InstantMs } from '../base/time.js';
import type { EndpointSummary } from '../domain/endpoint.js';
import type { StoreChange } from '../ports/store.js';
import type { CommitQueue } from './commit-queue.js';
import type { Device } from './device-state.js';
import { EndpointSet } from './endpoint-set.js';
import type { Endpoint as EndpointOf } from './endpoint-set.js';
import { encodeJson } from './rows.js';

export type Endpoint = EndpointOf<Device>;

/** Digits of the hash that name an endpoint to people. */
const ENDPOINT_ID_DIGITS = 16;

/** Ended endpoints forgotten in one sweep. */
const SWEEP_ROWS_MAX = 20_000;

/** What the table has under the hash of a token. */
export type EndpointRow =
  | {
      readonly number: number;
      readonly channel: string;
      readonly vapidKey: string | undefined;
      readonly createdMs: number;
    }
  | { readonly endedMs: number };

export class Endpoints {
  readonly #queue: CommitQueue;
  readonly #limits: Limits;
  readonly #live = new Map<string, Endpoint>();
  /** Wall-clock ms at which they ended, by hash; oldest first. */
  readonly #ended = new Map<string, number>();

  constructor(queue: CommitQueue, limits: Limits) {
    this.#queue = queue;
    this.#limits = limits;
  }

  get count(): number {
    return this.#live.size;
  }

  find(tokenSha256: string): Endpoint | undefined {
    return this.#live.get(tokenSha256);
  }

  /** Whether there was such an endpoint, as far as it is remembered. */
  hasEnded(tokenSha256: string): boolean {
    return this.#ended.has(tokenSha256);
  }

  /**
   * The channel has this endpoint from now on, and not the one it had. The rows go with the batch being filled; when it
   * fails all is as before.
   */
  put(endpoint: Endpoint, nowMs: number): void {
    const { device, channel } = endpoint;
    const old = device.endpoints?.find(channel);
    if (old !== undefined) this.#setEnded(old, nowMs);
    this.#setLive(endpoint);
    this.#queue.put('endpoint', keyOf(endpoint.tokenSha256), encodeJson(liveRow(endpoint)));
    this.#queue.after({
      committed() {},
      undo: () => {
        this.#setGone(endpoint);
        if (old !== undefined && !device.isRemoved) this.#setLive(old);
      },
    });
  }

  /** The channel has no endpoint any more. Rows as with {@link put}. */
  end(endpoint: Endpoint, nowMs: number): void {
    this.#setEnded(endpoint, nowMs);
    this.#queue.after({
      committed() {},
      undo: () => {
        if (!endpoint.device.isRemoved) this.#setLive(endpoint);
      },
    });
  }

  /** The device is removed: its endpoints end with it. The rows are {@link endedChanges}. */
  endAll(device: Device, nowMs: number): void {
    for (const { tokenSha256 } of device.endpoints?.list ?? []) {
      this.#live.delete(tokenSha256);
      this.#remember(tokenSha256, nowMs);
    }
  }

  /** What the table is to have for a device that was removed. */
  endedChanges(device: Device): StoreChange[] {
    const changes: StoreChange[] = [];
    for (const { tokenSha256 } of device.endpoints?.list ?? []) {
      const endedMs = this.#ended.get(tokenSha256);
      const value = endedMs === undefined ? undefined : encodeJson({ endedMs });
      changes.push({ table: 'endpoint', key: keyOf(tokenSha256), value });
    }
    return changes;
  }

  /** After a start: what the table has. An endpoint without a device has ended. */
  recover(rows: Iterable<readonly [tokenSha256: string, row: EndpointRow]>, deviceOf: DeviceOf): void {
    const ended: [string, number][] = [];
    for (const [tokenSha256, row] of rows) {
      if ('endedMs' in row) {
        ended.push([tokenSha256, row.endedMs]);
        continue;
      }
      const { number, channel, vapidKey, createdMs } = row;
      const device = deviceOf(number);
      if (device === undefined) this.#queue.put('endpoint', keyOf(tokenSha256), undefined);
      else this.#setLive({ tokenSha256, device, channel, vapidKey, createdMs });
    }
    ended.sort((a, b) => a[1] - b[1]);
    for (const [tokenSha256, endedMs] of ended) this.#ended.set(tokenSha256, endedMs);
  }

  /** Forgets what ended too long ago; a bounded number of rows a call. */
  sweep(now: InstantMs): void {
    const before = now.wall - this.#limits.endedEndpointMsMax;
    let count = 0;
    for (const [tokenSha256, endedMs] of this.#ended) {
      if (endedMs > before || count++ >= SWEEP_ROWS_MAX) return;
      this.#forget(tokenSha256);
    }
  }

  #setLive(endpoint: Endpoint): void {
    const { device, tokenSha256 } = endpoint;
    this.#live.set(tokenSha256, endpoint);
    this.#ended.delete(tokenSha256);
    device.endpoints = device.endpoints?.with(endpoint) ?? new EndpointSet([endpoint]);
  }

  #setGone(endpoint: Endpoint): void {
    const { device, tokenSha256 } = endpoint;
    this.#live.delete(tokenSha256);
    const rest = device.endpoints?.without(endpoint);
    device.endpoints = rest === undefined || rest.list.length === 0 ? undefined : rest;
  }

  #setEnded(endpoint: Endpoint, nowMs: number): void {
    this.#setGone(endpoint);
    this.#queue.put('endpoint', keyOf(endpoint.tokenSha256), encodeJson({ endedMs: nowMs }));
    this.#remember(endpoint.tokenSha256, nowMs);
  }

  #remember(tokenSha256: string, nowMs: number): void {
    this.#ended.set(tokenSha256, nowMs);
    if (this.#ended.size <= this.#limits.endedEndpointsMax) return;
    const [oldest] = this.#ended.keys();
    this.#forget(oldest);
  }

  #forget(tokenSha256: string): void {
    this.#ended.delete(tokenSha256);
    this.#queue.put('endpoint', keyOf(tokenSha256), undefined);
  }
}

type DeviceOf = (number: number) => Device | undefined;

export function summaryOf({ tokenSha256, channel, vapidKey, createdMs }: Endpoint): EndpointSummary {
  return { endpointId: tokenSha256.slice(0, ENDPOINT_ID_DIGITS), channel, vapidKey, createdMs };
}

function liveRow({ device, channel, vapidKey, createdMs }: Endpoint): EndpointRow {
  return { number: device.number, channel, vapidKey, createdMs };
}

function keyOf(tokenSha256: string): Uint8Array {
  const key = fromHex(tokenSha256);
  if (key === undefined) throw new TypeError('a hash is hexadecimal text');
  return key;
}

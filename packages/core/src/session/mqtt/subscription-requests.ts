/**
 * SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11): which filters the hub is asked about, and how its results and the
 * verdicts that were known before become the codes of one answer.
 */
import type { Qos, Refusal, SubscriptionRequest } from '../../domain/index.js';
import {
  ReasonCode,
  SUBACK_FAILURE,
  type ProtocolVersion,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../../wire/mqtt/index.js';
import { mqttLimits } from './limits.js';
import { reasonCodeIn } from './reasons.js';
import { checkFilter, isFilterValid, isSharedFilter } from './topics.js';

/** UNSUBSCRIBE and SUBSCRIBE share their packet ids, but not their place among the partial requests. */
export const UNSUBSCRIBE_KEY = 0x1_0000;

/** For each filter why it is refused at once; undefined: the hub decides. */
export type Verdicts = readonly (Refusal | undefined)[];

export type SubscribeResults = readonly (Qos | Refusal)[];
export type UnsubscribeResults = readonly (boolean | Refusal)[];

/** What the hub is asked, and what was known before. */
export interface SortedRequests<Request> {
  readonly requests: readonly Request[];
  readonly verdicts: Verdicts;
}

/** Undefined: the packet breaks [MQTT-3.8.3-4], no local on a shared subscription. */
export function sortSubscribe(packet: SubscribePacket): SortedRequests<SubscriptionRequest> | undefined {
  const subscriptionId = packet.properties.subscriptionId ?? 0;
  const requests: SubscriptionRequest[] = [];
  const verdicts: (Refusal | undefined)[] = [];
  for (const { filter, qos, noLocal, retainAsPublished, retainHandling } of packet.subscriptions) {
    if (noLocal && isSharedFilter(filter)) return undefined;
    const verdict = checkFilter(filter);
    verdicts.push(verdict);
    if (verdict !== undefined) continue;
    requests.push({ filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionId });
  }
  return { requests, verdicts };
}

export function sortUnsubscribe(packet: UnsubscribePacket): SortedRequests<string> {
  const verdicts = packet.filters.map((filter) => {
    return isFilterValid(filter) ? undefined : ('filter-invalid' as const);
  });
  return { requests: packet.filters.filter((_, index) => verdicts[index] === undefined), verdicts };
}

export function subackCodes(version: ProtocolVersion, results: SubscribeResults): number[] {
  return results.map((result) => {
    if (typeof result === 'number') return result;
    return version === 5 ? reasonCodeIn('suback', result) : SUBACK_FAILURE;
  });
}

export function unsubackCodes(results: UnsubscribeResults): number[] {
  return results.map((result) => {
    if (typeof result === 'string') return reasonCodeIn('unsuback', result);
    return result ? ReasonCode.success : ReasonCode.noSubscriptionExisted;
  });
}

/** The one that the reason string of the answer explains. */
export function firstRefusal(results: readonly (Qos | boolean | Refusal)[]): Refusal | undefined {
  return results.find((result): result is Refusal => typeof result === 'string');
}

/** Requests of which the hub was asked a part only. Exists in a session once there was one. */
export class PartialRequests {
  readonly #verdicts = new Map<number, Verdicts>();

  get count(): number {
    return this.#verdicts.size;
  }

  /** False: there are `mqttLimits.partialRequestsMax` already. */
  add(key: number, verdicts: Verdicts): boolean {
    if (this.#verdicts.size >= mqttLimits.partialRequestsMax) return false;
    this.#verdicts.set(key, verdicts);
    return true;
  }

  /** Puts the hub's results between what was known before, and forgets the request. */
  complete<Result>(key: number, results: readonly Result[]): readonly (Result | Refusal)[] {
    const verdicts = this.#verdicts.get(key);
    if (verdicts === undefined) return results;
    this.#verdicts.delete(key);
    let next = 0;
    return verdicts.map((verdict) => verdict ?? results[next++]!);
  }
}

/**
 * Which sessions want a topic. Filters without wildcards are found by their text, the others in a tree of levels;
 * answers are kept for topics that were used lately.
 */
import { limits } from '../base/limits.js';
import { encodeUtf8 } from '../base/utf8.js';
import type { Qos } from '../domain/message.js';
import { MatchCache } from './match-cache.js';
import { bagAdd, bagDelete, bagInto } from './subscriber-bag.js';
import type { SubscriberBag } from './subscriber-bag.js';
import type { Subscription } from './subscription.js';
import { SharedGroup } from './shared-group.js';
import { hasWildcard, parseSharedFilter } from './topic-filter.js';
import { WildcardTree } from './wildcard-tree.js';

export type { Subscription } from './subscription.js';

/** One holder to which a topic goes: its matching subscriptions taken together. */
export interface Target<Holder> {
  readonly holder: Holder;
  /** The highest of them [MQTT-3.3.4-2]. */
  readonly qos: Qos;
  readonly retainAsPublished: boolean;
  /** The same for a message of the holder's own: without the subscriptions that ask for noLocal. */
  readonly local: Target<Holder> | undefined;
  readonly subscriptionIds: readonly number[];
}

/** What is known of one topic. */
export interface TopicMatch<Holder> {
  readonly topicBytes: Uint8Array;
  readonly targets: readonly Target<Holder>[];
  /** Shared subscriptions, of each of which one member gets a copy. */
  readonly groups: readonly SharedGroup<Holder>[];
}

type Item<Holder> = Subscription<Holder> | SharedGroup<Holder>;

export class SubscriptionTree<Holder> {
  readonly #exact = new Map<string, SubscriberBag<Item<Holder>>>();
  readonly #wildcards = new WildcardTree<SubscriberBag<Item<Holder>>>();
  /** By the text of the shared subscription. */
  readonly #groups = new Map<string, SharedGroup<Holder>>();
  readonly #cache = new MatchCache<TopicMatch<Holder>>(limits.topicCacheMax);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** `isPresent`: whether its holder is connected, which matters to shared ones only. */
  add(subscription: Subscription<Holder>, isPresent = false): void {
    const { filter } = subscription;
    this.#count++;
    const shared = parseSharedFilter(filter);
    if (shared === undefined) {
      this.#put(filter, bagAdd(this.#bagOf(filter), subscription));
      return;
    }
    let group = this.#groups.get(filter);
    if (group === undefined) {
      group = new SharedGroup(filter);
      this.#groups.set(filter, group);
      this.#put(shared.filter, bagAdd(this.#bagOf(shared.filter), group));
    }
    group.add(subscription, isPresent);
  }

  /** The group of a shared subscription; undefined: it has no member. */
  groupOf(filter: string): SharedGroup<Holder> | undefined {
    return this.#groups.get(filter);
  }

  /** Takes out exactly this subscription; does nothing when it is not there. */
  remove(subscription: Subscription<Holder>): void {
    const { filter } = subscription;
    const shared = parseSharedFilter(filter);
    if (shared !== undefined) return this.#removeShared(subscription, shared.filter);
    const { bag, isFound } = bagDelete(this.#bagOf(filter), subscription);
    if (!isFound) return;
    this.#put(filter, bag);
    this.#count--;
  }

  #removeShared(subscription: Subscription<Holder>, filter: string): void {
    const group = this.#groups.get(subscription.filter);
    if (group === undefined || !group.remove(subscription)) return;
    this.#count--;
    if (group.size > 0) return;
    this.#groups.delete(subscription.filter);
    this.#put(filter, bagDelete(this.#bagOf(filter), group).bag);
  }

  /** Everybody who wants the topic, each once. The answer is shared: do not change it. */
  match(topic: string): TopicMatch<Holder> {
    const known = this.#cache.get(topic);
    if (known !== undefined) return known;
    const found: Item<Holder>[] = [];
    bagInto(this.#exact.get(topic), found);
    this.#wildcards.match(topic, (bag) => bagInto(bag, found));
    const match = { topicBytes: encodeUtf8(topic), targets: targetsOf(found), groups: groupsOf(found) };
    this.#cache.offer(topic, match);
    return match;
  }

  #bagOf(filter: string): SubscriberBag<Item<Holder>> | undefined {
    return hasWildcard(filter) ? this.#wildcards.get(filter) : this.#exact.get(filter);
  }

  #put(filter: string, bag: SubscriberBag<Item<Holder>> | undefined): void {
    if (hasWildcard(filter)) {
      if (bag === undefined) this.#wildcards.delete(filter);
      else this.#wildcards.set(filter, bag);
      this.#cache.forgetMatching(filter);
      return;
    }
    if (bag === undefined) this.#exact.delete(filter);
    else this.#exact.set(filter, bag);
    this.#cache.forgetTopic(filter);
  }
}

const noGroups: readonly never[] = [];

function groupsOf<Holder>(found: readonly Item<Holder>[]): readonly SharedGroup<Holder>[] {
  const groups = found.filter((item) => item instanceof SharedGroup);
  return groups.length === 0 ? noGroups : groups;
}

function targetsOf<Holder>(found: readonly Item<Holder>[]): Target<Holder>[] {
  const [only] = found;
  if (found.length === 1 && !(only instanceof SharedGroup)) return [merge(only.holder, [only])];
  const byHolder = new Map<Holder, Subscription<Holder>[]>();
  for (const subscription of found) {
    if (subscription instanceof SharedGroup) continue;
    const list = byHolder.get(subscription.holder);
    if (list === undefined) byHolder.set(subscription.holder, [subscription]);
    else list.push(subscription);
  }
  const targets: Target<Holder>[] = [];
  for (const [holder, list] of byHolder) targets.push(merge(holder, list));
  return targets;
}

function merge<Holder>(holder: Holder, list: readonly Subscription<Holder>[]): Target<Holder> {
  let qos: Qos = 0;
  let retainAsPublished = false;
  const subscriptionIds: number[] = [];
  for (const subscription of list) {
    if (subscription.qos > qos) qos = subscription.qos;
    retainAsPublished ||= subscription.retainAsPublished;
    if (subscription.subscriptionId !== 0) subscriptionIds.push(subscription.subscriptionId);
  }
  const foreign = list.filter((subscription) => !subscription.noLocal);
  const target: { -readonly [Key in keyof Target<Holder>]: Target<Holder>[Key] } = {
    holder,
    qos,
    retainAsPublished,
    local: undefined,
    subscriptionIds,
  };
  if (foreign.length === list.length) target.local = target;
  else if (foreign.length > 0) target.local = merge(holder, foreign);
  return target;
}

/** Which sessions want a topic: a tree of topic levels with `+` and `#`, and the answers it gave lately. */
import { limits } from '../base/limits.js';
import { encodeUtf8 } from '../base/utf8.js';
import type { Qos } from '../domain/message.js';
import { TopicLevels } from './topic-levels.js';
import type { LevelNode } from './topic-levels.js';

/** A subscription as the tree sees it. `holder` is whose it is; the tree does not look inside. */
export interface Subscription<Holder> {
  readonly holder: Holder;
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: none. */
  readonly subscriptionId: number;
}

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
}

type Node<Holder> = LevelNode<Subscription<Holder>[]>;

export class SubscriptionTree<Holder> {
  readonly #levels = new TopicLevels<Subscription<Holder>[]>();
  readonly #matches = new Map<string, TopicMatch<Holder>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(subscription: Subscription<Holder>): void {
    const node = this.#levels.make(subscription.filter);
    (node.value ??= []).push(subscription);
    this.#count++;
    this.#matches.clear();
  }

  /** Takes out exactly this subscription; does nothing when it is not there. */
  remove(subscription: Subscription<Holder>): void {
    const node = this.#levels.find(subscription.filter);
    const index = node?.value?.indexOf(subscription) ?? -1;
    if (index < 0) return;
    node!.value!.splice(index, 1);
    if (node!.value!.length === 0) {
      node!.value = null;
      this.#levels.prune(subscription.filter);
    }
    this.#count--;
    this.#matches.clear();
  }

  /** Everybody who wants the topic, each once. The answer is shared: do not change it. */
  match(topic: string): TopicMatch<Holder> {
    const known = this.#matches.get(topic);
    if (known !== undefined) return known;
    const found: Subscription<Holder>[] = [];
    const levels = topic.split('/');
    // [MQTT-4.7.2-1] a filter that begins with a wildcard does not match a topic that begins with $.
    collect(this.#levels.root, levels, 0, topic.startsWith('$'), found);
    const match = { topicBytes: encodeUtf8(topic), targets: targetsOf(found) };
    if (this.#matches.size >= limits.topicCacheMax) {
      for (const oldest of this.#matches.keys()) {
        this.#matches.delete(oldest);
        break;
      }
    }
    this.#matches.set(topic, match);
    return match;
  }
}

function collect<Holder>(
  node: Node<Holder>,
  levels: readonly string[],
  depth: number,
  isSystem: boolean,
  found: Subscription<Holder>[],
): void {
  const { children } = node;
  if (depth === levels.length) {
    take(node, found);
    // `a/#` matches `a` too [MQTT-4.7.1-2].
    const parent = children?.get('#');
    take(parent, found);
    return;
  }
  if (children === null) return;
  const exact = children.get(levels[depth]);
  if (exact !== undefined) collect(exact, levels, depth + 1, false, found);
  if (isSystem) return;
  const single = children.get('+');
  if (single !== undefined) collect(single, levels, depth + 1, false, found);
  const rest = children.get('#');
  take(rest, found);
}

/** One by one: a list of arguments has a limit, a list of subscribers has not. */
function take<Holder>(node: Node<Holder> | undefined, found: Subscription<Holder>[]): void {
  for (const subscription of node?.value ?? []) found.push(subscription);
}

function targetsOf<Holder>(found: readonly Subscription<Holder>[]): Target<Holder>[] {
  const byHolder = new Map<Holder, Subscription<Holder>[]>();
  for (const subscription of found) {
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
  const target = { holder, qos, retainAsPublished, subscriptionIds };
  if (foreign.length < list.length) {
    return { ...target, local: foreign.length === 0 ? undefined : merge(holder, foreign) };
  }
  return { ...target, local: { ...target, local: undefined } };
}

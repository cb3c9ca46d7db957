/** Which sessions want a topic: a tree of topic levels with `+` and `#`, and the answers it gave lately. */
import { limits } from '../base/limits.js';
import { encodeUtf8 } from '../base/utf8.js';
import type { Qos } from '../domain/message.js';

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

interface Node<Holder> {
  children: Map<string, Node<Holder>> | null;
  subscriptions: Subscription<Holder>[] | null;
}

export class SubscriptionTree<Holder> {
  readonly #root: Node<Holder> = { children: null, subscriptions: null };
  readonly #matches = new Map<string, TopicMatch<Holder>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(subscription: Subscription<Holder>): void {
    let node = this.#root;
    for (const level of subscription.filter.split('/')) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = { children: null, subscriptions: null };
        node.children.set(level, child);
      }
      node = child;
    }
    (node.subscriptions ??= []).push(subscription);
    this.#count++;
    this.#matches.clear();
  }

  /** Takes out exactly this subscription. */
  remove(subscription: Subscription<Holder>): void {
    const levels = subscription.filter.split('/');
    const path: Node<Holder>[] = [this.#root];
    for (const level of levels) {
      const child = path[path.length - 1].children?.get(level);
      if (child === undefined) return;
      path.push(child);
    }
    const last = path[path.length - 1];
    const index = last.subscriptions?.indexOf(subscription) ?? -1;
    if (index < 0) return;
    if (last.subscriptions!.length === 1) last.subscriptions = null;
    else last.subscriptions!.splice(index, 1);
    for (let depth = levels.length; depth > 0; depth--) {
      const node = path[depth];
      if (node.subscriptions !== null || node.children !== null) break;
      const parent = path[depth - 1];
      parent.children!.delete(levels[depth - 1]);
      if (parent.children!.size === 0) parent.children = null;
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
    collect(this.#root, levels, 0, topic.startsWith('$'), found);
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
    if (node.subscriptions !== null) found.push(...node.subscriptions);
    // `a/#` matches `a` too [MQTT-4.7.1-2].
    const parent = children?.get('#');
    if (parent?.subscriptions) found.push(...parent.subscriptions);
    return;
  }
  if (children === null) return;
  const exact = children.get(levels[depth]);
  if (exact !== undefined) collect(exact, levels, depth + 1, false, found);
  if (isSystem) return;
  const single = children.get('+');
  if (single !== undefined) collect(single, levels, depth + 1, false, found);
  const rest = children.get('#');
  if (rest?.subscriptions) found.push(...rest.subscriptions);
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

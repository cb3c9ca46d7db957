import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prng } from '../../src/base/index.js';
import { SubscriptionTree } from '../../src/hub/subscription-tree.js';
import type { Subscription } from '../../src/hub/subscription-tree.js';
import { filterMatches } from '../../src/hub/topic-filter.js';
import { firstSeed } from '../seed.js';

function subscription(
  holder: string,
  filter: string,
  more: Partial<Subscription<string>> = {},
): Subscription<string> {
  return { holder, filter, qos: 1, noLocal: false, retainAsPublished: false, subscriptionId: 0, ...more };
}

function holders(tree: SubscriptionTree<string>, topic: string): string[] {
  return tree
    .match(topic)
    .targets.map(({ holder }) => holder)
    .sort();
}

describe('who wants a topic', () => {
  const cases = [
    ['a/b', ['a/b', 'a/+', '+/b', '+/+', '#', 'a/#', 'a/b/#', '+/b/#', 'b/#', 'a', 'a/b/c', '+', 'a/b/+']],
    ['a', ['a', '+', '#', 'a/#', '+/#', 'a/+', 'a/+/#']],
    ['/', ['/', '+/+', '/+', '+/', '#', '/#', '+', '+/#', 'a/+']],
    ['a//b', ['a//b', 'a/+/b', 'a/#', 'a/+/+', '+//+', 'a/b']],
    ['$SYS/x', ['$SYS/x', '$SYS/#', '$SYS/+', '#', '+/x', '+/#']],
    [
      'a/b/c/d/e/f',
      ['a/b/c/d/e/f', '+/b/+/d/+/f', 'a/b/c/d/e/f/#', 'a/b/c/#', 'a/b/c/d/e/g', '+/b/+/d/+/g', '+/b/+/d/#'],
    ],
  ] as const;
  for (const [topic, filters] of cases) {
    test(`[DE-13] topic ${topic}`, () => {
      const tree = new SubscriptionTree<string>();
      for (const filter of filters) tree.add(subscription(filter, filter));
      const expected = filters.filter((filter) => filterMatches(filter, topic)).sort();
      assert.ok(expected.length > 2);
      assert.deepEqual(holders(tree, topic), expected);
    });
  }

  test('[DE-13] overlapping subscriptions of one holder are one target, noLocal ones apart', () => {
    const tree = new SubscriptionTree<string>();
    tree.add(subscription('d', 'a/b', { subscriptionId: 1, noLocal: true, qos: 2 }));
    tree.add(subscription('d', 'a/#', { subscriptionId: 2, retainAsPublished: true }));
    tree.add(subscription('e', 'a/b', { noLocal: true }));
    const [first, second] = tree.match('a/b').targets;
    assert.deepEqual(
      [first.holder, first.qos, first.subscriptionIds, first.retainAsPublished],
      ['d', 2, [1, 2], true],
    );
    assert.deepEqual([first.local?.qos, first.local?.subscriptionIds], [1, [2]]);
    assert.equal(second.local, undefined);
  });

  test('[DE-13] the same answer as by comparing every filter, whatever is subscribed and ended meanwhile', () => {
    const prng = new Prng(firstSeed);
    const levels = ['a', 'b', 'c', ''];
    const pick = <Item>(items: readonly Item[]): Item => items[prng.nextInteger(0, items.length - 1)];
    const topicOf = (): string =>
      Array.from({ length: prng.nextInteger(1, 6) }, () => pick(levels)).join('/');
    const filterOf = (): string => {
      const parts = Array.from({ length: prng.nextInteger(1, 6) }, () => pick([...levels, '+', '+']));
      if (prng.nextInteger(0, 3) === 0) parts.push('#');
      return parts.join('/');
    };
    const tree = new SubscriptionTree<string>();
    const live: Subscription<string>[] = [];
    const topics = Array.from({ length: 40 }, topicOf);
    for (let step = 0; step < 6_000; step++) {
      if (live.length === 0 || prng.nextInteger(0, 99) < (step % 2_000 < 1_000 ? 60 : 40)) {
        const one = subscription(`h${step}`, filterOf());
        live.push(one);
        tree.add(one);
      } else {
        const index = prng.nextInteger(0, live.length - 1);
        const [one] = live.splice(index, 1);
        tree.remove(one);
        tree.remove(one);
      }
      assert.equal(tree.count, live.length);
      const topic = pick(topics);
      const expected = live.filter(({ filter }) => filterMatches(filter, topic)).map(({ holder }) => holder);
      assert.deepEqual(
        holders(tree, topic),
        expected.sort(),
        `seed ${firstSeed}, step ${step}, topic ${topic}`,
      );
    }
    for (const one of live) tree.remove(one);
    for (const topic of topics) assert.deepEqual(holders(tree, topic), [], `seed ${firstSeed}`);
  });

  test('[DE-14] what is known of a topic stays known until a filter that matches it changes', () => {
    const tree = new SubscriptionTree<string>();
    tree.add(subscription('d', 'a/b'));
    const first = tree.match('a/b');
    // Kept from the second time on.
    const known = tree.match('a/b');
    assert.notEqual(known, first);
    assert.equal(tree.match('a/b'), known);
    // Others come and go: filters without wildcards, and some with, that do not match.
    for (let index = 0; index < 1_000; index++) tree.add(subscription(`e${index}`, `x/${index}`));
    for (let index = 0; index < 50; index++) tree.add(subscription(`f${index}`, `x/${index}/#`));
    assert.equal(tree.match('a/b'), known);
    for (let index = 0; index < 50; index++) tree.add(subscription(`g${index}`, `x/${index}/+`));
    assert.equal(tree.match('a/b'), known);
    const wild = subscription('w', 'a/+');
    tree.add(wild);
    const grown = tree.match('a/b');
    assert.notEqual(grown, known);
    assert.deepEqual(grown.targets.map(({ holder }) => holder).sort(), ['d', 'w']);
    tree.remove(wild);
    assert.deepEqual(holders(tree, 'a/b'), ['d']);
    tree.add(subscription('i', 'a/b'));
    assert.deepEqual(holders(tree, 'a/b'), ['d', 'i']);
  });

  test('[DE-13] many subscribers of one filter come and go, each once', () => {
    const tree = new SubscriptionTree<string>();
    const many = Array.from({ length: 100 }, (_, index) => subscription(`d${index}`, 'all'));
    for (const one of many) tree.add(one);
    assert.equal(holders(tree, 'all').length, 100);
    for (const [index, one] of many.entries()) {
      tree.remove(one);
      assert.equal(holders(tree, 'all').length, 99 - index);
      assert.ok(!holders(tree, 'all').includes(one.holder));
    }
    assert.equal(tree.count, 0);
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, SequenceSet } from '../../src/base/index.js';

const LAST = 40;

test('a set of numbers is what a plain set is, whatever is added and taken out', () => {
  for (let seed = 1; seed <= 500; seed++) {
    const prng = new Prng(seed);
    const set = new SequenceSet();
    let plain = new Set<number>();
    for (let step = 0; step < 60; step++) {
      const choice = prng.nextInteger(0, 9);
      const number = prng.nextInteger(1, LAST);
      if (choice < 5) {
        set.add(number);
        plain.add(number);
      } else if (choice < 9) {
        set.delete(number);
        plain.delete(number);
      } else {
        set.truncate(number);
        plain = new Set([...plain].filter((other) => other <= number));
      }
      const members = Array.from({ length: LAST }, (_, index) => index + 1).filter((other) => set.has(other));
      assert.deepEqual(
        members,
        [...plain].sort((a, b) => a - b),
        `seed ${seed}, step ${step}`,
      );
      // Its form is the shortest, or rows on disk would grow.
      const { through, beyond } = set;
      assert(!set.has(through + 1) && beyond.length % 2 === 0, `seed ${seed}, step ${step}`);
      for (let index = 0; index < beyond.length; index += 2) {
        const before = index === 0 ? through : beyond[index - 1]!;
        assert(
          beyond[index]! > before + 1 && beyond[index + 1]! >= beyond[index]!,
          `seed ${seed}, step ${step}`,
        );
      }
    }
  }
});

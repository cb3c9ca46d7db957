import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../fast-check.js';
import { EntryTable } from '../../src/hub/entry-table.js';
import { findSequence, Lane } from '../../src/hub/lane.js';

test('a number is found in a lane wherever it lies, and only where it is', () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 40 });
  fc.assert(
    fc.property(gaps, fc.nat(), (steps, scanned) => {
      const entries = new EntryTable();
      const lane = new Lane();
      const known = new Map<number, number>();
      let sequence = 0;
      for (const step of steps) {
        sequence += step;
        const entry = entries.allocate();
        entries.sequence[entry] = sequence;
        entries.previous[entry] = lane.tail;
        entries.next[entry] = 0;
        if (lane.tail === 0) lane.head = entry;
        else entries.next[lane.tail] = entry;
        lane.tail = entry;
        known.set(sequence, entry);
      }
      const looked = [0, ...known.values()];
      lane.scanned = looked[scanned % looked.length]!;
      for (let number = 0; number <= sequence + 2; number++) {
        assert.equal(findSequence(entries, lane, number), known.get(number) ?? 0);
      }
    }),
  );
});

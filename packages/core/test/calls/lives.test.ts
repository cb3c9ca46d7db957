/**
 * Random lives of several users with several phones of all kinds, and calls among them, while flows are lost, apps crash, the
 * server dies, and the wall clock is set.
 *
 * Short by default, and the same each time; WAKELINE_LONG=1 makes it 10,000 that nobody has seen. WAKELINE_SEED picks the first,
 * which is printed; WAKELINE_SEARCH=1 goes on after a failure.
 */
import test from 'node:test';
import { runLife, type LifeOptions } from './lives.js';
import { firstSeed } from '../seed.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const isSearch = process.env['WAKELINE_SEARCH'] === '1';

async function search(seeds: readonly number[], options: LifeOptions): Promise<void> {
  let failures = 0;
  for (const seed of seeds) {
    try {
      await runLife(seed, undefined, options);
    } catch (cause) {
      if (!isSearch) throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
      failures += 1;
      console.log(`seed ${seed}: ${(cause as Error).message.split('\n')[0]}`);
    }
  }
  if (failures > 0) throw new Error(`${failures} of ${seeds.length}`);
}

/** Seeds that once failed, and as many more as there is time for. */
function seedsOf(pinned: readonly number[], rounds: number): readonly number[] {
  return [...pinned, ...Array.from({ length: rounds }, (_, index) => firstSeed + index)];
}

const pinned: readonly number[] = [
  98, 120, 131, 298, 1062, 1133, 1138, 2617, 11371, 11463, 11709, 11877, 13108, 14703, 16086, 20172, 28759,
  29451,
];
const rounds = isLong ? 10_000 : 100;

test(`[CA-34] ${rounds} random lives: no call is lost by desynchronisation`, async (context) => {
  context.diagnostic(`WAKELINE_SEED=${firstSeed}`);
  await search(seedsOf(pinned, rounds), {});
});

const pinnedWithClock: readonly number[] = [1661, 28812];
const clockRounds = isLong ? 3_000 : 60;

test(`[CA-34] [CA-40] ${clockRounds} random lives while the wall clock is set: nor by that`, async (context) => {
  context.diagnostic(`WAKELINE_SEED=${firstSeed}`);
  await search(seedsOf(pinnedWithClock, clockRounds), { isClockSet: true });
});

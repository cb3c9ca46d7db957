/** One leg, and everything that can happen to it, in every order. */
import test from 'node:test';
import { drawn, isDistinct, orders, runOrder, type LegEvent } from './orders.js';
import { phoneRows } from './phone-rows.js';
import { firstSeed } from '../seed.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const lengthMax = isLong ? 7 : 3;
/** WAKELINE_SLICE=2/10 takes every tenth order, the third first. */
const [sliceIndex = 0, sliceCount = 1] = (process.env['WAKELINE_SLICE'] ?? '0/1').split('/').map(Number);
/** The short form is the same each time. */
/** Longest orders that are drawn besides, for each row. */
const drawnCount = isLong ? 0 : 40;

for (const row of phoneRows) {
  test(`[CA-10] [CA-11] [CA-12] ${row.name}: all orders of up to ${lengthMax} events on one leg`, async (context) => {
    let count = 0;
    let seed = 0;
    const check = async (order: readonly LegEvent[], orderSeed: number) => {
      count += 1;
      try {
        await runOrder(row, order, orderSeed);
      } catch (cause) {
        throw new Error(`seed ${orderSeed}: ${order.join(' ')}: ${(cause as Error).message}`, { cause });
      }
    };
    for (const order of orders(lengthMax)) {
      seed += 1;
      if (seed % sliceCount === sliceIndex && isDistinct(row, order)) await check(order, seed);
    }
    for (let drawnSeed = firstSeed; drawnSeed < firstSeed + drawnCount; drawnSeed += 1) {
      await check(drawn(drawnSeed), drawnSeed);
    }
    context.diagnostic(`${count} orders, WAKELINE_SEED=${firstSeed}`);
  });
}

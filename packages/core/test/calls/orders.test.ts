/** One leg, and everything that can happen to it, in every order. */
import test from 'node:test';
import { Prng } from '../../src/base/index.js';
import { phoneRows, type PhoneRow } from './phone-rows.js';
import { SimWorld } from './sim-world.js';

const events = [
  'wake',
  'invite',
  'cancel',
  'register',
  'challenge',
  'retransmit',
  'flow-loss',
  'crash',
  'restart',
] as const;
type LegEvent = (typeof events)[number];

const isLong = process.env['WAKELINE_LONG'] === '1';
const lengthMax = isLong ? 7 : 3;
/** WAKELINE_SLICE=2/10 takes every tenth order, the third first. */
const [sliceIndex = 0, sliceCount = 1] = (process.env['WAKELINE_SLICE'] ?? '0/1').split('/').map(Number);
/** The short form is the same each time. */
const firstSeed = Number(process.env['WAKELINE_SEED'] ?? (isLong ? Date.now() % 1_000_000 : 1));
/** Longest orders that are drawn besides, for each row. */
const drawnCount = isLong ? 0 : 40;

/** Ms between two of them: in one moment, in flight, while it begins to ring, while it rings, when it may be answered. */
const gapsMs = [0, 4, 45, 700, 1_300, 3_000];

/**
 * Every order of up to `length` different events, an INVITE among them; CANCEL and retransmission behind it, since there is
 * nothing before it that they could be of.
 */
function* orders(length: number, chosen: readonly LegEvent[] = []): Generator<readonly LegEvent[]> {
  if (chosen.includes('invite')) yield chosen;
  if (chosen.length === length) return;
  for (const event of events) {
    if (chosen.includes(event)) continue;
    if ((event === 'cancel' || event === 'retransmit') && !chosen.includes('invite')) continue;
    if (chosen.length === length - 1 && event !== 'invite' && !chosen.includes('invite')) continue;
    yield* orders(length, [...chosen, event]);
  }
}

async function run(row: PhoneRow, order: readonly LegEvent[], seed: number): Promise<void> {
  const random = new Prng(seed);
  const callerKind = random.nextInteger(0, 1) === 0 ? 'udp-trunk' : 'tcp-registered';
  const world = new SimWorld({ seed, users: ['alice', 'bob'] });
  const phone = world.phone('bob', row, { what: 'answer', afterMs: 3_500 });
  const caller = world.caller('alice', callerKind);
  // A sleeper sleeps by then.
  await world.pass(row.sleeps ? 11_000 : 200);
  for (const event of order) {
    await world.pass(gapsMs[random.nextInteger(0, gapsMs.length - 1)]!);
    switch (event) {
      case 'wake':
        phone.wake();
        break;
      case 'invite':
        caller.invite('bob');
        break;
      case 'cancel':
        caller.cancel(caller.calls[0]!);
        break;
      case 'register':
        phone.refresh(false);
        break;
      case 'challenge':
        phone.refresh(true);
        break;
      case 'retransmit':
        caller.retransmit(caller.calls[0]!);
        break;
      case 'flow-loss':
        if (phone.stream !== undefined) world.network.cut(phone.stream);
        break;
      case 'crash':
        phone.crash();
        break;
      case 'restart':
        await world.restart(300, random.nextInteger(0, 1) === 1);
        break;
    }
  }
  await world.conclude();
}

/** As many different events as there can be, in an order that the seed says. */
function drawn(seed: number): readonly LegEvent[] {
  const random = new Prng(seed);
  for (;;) {
    const rest: LegEvent[] = [...events];
    const order: LegEvent[] = [];
    while (order.length < 7) order.push(...rest.splice(random.nextInteger(0, rest.length - 1), 1));
    const inviteAt = order.indexOf('invite');
    const isPossible = (event: LegEvent) => !order.includes(event) || order.indexOf(event) > inviteAt;
    if (inviteAt >= 0 && isPossible('cancel') && isPossible('retransmit')) return order;
  }
}

for (const row of phoneRows) {
  test(`[CA-10] [CA-11] [CA-12] ${row.name}: all orders of up to ${lengthMax} events on one leg`, async (context) => {
    let count = 0;
    let seed = 0;
    const check = async (order: readonly LegEvent[], orderSeed: number) => {
      count += 1;
      try {
        await run(row, order, orderSeed);
      } catch (cause) {
        throw new Error(`seed ${orderSeed}: ${order.join(' ')}: ${(cause as Error).message}`, { cause });
      }
    };
    for (const order of orders(lengthMax)) {
      seed += 1;
      if (seed % sliceCount === sliceIndex) await check(order, seed);
    }
    for (let drawnSeed = firstSeed; drawnSeed < firstSeed + drawnCount; drawnSeed += 1) {
      await check(drawn(drawnSeed), drawnSeed);
    }
    context.diagnostic(`${count} orders, WAKELINE_SEED=${firstSeed}`);
  });
}

/** One leg, and everything that can happen to it, in every order. */
import test from 'node:test';
import { Prng } from '../../src/base/index.js';
import type { CallerKind } from './caller.js';
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
const lengthMax = Number(process.env['WAKELINE_ORDERS'] ?? (isLong ? 7 : 4));

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

async function run(
  row: PhoneRow,
  order: readonly LegEvent[],
  seed: number,
  callerKind: CallerKind,
): Promise<void> {
  const random = new Prng(seed);
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

for (const row of phoneRows) {
  for (const callerKind of ['udp-trunk', 'tcp-registered'] as const) {
    test(`[CA-34] ${row.name}, called by ${callerKind}: all orders of up to ${lengthMax} events on one leg`, async (context) => {
      let seed = 0;
      for (const order of orders(lengthMax)) {
        seed += 1;
        try {
          await run(row, order, seed, callerKind);
        } catch (cause) {
          throw new Error(`order ${seed}, ${order.join(' ')}: ${(cause as Error).message}`, { cause });
        }
      }
      context.diagnostic(`${seed} orders`);
    });
  }
}

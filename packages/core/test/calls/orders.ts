/** One leg, and what can happen to it, in one order. */
import { Prng } from '../../src/base/index.js';
import type { PhoneRow } from './phone-rows.js';
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
export type LegEvent = (typeof events)[number];

/** Ms between two of them: in one moment, in flight, while it begins to ring, while it rings, when it may be answered. */
const gapsMs = [0, 4, 45, 700, 1_300, 3_000];

/**
 * Every order of up to `length` different events, an INVITE among them; CANCEL and retransmission behind it, since there is
 * nothing before it that they could be of.
 */
export function* orders(length: number, chosen: readonly LegEvent[] = []): Generator<readonly LegEvent[]> {
  if (chosen.includes('invite')) yield chosen;
  if (chosen.length === length) return;
  for (const event of events) {
    if (chosen.includes(event)) continue;
    if ((event === 'cancel' || event === 'retransmit') && !chosen.includes('invite')) continue;
    if (chosen.length === length - 1 && event !== 'invite' && !chosen.includes('invite')) continue;
    yield* orders(length, [...chosen, event]);
  }
}

export async function runOrder(row: PhoneRow, order: readonly LegEvent[], seed: number): Promise<void> {
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
export function drawn(seed: number): readonly LegEvent[] {
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

/**
 * Whether nothing shorter is the same: a phone that does not sleep and has its stream is not changed by being woken, and
 * only a lost flow, a crash and a restart of the server take that from it.
 */
export function isDistinct(row: PhoneRow, order: readonly LegEvent[]): boolean {
  const wakeAt = order.indexOf('wake');
  if (row.sleeps || wakeAt < 0) return true;
  return order.slice(0, wakeAt).some((event) => ['flow-loss', 'crash', 'restart'].includes(event));
}

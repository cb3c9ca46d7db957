/** Random lives of several users with several phones of all kinds: what happens in one is told by its seed. */
import { Prng } from '../../src/base/index.js';
import type { CallerKind, OutgoingCall, SimCaller } from './caller.js';
import type { SimPhone, UserPolicy } from './phone.js';
import { phoneRows } from './phone-rows.js';
import { SimWorld } from './sim-world.js';

const callees = ['bob', 'carol', 'dave'] as const;
const callerKinds: readonly CallerKind[] = ['udp-trunk', 'udp-trunk', 'tcp-registered', 'tcp-stranger'];
const policies: readonly UserPolicy['what'][] = ['answer', 'answer', 'answer', 'decline', 'busy', 'ignore'];

/** By how much the wall clock may be set at once, ms. */
const clockSetsMs = [-86_400_000, -3_600_000, -60_000, -2_000, 2_000, 60_000, 3_600_000, 86_400_000];

export interface LifeOptions {
  /** The wall clock is set now and then. */
  readonly isClockSet?: boolean;
}

/** @param watch is shown the world before anything happens in it. */
export async function runLife(
  seed: number,
  watch?: (world: SimWorld) => void,
  { isClockSet = false }: LifeOptions = {},
): Promise<void> {
  // Of its own, so that a seed is the same life with it and without.
  const clockRandom = new Prng(seed ^ 0x5bd1e995);
  const random = new Prng(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[random.nextInteger(0, items.length - 1)]!;
  const world = new SimWorld({
    seed,
    users: ['alice', 'erin', ...callees],
    latencyMs: pick([1, 5, 40, 150]),
    commitMs: pick([
      [1, 3],
      [5, 40],
      [40, 90],
    ] as const),
    loss: pick([0, 0, 0.05, 0.2]),
  });
  watch?.(world);
  const phones: SimPhone[] = [];
  for (const user of callees) {
    for (let count = random.nextInteger(0, 2); count >= 0; count -= 1) {
      const policy: UserPolicy = { what: pick(policies), afterMs: random.nextInteger(200, 12_000) };
      phones.push(world.phone(user, pick(phoneRows), policy));
    }
  }
  const callers: SimCaller[] = [];
  for (const user of ['alice', 'erin'])
    callers.push(world.caller(user, pick(callerKinds), random.nextInteger(100, 6_000)));
  await world.pass(random.nextInteger(500, 30_000));
  const calls: [SimCaller, OutgoingCall][] = [];
  const steps = random.nextInteger(4, 18);
  for (let step = 0; step < steps; step += 1) {
    await world.pass(pick([0, 5, 50, 400, 1_500, 4_000, 15_000]));
    if (isClockSet && clockRandom.nextInteger(0, 2) === 0)
      world.clock.setWall(clockSetsMs[clockRandom.nextInteger(0, clockSetsMs.length - 1)]!);
    const phone = pick(phones);
    switch (random.nextInteger(0, 11)) {
      case 0:
      case 1:
      case 2: {
        const caller = pick(callers);
        calls.push([caller, caller.invite(pick(callees))]);
        break;
      }
      case 3: {
        if (calls.length === 0) break;
        const [caller, call] = pick(calls);
        caller.cancel(call);
        break;
      }
      case 4: {
        if (calls.length === 0) break;
        const [caller, call] = pick(calls);
        caller.retransmit(call);
        break;
      }
      case 5:
        phone.wake();
        break;
      case 6:
        phone.refresh(random.nextInteger(0, 1) === 0);
        break;
      case 7:
        if (phone.stream !== undefined) world.network.cut(phone.stream);
        break;
      case 8:
        if (phone.stream !== undefined) world.network.cut(phone.stream, true);
        break;
      case 9: {
        const { stream } = pick(callers);
        if (stream !== undefined) world.network.cut(stream);
        break;
      }
      case 10:
        phone.crash();
        break;
      case 11:
        if (random.nextInteger(0, 1) === 0)
          await world.restart(random.nextInteger(50, 4_000), random.nextInteger(0, 1) === 0);
        break;
    }
  }
  await world.conclude();
}

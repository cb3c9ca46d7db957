/** The keepalive through the whole machine: behind boxes of random timeouts, with a server that knows canaries or does not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../fast-check.js';
import { DAY_MS, HOUR_MS, Prng, SECOND_MS, type InstantMs } from '../../src/base/index.js';
import {
  deviceLimits,
  fixedKeepalive,
  gapConstants,
  PairedCanary,
  type CanaryLook,
  type CanaryOrder,
  type ProbeVerdict,
} from '../../src/device/index.js';
import { ClientPing } from '../../src/testing/index.js';
import { oracleGapMs } from './keepalive/world.js';
import { NatWorld, type NatOptions } from './nat-world.js';

const { lowFirstMs, gapMsMax, gapMsMin, guardMs } = gapConstants;
const seeds = fc.integer();
const timeouts = fc.integer({ min: lowFirstMs + 1_000, max: 7_440 * SECOND_MS });
const boxes = fc.record({ isLoose: fc.boolean(), resets: fc.boolean() });
/** Delays of the path differ by so much: a silence at the box is as long as one at the server but for this. */
const DELAYS_MS = 100;

/** As the product's, and remembers what the machine made of its orders. */
class WatchedCanary extends PairedCanary {
  readonly verdicts: { readonly silenceMs: number; readonly verdict: ProbeVerdict }[] = [];
  #silenceMs = 0;

  override handleAnswer(now: InstantMs, gapMs: number): CanaryOrder | undefined {
    const order = super.handleAnswer(now, gapMs);
    if (order?.kind === 'open') this.#silenceMs = order.silenceMs;
    return order;
  }

  override handleLook(now: InstantMs, look: Omit<CanaryLook, 'isMainWell'>): ProbeVerdict {
    const silenceMs = this.#silenceMs;
    const verdict = super.handleLook(now, look);
    this.verdicts.push({ silenceMs, verdict });
    return verdict;
  }

  /** Those that say something. */
  get probes(): readonly number[] {
    return this.verdicts.filter(({ verdict }) => verdict !== 'void').map(({ silenceMs }) => silenceMs);
  }

  isLearning(now: InstantMs): boolean {
    return this.gapMs(now) !== Math.max(gapMsMin, this.lowMs - guardMs);
  }
}

function worldOf(
  timeoutMs: number,
  seed: number,
  options: Partial<NatOptions> = {},
): { world: NatWorld; policy: WatchedCanary } {
  const policy = new WatchedCanary();
  const prng = new Prng(seed);
  return { policy, world: new NatWorld({ keepalive: policy, prng, timeoutMs: () => timeoutMs, ...options }) };
}

/** Until nothing is learned any more, wake by wake. */
function learn(world: NatWorld, policy: WatchedCanary, untilMs = DAY_MS): void {
  while (policy.isLearning(world.now) && world.nowMs < untilMs) world.runUntil(world.nowMs + 30_000);
}

function assertLearned(lowMs: number, timeoutMs: number): void {
  assert.ok(lowMs < timeoutMs + DELAYS_MS, `${lowMs} is believed of ${timeoutMs}`);
  assert.ok(lowMs >= Math.min(timeoutMs, gapMsMax) / 1.1 - DELAYS_MS, `${lowMs} is far from ${timeoutMs}`);
}

describe('a box of one timeout, through the whole machine', () => {
  test('[KA-1] [KA-2] no outage, few probes, soon an end, few wakes more than of who knows', () => {
    fc.assert(
      fc.property(timeouts, seeds, boxes, (timeoutMs, seed, box) => {
        const { world, policy } = worldOf(timeoutMs, seed, box);
        learn(world, policy);
        assert.ok(world.nowMs <= 9 * Math.min(2 * timeoutMs, gapMsMax) + 60_000, `took ${world.nowMs} ms`);
        assert.ok(policy.probes.length <= 11, `${policy.probes.length} probes`);
        assert.ok(new Set(policy.probes).size <= 6, `targets ${policy.probes.join()}`);
        assert.equal(policy.verdicts.length, policy.probes.length, 'nothing was void');
        const extra = world.wakes - world.nowMs / oracleGapMs(timeoutMs);
        assert.ok(extra <= 14, `${extra} wakes more than of who knows`);
        assertLearned(policy.lowMs, timeoutMs);
        const { wakes, nowMs } = world;
        world.runUntil(nowMs + 2 * DAY_MS);
        const perDay = (world.wakes - wakes) / ((world.nowMs - nowMs) / oracleGapMs(timeoutMs));
        assert.ok(perDay <= 1.11, `${perDay} times the wakes of who knows`);
        assert.equal(world.outageMs, 0);
        assert.ok(policy.probes.length <= 11, 'nothing is learned twice');
        assert.deepEqual(world.knowledge, policy.knowledge, 'what was learned is stored');
        assert.ok(world.isOnline && world.openWindows === 0);
      }),
      { numRuns: 60 },
    );
  });

  test('[SD-12] a canary that takes long to open is looked at a wake later, and found out no less', () => {
    fc.assert(
      fc.property(timeouts, seeds, (timeoutMs, seed) => {
        const { world, policy } = worldOf(timeoutMs, seed, { canaryDelayMs: 5_000 });
        learn(world, policy);
        assertLearned(policy.lowMs, timeoutMs);
        assert.equal(world.outageMs, 0);
      }),
      { numRuns: 20 },
    );
  });

  test('[SD-12] a server that has not pushed yet is asked again in the next wake, and nothing is concluded', () => {
    fc.assert(
      fc.property(timeouts, seeds, (timeoutMs, seed) => {
        const { world, policy } = worldOf(timeoutMs, seed, { pushDelayMs: 4_000 });
        learn(world, policy);
        assert.ok(policy.verdicts.every(({ verdict }) => verdict !== 'void'));
        // What was tried was a little longer than what was asked for.
        assert.ok(policy.lowMs >= Math.min(timeoutMs, gapMsMax) / 1.1 - 4_000 - DELAYS_MS);
        assert.ok(policy.lowMs < timeoutMs);
        assert.equal(world.outageMs, 0);
      }),
      { numRuns: 20 },
    );
  });

  test('[KA-3] behind a loose box a client that pings learns what is not true, and loses messages; a canary does not', () => {
    const timeoutMs = 350_000;
    const run = (options: Partial<NatOptions>): NatWorld => {
      const { world } = worldOf(timeoutMs, 5, { isLoose: true, ...options });
      world.runUntil(DAY_MS);
      return world;
    };
    const policy = new WatchedCanary();
    const byCanary = run({ keepalive: policy });
    const ping = new ClientPing();
    const byPing = run({ keepalive: ping });
    assertLearned(policy.lowMs, timeoutMs);
    assert.equal(byCanary.outageMs, 0);
    assert.equal(ping.lowMs, gapMsMax, 'every ping was answered');
    assert.ok(byPing.outageMs > 0.5 * DAY_MS, `${byPing.outageMs} ms in which nothing came in`);
    // Behind a strict box the same learns right, at the cost of outages.
    const strictPing = new ClientPing();
    const strict = run({ keepalive: strictPing, isLoose: false });
    assert.ok(strictPing.lowMs < timeoutMs && strict.outageMs > 0);
    assert.ok(run({ keepalive: fixedKeepalive(600_000) }).outageMs > 0.3 * DAY_MS);
  });

  test('[KA-5] a timeout that drops costs no more than the bound says', () => {
    const drops = fc.tuple(timeouts, fc.integer({ min: 2 * gapMsMin, max: 7_440 * SECOND_MS }));
    fc.assert(
      fc.property(drops, seeds, fc.boolean(), ([beforeMs, afterMs], seed, resets) => {
        const { world, policy } = worldOf(0, seed, {
          resets,
          timeoutMs: (_key, nowMs) => (nowMs < DAY_MS ? beforeMs : afterMs),
        });
        world.runUntil(DAY_MS);
        assert.equal(world.outageMs, 0);
        const gapMs = policy.gapMs(world.now);
        world.runUntil(3 * DAY_MS);
        const rounds = gapMs < afterMs ? 0 : Math.max(1, Math.ceil(Math.log2(gapMs / afterMs)));
        // Until the next connection is there.
        const reconnectMs = 1_000;
        const boundMs = 2 * (gapMs - afterMs + 10 * SECOND_MS + reconnectMs) * rounds;
        assert.ok(world.outageMs <= boundMs, `${world.outageMs} > ${boundMs}`);
        assert.ok(policy.gapMs(world.now) < afterMs + DELAYS_MS, 'it is found out');
      }),
      { numRuns: 60 },
    );
  });
});

describe('resets', () => {
  /** A device that has learned what a box of 1,000 s allows. */
  function learned(): { world: NatWorld; policy: WatchedCanary } {
    const { world, policy } = worldOf(1_000_000, 11);
    learn(world, policy);
    assertLearned(policy.lowMs, 1_000_000);
    return { world, policy };
  }

  test('[KA-5] [SD-7] a box that answers with a reset is found out as one that drops is', () => {
    for (const resets of [true, false]) {
      let timeoutMs = 1_000_000;
      const { world, policy } = worldOf(0, 11, { resets, timeoutMs: () => timeoutMs });
      learn(world, policy);
      timeoutMs = 500_000;
      const gapMs = policy.gapMs(world.now);
      world.runUntil(world.nowMs + 3 * gapMs);
      const { lowMs, highMs } = policy.knowledge['n0']!;
      assert.ok(Math.abs(lowMs - gapMs / 2) < DELAYS_MS && lowMs < timeoutMs, `${lowMs}`);
      assert.ok(highMs !== undefined && Math.abs(highMs - gapMs) < DELAYS_MS);
      learn(world, policy, world.nowMs + DAY_MS);
      assertLearned(policy.lowMs, timeoutMs);
    }
  });

  test('[KA-5] [SD-7] a server that has lost its power, once in a day, changes nothing of what was learned', () => {
    const { world, policy } = learned();
    const { knowledge } = policy;
    const { outageMs } = world;
    for (let day = 0; day < 5; day += 1) {
      world.reboot();
      world.runUntil(world.nowMs + DAY_MS + 3_600_000);
      assert.ok(world.isOnline);
      assert.deepEqual(policy.knowledge, knowledge);
    }
    // Twice is taken for the network, as two connections that do not answer are, and is learned anew.
    world.reboot();
    world.runUntil(world.nowMs + HOUR_MS);
    world.reboot();
    world.runUntil(world.nowMs + HOUR_MS);
    assert.notDeepEqual(policy.knowledge, knowledge);
    learn(world, policy, world.nowMs + DAY_MS);
    assert.ok(policy.lowMs > 0.85 * knowledge['n0']!.lowMs, `${policy.lowMs}`);
    assert.equal(world.outageMs, outageMs);
  });

  test('[SD-7] a reset counts only where the connection was asked after a silence', () => {
    const { world, policy } = learned();
    const { knowledge } = policy;
    const waiting = (): number =>
      world.outputs.filter((output) => output.kind === 'status' && output.status.kind === 'waiting').length;
    const before = waiting();
    for (let round = 0; round < 6; round += 1) {
      world.reboot();
      world.runUntil(world.nowMs + 60_000);
      world.input({ kind: 'activity', activity: 'active' });
      world.input({ kind: 'activity', activity: 'asleep' });
      world.runUntil(world.nowMs + 60_000);
    }
    assert.equal(waiting() - before, 6, 'each has ended the connection');
    assert.deepEqual(policy.knowledge, knowledge);
  });
});

describe('disturbances', () => {
  test('[KA-3] [SD-8] false deaths, restarts, changing networks and messages: no outage, nothing false believed, windows end, nothing twice', () => {
    fc.assert(
      fc.property(fc.array(timeouts, { minLength: 1, maxLength: 4 }), seeds, boxes, (all, seed, box) => {
        const prng = new Prng(seed);
        const networks = all.map((_, index) => `n${index}`);
        const timeoutMs = (key: string): number => all[networks.indexOf(key)]!;
        const { world, policy } = worldOf(0, seed, { timeoutMs, prng, falseDeaths: () => 0.3, ...box });
        while (world.nowMs < 2 * DAY_MS) {
          world.runUntil(world.nowMs + prng.nextInteger(1_000, 600_000));
          assert.ok(world.openWindows === 0 || world.nowMs - world.windowMs <= 10_000, 'a window ends');
          const chance = prng.nextFloat();
          if (chance < 0.02) world.move(networks[prng.nextInteger(0, networks.length - 1)]!);
          else if (chance < 0.03) world.restart();
          else if (chance < 0.04) world.launch();
          else if (chance < 0.4) world.send(`m${world.sent}`);
          // A message that is sent to a connection that is no more is the inbox's business, which this server has not.
          if (chance < 0.04) world.runUntil(world.nowMs + 20_000);
          assert.ok(world.isOnline);
        }
        world.runUntil(world.nowMs + 20_000);
        assert.equal(world.outageMs, 0);
        for (const [key, { lowMs, highMs }] of Object.entries(policy.knowledge)) {
          assert.ok(lowMs < timeoutMs(key) + DELAYS_MS, `${key}: ${lowMs}`);
          assert.ok(highMs === undefined || highMs > lowMs);
        }
        assert.equal(world.reached.size, world.sent, 'every message has come in');
        assert.ok([...world.reached.values()].every((count) => count === 1));
      }),
      { numRuns: 40 },
    );
  });

  test('[SD-12] where the network goes away, or another canary does not come about, nothing is believed', () => {
    const { world, policy } = worldOf(1_000_000, 3);
    // Two probes are alive, the third would be dead.
    while (policy.verdicts.length < 2) world.runUntil(world.nowMs + 1_000);
    const { lowMs } = policy;
    assert.equal(lowMs, 960_000);
    world.hasPath = false;
    while (policy.verdicts.length < 3) world.runUntil(world.nowMs + 1_000);
    assert.equal(policy.verdicts[2]!.verdict, 'void');
    world.hasPath = true;
    const before = world.canaries.length;
    world.runUntil(world.nowMs + deviceLimits.canaryRetryMs / 2);
    assert.equal(world.canaries.length, before, 'none is opened for a while');
    learn(world, policy);
    assertLearned(policy.lowMs, 1_000_000);
    assert.equal(world.outageMs, 0);
  });

  test('[SD-12] a canary of another network, or from before a restart of the server, is looked at by nobody', () => {
    const { world, policy } = worldOf(1_000_000, 3);
    world.runUntil(100_000);
    assert.equal(world.canaries.length, 1);
    world.move('n1');
    world.runUntil(200_000);
    assert.equal(world.canaries.length, 2);
    world.restart();
    world.runUntil(300_000);
    assert.equal(world.canaries.length, 3);
    assert.deepEqual(policy.verdicts, []);
    learn(world, policy);
    assert.ok(policy.verdicts.every(({ verdict }) => verdict !== 'void'));
  });
});

describe('servers that take no canaries', () => {
  test('[KA-8] the main connection is tried by small steps, at most two deaths for each; nothing is asked of such a server', () => {
    fc.assert(
      fc.property(timeouts, seeds, fc.boolean(), (timeoutMs, seed, resets) => {
        const { world, policy } = worldOf(timeoutMs, seed, { canarySilenceMsMax: 0, resets });
        learn(world, policy, 4 * DAY_MS);
        world.runUntil(world.nowMs + HOUR_MS);
        assertLearned(policy.lowMs, timeoutMs);
        assert.deepEqual(world.canaries, []);
        assert.ok(!world.said.some(({ topic }) => topic === '$line/alive' || topic === '$line/network'));
        const deaths = world.outputs.filter(
          (output) => output.kind === 'status' && output.status.kind === 'waiting',
        ).length;
        assert.ok(deaths <= 2 * 4, `${deaths} deaths`);
        const { outageMs } = world;
        world.runUntil(world.nowMs + DAY_MS);
        assert.equal(world.outageMs, outageMs, 'and then none any more');
      }),
      { numRuns: 30 },
    );
  });

  test('[SD-11] a canary that is refused though it was offered is tried again later, and the main connection not at all', () => {
    let reason = 0x97;
    const { world, policy } = worldOf(1_000_000, 4, { canaryReason: () => reason });
    world.runUntil(HOUR_MS);
    const count = world.canaries.length;
    assert.ok(count >= 4 && count <= 1 + HOUR_MS / deviceLimits.canaryRetryMs, `${count} canaries`);
    assert.equal(policy.lowMs, lowFirstMs);
    reason = 0;
    learn(world, policy);
    assertLearned(policy.lowMs, 1_000_000);
    assert.equal(world.outageMs, 0);
  });
});

describe('sleep', () => {
  test('[SD-11] what a canary receives begins no window, and resets no clock', () => {
    const { world } = worldOf(7_000_000, 6, { isNeverFrozen: true });
    world.runUntil(479_000);
    const { windows, wakes } = world;
    // The push comes at 480 s, the wake 2 s later.
    world.runUntil(481_500);
    assert.deepEqual([world.windows, world.wakes], [windows, wakes]);
    world.runUntil(484_000);
    assert.deepEqual([world.windows, world.wakes], [windows + 1, wakes + 1]);
    assert.equal(world.canaries.at(-1)!.silenceMs, 960_000, 'and the wake looks at it');
  });

  test('[SD-16] a platform that wakes the app rarely has the server keep the path, and learns all the same', () => {
    fc.assert(
      fc.property(timeouts, seeds, (timeoutMs, seed) => {
        const floorMs = 600_000;
        const { world, policy } = worldOf(timeoutMs, seed, { device: { floorMs } });
        world.runUntil(DAY_MS);
        assertLearned(policy.lowMs, timeoutMs);
        assert.ok(world.wakes <= DAY_MS / floorMs, `${world.wakes} wakes`);
        assert.equal(world.outageMs, 0);
        const gaps = world.said.flatMap(({ topic, value }) => {
          return topic === '$line/state' ? [value['gap']] : [];
        });
        assert.equal(gaps.find((gap) => gap !== undefined) !== undefined, true);
        const gapMs = Math.floor(policy.gapMs(world.now));
        assert.equal(gaps.at(-1), gapMs < floorMs ? gapMs : undefined);
      }),
      { numRuns: 20 },
    );
  });
});

describe('what others know of a network', () => {
  test('[SD-13] it is asked for once, taken, and what is learned is told and stored', () => {
    const { world, policy } = worldOf(1_000_000, 8, {
      hintMs: (key) => (key === 'n0' ? 900_000 : undefined),
    });
    const told = (): unknown[] =>
      world.said.filter(({ topic }) => topic === '$line/network').map(({ value }) => value);
    world.runUntil(10_000);
    assert.deepEqual(told(), [{ network: 'n0' }]);
    assert.equal(policy.lowMs, 900_000);
    assert.deepEqual(
      world.canaries.map(({ silenceMs }) => silenceMs),
      [1_740_000],
      'nothing was begun before',
    );
    world.restart();
    world.runUntil(20_000);
    assert.deepEqual(told(), [{ network: 'n0' }]);
    learn(world, policy);
    assertLearned(policy.lowMs, 1_000_000);
    const { lowMs, highMs } = policy.knowledge['n0']!;
    assert.deepEqual(told().at(-1), { network: 'n0', low: lowMs, high: highMs });
    assert.deepEqual(world.knowledge, policy.knowledge);
    const count = told().length;
    world.runUntil(world.nowMs + HOUR_MS);
    world.move('n1');
    world.runUntil(world.nowMs + 1_000);
    assert.deepEqual(told().slice(count), [{ network: 'n1' }]);
    assert.equal(policy.lowMs, lowFirstMs);
  });

  test('[SD-13] [KA-6] what was learned outlives the app, and is not asked for again', () => {
    const { world, policy } = worldOf(1_000_000, 9);
    learn(world, policy);
    const again = new WatchedCanary();
    const next = new NatWorld({
      keepalive: again,
      prng: new Prng(1),
      timeoutMs: () => 1_000_000,
      device: { knowledge: JSON.parse(JSON.stringify(world.knowledge)) },
    });
    next.runUntil(DAY_MS);
    assert.equal(again.lowMs, policy.lowMs);
    assert.deepEqual(next.canaries, []);
    assert.ok(!next.said.some(({ topic }) => topic === '$line/network'));
  });
});

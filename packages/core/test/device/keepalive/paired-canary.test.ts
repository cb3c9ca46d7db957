import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../fast-check.js';
import { DAY_MS, HOUR_MS, Prng, SECOND_MS } from '../../../src/base/index.js';
import {
  deviceLimits,
  gapConstants,
  GapEstimate,
  PairedCanary,
  scaledConstants,
  verdictOf,
} from '../../../src/device/index.js';
import { oracleGapMs, World } from './world.js';

const { lowFirstMs, gapMsMax, gapMsMin, guardMs, highMsMax } = gapConstants;
const seeds = fc.integer();
/** Timeouts beyond what every network is trusted with, in ms; those met in the field end at about two hours. */
const timeouts = fc.integer({ min: lowFirstMs + 1, max: 7_440 * SECOND_MS });
const runs = { numRuns: 400 };

describe('a constant timeout', () => {
  test('[KA-1] [KA-2] there is no outage, few probes, soon an end, and then at most 1.105 times the wakes of who knows', () => {
    fc.assert(
      fc.property(timeouts, seeds, (timeoutMs, seed) => {
        const world = new World({ timeoutMs: () => timeoutMs, prng: new Prng(seed) });
        world.learn();
        assert.equal(world.isLearning, false, 'it ends');
        assert.ok(world.nowMs <= 9 * Math.min(2 * timeoutMs, gapMsMax), `took ${world.nowMs} ms`);
        assert.ok(world.probes.length <= 11, `${world.probes.length} probes`);
        assert.ok(new Set(world.probes).size <= 6, `targets ${world.probes.join()}`);
        const extra = world.wakes - world.nowMs / oracleGapMs(timeoutMs);
        assert.ok(extra <= 14, `${extra} wakes more than of who knows`);
        assert.ok(world.lowMs < timeoutMs, 'what is believed is true');
        assert.ok(world.lowMs >= Math.min(timeoutMs, gapMsMax) / 1.1 - 1, `and close: ${world.lowMs}`);
        const gapMs = world.policy.gapMs(world.now);
        assert.ok(oracleGapMs(timeoutMs) <= 1.105 * gapMs, `${gapMs}`);
        world.runUntil(world.nowMs + 3 * DAY_MS);
        assert.equal(world.outageMs, 0);
        assert.equal(world.deaths, 0);
        assert.ok(world.probes.length <= 11, 'nothing is learned twice');
      }),
      runs,
    );
  });

  test('[KA-2] what is tried, in seconds, behind a box that forgets after 1,000 s', () => {
    const world = new World({ timeoutMs: () => 1_000_000, prng: new Prng(1) });
    world.learn();
    const tried = world.probes.map((ms) => Math.round(ms / SECOND_MS));
    assert.deepEqual(tried, [480, 960, 1740, 1740, 1292, 1292, 1114, 1114, 1034, 1034]);
    assert.deepEqual(
      [lowFirstMs, gapMsMin, gapMsMax, guardMs, highMsMax],
      [240_000, 60_000, 1_740_000, 10_000, 7 * DAY_MS],
    );
  });

  test('[KA-1] no silence that is asked for exceeds what is known, whatever else is received', () => {
    fc.assert(
      fc.property(
        timeouts,
        seeds,
        fc.double({ min: 0, max: 0.9, noNaN: true }),
        (timeoutMs, seed, traffic) => {
          const world = new World({ timeoutMs: () => timeoutMs, prng: new Prng(seed), traffic });
          while (world.nowMs < DAY_MS) {
            const gapMs = world.policy.gapMs(world.now);
            assert.ok(
              gapMs <= Math.max(gapMsMin, world.lowMs - guardMs) + 1e-6,
              `${gapMs} of ${world.lowMs}`,
            );
            world.step();
          }
          assert.equal(world.outageMs, 0);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('disturbances', () => {
  test('[KA-3] false deaths, voids, traffic and changes of the network cause no outage, and nothing false is believed allowed', () => {
    fc.assert(
      fc.property(fc.array(timeouts, { minLength: 1, maxLength: 5 }), seeds, (all, seed) => {
        const networks = all.map((_, index) => `n${index}`);
        const timeoutMs = (key: string): number => all[networks.indexOf(key)]!;
        const world = new World({
          timeoutMs,
          prng: new Prng(seed),
          falseDeaths: 0.3,
          voids: 0.2,
          traffic: 0.3,
          networks,
          churn: 0.05,
        });
        world.runUntil(4 * DAY_MS);
        assert.equal(world.outageMs, 0);
        for (const [key, { lowMs, highMs }] of Object.entries(world.policy.knowledge)) {
          if (key === '') continue;
          assert.ok(lowMs < timeoutMs(key), `${key}: ${lowMs}`);
          assert.ok(highMs === undefined || highMs > lowMs);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('[KA-4] what false deaths cost is won back when the upper bound is no longer believed', () => {
    fc.assert(
      fc.property(timeouts, seeds, (timeoutMs, seed) => {
        let isDisturbed = true;
        const world = new World({
          timeoutMs: () => timeoutMs,
          prng: new Prng(seed),
          get falseDeaths() {
            return isDisturbed ? 1 : 0;
          },
        });
        world.learn();
        assert.ok(world.lowMs < lowFirstMs * 1.1, 'every probe was said to be dead');
        isDisturbed = false;
        world.runUntil(world.nowMs + highMsMax + 9 * gapMsMax);
        world.learn();
        assert.ok(world.lowMs >= Math.min(timeoutMs, gapMsMax) / 1.1 - 1, `${world.lowMs} of ${timeoutMs}`);
        assert.equal(world.outageMs, 0);
      }),
      { numRuns: 60 },
    );
  });

  test('[KA-5] a timeout that drops costs no more than the bound says', () => {
    const drops = fc.tuple(timeouts, fc.integer({ min: 2 * gapMsMin, max: 7_440 * SECOND_MS }));
    fc.assert(
      fc.property(drops, seeds, ([beforeMs, afterMs], seed) => {
        const dropMs = DAY_MS;
        const world = new World({
          timeoutMs: (_key, nowMs) => (nowMs < dropMs ? beforeMs : afterMs),
          prng: new Prng(seed),
        });
        world.runUntil(dropMs);
        assert.equal(world.outageMs, 0);
        const gapMs = world.policy.gapMs(world.now);
        world.runUntil(dropMs + 2 * DAY_MS);
        const rounds = gapMs < afterMs ? 0 : Math.max(1, Math.ceil(Math.log2(gapMs / afterMs)));
        const boundMs = 2 * (gapMs - afterMs + 10 * SECOND_MS) * rounds;
        assert.ok(world.outageMs <= boundMs + 1e-6, `${world.outageMs} > ${boundMs}`);
        world.runUntil(world.nowMs + HOUR_MS);
        assert.ok(world.policy.gapMs(world.now) < afterMs, 'it is found out');
      }),
      runs,
    );
  });
});

describe('single decisions', () => {
  const look = { hasArrived: false, isSent: true, isMainWell: true, isPathThere: true };

  test('[KA-3] a probe is dead only if everything else works', () => {
    assert.equal(verdictOf(look), 'dead');
    for (const name of ['isSent', 'isMainWell', 'isPathThere'] as const) {
      assert.equal(verdictOf({ ...look, [name]: false }), 'void', name);
    }
    assert.equal(
      verdictOf({ hasArrived: true, isSent: false, isMainWell: false, isPathThere: false }),
      'alive',
    );
  });

  test('[KA-3] one dead probe changes nothing, a void one never does, and one that lives in between starts the count anew', () => {
    const estimate = new GapEstimate();
    estimate.handleProbe(0, 480_000, 'dead');
    estimate.handleProbe(0, 480_000, 'void');
    assert.deepEqual(estimate.knowledge, { lowMs: lowFirstMs });
    estimate.handleProbe(0, 480_000, 'alive');
    estimate.handleProbe(0, 960_000, 'dead');
    assert.deepEqual(estimate.knowledge, { lowMs: 480_000 });
    estimate.handleProbe(5, 960_000, 'dead');
    assert.deepEqual(estimate.knowledge, { lowMs: 480_000, highMs: 960_000, highSinceMs: 5 });
  });

  test('[KA-5] one dead keepalive changes nothing, nor do two that are more than a day apart', () => {
    const estimate = new GapEstimate();
    estimate.handleDeath(0, 230_000);
    estimate.handleDeath(DAY_MS + 1, 230_000);
    assert.deepEqual(estimate.knowledge, { lowMs: lowFirstMs });
    estimate.handleDeath(DAY_MS + 2, 230_000);
    assert.deepEqual(estimate.knowledge, { lowMs: 115_000, highMs: 230_000, highSinceMs: DAY_MS + 2 });
  });

  test('[KA-5] nothing shorter than a minute is believed of a network', () => {
    const estimate = new GapEstimate();
    for (let index = 0; index < 20; index += 1) estimate.handleDeath(index, estimate.gapMs(index));
    assert.equal(estimate.lowMs, gapMsMin);
    assert.ok(estimate.gapMs(20) >= gapMsMin / 2);
  });

  test('[KA-6] what was learned outlives a restart; what makes no sense does not', () => {
    const policy = new PairedCanary();
    const good = { lowMs: 500_000, highMs: 540_000, highSinceMs: 1_000 };
    policy.restore({
      wifi: good,
      low: { lowMs: 1 },
      nan: { lowMs: NaN },
      high: { lowMs: 1e9 },
      mixed: { lowMs: 500_000, highMs: 400_000, highSinceMs: 1 },
      undated: { lowMs: 500_000, highMs: 600_000 },
    });
    assert.deepEqual(Object.keys(policy.knowledge), ['wifi']);
    assert.deepEqual(policy.knowledge['wifi'], good);
    policy.handleNetwork({ monotonic: 0, wall: 2_000 }, 'wifi');
    assert.equal(policy.gapMs({ monotonic: 0, wall: 2_000 }), 490_000);
  });

  test('[KA-6] the network used longest ago is forgotten, never the one in use', () => {
    const policy = new PairedCanary();
    const now = { monotonic: 0, wall: 0 };
    policy.restore({ inUse: { lowMs: 300_000 } });
    policy.handleNetwork(now, 'inUse');
    const others = Array.from({ length: deviceLimits.networksMax + 5 }, (_, index) => `n${index}`);
    policy.restore(Object.fromEntries(others.map((key) => [key, { lowMs: 300_000 }])));
    const keys = Object.keys(policy.knowledge);
    assert.equal(keys.length, deviceLimits.networksMax);
    assert.ok(!keys.includes('n0') && keys.includes(others.at(-1)!) && keys.includes('inUse'));
  });

  test('[KA-6] a hint is taken for a network of which nothing is known, within bounds', () => {
    const policy = new PairedCanary();
    policy.restore({ known: { lowMs: 300_000 } });
    const gapOn = (key: string): number => {
      policy.handleNetwork({ monotonic: 0, wall: 0 }, key);
      return policy.lowMs;
    };
    for (const [key, hintMs] of Object.entries({ known: 900_000, new: 900_000, odd: 1e12 })) {
      policy.handleHint(key, hintMs);
    }
    assert.equal(gapOn('known'), 300_000);
    assert.equal(gapOn('new'), 900_000);
    assert.equal(gapOn('odd'), gapMsMax);
    assert.equal(gapOn('plain'), lowFirstMs);
    policy.handleHint('plain', 500_000);
    assert.equal(gapOn('plain'), 500_000, 'on the network in use, too');
    assert.deepEqual(Object.keys(policy.knowledge), ['known'], 'a hint is not what was learned here');
  });

  test('[KA-3] a canary of another network is not looked at', () => {
    const policy = new PairedCanary();
    assert.equal(policy.handleAnswer({ monotonic: 0, wall: 0 }, 0)?.kind, 'open');
    policy.handleNetwork({ monotonic: 1, wall: 1 }, 'other');
    const found = { hasArrived: true, isSent: true, isPathThere: true };
    assert.equal(policy.handleLook({ monotonic: 2, wall: 2 }, found), 'void');
    assert.equal(policy.handleAnswer({ monotonic: 480_000, wall: 480_000 }, 0)?.kind, 'open');
  });

  test('[KA-1] all times divided by one factor are the same policy in less time', () => {
    const scaled = new GapEstimate(scaledConstants(6));
    const plain = new GapEstimate();
    for (const verdict of ['alive', 'dead', 'dead', 'alive'] as const) {
      scaled.handleProbe(0, scaled.targetMs(0)!, verdict);
      plain.handleProbe(0, plain.targetMs(0)!, verdict);
    }
    // What is tried is a whole number of milliseconds.
    assert.ok(Math.abs(scaled.gapMs(0) * 6 - plain.gapMs(0)) < 10);
  });
});

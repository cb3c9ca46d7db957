/**
 * Keepalive policies of the SDK behind real NATs of the Linux kernel, side by side: what each learns and what each loses. Short: idle times of
 * 3 s, all constants divided by 120. With WAKELINE_LONG=1: idle times of 45, 120 and 350 s, in 52 minutes (docs/adr/0021).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { randomInt } from 'node:crypto';
import { Prng } from '@wakeline/core/base';
import { gapConstants } from '@wakeline/core/device';
import type { NatNetwork } from './nat-network.js';
import type { DeviceName } from './nat-scenario.js';
import {
  assertLearned,
  assertNoOutage,
  deviceOf,
  formatFigures,
  NatScenario,
  sendAfterSilences,
} from './nat-scenario.js';
import { whyMissing } from './program.js';
import { sleep, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const skip =
  process.getuid?.() === 0
    ? (whyMissing('ip', 'nft', 'nsenter', 'unshare') ?? false)
    : 'NOT TESTED: a NAT needs root';

describe('behind a NAT that forgets after 3 s, all constants divided by 120', { skip }, () => {
  const answerMs = 1_000;

  test('strict and loose, adaptive, client-ping and fixed', { timeout: 300_000 }, async () => {
    const plans = [false, true].map((loose) => ({ idleSeconds: 3, loose, factor: 120, answerMs }));
    const scenario = await NatScenario.start({
      plans,
      names: ['quiet', 'quiet-ping', 'fixed', 'asleep'],
      sampleMs: 100,
      tcpKeepAlive: true,
    });
    try {
      const [strict, loose] = scenario.networks as [NatNetwork, NatNetwork];
      for (const network of scenario.networks) {
        const quiet = deviceOf(network, 'quiet');
        await until(
          () => quiet.knows?.isDone === true,
          120_000,
          () => `${network.options.name}: adaptive has learned; ${network.tell()}`,
        );
        assertLearned(network, quiet);
      }
      // By the same rules, but testing with its own pings: strict tracking costs it the main connection …
      assert(deviceOf(strict, 'quiet-ping').outages > 0, strict.tell());
      assert(deviceOf(strict, 'fixed').outages > 0, strict.tell());
      // … and loose tracking answers every ping, however long nothing came in.
      const pinging = deviceOf(loose, 'quiet-ping');
      assert.equal(pinging.of('death').length, 0);
      assert(pinging.knows!.lowMs > 3_000, `${pinging.knows?.lowMs} ms are thought to be allowed`);
      await Promise.all([
        checkMessage(strict, 'quiet'),
        checkMessage(loose, 'quiet'),
        // Never asked anything since it began: its way was kept open by empty segments of the server's kernel.
        checkMessage(strict, 'asleep'),
        checkMessage(loose, 'asleep'),
        checkLate(loose, 'quiet-ping'),
        checkLate(loose, 'fixed'),
      ]);
    } finally {
      console.log(formatFigures(scenario.networks));
      await scenario.end();
    }
  });

  /** After a silence of twice the idle time a message comes in, on the connection that there was from the beginning. */
  async function checkMessage(network: NatNetwork, name: DeviceName): Promise<void> {
    const record = deviceOf(network, name);
    assertNoOutage(network, record);
    await sleep(6_000);
    const number = await network.send([record]);
    await until(
      () => record.delayMs(number) !== undefined,
      60_000,
      () => `${name}: the message has come; ${network.tell()}`,
    );
    // Its way was open all the time: it did not wait for the device to say something.
    assertNoOutage(network, record);
    assert.equal(record.of('open').length, 1, 'one connection');
    if (name === 'asleep') assert.equal(record.of('answered').filter(({ gapMs }) => gapMs > 0).length, 0);
  }

  /** A message sent while the NAT has forgotten the connection is dropped; it comes when the device says something. */
  async function checkLate(network: NatNetwork, name: DeviceName): Promise<void> {
    const record = deviceOf(network, name);
    await until(
      async () => record.isOnline && !(await network.isReachable(record)),
      60_000,
      () => `${name} cannot be reached; ${network.tell()}`,
    );
    const dropped = network.droppedInward();
    const number = await network.send([record]);
    await until(
      () => network.droppedInward() > dropped,
      60_000,
      () => 'what was sent is dropped',
    );
    await until(
      () => record.delayMs(number) !== undefined,
      60_000,
      () => `${name}: it comes at last; ${network.tell()}`,
    );
  }
});

// Not a skipped test where it is not asked for: it is another form of the one above.
const testLong = isLong ? test : () => {};
testLong(
  'behind NATs of 45, 120 and 350 s, strict and loose, side by side for 52 minutes',
  { skip, timeout: 58 * 60_000 },
  async () => {
    const plans = [
      { idleSeconds: 45, loose: false, factor: 6 },
      { idleSeconds: 45, loose: true, factor: 6 },
      { idleSeconds: 120, loose: false, factor: 6 },
      { idleSeconds: 120, loose: true, factor: 6 },
      { idleSeconds: 350, loose: false, factor: 6 },
      { idleSeconds: 350, loose: false, factor: 4.9 },
    ];
    const seed = Number(process.env['WAKELINE_SEED'] ?? randomInt(2 ** 31));
    console.log(`WAKELINE_SEED=${seed}`);
    const prng = new Prng(seed);
    const scenario = await NatScenario.start({
      plans,
      names: ['quiet', 'quiet-ping', 'adaptive', 'client-ping', 'fixed'],
      sampleMs: 1_000,
      // They would keep every mapping open, and no policy could be seen to matter.
      tcpKeepAlive: false,
    });
    const endMs = performance.now() + 52 * 60_000;
    try {
      await Promise.all(scenario.networks.map((network) => sendAfterSilences(network, prng, endMs)));
      for (const network of scenario.networks) checkFigures(network);
    } finally {
      console.log(formatFigures(scenario.networks));
      await scenario.end();
    }
  },
);

function checkFigures(network: NatNetwork): void {
  const { idleSeconds, factor, loose } = network.options;
  const ringMs = 30_000 / factor;
  for (const name of ['quiet', 'adaptive'] as const) {
    const record = deviceOf(network, name);
    assertNoOutage(network, record);
    assert(record.sent.size > 0, `${record.device.id} got messages`);
    assert.equal(record.late(ringMs), 0, `${record.device.id}; ${network.tell()}`);
    const capMs = gapConstants.gapMsMax / factor;
    // What is beyond the longest silence that is tried at all cannot be learned.
    if (capMs < idleSeconds * 1_000) assert.equal(record.knows?.lowMs, capMs);
    else assertLearned(network, record);
  }
  const fixed = deviceOf(network, 'fixed');
  if (600 / factor > idleSeconds) assert(fixed.late(ringMs) > 0, 'fixed loses');
  else assert.equal(fixed.late(ringMs), 0, 'fixed asks often enough here');
  for (const name of ['quiet-ping', 'client-ping'] as const) {
    const pinging = deviceOf(network, name);
    if (loose) {
      const highestMs = Math.max(...pinging.of('knows').map(({ lowMs }) => lowMs));
      assert(highestMs > idleSeconds * 1_000, `${name} believes what is wrong`);
      assert(pinging.late(ringMs) > 0, `${name} misses`);
    } else if (1_740 / factor > idleSeconds) {
      assert(pinging.outages > 0, `${name} learns by losing its connection`);
    }
  }
}

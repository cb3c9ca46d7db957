/**
 * The main job with a phone that knows nothing of us: Debian's baresip asleep in a sleepbox as on an iPhone with a VoIP
 * socket, called by SIPp over UDP, with voice both ways until one hangs up.
 *
 * Short by default; WAKELINE_LONG=1 makes it ten phones and 20 calls to each (WAKELINE_CALLS), asleep for up to 90 s.
 * WAKELINE_SEED picks the moments.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import type { Baresip } from './baresip.js';
import { percentile, whyMissing } from './program.js';
import { callersTrunk, onStage } from './sip-stage.js';
import type { SipStage } from './sip-stage.js';
import { betweenMs } from './sipp.js';
import { sleep } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const seed = Number(process.env['WAKELINE_SEED'] ?? 1);
const missing = whyMissing('sipp', 'baresip');

/** Times in ms. */
const form = isLong
  ? {
      phones: 10,
      calls: Number(process.env['WAKELINE_CALLS'] ?? 20),
      window: '10s',
      asleep: [1_000, 90_000],
      talk: [3_000, 25_000],
      pick: [5_000, 25_000],
    }
  : { phones: 4, calls: 2, window: '3s', asleep: [500, 3_000], talk: [3_000, 5_000], pick: [1_000, 4_000] };

/** A voice that is heard without gaps sends 50 packets a second. */
const PACKETS_PER_SECOND_MIN = 45;

/** What a call may cost on the phone's TCP connection; three seconds of voice one way would be 25,000. */
const TCP_BYTES_PER_CALL_MAX = 10_000;

interface Figures {
  readonly ringMs: number;
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
}

test(
  `${form.phones * form.calls} calls wake ${form.phones} baresips and are answered, with voice both ways, seed ${seed}`,
  { skip: missing ?? false },
  async (t) => {
    const users = Array.from({ length: form.phones }, (_, index) => `phone${index + 1}`);
    await onStage({ users, trunks: [callersTrunk], registrationMin: '1m' }, async (stage) => {
      const figures: Figures[] = [];
      const each = users.map(async (user, index) => {
        const prng = new Prng(seed * 1_000 + index);
        // Half of the phones take a call by themselves; with the others somebody takes the phone first.
        const answers = index % 2 === 0 ? 'auto' : 'manual';
        const phone = await stage.baresip(user, { answers, box: { window: form.window } });
        for (let call = 0; call < form.calls; call++) {
          await phone.box.asleep();
          await sleep(prng.nextInteger(form.asleep[0]!, form.asleep[1]!));
          figures.push(await callPhone(stage, user, phone, answers === 'manual', prng));
        }
        await phone.box.asleep();
        await phone.box.end();
        const summary = phone.box.events.find(({ type }) => type === 'summary')!.summary;
        const bytes = summary.receivedBytes + summary.sentBytes;
        assert(bytes < form.calls * TCP_BYTES_PER_CALL_MAX, `${bytes} bytes of ${user} went over TCP`);
        assert.equal(summary.relaunches, 0);
      });
      await Promise.all(each);

      const ring = figures.map(({ ringMs }) => ringMs);
      const slowest = (name: 'sentPerSecond' | 'receivedPerSecond'): string =>
        Math.min(...figures.map((one) => one[name])).toFixed(1);
      const report =
        `${figures.length} calls answered; INVITE to 180 median ${percentile(ring, 0.5).toFixed(0)} ms, ` +
        `p99 ${percentile(ring, 0.99).toFixed(0)} ms; packets a second, of the worst call: ` +
        `${slowest('sentPerSecond')} from the phone, ${slowest('receivedPerSecond')} to it`;
      t.diagnostic(report);
      process.stdout.write(`${report}\n`);
    });
  },
);

async function callPhone(
  stage: SipStage,
  user: string,
  phone: Baresip,
  isPicked: boolean,
  prng: Prng,
): Promise<Figures> {
  const from = phone.position;
  const wakes = phone.box.wakes('data').length;
  const isAsleep = phone.box.isAsleep;
  const call = await stage.call(user, { holdMs: prng.nextInteger(form.talk[0]!, form.talk[1]!) });
  if (isPicked) {
    await call.mark('ringing');
    await phone.incoming(from);
    await sleep(prng.nextInteger(form.pick[0]!, form.pick[1]!));
    await phone.answer();
  }
  const { marks } = await call.success();
  const { sentPackets, receivedPackets } = await phone.voice(from);
  // A registration of its own may have woken it in the very moment of the call.
  if (isAsleep) assert(phone.box.wakes().length > wakes, 'it was woken by the call');
  const seconds = betweenMs(marks, 'acknowledged', 'bye') / 1_000;
  const figures = {
    ringMs: betweenMs(marks, 'invite', 'ringing'),
    sentPerSecond: sentPackets / seconds,
    receivedPerSecond: receivedPackets / seconds,
  };
  assert(figures.ringMs >= 0, 'it rang before it was answered');
  assert(figures.sentPerSecond >= PACKETS_PER_SECOND_MIN, `the phone sent ${sentPackets} in ${seconds} s`);
  assert(figures.receivedPerSecond >= PACKETS_PER_SECOND_MIN, `it got ${receivedPackets} in ${seconds} s`);
  return figures;
}

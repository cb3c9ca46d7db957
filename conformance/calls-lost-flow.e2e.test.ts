/**
 * Calls whose phone loses its flow, or its process, or whose server dies: each is answered all the same, over UDP and
 * from a caller that is registered here over TCP.
 *
 * Short by default, with the phone that connects again at once; WAKELINE_LONG=1 makes it 50 calls each, and does it
 * with baresip too, which takes up to a minute to come back.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Phone } from './phone.js';
import { percentile, whyMissing } from './program.js';
import { DOMAIN } from './sip-server.js';
import { callersTrunk, onStage } from './sip-stage.js';
import type { SipStage } from './sip-stage.js';
import type { SmallPhone } from './small-phone.js';
import { betweenMs } from './sipp.js';
import type { Sipp } from './sipp.js';
import type { TcpRelay } from './tcp-relay.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const missing = whyMissing('sipp', 'baresip');

/** Phones called at the same time, and how often each. */
const PHONES = isLong ? 10 : 3;
const ROUNDS = isLong ? 5 : 1;
const TALK_MS = 2_000;

interface Kind {
  readonly title: string;
  readonly isInShortForm: boolean;
  /** How long a call may wait; longer than the phone needs to come back. */
  readonly park: string;
  readonly comesBackMsMax: number;
  start(stage: SipStage, user: string, port: number): Promise<Phone>;
}

const kinds: readonly Kind[] = [
  {
    title: 'a phone that connects again at once, in ios-voip',
    isInShortForm: true,
    park: '45s',
    comesBackMsMax: 30_000,
    start: (stage, user, port) => stage.smallPhone(user, { port, answerAfter: 'never' }),
  },
  {
    title: 'baresip in linux-phone, park 90 s',
    isInShortForm: false,
    park: '90s',
    comesBackMsMax: 85_000,
    start: (stage, user, port) =>
      stage.baresip(user, { port, answers: 'manual', box: { profile: 'linux-phone' } }),
  },
];

/** One phone behind a relay of its own. */
interface Place {
  readonly user: string;
  readonly relay: TcpRelay;
  readonly phone: Phone;
}

/** Where every call of a test is counted. */
class Tally {
  readonly #ringMs: number[] = [];
  readonly #answerMs: number[] = [];

  note(call: { readonly ringMs: number; readonly answerMs: number }): void {
    this.#ringMs.push(call.ringMs);
    this.#answerMs.push(call.answerMs);
  }

  report(t: TestContext, title: string): void {
    const shown = (values: readonly number[]): string =>
      `median ${percentile(values, 0.5).toFixed(0)} ms, slowest ${Math.max(...values).toFixed(0)} ms`;
    const told = [`${title}: ${this.#answerMs.length} of ${PHONES * ROUNDS} calls answered`];
    told.push(`INVITE to 180 ${shown(this.#ringMs)}`, `INVITE to 200 ${shown(this.#answerMs)}`);
    t.diagnostic(told.join('; '));
    process.stdout.write(`${told.join('; ')}\n`);
    assert.equal(this.#answerMs.length, PHONES * ROUNDS, 'no call is lost');
  }
}

async function onPlaces(
  kind: Kind,
  body: (stage: SipStage, places: readonly Place[]) => Promise<void>,
): Promise<void> {
  const names = Array.from({ length: PHONES }, (_, index) => `phone${index + 1}`);
  const users = [...names, ...names.map((name) => `caller-of-${name}`)];
  await onStage({ users, trunks: [callersTrunk], park: kind.park, relays: PHONES }, async (stage) => {
    const places: Place[] = [];
    for (const [index, user] of names.entries()) {
      const relay = stage.relays[index]!;
      places.push({ user, relay, phone: await kind.start(stage, user, relay.port) });
    }
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(places.map(({ phone }) => phone.box.asleep(120_000)));
      await body(stage, places);
    }
  });
}

/**
 * Kills the server, starts it again, and tells how long phones found nobody: a failure on a busy machine is judged by it.
 * Baresip waits for 30 to 60 s before it tries again; a REGISTER on a connection that is reset meanwhile is lost to it after
 * another 32 s, and its next one comes 60 to 120 s later, which is after the call.
 *
 * @param sinceMs when phones lost the server, of `performance.now()`
 */
async function restart(
  t: TestContext,
  { server }: SipStage,
  sinceMs: number = performance.now(),
): Promise<void> {
  await server.kill();
  await server.restart();
  t.diagnostic(`phones found nobody for ${(performance.now() - sinceMs).toFixed(0)} ms`);
}

/** Takes the call, and waits for its end. */
async function answerAndTalk(phone: Phone, call: Sipp, from: number, tally: Tally): Promise<void> {
  await phone.answer();
  const { marks } = await call.success().catch((error: Error) => {
    throw new Error(`${error.message}\n${phone.tell()}`);
  });
  tally.note({
    ringMs: betweenMs(marks, 'invite', 'ringing'),
    answerMs: betweenMs(marks, 'invite', 'answered'),
  });
  const { sentPackets, receivedPackets } = await phone.voice(from);
  assert(sentPackets > 50 && receivedPackets > 50, `voice: ${sentPackets} sent, ${receivedPackets} received`);
}

for (const kind of kinds.filter(({ isInShortForm }) => isLong || isInShortForm)) {
  const callOptions = { holdMs: TALK_MS, timeoutMs: 200_000 };

  describe(kind.title, { skip: missing ?? false }, () => {
    test('the flow is cut while it sleeps, and it is called', async (t) => {
      const tally = new Tally();
      await onPlaces(kind, async (stage, places) => {
        const each = places.map(async ({ user, relay, phone }) => {
          const from = phone.position;
          relay.cut();
          await phone.box.until(() => !phone.box.isAsleep, 'woken by the cut');
          const call = await stage.call(user, callOptions);
          await phone.box.heldUntil(phone.incoming(from, kind.comesBackMsMax));
          await answerAndTalk(phone, call, from, tally);
        });
        await Promise.all(each);
      });
      tally.report(t, 'flow cut while asleep');
    });

    test('the program is killed between 180 and the answer', async (t) => {
      const tally = new Tally();
      await onPlaces(kind, async (stage, places) => {
        const each = places.map(async ({ user, phone }) => {
          const before = phone.position;
          const call = await stage.call(user, callOptions);
          await phone.incoming(before);
          await call.mark('ringing');
          const from = phone.position;
          phone.crash();
          await phone.box.heldUntil(phone.incoming(from, kind.comesBackMsMax));
          await answerAndTalk(phone, call, from, tally);
        });
        await Promise.all(each);
      });
      tally.report(t, 'program killed between 180 and the answer');
    });

    test('the server is killed while calls are parked', async (t) => {
      const tally = new Tally();
      await onPlaces(kind, async (stage, places) => {
        const positions = places.map(({ phone }) => phone.position);
        const cutMs = performance.now();
        for (const { relay } of places) {
          relay.isOpen = false;
          relay.cut();
        }
        const calls = await Promise.all(places.map(({ user }) => stage.call(user, callOptions)));
        await Promise.all(calls.map((call) => call.mark('trying')));
        await restart(t, stage, cutMs);
        for (const { relay } of places) relay.isOpen = true;
        const each = places.map(async ({ phone }, index) => {
          // A platform may have frozen it, without a connection, before the server was there again.
          await phone.box.heldUntil(phone.incoming(positions[index], kind.comesBackMsMax));
          await answerAndTalk(phone, calls[index]!, positions[index]!, tally);
        });
        await Promise.all(each);
      });
      tally.report(t, 'server killed while parked, caller on UDP');
    });

    test('the server is killed while phones ring', async (t) => {
      const tally = new Tally();
      await onPlaces(kind, async (stage, places) => {
        const positions = places.map(({ phone }) => phone.position);
        const calls = await Promise.all(places.map(({ user }) => stage.call(user, callOptions)));
        await Promise.all(calls.map((call) => call.mark('ringing')));
        const ringing = places.map(({ phone }) => phone.position);
        await restart(t, stage);
        const each = places.map(async ({ phone }, index) => {
          // Where the machine is slow, the server comes back after its window.
          await phone.box.heldUntil(phone.registered(ringing[index], kind.comesBackMsMax));
          await answerAndTalk(phone, calls[index]!, positions[index]!, tally);
          assert.equal(phone.countIncoming(positions[index]), 1, 'it rang once');
        });
        await Promise.all(each);
      });
      tally.report(t, 'server killed while ringing, caller on UDP');
    });

    for (const moment of ['parked', 'ringing'] as const) {
      test(`the server is killed while calls are ${moment}, of callers registered over TCP`, async (t) => {
        const tally = new Tally();
        await onPlaces(kind, async (stage, places) => {
          const positions = places.map(({ phone }) => phone.position);
          const cutMs = performance.now();
          if (moment === 'parked') {
            for (const { relay } of places) {
              relay.isOpen = false;
              relay.cut();
            }
          }
          const callers = await Promise.all(places.map(({ user }) => dial(stage, user)));
          for (const [index, caller] of callers.entries()) {
            if (moment === 'parked') await caller.until((event) => event.status === 100, '100');
            else await places[index]!.phone.incoming(positions[index]);
          }
          const before = places.map(({ phone }) => phone.position);
          await restart(t, stage, moment === 'parked' ? cutMs : undefined);
          for (const { relay } of places) relay.isOpen = true;
          const each = places.map(async ({ phone }, index) => {
            if (moment === 'parked') {
              await phone.box.heldUntil(phone.incoming(positions[index], kind.comesBackMsMax));
            } else await phone.box.heldUntil(phone.registered(before[index], kind.comesBackMsMax));
            await phone.answer();
            const caller = callers[index]!;
            const answered = await caller.event('answered', 0, kind.comesBackMsMax);
            const over = await caller.event('over');
            assert.equal(over.why, 'hung up');
            const [calling, ringing] = [
              caller.events.find(({ what }) => what === 'calling')!,
              caller.events.find(({ status }) => status === 180) ?? answered,
            ];
            tally.note({
              ringMs: ringing.atMs - calling.atMs,
              answerMs: answered.atMs - calling.atMs,
            });
            const { sentPackets, receivedPackets } = await phone.voice(positions[index]);
            assert(sentPackets > 50 && receivedPackets > 50, phone.tell());
          });
          await Promise.all(each);
          await Promise.all(callers.map((caller) => caller.end()));
        });
        tally.report(t, `server killed while ${moment}, caller registered over TCP`);
      });
    }
  });
}

/** A caller that is a user of ours, awake, and calls when it is registered. */
async function dial(stage: SipStage, user: string): Promise<SmallPhone> {
  return stage.smallPhone(`caller-of-${user}`, {
    box: 'none',
    call: { address: `${user}@${DOMAIN}`, seconds: TALK_MS / 1_000 },
  });
}

/** What the Wakeline devices of a user are told of calls, and what they may say. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../../src/base/index.js';
import { Urgency } from '../../../src/domain/index.js';
import { hashOf, register, agent } from '../push-world.js';
import { World, type TestFlow } from '../world.js';
import { BOB, CALL, CallWorld, PUSH, callId, inboxOf, noticesOf, userOf } from './call-world.js';

const withDevice = { users: [userOf(BOB, ['bob-phone'])] };

describe('devices', () => {
  test('[CA-21] are told that it rings, with who calls and the deadline, and then how it ended', async () => {
    const world = new CallWorld(withDevice);
    const inbox = await inboxOf(world, 'bob-phone');
    world.invite();
    await world.sync();
    const [ringing] = noticesOf(inbox);
    assert.deepEqual(ringing, {
      call: CALL,
      aor: BOB,
      sipCallId: `sip-${CALL}`,
      from: 'sip:alice@home.test',
      startedMs: world.now.wall,
      state: 'ringing',
      deadlineMs: world.now.wall + 45_000,
    });
    assert.equal(inbox.deliveries[0]!.expirySeconds, 45);
    await world.phone();
    world.provisional(180);
    world.answered();
    await world.sync();
    const [, answered] = noticesOf(inbox);
    assert.deepEqual([answered!.state, answered!.instance], ['answered-elsewhere', 'urn:uuid:1']);
  });

  test('[CA-21] a missed call stays in the inbox of a device that was never there, in one message', async () => {
    const world = new CallWorld(withDevice);
    world.invite();
    await world.sync();
    await world.pass(45_000);
    assert.equal(world.last('finish').status, 480);
    await world.restart();
    await world.pass(7 * 86_400_000);
    const inbox = await inboxOf(world, 'bob-phone');
    const notices = noticesOf(inbox);
    assert.deepEqual(
      notices.map(({ call, state }) => [call, state]),
      [[CALL, 'missed']],
    );
    assert.match(notices[0]!.reason!, /bob-phone did not come after \d+ wakes?/);
  });

  test('[CA-6] the missed-call record is in the commit that ends the call', async () => {
    const world = new CallWorld(withDevice);
    world.invite();
    await world.sync();
    world.advance(45_000);
    const tables = new Set(world.changes!.map(({ table }) => table));
    assert.deepEqual([tables.has('call'), tables.has('log')], [true, true]);
    world.failCommit();
    assert.deepEqual(world.all('finish'), []);
    await world.pass(1_000);
    assert.equal(world.last('finish').status, 480);
    const inbox = await inboxOf(world, 'bob-phone');
    assert.equal(noticesOf(inbox).at(-1)!.state, 'missed');
  });

  test('[CA-21] a call that the caller ended replaces the ringing one, and stays', async () => {
    const world = new CallWorld(withDevice);
    world.invite();
    await world.sync();
    world.say({ kind: 'cancel', call: CALL });
    await world.sync();
    const inbox = await inboxOf(world, 'bob-phone');
    assert.deepEqual(
      noticesOf(inbox).map(({ state }) => state),
      ['cancelled'],
    );
    assert.equal(inbox.deliveries[0]!.expirySeconds, undefined);
  });

  test('[CA-21] one that keeps nothing is told while it is there', async () => {
    const world = new CallWorld(withDevice);
    const inbox = await world.connect('bob-phone', { expirySeconds: 0, clean: true });
    inbox.subscribe('$line/inbox/#');
    await world.sync();
    world.invite();
    await world.sync();
    assert.deepEqual(
      noticesOf(inbox).map(({ state }) => state),
      ['ringing'],
    );
  });

  test('[CA-21] a device whose inbox is full cannot be woken, and the call ends when nobody can', async () => {
    const world = new CallWorld(withDevice, { limits: { inboxMessagesMax: 1 } });
    await world.request({
      kind: 'put-device',
      deviceId: 'bob-phone',
      tokenSha256: hashOf('7'),
      access: { publish: [], subscribe: [] },
    });
    await world.request(world.sendTo('bob-phone', 'x', { urgency: Urgency.low }));
    world.invite();
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
    assert.match(
      JSON.stringify((await world.detail()).events),
      /bob-phone cannot be woken: its inbox is full/,
    );
  });

  test('[CA-22] a push resource that is an endpoint of ours gets a message of ours', async () => {
    const url = 'https://line.example/wp/token';
    const ownEndpoint = (resource: string) => (resource === url ? hashOf('e') : undefined);
    const world = new CallWorld({ ownEndpoint });
    const flow = await agent(world, 'f');
    await register(world, flow, 'channel', 'e');
    await world.sleeper({ push: url });
    world.invite();
    await world.sync();
    assert.deepEqual([world.wakes.length, flow.deliveries.length], [0, 1]);
    assert.deepEqual([flow.deliveries[0]!.body.length, flow.deliveries[0]!.expirySeconds], [0, 45]);
  });

  test('[CA-22] an endpoint of ours that has ended wakes nobody', async () => {
    const world = new CallWorld({ ownEndpoint: () => hashOf('d') });
    await world.sleeper({ push: 'https://line.example/wp/other' });
    world.invite();
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
  });

  test('[CA-5] push resource and devices take turns', async () => {
    const world = new CallWorld(withDevice);
    const inbox = await inboxOf(world, 'bob-phone');
    await world.sleeper({ push: PUSH });
    world.invite();
    await world.sync();
    const counts = [[world.wakes.length, noticesOf(inbox).length]];
    for (const ms of [2_000, 3_000, 5_000]) {
      await world.pass(ms);
      counts.push([world.wakes.length, noticesOf(inbox).length]);
    }
    assert.deepEqual(counts, [
      [1, 0],
      [1, 1],
      [2, 1],
      [2, 2],
    ]);
  });

  test('[CA-5] a device that has acknowledged that it rings is not told so again', async () => {
    const world = new CallWorld(withDevice);
    const inbox = await inboxOf(world, 'bob-phone');
    world.invite();
    await world.sync();
    inbox.acknowledge(inbox.sequences[0]!);
    await world.pass(10_000);
    assert.equal(noticesOf(inbox).length, 1);
  });

  test('[CA-23] devices are woken beside a phone that is there only when there are more of them', async () => {
    const world = new CallWorld({ users: [userOf(BOB, ['bob-phone', 'bob-tablet'])] });
    const inbox = await inboxOf(world, 'bob-tablet');
    await world.phone();
    world.invite();
    await world.sync();
    assert.equal(noticesOf(inbox).length, 1);
    world.refused(486);
    await world.sync();
    assert.equal(world.all('finish').length, 0);
    await world.phone({ instance: 'urn:uuid:2' });
    world.refused(486, 2);
    await world.sync();
    assert.equal(world.last('finish').status, 486);
    assert.equal(noticesOf(inbox).at(-1)!.state, 'declined-elsewhere');
  });
});

describe('intents', () => {
  test('[CA-24] decline before the INVITE has come: 603 at once', async () => {
    const world = new CallWorld(withDevice);
    world.invite();
    await world.sync();
    world.take();
    const reply = await world.request({
      kind: 'call-intent',
      call: CALL,
      deviceId: 'bob-phone',
      intent: 'decline',
    });
    assert.deepEqual([reply.kind, world.take()], ['done', ['finish 603']]);
    const { reason, isMissed } = await world.detail();
    assert.deepEqual([reason, isMissed], ['bob-phone declined it before the INVITE had come', false]);
  });

  test('[CA-24] answer: the call waits 10 s longer, once', async () => {
    const world = new CallWorld(withDevice);
    world.invite();
    await world.sync();
    for (let count = 0; count < 2; count++)
      await world.request({ kind: 'call-intent', call: CALL, deviceId: 'bob-phone', intent: 'answer' });
    world.take();
    await world.pass(54_999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), ['finish 480 best']);
  });

  test('[CA-24] only of a device of the user, and of a call that goes on', async () => {
    const world = new CallWorld(withDevice);
    const reasons: string[] = [];
    const ask = async (call: string, deviceId: string | undefined) => {
      const reply = await world.request({ kind: 'call-intent', call, deviceId, intent: 'decline' });
      reasons.push(reply.kind === 'refused' ? reply.reason : reply.kind);
    };
    world.invite();
    await ask(callId('9'), 'bob-phone');
    await ask(CALL, 'eve');
    await ask(CALL, undefined);
    await ask(CALL, 'bob-phone');
    assert.deepEqual(reasons, ['unknown-call', 'not-authorized', 'done', 'call-ended']);
  });
});

describe('intents of devices', () => {
  /** What the device is answered on its line, and whether it was said before the sync. */
  const intend = async (world: CallWorld, flow: TestFlow, call: string, intent: 'answer' | 'decline') => {
    const before = flow.all('answered').length;
    flow.send({ kind: 'ask', ticket: 1, question: { about: 'call', call, intent }, qos: 1, packetId: 1 });
    const isAtOnce = flow.all('answered').length > before;
    await world.sync();
    const answer = flow.all('answered').at(-1)!.answer;
    assert(answer.about === 'call');
    return [answer.outcome, isAtOnce];
  };

  test('[CA-35] decline before the INVITE has come: 603 at once, and said to the device when it is on disk', async () => {
    const world = new CallWorld(withDevice);
    const phone = await inboxOf(world, 'bob-phone');
    world.invite();
    await world.sync();
    world.take();
    assert.deepEqual(await intend(world, phone, CALL, 'decline'), ['done', false]);
    assert.deepEqual(world.take(), ['finish 603']);
    assert.equal(noticesOf(phone).at(-1)!.state, 'declined-elsewhere');
    assert.equal(phone.all('accepted').at(-1)!.reason, undefined);
    assert.deepEqual(await intend(world, phone, CALL, 'decline'), ['over', true]);
    await world.pass(limits.callTombstoneMs + 1);
    assert.deepEqual(
      await intend(world, phone, CALL, 'answer'),
      ['over', true],
      'as long as the call is kept',
    );
  });

  test('[CA-35] answer gives the call 10 s more', async () => {
    const world = new CallWorld(withDevice);
    const phone = await inboxOf(world, 'bob-phone');
    world.invite();
    await world.sync();
    assert.deepEqual(await intend(world, phone, CALL, 'answer'), ['done', false]);
    world.take();
    await world.pass(54_999);
    assert.deepEqual(world.take(), []);
    await world.pass(1);
    assert.deepEqual(world.take(), ['finish 480 best']);
  });

  test('[CA-35] another device learns nothing and changes nothing', async () => {
    const world = new CallWorld(withDevice);
    const eve = await inboxOf(world, 'eve');
    world.invite();
    await world.sync();
    world.take();
    assert.deepEqual(await intend(world, eve, CALL, 'decline'), ['unknown', true]);
    assert.deepEqual(await intend(world, eve, callId('9'), 'decline'), ['unknown', true]);
    assert.deepEqual(world.take(), []);
    const phone = await inboxOf(world, 'bob-phone');
    assert.deepEqual(await intend(world, phone, CALL, 'decline'), ['done', false]);
    assert.deepEqual(await intend(world, eve, CALL, 'decline'), ['unknown', true]);
  });

  test('[CA-35] where no SIP is spoken there is no call', async () => {
    const world = new World();
    const phone = await world.connect('bob-phone');
    const question = { about: 'call', call: CALL, intent: 'decline' } as const;
    phone.send({ kind: 'ask', ticket: 1, question, qos: 0, packetId: 0 });
    assert.deepEqual(phone.all('answered')[0]?.answer, { about: 'call', outcome: 'unknown' });
  });

  test('[CA-35] a commit that fails: the device hears that nothing was done', async () => {
    const world = new CallWorld(withDevice);
    const phone = await inboxOf(world, 'bob-phone');
    world.invite();
    await world.sync();
    const question = { about: 'call', call: CALL, intent: 'answer' } as const;
    phone.send({ kind: 'ask', ticket: 1, question, qos: 0, packetId: 0 });
    world.failCommit();
    assert.deepEqual(phone.all('answered')[0]?.answer, { about: 'refused', reason: 'storage-failed' });
  });
});

describe('the list of calls', () => {
  test('[CA-27] newest first, page by page, by user, and missed ones alone', async () => {
    const world = new CallWorld();
    await world.phone();
    for (const digit of ['1', '2', '3', '4']) {
      world.invite(callId(digit), digit === '2' ? { aor: 'alice@home.test' } : {});
      await world.pass(1);
    }
    world.answered(1, 1, callId('3'));
    world.say({ kind: 'cancel', call: callId('4') });
    await world.sync();
    const list = async (more: object) => {
      const base = {
        kind: 'list-calls',
        aor: undefined,
        isMissed: false,
        after: undefined,
        count: 10,
      } as const;
      const reply = await world.request({ ...base, ...more });
      assert(reply.kind === 'calls');
      return [reply.calls.map(({ call }) => call[0]).join(''), reply.next?.[0]];
    };
    assert.deepEqual(await list({}), ['4321', undefined]);
    assert.deepEqual(await list({ count: 2 }), ['43', '3']);
    assert.deepEqual(await list({ count: 2, after: callId('3') }), ['21', undefined]);
    assert.deepEqual(await list({ aor: BOB }), ['431', undefined]);
    assert.deepEqual(await list({ isMissed: true }), ['42', undefined]);
    await world.restart();
    await world.sync();
    assert.deepEqual(await list({ isMissed: true }), ['42', undefined]);
  });

  test('[CA-27] more than callsKeptMax, and what is older than callKeptMsMax, is forgotten', async () => {
    const world = new CallWorld({}, { limits: { callsKeptMax: 2, callKeptMsMax: 3_600_000 } });
    for (const digit of ['1', '2', '3']) {
      world.invite(callId(digit));
      await world.pass(1);
    }
    await world.pass(200_000);
    await world.pass(10_000);
    assert.equal(world.store.size('call'), 2);
    await world.pass(3_600_000);
    await world.pass(10_000);
    assert.equal(world.store.size('call'), 0);
  });

  test('[CA-27] a trace has at most callEventsMax events, and the end among them', async () => {
    const world = new CallWorld();
    await world.phone();
    world.invite();
    for (let count = 0; count < 400; count++)
      world.say({ kind: 'call-note', call: CALL, leg: undefined, text: `note ${count}` });
    world.say({ kind: 'cancel', call: CALL });
    await world.sync();
    const { events, eventsDropped } = await world.detail();
    assert(events.length <= 300 && eventsDropped > 100);
    assert(events.some(({ kind }) => kind === 'cancel'));
  });
});

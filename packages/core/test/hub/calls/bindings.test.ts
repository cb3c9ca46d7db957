/** Users and bindings: what a REGISTER changes, and what it cannot. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SipUser } from '../../../src/domain/index.js';
import { ALICE, BOB, CALL, CallWorld, PUSH, callId, userOf } from './call-world.js';

async function bindingsOf(world: CallWorld, aor = BOB) {
  const reply = await world.request({ kind: 'list-bindings', aor });
  assert(reply.kind === 'bindings');
  return reply.bindings;
}

describe('bindings', () => {
  test('[CA-3] are told when they are on disk, newest first, and are there after a restart without flows', async () => {
    const world = new CallWorld();
    world.register();
    assert.deepEqual(world.take(), []);
    await world.sync();
    await world.phone({ instance: 'urn:uuid:2', push: PUSH });
    const { bindings } = world.last('bound');
    assert.deepEqual(
      bindings.map(({ instance }) => instance),
      ['urn:uuid:2', 'urn:uuid:1'],
    );
    await world.restart();
    const found = await bindingsOf(world);
    assert.deepEqual(
      found.map(({ instance, flow, push }) => [instance, flow, push?.resource]),
      [
        ['urn:uuid:2', 0, PUSH],
        ['urn:uuid:1', 0, undefined],
      ],
    );
  });

  test('[CA-3] a REGISTER that cannot be stored changes nothing, and what it would have caused does not happen', async () => {
    const world = new CallWorld();
    await world.sleeper({ contact: 'sip:old@192.0.2.1', push: PUSH });
    world.invite();
    await world.sync();
    world.take();
    world.register({ contact: 'sip:new@192.0.2.1' });
    world.failCommit();
    assert.deepEqual(world.take(), ['bind-refused storage-failed']);
    await world.settle();
    assert.deepEqual(world.take(), []);
    const [binding] = await bindingsOf(world);
    assert.deepEqual([binding!.contact, binding!.flow], ['sip:old@192.0.2.1', 0]);
    const flow = await world.phone();
    assert.deepEqual(world.take(), ['bound', `offer 1.2 new flow ${flow}`]);
  });

  test('[CA-3] a repeat of the INVITE that a failed REGISTER would have caused is not sent either', async () => {
    const world = new CallWorld();
    const flow = await world.phone({ push: PUSH });
    world.invite();
    await world.sync();
    world.lose(flow);
    await world.sync();
    world.take();
    const other = world.register();
    world.failCommit();
    await world.settle();
    assert.deepEqual(world.take(), ['bind-refused storage-failed']);
    await world.phone({ flow: other });
    assert.deepEqual(world.take(), ['bound', `offer 1.1 repeat flow ${other}`]);
  });

  test('[CA-3] an older REGISTER of the same run is refused as a whole', async () => {
    const world = new CallWorld();
    await world.phone({ cseq: 7 });
    world.take();
    for (const cseq of [6, 7]) await world.phone({ cseq });
    await world.phone({ cseq: 1, run: 'run-2' });
    world.say({ ...world.bindOf({ cseq: 1, run: 'run-2' }), changes: [], removeAll: true });
    await world.sync();
    assert.deepEqual(world.take(), [
      'bind-refused stale',
      'bind-refused stale',
      'bound',
      'bind-refused stale',
    ]);
  });

  test('[CA-3] asking for the bindings changes none', async () => {
    const world = new CallWorld();
    await world.phone({ cseq: 7 });
    world.say({ ...world.bindOf({ cseq: 7 }), changes: [] });
    await world.sync();
    assert.equal(world.last('bound').bindings.length, 1);
  });

  test('[CA-9] one instance has one contact at a time, and one for each reg-id', async () => {
    const world = new CallWorld();
    await world.phone({ regId: 1, contact: 'sip:a' });
    await world.phone({ regId: 2, contact: 'sip:b' });
    await world.phone({ regId: 1, contact: 'sip:c' });
    assert.deepEqual(
      (await bindingsOf(world)).map(({ contact }) => contact),
      ['sip:c', 'sip:b'],
    );
    await world.phone({ regId: 0, contact: 'sip:d' });
    assert.deepEqual(
      (await bindingsOf(world)).map(({ contact }) => contact),
      ['sip:d'],
    );
  });

  test('[CA-9] more than bindingsPerAorMax are refused, refreshing one is not', async () => {
    const world = new CallWorld({}, { limits: { bindingsPerAorMax: 2, usersMax: 1 } });
    await world.phone();
    await world.phone({ instance: 'urn:uuid:2' });
    world.take();
    await world.phone({ instance: 'urn:uuid:3' });
    await world.phone({ instance: 'urn:uuid:2' });
    await world.phone({ aor: ALICE });
    assert.deepEqual(world.take(), [
      'bind-refused too-many-bindings',
      'bound',
      'bind-refused too-many-users',
    ]);
  });

  test('[CA-9] a live flow outlasts its binding; without one it is forgotten, and its push wakes nobody', async () => {
    const world = new CallWorld();
    const flow = await world.phone({ expiresSeconds: 60, push: PUSH });
    await world.pass(61_000);
    world.take();
    world.invite(callId('1'));
    await world.sync();
    assert.deepEqual(world.take(), ['journaled', `offer 1.1 new flow ${flow}`]);
    world.say({ kind: 'cancel', call: callId('1') });
    world.lose(flow);
    await world.pass(0);
    world.take();
    world.invite(callId('2'));
    await world.sync();
    assert.deepEqual([world.take(), world.wakes.length], [['finish 480 best'], 0]);
    assert.equal(world.store.size('binding'), 0);
  });

  test('[CA-9] who has unregistered is woken by nothing', async () => {
    const world = new CallWorld({ users: [userOf(BOB, ['bob'])] });
    await world.sleeper();
    await world.phone({ expiresSeconds: 0 });
    world.take();
    world.invite();
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
    await world.restart();
    world.invite(callId('2'));
    await world.sync();
    assert.deepEqual(world.take(), ['finish 480 best']);
    const { events } = await world.detail(CALL);
    assert.equal(events.filter(({ kind }) => kind === 'wake').length, 0);
  });

  test('[CA-9] an instance that unregisters while it is waited for ends the call', async () => {
    const world = new CallWorld();
    await world.sleeper();
    world.invite();
    await world.sync();
    world.take();
    await world.phone({ expiresSeconds: 0 });
    assert.deepEqual(world.take(), ['bound', 'finish 480 best']);
  });

  test('[CA-25] a place that outlives the restart is given back, and offered calls once it is up', async () => {
    const world = new CallWorld();
    await world.phone({ place: 'udp 1 192.0.2.1:5060' });
    await world.phone({ instance: 'urn:uuid:2' });
    await world.crash(false);
    const [restored] = world.all('restored');
    assert.deepEqual(
      restored!.bindings.map(({ place }) => place),
      ['udp 1 192.0.2.1:5060'],
    );
    world.say({ kind: 'flow-up', aor: BOB, instance: 'urn:uuid:1', regId: 1, flow: 77 });
    world.take();
    world.invite();
    await world.sync();
    assert.deepEqual(world.take(), ['journaled', 'offer 2.1 new flow 77']);
  });
});

describe('users', () => {
  test('[CA-31] those of the configuration win; others are kept, changed and deleted by requests', async () => {
    const world = new CallWorld();
    const carol = userOf('carol@home.test', ['carol-phone']);
    assert.equal((await world.request({ kind: 'put-user', user: carol })).kind, 'user');
    const refusal = await world.request({ kind: 'put-user', user: userOf(BOB) });
    assert(refusal.kind === 'refused');
    assert.equal(refusal.reason, 'user-configured');
    assert.deepEqual(world.hub.findUser('carol@home.test'), carol);
    await world.restart();
    const listed = await world.request({ kind: 'list-users', after: undefined, count: 2 });
    assert(listed.kind === 'users');
    assert.deepEqual([listed.users.map(({ aor }) => aor), listed.next], [[ALICE, BOB], BOB]);
    const rest = await world.request({ kind: 'list-users', after: BOB, count: 2 });
    assert(rest.kind === 'users');
    assert.deepEqual(rest.users, [
      {
        aor: carol.aor,
        devices: ['carol-phone'],
        algorithms: ['sha-256'],
        missingAlgorithms: [],
        isConfigured: false,
        bindings: 0,
        liveBindings: 0,
      },
    ]);
    const one = await world.request({ kind: 'get-user', aor: carol.aor });
    assert(one.kind === 'user');
    assert.deepEqual(one.user, rest.users[0]);
    const nobody = await world.request({ kind: 'get-user', aor: 'nobody@home.test' });
    assert(nobody.kind === 'refused' && nobody.reason === 'unknown-user');
    await world.phone({ aor: carol.aor });
    assert.equal((await world.request({ kind: 'delete-user', aor: carol.aor })).kind, 'done');
    assert.equal(world.hub.findUser(carol.aor), undefined);
    assert.equal((await world.statistics()).bindings, 0);
    const again = await world.request({ kind: 'delete-user', aor: carol.aor });
    assert(again.kind === 'refused' && again.reason === 'unknown-user');
  });

  test('[CA-41] those whose password was made without what phones are asked for are shown, until it is made again', async () => {
    const world = new CallWorld({ algorithms: ['sha-256', 'md5'] });
    const both = { 'sha-256': 'ab', md5: 'cd' };
    const carol: SipUser = { ...userOf('carol@home.test'), ha1: { md5: 'cd' } };
    const dave: SipUser = { ...userOf('dave@home.test'), ha1: both };
    for (const user of [carol, dave]) await world.request({ kind: 'put-user', user });
    await world.restart();
    const listed = await world.request({ kind: 'list-users', after: undefined, count: 9 });
    assert(listed.kind === 'users');
    assert.deepEqual(
      listed.users.map(({ aor, algorithms, missingAlgorithms }) => [aor, algorithms, missingAlgorithms]),
      [
        [ALICE, ['sha-256'], ['md5']],
        [BOB, ['sha-256'], ['md5']],
        [carol.aor, ['md5'], ['sha-256']],
        [dave.aor, ['sha-256', 'md5'], []],
      ],
    );
    assert.deepEqual(world.hub.usersMissingAlgorithms(), [ALICE, BOB, carol.aor]);
    const made = await world.request({ kind: 'put-user', user: { ...carol, ha1: both } });
    assert(made.kind === 'user');
    assert.deepEqual(made.user.missingAlgorithms, []);
    assert.deepEqual(world.hub.usersMissingAlgorithms(), [ALICE, BOB]);
  });

  test('[CA-31] a request that makes a user, repeated, changes nothing', async () => {
    const world = new CallWorld();
    const carol = userOf('carol@home.test');
    await world.request({ kind: 'put-user', user: carol });
    await world.phone({ aor: carol.aor });
    const before = await world.request({ kind: 'get-user', aor: carol.aor });
    assert(before.kind === 'user' && before.user.bindings === 1);
    const again = await world.request({ kind: 'put-user', user: carol });
    assert(again.kind === 'user');
    assert.deepEqual(again.user, before.user);
    assert.deepEqual(world.hub.findUser(carol.aor), carol);
    assert.equal((await bindingsOf(world, carol.aor)).length, 1);
  });

  test('[CA-31] a user that cannot be stored is not there, and one that cannot be deleted stays', async () => {
    const world = new CallWorld();
    const carol = userOf('carol@home.test');
    world.ask({ kind: 'put-user', user: carol });
    world.failCommit();
    assert.equal(world.hub.findUser(carol.aor), undefined);
    await world.request({ kind: 'put-user', user: carol });
    await world.phone({ aor: carol.aor });
    world.ask({ kind: 'delete-user', aor: carol.aor });
    world.failCommit();
    assert.deepEqual(world.hub.findUser(carol.aor), carol);
    assert.equal((await bindingsOf(world, carol.aor)).length, 1);
  });

  for (const aor of [
    'carol',
    '@home.test',
    'carol@',
    'carol@HOME.test',
    'a b@home.test',
    `${'x'.repeat(300)}@home.test`,
  ]) {
    test(`[CA-31] ${JSON.stringify(aor.slice(0, 20))} is no address`, async () => {
      const reply = await new CallWorld().request({ kind: 'put-user', user: userOf(aor) });
      assert(reply.kind === 'refused' && reply.reason === 'address-invalid');
    });
  }
});

/** What is no call: OPTIONS, MESSAGE and the rest; and what outlives a restart or ends with a drain. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8 } from '../../../src/base/index.js';
import type { CallEvent, LegEnd } from '../../../src/domain/index.js';
import { bobAwake, callerRoutes, instanceParams } from './scenes.js';
import { DOMAIN, type Peer, World } from './world.js';

describe('[SI-115] OPTIONS', () => {
  test('of a PBX to a user or to us is answered here, and wakes nobody', () => {
    const world = new World();
    const bob = bobAwake(world);
    world.hub.commands.length = 0;
    const trunk = world.datagrams('192.0.2.10', 5060, 2);
    for (const uri of [`sip:bob@${DOMAIN}`, `sip:${DOMAIN}`]) {
      trunk.send(trunk.request('OPTIONS', { uri, from: 'sip:pbx@pbx.test', callId: uri }));
      const ok = trunk.response();
      assert.equal(ok.status, 200);
      assert.ok(ok.headers('Allow').includes('INVITE'));
    }
    assert.deepEqual(bob.waiting, []);
    assert.deepEqual(world.hub.commands, []);
  });

  test('to nobody is 404', () => {
    const world = new World();
    const trunk = world.datagrams('192.0.2.10', 5060, 2);
    trunk.send(trunk.request('OPTIONS', { uri: `sip:nobody@${DOMAIN}`, from: 'sip:pbx@pbx.test' }));
    assert.equal(trunk.response().status, 404);
  });
});

describe('[SI-116] MESSAGE', () => {
  test('is kept by the hub, answered with 202, and sent to the device, whose 2xx is told', () => {
    const world = new World();
    const bob = bobAwake(world);
    const alice = world.connect('198.51.100.1');
    const headers = ['Content-Type: text/plain;charset=utf-8', 'Expires: 60'];
    alice.ask('alice', 'MESSAGE', { headers, body: 'hello' });
    const [message] = world.hub.take('message');
    assert.equal(message?.repeatKey, 'call1\x002\x00from1');
    assert.equal(message.expiresSeconds, 60);
    assert.equal(alice.response().status, 202);
    const delivered = bob.incoming('MESSAGE');
    assert.equal(decodeUtf8(delivered.body, 0, delivered.body.length), 'hello');
    assert.equal(delivered.contentType, 'text/plain;charset=utf-8');
    assert.equal(delivered.from.uriText, `sip:alice@${DOMAIN}`);
    bob.reply(delivered, 200, 'OK');
    assert.deepEqual(
      world.hub.take('message-result').map(({ status, sequence }) => [status, sequence]),
      [[200, 1]],
    );
  });

  test('of which the device says nothing is told as such', () => {
    const world = new World();
    const bob = bobAwake(world);
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'MESSAGE', { body: 'hello' });
    bob.incoming('MESSAGE');
    bob.close();
    assert.deepEqual(
      world.hub.take('message-result').map(({ status }) => status),
      [undefined],
    );
  });

  for (const [reason, status] of [
    ['unknown-user', 404],
    ['no-devices', 480],
    ['inbox-full', 480],
    ['storage-failed', 500],
    ['draining', 503],
  ] as const) {
    test(`that the hub refuses with ${reason} gets ${status}`, () => {
      const world = new World();
      const alice = world.connect('198.51.100.1');
      world.hub.isTalking = false;
      alice.ask('alice', 'MESSAGE', { body: 'hello' });
      const [message] = world.hub.take('message');
      world.tell({ kind: 'message-stored', ticket: message!.ticket, reason });
      assert.equal(alice.response().status, status);
    });
  }
});

describe('[SI-117] other requests', () => {
  test('go to the live flow of the user, by our Record-Route', () => {
    const world = new World();
    const bob = bobAwake(world);
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'SUBSCRIBE', { headers: ['Event: presence'] });
    const subscribe = bob.incoming('SUBSCRIBE');
    assert.equal(subscribe.uri, `sip:bob@${bob.hostPort};transport=tcp`);
    assert.equal(subscribe.recordRoutes?.length, 2);
    bob.reply(subscribe, 202, 'Accepted');
    assert.equal(alice.response().status, 202);
  });

  test('get 480 without one, 481 where they make sense in a dialog only, 405 to us', () => {
    const world = new World();
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'SUBSCRIBE', { headers: ['Event: presence'] });
    assert.equal(alice.response().status, 480);
    alice.ask('alice', 'INFO', { callId: 'c2' });
    assert.equal(alice.response().status, 481);
    alice.ask('alice', 'SUBSCRIBE', { callId: 'c3', uri: `sip:${DOMAIN}` });
    const refused = alice.response();
    assert.equal(refused.status, 405);
    assert.ok(refused.headers('Allow').includes('REGISTER'));
  });

  test('that nobody answers get no 408 (RFC 4320)', () => {
    const world = new World();
    bobAwake(world);
    const alice = world.datagrams('198.51.100.1');
    alice.ask('alice', 'SUBSCRIBE', { headers: ['Event: presence'] });
    world.pass(70_000);
    assert.deepEqual(
      alice.waiting.filter((kind) => kind === '408'),
      [],
    );
    assert.equal(world.stack.relayCount, 0);
  });
});

describe('[SI-118] a restart', () => {
  /** What the hub tells of the one call there is. */
  function restoredOf(world: World, bob: Peer, isAnswered: boolean, withdrawn?: LegEnd): CallEvent {
    const [call] = world.hub.take('call');
    const [binding] = world.hub.bindings;
    assert.ok(call !== undefined && binding !== undefined && bob.isOpen);
    return {
      kind: 'restored',
      bindings: [],
      calls: [
        {
          ...call,
          deadlineMs: world.now.wall + 30_000,
          attempts: [
            {
              leg: 1,
              attempt: 1,
              target: { ...binding, flow: 0 },
              hadProvisional: true,
              wasAlerting: true,
              withdrawn,
            },
          ],
          answered: isAnswered ? { leg: 1, attempt: 1 } : undefined,
        },
      ],
    };
  }

  function ringing(caller: (world: World) => Peer): { world: World; alice: Peer; bob: Peer } {
    const world = new World();
    const bob = bobAwake(world);
    const alice = caller(world);
    alice.ask('alice', 'INVITE');
    return { world, alice, bob };
  }

  const onUdp = (world: World): Peer => world.datagrams('198.51.100.1');

  test('while it rings: the caller on UDP is reachable, and the 2xx of the old branch on a new flow is taken', () => {
    const { world, alice, bob } = ringing(onUdp);
    const invite = bob.incoming('INVITE');
    bob.reply(invite, 180, 'Ringing');
    world.restart(restoredOf(world, bob, false));
    alice.clear();
    assert.deepEqual(
      world.hub.take('caller').map(({ isReachable }) => isReachable),
      [true],
    );
    const again = world.connect('198.51.100.2');
    again.reply(invite, 200, 'OK');
    const [answered] = world.hub.take('leg-answered');
    assert.deepEqual([answered?.leg, answered?.attempt], [1, 1]);
    const { call, leg, attempt } = answered!;
    world.tell({ kind: 'answer', call, leg, attempt });
    const ok = alice.response();
    assert.equal(ok.status, 200);
    const parts = { uri: 'sip:x', toTag: 'to1', headers: [callerRoutes(ok)], cseq: 2 };
    alice.send(alice.request('ACK', { ...parts, uri: `sip:bob@${DOMAIN}` }));
  });

  test('[SI-118] what was withdrawn before it is cancelled where its phone comes back', () => {
    const { world, alice, bob } = ringing(onUdp);
    const invite = bob.incoming('INVITE');
    bob.reply(invite, 180, 'Ringing');
    const { call } = world.hub.take('leg-provisional')[0]!;
    world.restart(restoredOf(world, bob, false, 'caller-cancelled'));
    world.tell({ kind: 'finish', call, status: 487, best: false, retryAfterSeconds: undefined });
    world.hub.calls.get(call)!.isOver = true;
    alice.clear();
    const again = world.connect('198.51.100.2');
    again.register('bob', {
      headers: ['Supported: outbound, path'],
      contactParams: instanceParams,
      callId: world.hub.bindings[0]!.run,
      cseq: 10,
    });
    const cancel = again.incoming('CANCEL');
    assert.equal(cancel.topVia.branch, invite.topVia.branch);
    again.reply(cancel, 200, 'OK');
    again.reply(invite, 487, 'Request Terminated');
    again.incoming('ACK');
    world.pass(60_000);
    assert.equal(world.stack.callCount, 0);
  });

  test('after the answer: a 2xx that the phone repeats is forwarded without asking', () => {
    const { world, alice, bob } = ringing(onUdp);
    const invite = bob.incoming('INVITE');
    world.restart(restoredOf(world, bob, true));
    alice.clear();
    const again = world.connect('198.51.100.2');
    again.reply(invite, 200, 'OK');
    assert.equal(alice.response().status, 200);
  });

  test('a caller on a stream who is not registered and cannot be reached is told of as such', () => {
    const { world, bob } = ringing((each) => each.connect('198.51.100.1'));
    world.restart(restoredOf(world, bob, false));
    const connect = world.others.find((output) => output.kind === 'connect');
    assert.ok(connect?.kind === 'connect');
    assert.deepEqual(world.hub.take('caller'), []);
    world.input({ kind: 'connection-closed', connection: connect.connection });
    world.pass(10_000);
    assert.deepEqual(
      world.hub.take('caller').map(({ isReachable }) => isReachable),
      [false],
    );
  });

  test('a caller who is registered here is reachable when the phone is back, and is answered there', () => {
    const params = ';+sip.instance="<urn:uuid:a>";expires=3600';
    const { world, bob } = ringing((each) => {
      const phone = each.connect('198.51.100.1');
      phone.register('alice', { contactParams: params, callId: 'run-a' });
      return phone;
    });
    const bindings = world.hub.bindings.findIndex((binding) => binding.aor.startsWith('alice'));
    world.hub.bindings.splice(bindings, 1);
    const restored = restoredOf(world, bob, false);
    world.restart(restored);
    world.pass(6_000);
    assert.deepEqual(world.hub.take('caller'), []);
    const again = world.connect('198.51.100.1');
    again.register('alice', { contactParams: params, callId: 'run-a', cseq: 9 });
    const [caller] = world.hub.take('caller');
    assert.equal(caller?.isReachable, true);
    world.tell({
      kind: 'finish',
      call: caller.call,
      status: 480,
      best: false,
      retryAfterSeconds: undefined,
    });
    assert.equal(again.response().status, 480);
  });

  test('what cannot be restored is told as unreachable', () => {
    const { world, bob } = ringing(onUdp);
    const restored = restoredOf(world, bob, false) as Extract<CallEvent, { kind: 'restored' }>;
    world.restart({ ...restored, calls: [{ ...restored.calls[0]!, callerPlace: '9\0u\x009\0x\x001' }] });
    assert.deepEqual(
      world.hub.take('caller').map(({ isReachable }) => isReachable),
      [false],
    );
  });
});

test('[SI-119] a server that leaves refuses new calls and registrations with 503 and Retry-After', () => {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.datagrams('198.51.100.1');
  alice.ask('alice', 'INVITE');
  world.input({ kind: 'drain' });
  alice.clear();
  alice.send(alice.request('INVITE', { callId: 'c2', fromTag: 'other' }));
  const refused = alice.response();
  assert.equal(refused.status, 503);
  assert.equal(refused.header('Retry-After'), '10');
  bob.send(bob.request('REGISTER', { uri: `sip:${DOMAIN}` }));
  assert.deepEqual(bob.waiting, ['INVITE', '503']);
  assert.deepEqual(world.refusals, ['sip-draining', 'sip-draining']);
  // What was begun goes on.
  bob.reply(bob.incoming('INVITE'), 200, 'OK');
  assert.equal(alice.response().status, 200);
});

test('[SI-120] transactions and calls end: nothing is left of them', () => {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.datagrams('198.51.100.1');
  for (let index = 0; index < 20; index++) {
    alice.ask('alice', 'INVITE', { callId: `c${index}`, fromTag: `t${index}` });
    const invite = bob.incoming('INVITE');
    if (index % 2 === 0) bob.reply(invite, 200, 'OK');
    else {
      bob.reply(invite, 486, 'Busy Here');
      bob.incoming('ACK');
    }
    alice.clear();
  }
  assert.equal(world.stack.callCount, 20);
  world.pass(200_000);
  assert.equal(world.stack.callCount, 0);
  assert.equal(world.stack.relayCount, 0);
});

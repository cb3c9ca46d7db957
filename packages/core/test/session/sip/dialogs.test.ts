/** Requests within dialogs: by the tokens of their Routes, to wherever the other side is by then. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bobAwake, calleeRoutes, callerRoutes, establish, instanceParams } from './scenes.js';
import { DOMAIN, type Peer, World } from './world.js';

function talking(): { world: World; alice: Peer; bob: Peer; routes: string; uri: string } {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.datagrams('198.51.100.1');
  const { ok } = establish(alice, bob);
  return { world, alice, bob, routes: callerRoutes(ok), uri: `sip:device@${bob.hostPort};transport=tcp` };
}

/** Bob's phone again, on another connection. */
function bobAgain(world: World, cseq: number): Peer {
  const phone = world.connect('198.51.100.2');
  const headers = ['Supported: outbound, path'];
  assert.equal(
    phone.register('bob', { headers, contactParams: instanceParams, callId: 'run-bob-1', cseq }).status,
    200,
  );
  return phone;
}

describe('[SI-108] a device without a flow', () => {
  test('is woken, and the request that waits goes to its new flow', () => {
    const { world, alice, bob, routes, uri } = talking();
    bob.close();
    alice.send(alice.request('BYE', { uri, toTag: 'to1', headers: [routes], cseq: 5 }));
    const [reach] = world.hub.take('reach');
    assert.equal(reach?.method, 'BYE');
    assert.equal(reach.waitMs, 20_000);
    const again = bobAgain(world, 10);
    const bye = again.incoming('BYE');
    again.reply(bye, 200, 'OK');
    assert.equal(alice.response().status, 200);
    assert.equal(world.stack.relayCount, 1);
    world.pass(40_000);
    assert.equal(world.stack.relayCount, 0);
  });

  test('that does not come gets its sender 480', () => {
    const { world, alice, bob, routes, uri } = talking();
    bob.close();
    alice.send(alice.request('BYE', { uri, toTag: 'to1', headers: [routes], cseq: 5 }));
    const [reach] = world.hub.take('reach');
    world.tell({ kind: 'unreached', ticket: reach!.ticket });
    assert.equal(alice.response().status, 480);
  });

  test('its ACK is dropped with a note, and is taken when it is repeated', () => {
    const { world, alice, bob, routes, uri } = talking();
    bob.close();
    const ack = () => alice.send(alice.request('ACK', { uri, toTag: 'to1', headers: [routes], cseq: 2 }));
    ack();
    const notes = world.hub.take('call-note').map(({ text }) => text);
    assert.ok(notes.includes(`ACK without a flow to bob@${DOMAIN}`), String(notes));
    const again = bobAgain(world, 10);
    ack();
    again.incoming('ACK');
  });

  for (const limit of ['heldRequestsMax', 'heldRequestsPerInstanceMax'] as const) {
    test(`more than ${limit} are refused at once`, () => {
      const world = new World({ limits: { [limit]: 1 } });
      const bob = bobAwake(world);
      const alice = world.datagrams('198.51.100.1');
      const { ok } = establish(alice, bob);
      bob.close();
      const headers = [callerRoutes(ok)];
      alice.send(alice.request('INFO', { toTag: 'to1', headers, cseq: 5 }));
      assert.deepEqual(alice.waiting, []);
      alice.send(alice.request('INFO', { toTag: 'to1', headers, cseq: 6 }));
      assert.equal(alice.response().status, 480);
      const [reach] = world.hub.take('reach');
      world.tell({ kind: 'unreached', ticket: reach!.ticket });
      assert.equal(alice.response().cseq.number, 5);
      alice.send(alice.request('INFO', { toTag: 'to1', headers, cseq: 7 }));
      assert.equal(world.hub.take('reach').length, 1);
    });
  }
});

describe('[SI-109] tokens', () => {
  test('one that was changed is refused, and so is one of another key', () => {
    const { world, alice, routes, uri } = talking();
    const tampered = routes.replace(/sip:(.)/, (_, first: string) => `sip:${first === 'A' ? 'B' : 'A'}`);
    alice.send(alice.request('BYE', { uri, toTag: 'to1', headers: [tampered], cseq: 5 }));
    const answer = alice.response();
    assert.deepEqual([answer.status, answer.reason], [403, 'Route Token Not Ours']);
    assert.deepEqual(world.refusals, ['sip-token']);
    const other = new World({ key: new Uint8Array(32).fill(1) });
    const stranger = other.datagrams('198.51.100.1');
    stranger.send(stranger.request('BYE', { uri, toTag: 'to1', headers: [routes], cseq: 5 }));
    assert.equal(stranger.response().status, 403);
  });

  test('one of another dialog is refused: who was called once cannot call out by the way that the call came', () => {
    const { world, alice, bob, routes, uri } = talking();
    alice.send(alice.request('INVITE', { uri, toTag: 'to1', headers: [routes], cseq: 5, callId: 'other' }));
    assert.equal(alice.response().status, 403);
    assert.deepEqual([bob.waiting, world.refusals], [[], ['sip-token']]);
  });

  test('they outlive a restart', () => {
    const { world, alice, routes, uri } = talking();
    world.restart({ kind: 'restored', bindings: [], calls: [] });
    world.hub.bindings.length = 0;
    const again = bobAgain(world, 10);
    alice.send(alice.request('BYE', { uri, toTag: 'to1', headers: [routes], cseq: 5 }));
    again.incoming('BYE');
  });

  test('without a Route of ours a request within a dialog gets 481', () => {
    const { world, alice, uri } = talking();
    alice.send(alice.request('BYE', { uri, toTag: 'to1', cseq: 5 }));
    assert.equal(alice.response().status, 481);
    assert.deepEqual(world.refusals, ['sip-unknown-dialog']);
  });

  test('a Request-URI that names the user with gr goes to the flow of the token, unchanged', () => {
    const { alice, bob, routes } = talking();
    const uri = `sip:bob@${DOMAIN};gr=urn:uuid:1`;
    alice.send(alice.request('ACK', { uri, toTag: 'to1', headers: [routes], cseq: 2 }));
    assert.equal(bob.incoming('ACK').uri, uri);
    alice.send(alice.request('BYE', { uri, toTag: 'to1', headers: [routes], cseq: 5 }));
    assert.equal(bob.incoming('BYE').uri, uri);
  });
});

describe('[SI-110] a caller that is registered', () => {
  test('is reached on the flow that it has by then', () => {
    const world = new World();
    const bob = bobAwake(world);
    const alice = world.connect('198.51.100.1');
    const params = ';+sip.instance="<urn:uuid:a>";expires=3600';
    alice.register('alice', { contactParams: params, callId: 'run-a' });
    const { invite } = establish(alice, bob);
    alice.close();
    const again = world.connect('198.51.100.1');
    again.register('alice', { contactParams: params, callId: 'run-a', cseq: 9 });
    bob.send(
      bob.request('BYE', {
        uri: 'sip:me@198.51.100.1',
        from: `sip:bob@${DOMAIN}`,
        fromTag: 'to1',
        to: `sip:alice@${DOMAIN}`,
        toTag: 'from1',
        headers: [calleeRoutes(invite)],
        cseq: 7,
      }),
    );
    again.reply(again.incoming('BYE'), 200, 'OK');
    assert.equal(bob.response().status, 200);
  });

  test('gets the answer of its call there, too', () => {
    const world = new World();
    const bob = bobAwake(world);
    const alice = world.connect('198.51.100.1');
    const params = ';+sip.instance="<urn:uuid:a>";expires=3600';
    alice.register('alice', { contactParams: params, callId: 'run-a' });
    alice.ask('alice', 'INVITE');
    const invite = bob.incoming('INVITE');
    alice.close();
    const again = world.connect('198.51.100.1');
    again.register('alice', { contactParams: params, callId: 'run-a', cseq: 9 });
    bob.reply(invite, 200, 'OK');
    assert.equal(again.response().status, 200);
  });
});

describe('[SI-111] methods that pass', () => {
  for (const method of [
    'INVITE',
    'UPDATE',
    'INFO',
    'PRACK',
    'REFER',
    'SUBSCRIBE',
    'NOTIFY',
    'MESSAGE',
    'WHATEVER',
  ]) {
    test(`${method} in a dialog, with its body and what is not known in it`, () => {
      const { alice, bob, routes, uri } = talking();
      const headers = [routes, 'Refer-To: <sip:carol@home.test>', 'X-Unknown: as it is'];
      alice.send(alice.request(method, { uri, toTag: 'to1', headers, cseq: 5, body: 'text' }));
      const request = bob.incoming(method);
      assert.equal(request.header('X-Unknown'), 'as it is');
      assert.equal(Buffer.from(request.body).toString(), 'text');
      bob.reply(request, 202, 'Accepted', { headers: ['X-Answer: yes'], tag: 'to1' });
      const answer = method === 'INVITE' ? (alice.take(), alice.response()) : alice.response();
      assert.equal(answer.status, 202);
      assert.equal(answer.header('X-Answer'), 'yes');
    });
  }
});

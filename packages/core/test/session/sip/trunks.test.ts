/** Trunks: calls in and out, their challenges, and our registration at one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bobAwake, callerRoutes, sdp } from './scenes.js';
import { DOMAIN, type Peer, pbx, SERVER, textOf, World } from './world.js';

/** The PBX on the UDP listener that is for trunks alone. */
function pbxOf(world: World): Peer {
  return world.datagrams('192.0.2.10', 5060, 2);
}

const fromPbx = { from: 'sip:+4930123@pbx.test', to: `sip:bob@${DOMAIN}` };

describe('[SI-112] a call that comes by a trunk', () => {
  test('is not challenged, keeps its P-Asserted-Identity, and hangs up both ways', () => {
    const world = new World();
    const bob = bobAwake(world);
    const trunk = pbxOf(world);
    const headers = ['P-Asserted-Identity: "Desk" <sip:+4930999@pbx.test>'];
    trunk.send(trunk.request('INVITE', { ...fromPbx, headers, body: sdp }));
    const [call] = world.hub.take('call');
    assert.deepEqual(call?.caller, {
      uri: 'sip:+4930999@pbx.test',
      displayName: undefined,
      aor: undefined,
      trunk: 'pbx',
    });
    const invite = bob.incoming('INVITE');
    assert.equal(invite.header('P-Asserted-Identity'), '"Desk" <sip:+4930999@pbx.test>');
    assert.equal(trunk.response().status, 100);
    bob.reply(invite, 200, 'OK');
    const ok = trunk.response();
    const inDialog = { ...fromPbx, toTag: 'to1', headers: [callerRoutes(ok)], cseq: 2 };
    trunk.send(trunk.request('ACK', { ...inDialog, cseq: 1 }));
    bob.incoming('ACK');
    const routes = `Route: ${invite.headers('Record-Route').join(', ')}`;
    bob.send(
      bob.request('BYE', {
        uri: invite.header('Contact')!.slice(1, -1),
        from: fromPbx.to,
        fromTag: 'to1',
        to: fromPbx.from,
        toTag: 'from1',
        headers: [routes],
      }),
    );
    trunk.reply(trunk.incoming('BYE'), 200, 'OK');
    assert.equal(bob.response().status, 200);
  });

  test('may name our address instead of a domain', () => {
    const world = new World();
    const bob = bobAwake(world);
    const trunk = pbxOf(world);
    trunk.send(trunk.request('INVITE', { ...fromPbx, uri: `sip:bob@${SERVER}:5070` }));
    assert.deepEqual(bob.waiting, ['INVITE']);
  });

  test('may be of a caller who ignores Record-Route: its requests go by their Request-URI', () => {
    const world = new World();
    const bob = bobAwake(world);
    const trunk = pbxOf(world);
    trunk.send(trunk.request('INVITE', { ...fromPbx, body: sdp }));
    bob.reply(bob.incoming('INVITE'), 200, 'OK');
    assert.equal(trunk.response().status, 100);
    assert.equal(trunk.response().status, 200);
    const inDialog = { ...fromPbx, uri: fromPbx.to, toTag: 'to1' };
    trunk.send(trunk.request('ACK', { ...inDialog, cseq: 1 }));
    assert.equal(bob.incoming('ACK').uri, `sip:bob@${bob.hostPort};transport=tcp`);
    trunk.send(trunk.request('BYE', { ...inDialog, cseq: 2 }));
    bob.reply(bob.incoming('BYE'), 200, 'OK');
    assert.equal(trunk.response().status, 200);
    trunk.send(trunk.request('BYE', { ...inDialog, uri: `sip:nobody@${DOMAIN}`, cseq: 3 }));
    assert.equal(trunk.response().status, 481);
  });

  test('does not go out again by a trunk', () => {
    const world = new World();
    const trunk = pbxOf(world);
    trunk.send(trunk.request('INVITE', { ...fromPbx, uri: 'sip:+4940555@pbx.test' }));
    assert.equal(trunk.response().status, 403);
    trunk.send(trunk.request('INVITE', { ...fromPbx, callId: 'c2', uri: `sip:+4940555@${DOMAIN}` }));
    assert.equal(trunk.response().status, 404);
    assert.deepEqual(world.refusals, ['sip-not-served', 'sip-unknown-user']);
  });

  test("a sender's address proves nothing on a datagram listener that is open to all", () => {
    const world = new World();
    bobAwake(world);
    const forged = world.datagrams('192.0.2.10', 5060, 1);
    forged.send(forged.request('INVITE', fromPbx));
    assert.equal(forged.response().status, 403);
    assert.deepEqual(world.refusals, ['sip-from-mismatch']);
    const stream = world.connect('192.0.2.10');
    stream.send(stream.request('INVITE', { ...fromPbx, callId: 'c2' }));
    assert.equal(stream.response().status, 100);
  });

  test('on a stream it is reached on that stream', () => {
    const world = new World();
    const bob = bobAwake(world);
    const trunk = world.connect('192.0.2.10');
    trunk.send(trunk.request('INVITE', fromPbx));
    const invite = bob.incoming('INVITE');
    bob.reply(invite, 200, 'OK');
    const headers = [`Route: ${invite.headers('Record-Route').join(', ')}`];
    bob.send(bob.request('BYE', { from: fromPbx.to, to: fromPbx.from, toTag: 'from1', headers }));
    assert.deepEqual(trunk.waiting, ['100', '200', 'BYE']);
  });

  test('strangers on the listener of trunks are refused', () => {
    const world = new World();
    const stranger = world.datagrams('198.51.100.66', 5060, 2);
    stranger.send(stranger.request('OPTIONS', { uri: `sip:${DOMAIN}` }));
    assert.equal(stranger.response().status, 403);
    assert.deepEqual(world.refusals, ['sip-trunks-only']);
  });
});

describe('[SI-113] a call of a user that goes out by a trunk', () => {
  test('by its number, without a password of ours, and back by our tokens', () => {
    const world = new World();
    const trunk = pbxOf(world);
    const alice = world.connect('198.51.100.1');
    const to = `sip:+4930123@${DOMAIN}`;
    const headers = ['P-Asserted-Identity: <sip:king@pbx.test>'];
    alice.ask('alice', 'INVITE', { to, headers });
    const invite = trunk.incoming('INVITE');
    assert.equal(invite.uri, 'sip:+4930123@192.0.2.10:5060');
    assert.equal(invite.has('Proxy-Authorization'), false);
    assert.equal(invite.has('P-Asserted-Identity'), false);
    assert.deepEqual(world.refusals, ['sip-asserted-identity']);
    trunk.reply(invite, 183, 'Session Progress');
    trunk.reply(invite, 200, 'OK');
    assert.deepEqual(alice.waiting, ['100', '183', '200']);
    alice.take();
    alice.take();
    const headersOfDialog = [callerRoutes(alice.response())];
    alice.send(alice.request('ACK', { to, toTag: 'to1', headers: headersOfDialog, cseq: 2 }));
    trunk.incoming('ACK');
    alice.send(alice.request('BYE', { to, toTag: 'to1', headers: headersOfDialog, cseq: 3 }));
    trunk.reply(trunk.incoming('BYE'), 200, 'OK');
    assert.equal(alice.response().status, 200);
    const byTrunk = { from: to, to: `sip:alice@${DOMAIN}`, fromTag: 'to1', toTag: 'from1' };
    const routes = [`Route: ${invite.headers('Record-Route').join(', ')}`];
    trunk.send(trunk.request('BYE', { ...byTrunk, headers: routes }));
    alice.incoming('BYE');
  });

  test('by a pattern of an AOR, with the Request-URI as it is', () => {
    const world = new World();
    const trunk = pbxOf(world);
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'INVITE', { to: 'sip:reception@pbx.test' });
    assert.equal(trunk.incoming('INVITE').uri, 'sip:reception@pbx.test');
  });

  test('is cancelled with its caller, and a refusal comes back', () => {
    const world = new World();
    const trunk = pbxOf(world);
    const alice = world.connect('198.51.100.1');
    const to = `sip:+4930123@${DOMAIN}`;
    const text = alice.ask('alice', 'INVITE', { to });
    const invite = trunk.incoming('INVITE');
    trunk.reply(invite, 180, 'Ringing');
    const branch = /branch=([^\r\n;]+)/.exec(text)![1]!;
    alice.send(alice.request('CANCEL', { to, branch, cseq: 2 }));
    trunk.reply(trunk.incoming('CANCEL'), 200, 'OK');
    trunk.reply(invite, 487, 'Request Terminated');
    trunk.incoming('ACK');
    assert.deepEqual(alice.waiting, ['100', '180', '200', '487']);
  });

  test('gets 500 when the trunk is overloaded or cannot be reached, and 408 when it is silent', () => {
    const world = new World({
      trunks: [pbx, { ...pbx, name: 'far', uri: 'sip:192.0.2.11;transport=tcp', numbers: ['9*'] }],
    });
    const trunk = pbxOf(world);
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'INVITE', { to: `sip:+1@${DOMAIN}` });
    trunk.reply(trunk.incoming('INVITE'), 503, 'Service Unavailable');
    assert.deepEqual(alice.waiting, ['100', '500']);
    alice.clear();
    alice.ask('alice', 'INVITE', { to: `sip:91@${DOMAIN}`, callId: 'c2' });
    const connect = world.others.find((output) => output.kind === 'connect');
    assert.ok(connect?.kind === 'connect' && connect.remote.address === '192.0.2.11');
    world.input({ kind: 'connection-closed', connection: connect.connection });
    assert.deepEqual(alice.waiting, ['100', '500']);
    alice.clear();
    alice.ask('alice', 'INVITE', { to: `sip:+2@${DOMAIN}`, callId: 'c3' });
    world.pass(33_000);
    assert.deepEqual(alice.waiting, ['100', '408']);
  });

  test('a challenge of a trunk that knows us is answered here', () => {
    const registration = { address: 'wakeline@pbx.test', password: 'secret-wakeline' };
    const world = new World({ trunks: [{ ...pbx, registration }] });
    const trunk = pbxOf(world);
    trunk.clear();
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'INVITE', { to: `sip:+4930123@${DOMAIN}` });
    assert.deepEqual(
      trunk.waiting.filter((kind) => kind === 'INVITE'),
      ['INVITE'],
    );
    const first = trunk.take();
    const invite = first.kind === 'request' && first.method === 'INVITE' ? first : trunk.incoming('INVITE');
    const headers = ['Proxy-Authenticate: Digest realm="pbx", nonce="n1", algorithm=MD5, qop="auth"'];
    trunk.reply(invite, 407, 'Proxy Authentication Required', { headers });
    trunk.incoming('ACK');
    const again = trunk.incoming('INVITE');
    assert.match(again.header('Proxy-Authorization')!, /username="wakeline", realm="pbx"/);
    assert.notEqual(again.topVia.branch, invite.topVia.branch);
    trunk.reply(again, 407, 'Proxy Authentication Required', { headers });
    assert.deepEqual(alice.waiting, ['100', '407']);
  });
});

describe('[SI-114] our registration at a trunk', () => {
  const registration = { address: 'wakeline@pbx.test', password: 'secret-wakeline' };
  const trunks = [{ ...pbx, addresses: [], registration }];

  function registered(): { world: World; trunk: Peer } {
    const world = new World({ trunks });
    const trunk = pbxOf(world);
    world.pass(0);
    const first = trunk.incoming('REGISTER');
    assert.equal(first.uri, 'sip:pbx.test');
    const headers = ['WWW-Authenticate: Digest realm="pbx.test", nonce="n1", algorithm=SHA-256, qop="auth"'];
    trunk.reply(first, 401, 'Unauthorized', { headers });
    const second = trunk.incoming('REGISTER');
    assert.match(second.header('Authorization')!, /username="wakeline"/);
    assert.equal(second.cseq.number, 2);
    trunk.reply(second, 200, 'OK', { headers: [`Contact: ${second.header('Contact')!}`, 'Expires: 1000'] });
    return { world, trunk };
  }

  test('is made with a password, and renewed in time', () => {
    const { world, trunk } = registered();
    world.pass(2_000_000);
    assert.equal(trunk.waiting.filter((kind) => kind === 'REGISTER').length, 0);
    world.pass(900_000);
    const renewal = trunk.incoming('REGISTER');
    assert.match(renewal.header('Authorization')!, /nc=00000002/);
  });

  test('calls come back on its flow, for whom the To names', () => {
    const { world, trunk } = registered();
    const bob = bobAwake(world);
    const uri = `sip:wakeline@${SERVER}:5070`;
    trunk.send(trunk.request('INVITE', { from: 'sip:+49@pbx.test', to: 'sip:bob@pbx.test', uri }));
    assert.deepEqual(bob.waiting, ['INVITE']);
  });

  test('what fails is tried again, later each time, and 423 is obeyed', () => {
    const world = new World({ trunks });
    const trunk = pbxOf(world);
    world.pass(0);
    trunk.reply(trunk.incoming('REGISTER'), 500, 'Server Error');
    world.pass(1_999);
    assert.deepEqual(trunk.waiting, []);
    world.pass(1);
    trunk.reply(trunk.incoming('REGISTER'), 500, 'Server Error');
    world.pass(3_999);
    assert.deepEqual(trunk.waiting, []);
    world.pass(1);
    const brief = trunk.incoming('REGISTER');
    trunk.reply(brief, 423, 'Interval Too Brief', { headers: ['Min-Expires: 7200'] });
    assert.match(textOf(trunk.incoming('REGISTER')), /Expires: 7200/);
  });
});

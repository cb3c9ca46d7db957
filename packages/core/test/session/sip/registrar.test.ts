/** The registrar: what a REGISTER asks the hub for, and what its sender is told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DOMAIN, type Peer, type RequestParts, textOf, World } from './world.js';

const outbound = 'Supported: path, outbound';
const instance = ';+sip.instance="<urn:uuid:22222222-2222-2222-2222-222222222222>"';

const bobs = `sip:bob@${DOMAIN}`;
const common: RequestParts = { uri: `sip:${DOMAIN}`, from: bobs, to: bobs, callId: 'run1' };

/** The answer to Bob's REGISTER, whose credentials are right. */
function registerBob(peer: Peer, parts: RequestParts) {
  peer.ask('bob', 'REGISTER', { ...common, ...parts });
  return peer.response();
}

describe('[SI-70] a REGISTER is challenged', () => {
  test('[SI-140] an unknown user, a wrong password and one made without what is asked for are answered alike', () => {
    const world = new World();
    const { aor: carols, ha1 } = world.users.get(`carol@${DOMAIN}`)!;
    world.users.set(carols, { aor: carols, ha1: { md5: ha1.md5! }, devices: [] });
    const answers = ['bob', 'nobody', 'carol'].map((name) => {
      const phone = world.connect('198.51.100.2');
      const aor = `sip:${name}@${DOMAIN}`;
      const parts = { ...common, from: aor, to: aor };
      phone.send(phone.request('REGISTER', parts));
      const challenge = phone.response();
      assert.equal(challenge.status, 401);
      const credentials = phone.credentials('mallory', 'REGISTER', parts, challenge);
      const headers = [credentials.replace('username="mallory"', `username="${name}"`)];
      phone.send(phone.request('REGISTER', { ...parts, cseq: 2, headers }));
      const answer = phone.response();
      const shape = (text: string) => text.replaceAll(/nonce="[^"]*"/g, 'nonce').replaceAll(name, 'NAME');
      return shape(textOf(answer))
        .replaceAll(/(received|rport|branch|tag)=[\w.]+/g, '$1')
        .replaceAll(/:\d{5}/g, '');
    });
    assert.equal(answers[0], answers[1]);
    assert.equal(answers[2], answers[1]);
    assert.deepEqual(world.refusals, ['sip-login-failed', 'sip-login-failed', 'sip-login-algorithm']);
    assert.deepEqual(world.refusalDetails, [{ user: carols, algorithm: 'sha-256' }]);
    assert.deepEqual(world.hub.take('bind'), []);
  });

  test('[SI-60] everybody is challenged alike, whether there is such a user and whatever is kept of its password', () => {
    const world = new World({ algorithms: ['sha-256', 'md5'] });
    const { aor, ha1 } = world.users.get(`carol@${DOMAIN}`)!;
    world.users.set(aor, { aor, ha1: { md5: ha1.md5! }, devices: [] });
    const phone = world.connect('198.51.100.2');
    const challenges = ['bob', 'carol', 'nobody'].map((name) => {
      const of = `sip:${name}@${DOMAIN}`;
      phone.send(phone.request('REGISTER', { ...common, from: of, to: of }));
      const registering = phone.response().headers('WWW-Authenticate');
      phone.send(phone.request('INVITE', { from: of }));
      const calling = phone.response();
      phone.send(phone.ackOf(phone.request('INVITE', { from: of }), calling));
      return [...registering, ...calling.headers('Proxy-Authenticate')].map((value) =>
        value.replace(/nonce="[^"]*"/, 'nonce'),
      );
    });
    assert.deepEqual(
      challenges[0]!.map((value) => /algorithm=([\w-]+)/.exec(value)?.[1]),
      ['SHA-256', 'MD5', 'SHA-256', 'MD5'],
    );
    assert.deepEqual(challenges[1], challenges[0]);
    assert.deepEqual(challenges[2], challenges[0]);
    assert.equal(phone.register('bob').status, 200);
  });

  test('nobody registers another user', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    phone.ask('bob', 'REGISTER', { ...common, to: `sip:alice@${DOMAIN}` });
    const answer = phone.response();
    assert.equal(answer.status, 403);
    assert.equal(answer.reason, 'Not Your Address');
    assert.deepEqual(world.refusals, ['sip-third-party']);
    assert.deepEqual(world.hub.take('bind'), []);
  });

  test('a To of another domain is refused without a challenge', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    phone.send(phone.request('REGISTER', { ...common, to: 'sip:bob@elsewhere.test' }));
    assert.equal(phone.response().status, 403);
    assert.deepEqual(world.refusals, ['sip-third-party']);
  });
});

describe('[SI-71] what is bound', () => {
  test('contact, instance, run, flow and time go to the hub, and all that is bound comes back', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort};transport=tcp>${instance};reg-id=1;expires=7200`;
    const ok = registerBob(phone, { contact, headers: [outbound, 'User-Agent: test'] });
    const [bind] = world.hub.take('bind');
    assert.equal(bind?.aor, `bob@${DOMAIN}`);
    assert.equal(bind.run, 'run1');
    assert.equal(bind.cseq, 2);
    assert.ok(bind.flow > 0);
    assert.deepEqual(bind.changes, [
      {
        instance: 'urn:uuid:22222222-2222-2222-2222-222222222222',
        hasInstanceId: true,
        regId: 1,
        contact: `sip:bob@${phone.hostPort};transport=tcp`,
        path: [],
        push: undefined,
        userAgent: 'test',
        place: undefined,
        expiresSeconds: 7200,
      },
    ]);
    assert.deepEqual(ok.headers('Contact'), [
      `<sip:bob@${phone.hostPort};transport=tcp>;+sip.instance="<urn:uuid:22222222-2222-2222-2222-222222222222>";reg-id=1;expires=7200`,
    ]);
  });

  test('a contact without an instance id is its own instance, and a reg-id without one does not count', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort}>;reg-id=1;expires=3600`;
    const ok = registerBob(phone, { contact, headers: [outbound] });
    const [change] = world.hub.take('bind')[0]!.changes;
    assert.equal(change?.instance, `sip:bob@${phone.hostPort}`);
    assert.equal(change.regId, 0);
    assert.equal(ok.has('Require'), false);
  });

  test('without a Contact it asks what is bound', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    registerBob(phone, { contact: `<sip:bob@${phone.hostPort}>;expires=3600` });
    const ok = registerBob(phone, { contact: undefined, cseq: 5 });
    assert.equal(ok.contacts?.length, 1);
    assert.deepEqual(world.hub.take('bind')[1]?.changes, []);
  });

  test('expires=0 and * with Expires: 0 remove; * with anything else is refused', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort}>`;
    registerBob(phone, { contact: `${contact};expires=3600` });
    assert.equal(registerBob(phone, { contact: `${contact};expires=0`, cseq: 5 }).contacts?.length, 0);
    registerBob(phone, { contact: `${contact};expires=3600`, cseq: 7 });
    const refused = registerBob(phone, { contact: '*', cseq: 9 });
    assert.equal(refused.status, 400);
    assert.equal(refused.reason, 'Contact * Without Expires: 0');
    const ok = registerBob(phone, { contact: '*', headers: ['Expires: 0'], cseq: 11 });
    assert.equal(ok.status, 200);
    assert.equal(ok.contacts?.length, 0);
    assert.equal(world.stack.instanceCount, 0);
  });

  test('what comes out of order fails', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort}>;expires=3600`;
    assert.equal(registerBob(phone, { contact, cseq: 9 }).status, 200);
    assert.equal(registerBob(phone, { contact, cseq: 3 }).status, 500);
  });

  test('more contacts than allowed, and one that is no SIP URI, are refused', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const many = Array.from({ length: 11 }, (_, index) => `<sip:bob@192.0.2.9:${6000 + index}>`).join(', ');
    const refused = registerBob(phone, { contact: many });
    assert.deepEqual([refused.status, refused.reason], [400, 'Too Many Contacts']);
    const mail = registerBob(phone, { contact: '<mailto:bob@home.test>', cseq: 5 });
    assert.deepEqual([mail.status, mail.reason], [400, 'Contact Is Not A SIP URI']);
  });
});

describe('[SI-72] outbound (RFC 5626)', () => {
  test('Require and Flow-Timer are said when a binding follows it', () => {
    const world = new World({ flowTimerSeconds: 700 });
    const phone = world.connect('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort}>${instance};reg-id=1;expires=3600`;
    const ok = registerBob(phone, { contact, headers: [outbound] });
    assert.equal(ok.header('Require'), 'outbound');
    assert.equal(ok.header('Flow-Timer'), '700');
    const without = registerBob(phone, { contact, cseq: 5 });
    assert.equal(without.has('Require'), false);
  });

  test('the first hop must keep the flow', () => {
    const world = new World();
    const proxy = world.connect('198.51.100.2');
    const contact = `<sip:bob@192.0.2.99>${instance};reg-id=1;expires=3600`;
    const behind = [outbound, 'Via: SIP/2.0/TCP 192.0.2.99;branch=z9hG4bKinner'];
    const refused = registerBob(proxy, { contact, headers: behind });
    assert.equal(refused.status, 439);
    assert.deepEqual(world.refusals, ['sip-outbound-hops']);
    const path = 'Path: <sip:edge@198.51.100.2;lr;ob>';
    assert.equal(registerBob(proxy, { contact, headers: [...behind, path], cseq: 5 }).status, 200);
  });

  test('a registration on another flow moves the instance there', () => {
    const world = new World();
    const first = world.connect('198.51.100.2');
    const contactAt = (peer: Peer) => `<sip:bob@${peer.hostPort}>${instance};reg-id=1;expires=3600`;
    registerBob(first, { contact: contactAt(first), headers: [outbound] });
    const second = world.connect('198.51.100.2');
    registerBob(second, { contact: contactAt(second), headers: [outbound], cseq: 5 });
    assert.equal(world.stack.instanceCount, 1);
    const alice = world.datagrams('198.51.100.1');
    alice.ask('alice', 'INVITE');
    assert.deepEqual(first.waiting, []);
    assert.deepEqual(second.waiting, ['INVITE']);
  });
});

describe('[SI-73] short registrations', () => {
  test('get 423 and Min-Expires on a stream', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const answer = registerBob(phone, { contact: `<sip:bob@${phone.hostPort}>;expires=60` });
    assert.equal(answer.status, 423);
    assert.equal(answer.header('Min-Expires'), '3600');
    assert.deepEqual(world.refusals, ['sip-brief-registration']);
  });

  test('are taken where the operator allows them, and on UDP, whose flow nothing else keeps alive', () => {
    const allowed = new World({ registrationSecondsMin: 60 });
    const phone = allowed.connect('198.51.100.2');
    assert.equal(registerBob(phone, { contact: `<sip:bob@${phone.hostPort}>;expires=60` }).status, 200);
    const world = new World();
    const udp = world.datagrams('198.51.100.2');
    assert.equal(registerBob(udp, { contact: `<sip:bob@${udp.hostPort}>;expires=60` }).status, 200);
    assert.equal(registerBob(udp, { contact: `<sip:bob@${udp.hostPort}>;expires=59`, cseq: 5 }).status, 423);
  });

  test('long ones are cut', () => {
    const world = new World({ registrationSecondsMax: 7_200 });
    const phone = world.connect('198.51.100.2');
    registerBob(phone, { contact: `<sip:bob@${phone.hostPort}>`, headers: ['Expires: 999999'] });
    assert.equal(world.hub.take('bind')[0]?.changes[0]?.expiresSeconds, 7_200);
  });
});

describe('[SI-74] push (RFC 8599)', () => {
  const push = 'pn-provider=webpush;pn-prid=https://push.example/a%3Fx%3D1';

  test('the route is kept, its sender gets its contact back, and nobody else sees it', () => {
    const world = new World({ vapidPublicKey: 'KEY' });
    const phone = world.connect('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort};${push};transport=tcp>${instance};expires=3600`;
    const ok = registerBob(phone, { contact });
    const [change] = world.hub.take('bind')[0]!.changes;
    assert.deepEqual(change?.push, { provider: 'webpush', resource: 'https://push.example/a?x=1' });
    assert.equal(change.contact, `sip:bob@${phone.hostPort};transport=tcp`);
    assert.equal(ok.header('Feature-Caps'), '*;+sip.pns="webpush";+sip.vapid="KEY";+sip.pnsreg="121"');
    assert.match(ok.header('Contact')!, /pn-prid=https:\/\/push\.example\/a%3Fx%3D1/);

    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'INVITE', { contact: `<sip:alice@${alice.hostPort};${push}>` });
    const invite = phone.incoming('INVITE');
    assert.doesNotMatch(textOf(invite), /pn-/);
    alice.clear();
    const other = registerBob(alice, { contact: undefined, callId: 'run2' });
    assert.doesNotMatch(textOf(other), /pn-/);
  });

  test('another service gets 555 with what there is; asking for it is allowed', () => {
    const world = new World();
    const phone = world.connect('198.51.100.2');
    const at = (params: string) => `<sip:bob@${phone.hostPort};${params}>;expires=3600`;
    const refused = registerBob(phone, { contact: at('pn-provider=apns;pn-prid=00') });
    assert.equal(refused.status, 555);
    assert.match(refused.header('Feature-Caps')!, /\+sip\.pns="webpush"/);
    assert.deepEqual(world.refusals, ['sip-push-service']);
    const plain = registerBob(phone, { contact: at('pn-provider=webpush;pn-prid=http://a'), cseq: 5 });
    assert.equal(plain.status, 555);
    const asked = registerBob(phone, { contact: at('pn-provider'), cseq: 9 });
    assert.equal(asked.status, 200);
    assert.match(asked.header('Feature-Caps')!, /webpush/);
  });
});

describe('[SI-75] Path (RFC 3327)', () => {
  test('is kept, said in the 2xx, and becomes the Route of what goes to the phone', () => {
    const world = new World();
    const proxy = world.connect('198.51.100.2');
    const path = '<sip:edge@198.51.100.2;lr>';
    const contact = '<sip:bob@192.0.2.99>;expires=3600';
    const ok = registerBob(proxy, { contact, headers: ['Supported: path', `Path: ${path}`] });
    assert.deepEqual(ok.headers('Path'), [path]);
    const alice = world.connect('198.51.100.1');
    alice.ask('alice', 'INVITE');
    const invite = proxy.incoming('INVITE');
    assert.equal(invite.uri, 'sip:bob@192.0.2.99');
    assert.deepEqual(invite.headers('Route'), [path]);
  });
});

describe('[SI-76] flows', () => {
  test('the hub is told when one with a binding is gone, and not of others', () => {
    const world = new World();
    const stranger = world.connect('198.51.100.3');
    stranger.close();
    assert.deepEqual(world.hub.take('flow-lost'), []);
    const phone = world.connect('198.51.100.2');
    registerBob(phone, { contact: `<sip:bob@${phone.hostPort}>;expires=3600` });
    const [bind] = world.hub.take('bind');
    phone.close();
    assert.deepEqual(world.hub.take('flow-lost'), [{ kind: 'flow-lost', flow: bind!.flow }]);
    assert.equal(world.stack.instanceCount, 0);
  });

  test('on UDP another run from the same address is another flow, and the same run is not', () => {
    const world = new World();
    const phone = world.datagrams('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort}>;expires=600`;
    registerBob(phone, { contact });
    registerBob(phone, { contact, cseq: 5 });
    registerBob(phone, { contact, callId: 'run2' });
    const [first, second, third] = world.hub.take('bind').map(({ flow }) => flow);
    assert.equal(first, second);
    assert.notEqual(second, third);
    assert.equal(world.stack.instanceCount, 1);
  });

  test('on UDP it ends with the last binding on it; on a stream it outlasts them', () => {
    const world = new World({ registrationSecondsMin: 60 });
    const phone = world.datagrams('198.51.100.2');
    const contact = `<sip:bob@${phone.hostPort}>;expires=600`;
    registerBob(phone, { contact });
    world.pass(500_000);
    registerBob(phone, { contact, cseq: 5 });
    const [bind] = world.hub.take('bind');
    const alice = world.connect('198.51.100.1');
    alice.register('alice', { contactParams: ';expires=60' });
    world.pass(500_000);
    assert.deepEqual(world.hub.take('flow-lost'), []);
    assert.equal(world.stack.instanceCount, 2);
    world.pass(200_000);
    assert.deepEqual(world.hub.take('flow-lost'), [{ kind: 'flow-lost', flow: bind!.flow }]);
    assert.equal(world.stack.instanceCount, 1);
  });

  test('a place of UDP is usable again after a restart', () => {
    const world = new World();
    const phone = world.datagrams('198.51.100.2');
    registerBob(phone, { contact: `<sip:bob@${phone.hostPort}>;expires=600` });
    const bindings = world.hub.bindings.map((binding) => ({ ...binding, flow: 0 }));
    assert.ok(bindings[0]?.place !== undefined);
    world.restart({ kind: 'restored', bindings, calls: [] });
    const [up] = world.hub.take('flow-up');
    assert.equal(up?.instance, `sip:bob@${phone.hostPort}`);
    assert.ok(up.flow > 0);
    assert.equal(world.stack.instanceCount, 1);
  });
});

test('[SI-77] the 2xx is written before the call that waited for the phone', () => {
  const world = new World();
  const alice = world.datagrams('198.51.100.1');
  alice.ask('alice', 'INVITE');
  assert.deepEqual(alice.waiting, ['100']);
  const phone = world.connect('198.51.100.2');
  phone.ask('bob', 'REGISTER', { ...common, contact: `<sip:bob@${phone.hostPort}>;expires=3600` });
  assert.deepEqual(phone.waiting, ['200', 'INVITE']);
});

test('[SI-78] an extension that is required of the registrar and not known is refused', () => {
  const world = new World();
  const phone = world.connect('198.51.100.2');
  const parts = { contact: `<sip:bob@${phone.hostPort}>`, headers: ['Require: outbound, gruu'] };
  const answer = registerBob(phone, parts);
  assert.equal(answer.status, 420);
  assert.equal(answer.header('Unsupported'), 'gruu');
  assert.deepEqual(world.refusals, ['sip-bad-extension']);
});

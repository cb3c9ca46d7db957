/** Who may do what: everything that is refused, by name. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sipRefusals, type SipRefusal } from '../../../src/session/sip/index.js';
import { answerTo } from '../../../src/session/sip/screening/refusals.js';
import { NumberPattern } from '../../../src/session/sip/screening/number-pattern.js';
import { bobAwake } from './scenes.js';
import { DOMAIN, type Peer, type RequestParts, SERVER, World } from './world.js';

interface Case {
  readonly rule: string;
  readonly title: string;
  readonly refusal: SipRefusal;
  readonly method?: string;
  readonly parts: RequestParts;
  /** Changes the text that is sent. */
  readonly change?: (text: string) => string;
  readonly phrase?: string;
  readonly status?: number;
  /** The challenge must be answered before it comes to that. */
  readonly isProved?: boolean;
}

const cases: readonly Case[] = [
  {
    rule: 'SI-121',
    title: 'a Request-URI of another scheme gets 416',
    refusal: 'sip-scheme',
    parts: { uri: 'tel:+4930123' },
  },
  {
    rule: 'SI-121',
    title: 'no hops left gets 483',
    refusal: 'sip-too-many-hops',
    parts: {},
    change: (text) => text.replace('Max-Forwards: 70', 'Max-Forwards: 0'),
  },
  {
    rule: 'SI-121',
    title: 'Proxy-Require gets 420',
    refusal: 'sip-bad-extension',
    parts: { headers: ['Proxy-Require: magic'] },
  },
  {
    rule: 'SI-121',
    title: 'a malformed Route gets 400 that says so',
    refusal: 'sip-bad-request',
    parts: { headers: ['Route: <nonsense'] },
    phrase: 'Malformed Route',
  },
  {
    rule: 'SI-121',
    title: 'a malformed Request-URI gets 400 that says so',
    refusal: 'sip-bad-request',
    parts: { uri: 'sip:bob@@x' },
    phrase: 'Malformed Request-URI',
  },
  {
    rule: 'SI-121',
    title: 'too many Routes get 400',
    refusal: 'sip-bad-request',
    parts: { headers: Array.from({ length: 21 }, () => `Route: <sip:${SERVER};lr>`) },
    phrase: 'Too Many Routes',
  },
  {
    rule: 'SI-121',
    title: 'an INVITE with a malformed Contact gets 400',
    refusal: 'sip-bad-request',
    parts: { contact: '*' },
    phrase: 'Malformed Contact',
    isProved: true,
  },
  {
    rule: 'SI-122',
    title: "a stranger's Route is refused: this is no open relay",
    refusal: 'sip-foreign-route',
    parts: { headers: ['Route: <sip:198.51.100.99;lr>'] },
  },
  {
    rule: 'SI-122',
    title: 'and so is one that follows ours',
    refusal: 'sip-foreign-route',
    parts: { headers: [`Route: <sip:${SERVER}:5060;lr>, <sip:198.51.100.99;lr>`] },
  },
  {
    rule: 'SI-122',
    title: 'a forged token is refused',
    refusal: 'sip-token',
    parts: { headers: [`Route: <sip:AAAA@${SERVER}:5060;lr>`] },
  },
  {
    rule: 'SI-122',
    title: 'another domain is not served',
    refusal: 'sip-not-served',
    parts: { to: 'sip:bob@elsewhere.test' },
    isProved: true,
  },
  {
    rule: 'SI-122',
    title: 'maddr is ignored, and makes nobody a target',
    refusal: 'sip-not-served',
    parts: { uri: `sip:bob@elsewhere.test;maddr=${SERVER}` },
    isProved: true,
  },
  {
    rule: 'SI-122',
    title: 'an unknown user of ours gets 404',
    refusal: 'sip-unknown-user',
    parts: { to: `sip:nobody@${DOMAIN}` },
    isProved: true,
  },
  {
    rule: 'SI-123',
    title: 'a From of another domain can never be proved',
    refusal: 'sip-from-mismatch',
    parts: { from: 'sip:president@elsewhere.test' },
  },
  {
    rule: 'SI-123',
    title: 'a From of another user is refused',
    refusal: 'sip-from-mismatch',
    parts: { from: `sip:bob@${DOMAIN}` },
    isProved: true,
  },
];

for (const { rule, title, refusal, method = 'INVITE', parts, change, phrase, isProved } of cases) {
  test(`[${rule}] ${title}`, () => {
    const world = new World();
    const bob = bobAwake(world);
    const alice = world.datagrams('198.51.100.1');
    if (isProved === true) alice.ask('alice', method, parts);
    else alice.send((change ?? ((text: string) => text))(alice.request(method, parts)));
    const answer = alice.response();
    const expected = answerTo(refusal);
    assert.deepEqual([answer.status, answer.reason], [expected.status, phrase ?? expected.phrase]);
    assert.deepEqual(world.refusals, [refusal]);
    assert.deepEqual(bob.waiting, []);
    assert.deepEqual(world.hub.take('call'), []);
  });
}

test('[SI-122] a Route that names us and nothing more is taken off', () => {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.datagrams('198.51.100.1');
  alice.ask('alice', 'INVITE', { headers: [`Route: <sip:${SERVER}:5060;transport=udp;lr>`] });
  assert.equal(bob.incoming('INVITE').has('Route'), false);
});

test('[SI-122] maddr of a user of ours is ignored', () => {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.datagrams('198.51.100.1');
  alice.ask('alice', 'INVITE', { uri: `sip:bob@${DOMAIN};maddr=198.51.100.99` });
  bob.incoming('INVITE');
});

test('[SI-123] a new request of whoever is not a trunk is challenged, and P-Asserted-Identity taken out', () => {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.datagrams('198.51.100.1');
  for (const method of ['INVITE', 'MESSAGE', 'OPTIONS', 'SUBSCRIBE']) {
    alice.send(alice.request(method, { callId: method }));
    const challenge = alice.response();
    assert.equal(challenge.status, 407);
    assert.match(challenge.header('Proxy-Authenticate')!, /realm="home\.test"/);
  }
  assert.deepEqual(world.hub.take('call'), []);
  alice.ask('alice', 'INVITE', { headers: ['P-Asserted-Identity: <sip:president@home.test>'] });
  assert.equal(bob.incoming('INVITE').has('P-Asserted-Identity'), false);
  assert.deepEqual(world.refusals, ['sip-asserted-identity']);
});

describe('[SI-124] limits by name', () => {
  test('wrong passwords of an address: then right or wrong is not looked at, and others do not notice', () => {
    const world = new World({ limits: { failedLoginsPerAddressMax: 3 } });
    const guesser = world.datagrams('198.51.100.66');
    const guess = (peer: Peer, name: string, cseq: number) => {
      const parts = { cseq, callId: `c${cseq}` };
      peer.send(peer.request('MESSAGE', parts));
      const credentials = peer.credentials(name, 'MESSAGE', parts, peer.response());
      const headers = [credentials.replace('"mallory"', '"alice"')];
      peer.send(peer.request('MESSAGE', { ...parts, cseq: cseq + 1, headers }));
      return peer.response();
    };
    for (const cseq of [1, 3, 5]) assert.equal(guess(guesser, 'mallory', cseq).status, 407);
    assert.equal(guess(guesser, 'mallory', 7).status, 403);
    assert.equal(guess(guesser, 'alice', 9).status, 403);
    assert.equal(guess(world.datagrams('198.51.100.1'), 'alice', 11).status, 202);
    assert.deepEqual(world.refusals.slice(-2), ['sip-login-rate', 'sip-login-rate']);
    world.pass(60_000);
    assert.equal(guess(guesser, 'alice', 13).status, 202);
  });

  test('INVITEs to one user', () => {
    const world = new World({ limits: { invitesPerUserMax: 2 } });
    const alice = world.datagrams('198.51.100.1');
    for (const callId of ['c1', 'c2']) {
      alice.ask('alice', 'INVITE', { callId });
      alice.clear();
    }
    alice.ask('alice', 'INVITE', { callId: 'c3' });
    const refused = alice.response();
    assert.deepEqual([refused.status, refused.header('Retry-After')], [486, '60']);
    assert.deepEqual(world.refusals, ['sip-invite-rate']);
    alice.ask('alice', 'INVITE', { callId: 'c4', to: `sip:carol@${DOMAIN}` });
    assert.equal(alice.response().status, 100);
  });

  test('INVITEs of one caller to one user', () => {
    const world = new World({ limits: { invitesPerCallerMax: 2 } });
    const alice = world.datagrams('198.51.100.1');
    const carol = world.datagrams('198.51.100.2');
    const invite = (peer: typeof alice, name: string, callId: string) => {
      peer.clear();
      peer.ask(name, 'INVITE', { callId, from: `sip:${name}@${DOMAIN}` });
      return peer.response().status;
    };
    assert.deepEqual(
      ['c1', 'c2', 'c3'].map((callId) => invite(alice, 'alice', callId)),
      [100, 100, 486],
    );
    assert.deepEqual(world.refusals, ['sip-invite-rate']);
    assert.equal(invite(carol, 'carol', 'c4'), 100);
  });

  test('connections of an address', () => {
    const world = new World({ limits: { connectsPerAddressMax: 2 } });
    for (let count = 0; count < 3; count++) world.connect('198.51.100.66');
    assert.deepEqual(world.others, [{ kind: 'close', connection: 3, reason: 'sip-connect-rate' }]);
    const other = world.connect('198.51.100.1');
    assert.equal(other.register('alice').status, 200);
  });

  test('requests that are relayed', () => {
    const world = new World({ limits: { relaysMax: 0 } });
    const alice = world.datagrams('198.51.100.1');
    alice.ask('alice', 'INVITE', { to: `sip:+49@${DOMAIN}` });
    assert.equal(alice.response().status, 503);
    assert.deepEqual(world.refusals, ['sip-overloaded']);
  });
});

describe('[SI-129] whoever has proved nothing', () => {
  test('is answered once, whatever the request, and nothing is kept of it', () => {
    const world = new World();
    const victim = world.datagrams('198.51.100.66');
    let sentBytes = 0;
    let answers = 0;
    world.onSend = (bytes) => {
      sentBytes += bytes.length;
      answers += 1;
    };
    const texts = [
      victim.request('INVITE', { callId: 'c1' }),
      victim.request('INVITE', { callId: 'c2', from: 'sip:x@elsewhere.test' }),
      victim.request('INVITE', { callId: 'c3', headers: ['Route: <sip:192.0.2.66;lr>'] }),
      victim.request('INVITE', { callId: 'c4', headers: ['Proxy-Require: magic'] }),
      victim.request('INVITE', { callId: 'c5', toTag: 'to1' }),
      victim.request('REGISTER', { callId: 'c6', to: `sip:alice@${DOMAIN}`, uri: `sip:${DOMAIN}` }),
      victim.request('CANCEL', { callId: 'c7' }),
    ];
    for (const text of texts) victim.send(text);
    world.pass(60_000);
    assert.equal(answers, texts.length);
    const receivedBytes = texts.join('').length;
    assert.ok(sentBytes < 2 * receivedBytes, `${sentBytes} bytes for ${receivedBytes}`);
    // Its ACK belongs to nothing any more, and is no fault of anybody.
    const before = world.refusals.length;
    victim.send(victim.ackOf(texts[0]!, victim.response()));
    assert.equal(world.refusals.length, before);
    assert.equal(answers, texts.length);
  });

  test('is not kept on a stream, whatever it says; who is let in stays', () => {
    const world = new World();
    const stranger = world.connect('198.51.100.66');
    const alice = world.connect('198.51.100.1');
    assert.equal(alice.register('alice').status, 200);
    for (let minute = 0; minute < 2; minute++) {
      stranger.send(`\r\n${stranger.request('OPTIONS', { callId: `c${minute}` })}`);
      world.pass(30_001);
    }
    assert.deepEqual(world.others, [
      { kind: 'admitted', connection: 2 },
      { kind: 'close', connection: 1, reason: 'admission-timeout' },
    ]);
  });
});

describe('[SI-125] loops', () => {
  test('a request that comes back as it went out gets 482; with another target it is a spiral', () => {
    const world = new World();
    const bob = bobAwake(world);
    const trunk = world.datagrams('192.0.2.10', 5060, 2);
    const alice = world.datagrams('198.51.100.1');
    alice.ask('alice', 'INVITE');
    const invite = bob.incoming('INVITE');
    const vias = invite.headers('Via').map((via) => `Via: ${via}`);
    const from = 'sip:someone@pbx.test';
    trunk.send(trunk.request('INVITE', { from, headers: vias, callId: 'loop' }));
    assert.equal(trunk.response().status, 482);
    assert.deepEqual(world.refusals, ['sip-loop']);
    trunk.send(trunk.request('INVITE', { from, to: `sip:carol@${DOMAIN}`, headers: vias, callId: 'spiral' }));
    assert.equal(trunk.response().status, 100);
  });

  test('a request that a proxy before us has forked to us twice is merged', () => {
    const world = new World();
    bobAwake(world);
    const trunk = world.datagrams('192.0.2.10', 5060, 2);
    for (const branch of ['z9hG4bKone', 'z9hG4bKtwo']) {
      trunk.send(trunk.request('INVITE', { from: 'sip:someone@pbx.test', branch }));
    }
    assert.deepEqual(trunk.waiting, ['100', '482']);
    assert.deepEqual(world.refusals, ['sip-merged']);
  });
});

test('[SI-126] what is malformed is answered with what is wrong, and another version with 505', () => {
  const world = new World();
  const alice = world.datagrams('198.51.100.1');
  alice.send(alice.request('INVITE').replace(/CSeq: .*\r\n/, 'CSeq: 1 BYE\r\n'));
  const mismatch = alice.response();
  assert.equal(mismatch.status, 400);
  alice.send(alice.request('OPTIONS', { callId: 'c2' }).replace('SIP/2.0\r\n', 'SIP/7.0\r\n'));
  assert.equal(alice.response().status, 505);
  assert.ok(
    world.refusals.every((refusal) => refusal === 'sip-bad-request'),
    String(world.refusals),
  );
});

test('[SI-127] every refusal has an answer', () => {
  for (const refusal of Object.keys(sipRefusals) as SipRefusal[]) {
    const { status, phrase } = answerTo(refusal);
    assert.ok(status >= 400 && status < 700 && phrase !== '', refusal);
  }
});

test('[SI-128] patterns of numbers', () => {
  const matches = (pattern: string, user: string, host = DOMAIN) =>
    new NumberPattern(pattern).matches(user, host);
  assert.equal(matches('+*', '+4930'), true);
  assert.equal(matches('+*', '4930'), false);
  assert.equal(matches('100', '100'), true);
  assert.equal(matches('100', '1001'), false);
  assert.equal(matches('0*9', '0129'), true);
  assert.equal(matches('0*9', '09'), true);
  assert.equal(matches('1*1', '1'), false);
  assert.equal(matches('*12*34*', 'a12b34c'), true);
  assert.equal(matches('*12*34*', 'a34b12c'), false);
  assert.equal(matches('*', ''), true);
  assert.equal(matches('*@PBX.test', 'desk', 'pbx.test'), true);
  assert.equal(matches('*@pbx.test', 'desk', 'other.test'), false);
});

/**
 * Nothing that anybody can send breaks the stack: a broken invariant would end the server with every call. First what once
 * did, then real exchanges, mutated, in any order and on any connection.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prng } from '../../../src/base/index.js';
import { sipLimits } from '../../../src/session/sip/limits.js';
import { sipMessageLimits } from '../../../src/wire/sip/limits.js';
import { runs } from '../../wire/mqtt/helpers.js';
import { mutated, SEED } from '../../wire/sip/mutations.js';
import { tortureMessages } from '../../wire/sip/torture.js';
import { bobAwake, establish } from './scenes.js';
import { DOMAIN, World, type Peer } from './world.js';

const stranger = '203.0.113.66';

describe('[SI-1] a topmost Via that cannot be marked as others are', () => {
  const host = `SIP/2.0/UDP ${stranger};branch=z9hG4bK1`;
  const parameters = (count: number): string =>
    Array.from({ length: count }, (_, index) => `;p${index}=1`).join('');
  for (const [what, via, status] of [
    ['behind an empty value', `, ${host};rport`, 407],
    ['behind empty values', ` , ,\t,${host};rport`, 407],
    ['with a quoted received', `${host};received="a;b"`, 407],
    ['with received in quotes of another parameter', `${host};x=";received=192.0.2.9;rport";rport`, 407],
    ['with a quote that is escaped', `${host};x="\\";received=1";received="\\""`, 407],
    [
      'with white space around',
      `SIP / 2.0 / UDP ${stranger} ; received = "x" ; rport ; branch = z9hG4bK1`,
      407,
    ],
    ['with so many parameters that no further has room', `${host}${parameters(62)};rport`, 400],
  ] as const) {
    test(what, () => {
      const world = new World();
      const peer = world.datagrams(stranger);
      const ordinary = peer.request('OPTIONS');
      peer.send(ordinary.replace(/^Via: .*$/m, () => `Via: ${via}`.trimEnd()));
      const answer = peer.response();
      assert.equal(answer.status, status);
      if (status === 400) return;
      // Whatever it wrote itself, what we noted counts.
      assert.equal(answer.topVia.received ?? answer.topVia.host, stranger);
      if (via.includes('rport ') || via.endsWith('rport')) assert.equal(answer.topVia.rport, 5060);
      peer.send(ordinary);
      assert.equal(peer.response().status, 407);
    });
  }

  test('of a message that is as long as may be', () => {
    const world = new World();
    const peer = world.datagrams(stranger);
    const ordinary = peer.request('OPTIONS', { headers: ['X: '] });
    const room = sipMessageLimits.headBytesMax - ordinary.length;
    peer.send(ordinary.replace('X: ', () => `X: ${'x'.repeat(room)}`));
    assert.equal(peer.response().status, 513);
    const lines = Array.from({ length: sipMessageLimits.headerLinesMax - 7 }, (_, index) => `X: ${index}`);
    // Where there is no Content-Length one is added.
    peer.send(peer.request('OPTIONS', { headers: lines }).replace('Content-Length: 0\r\n', ''));
    assert.equal(peer.response().status, 513);
  });
});

test('[SI-1] an INVITE with as many lines as may be is cancelled, and its refusal acknowledged', () => {
  const world = new World();
  const bob = bobAwake(world);
  const alice = world.connect('198.51.100.1');
  const lines = Array.from({ length: sipMessageLimits.headerLinesMax - 9 }, (_, index) => `X-${index}: x`);
  alice.ask('alice', 'INVITE', { callId: 'full1', branch: 'z9hG4bKfull', headers: lines });
  const cancelled = bob.incoming('INVITE');
  bob.reply(cancelled, 180, 'Ringing');
  alice.send(alice.request('CANCEL', { callId: 'full1', branch: 'z9hG4bKfull', cseq: 2 }));
  assert.equal(bob.incoming('CANCEL').callId, 'full1');
  bob.reply(cancelled, 487, 'Request Terminated');
  assert.equal(bob.incoming('ACK').callId, 'full1');
});

test('[SI-121] OPTIONS without hops left is answered here, and goes no further', () => {
  const world = new World();
  const alice = world.connect('198.51.100.1');
  const send = (uri: string): number => {
    alice.clear();
    const text = alice.request('OPTIONS', { to: uri });
    alice.send(text);
    const challenge = alice.response();
    const credentials = alice.credentials('alice', 'OPTIONS', { to: uri }, challenge);
    const again = alice.request('OPTIONS', { to: uri, cseq: 2, headers: [credentials] });
    alice.send(again.replace('Max-Forwards: 70', 'Max-Forwards: 0'));
    return alice.response().status;
  };
  assert.equal(send(`sip:bob@${DOMAIN}`), 200);
  assert.equal(send('sip:+4930123@pbx.test'), 483);
});

test('[SI-121] an ACK for another scheme than SIP leads nowhere', () => {
  const world = new World();
  const trunk = world.datagrams('192.0.2.10', 5060, 2);
  trunk.send(trunk.request('ACK', { uri: 'tel:+4930123', toTag: 'x' }));
  assert.deepEqual(world.refusals, ['sip-bad-request']);
});

test('[SI-130] what every answer repeats is bounded, so that nobody makes a phone say too much', () => {
  const world = new World();
  const alice = world.connect('198.51.100.1');
  const vias = (count: number): string[] =>
    Array.from({ length: count }, (_, index) => `Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK${index}`);
  const statusOf = (headers: readonly string[]): number => {
    alice.clear();
    alice.send(alice.request('OPTIONS', { headers }));
    return alice.response().status;
  };
  // From, To, Call-ID, CSeq and the Via of its own.
  assert.equal(statusOf(vias(sipLimits.echoLinesMax - 5)), 407);
  assert.equal(statusOf(vias(sipLimits.echoLinesMax - 4)), 513);
  assert.equal(statusOf([`Record-Route: <sip:x@192.0.2.7;lr>;x=${'y'.repeat(sipLimits.echoBytesMax)}`]), 513);
  assert.deepEqual(new Set(world.refusals), new Set(['sip-echo-too-large']));
});

/** A world after a call, with everything that was said in it. */
function lively(said: Uint8Array[]): { readonly world: World; readonly peers: readonly Peer[] } {
  const world = new World();
  const keep = (bytes: Uint8Array): void => void said.push(Uint8Array.from(bytes));
  world.onSend = keep;
  world.onReceive = keep;
  const bob = bobAwake(world);
  const alice = world.connect('198.51.100.1');
  alice.register('alice');
  const trunk = world.datagrams('192.0.2.10', 5060, 2);
  const peers = [
    alice,
    bob,
    trunk,
    world.datagrams(stranger),
    world.connect(stranger),
    world.connect(stranger, 'ws'),
  ];
  establish(alice, bob);
  trunk.send(trunk.request('INVITE', { from: 'sip:ann@pbx.test', callId: 'by-trunk' }));
  // What they hear from here on is not looked at: it may repeat what is malformed.
  for (const peer of peers) peer.isDeaf = true;
  return { world, peers };
}

test(`[SI-120] [SI-1] mutations of real exchanges break nothing, and every transaction ends (seed ${SEED})`, () => {
  const prng = new Prng(SEED);
  const draw = (count: number): number => prng.nextUint32() % count;
  for (let run = runs(12, 2_000); run > 0; run -= 1) {
    const said: Uint8Array[] = [];
    const { world, peers } = lively(said);
    for (let step = 0; step < 300; step += 1) {
      const base =
        draw(10) < 7 ? said[draw(said.length)]! : tortureMessages[draw(tortureMessages.length)]!.bytes;
      const bytes = draw(8) === 0 ? base : mutated(prng, base);
      try {
        peers[draw(peers.length)]!.sendBytes(bytes);
        if (draw(50) === 0) world.pass([100, 600, 5_000, 33_000][draw(4)]!);
        if (said.length > 1_000) said.splice(draw(1_000), 500);
      } catch (error) {
        const text = JSON.stringify(Buffer.from(bytes).toString('latin1'));
        throw new Error(`run ${run}, step ${step}: ${text}`, { cause: error });
      }
    }
    world.pass(30 * 60_000);
    assert.equal(world.stack.transactionCount, 0, `run ${run}`);
    assert.equal(world.stack.relayCount, 0, `run ${run}`);
  }
});

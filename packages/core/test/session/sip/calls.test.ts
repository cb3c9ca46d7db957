/** Calls from end to end through registrar and proxy, with a hub of few words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SipRequest, SipResponse } from '../../../src/wire/sip/index.js';
import { DOMAIN, type Peer, SERVER, textOf, World } from './world.js';

const instance = ';+sip.instance="<urn:uuid:11111111-1111-1111-1111-111111111111>";reg-id=1;expires=3600';
const sdp =
  'v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n';

function bobAwake(world: World, address = '198.51.100.2'): Peer {
  const bob = world.connect(address);
  const ok = bob.register('bob', { headers: ['Supported: outbound, path'], contactParams: instance });
  assert.equal(ok.status, 200, textOf(ok));
  return bob;
}

/** The route set that a caller takes from a 2xx, as Route lines. */
function callerRoutes(response: SipResponse): string {
  return `Route: ${response.headers('Record-Route').toReversed().join(', ')}`;
}

function calleeRoutes(invite: SipRequest): string {
  return `Route: ${invite.headers('Record-Route').join(', ')}`;
}

interface Established {
  readonly invite: SipRequest;
  readonly ok: SipResponse;
}

/** Alice's INVITE is offered to Bob, who rings and answers. */
function establish(alice: Peer, bob: Peer): Established {
  alice.ask('alice', 'INVITE', { body: sdp, headers: ['Content-Type: application/sdp'] });
  const invite = bob.incoming('INVITE');
  assert.equal(alice.response().status, 100);
  bob.reply(invite, 180, 'Ringing');
  assert.equal(alice.response().status, 180);
  bob.reply(invite, 200, 'OK');
  const ok = alice.response();
  assert.equal(ok.status, 200);
  return { invite, ok };
}

for (const kind of ['tcp', 'udp', 'ws'] as const) {
  describe(`a caller on ${kind}`, () => {
    const callerOf = (world: World): Peer =>
      kind === 'udp' ? world.datagrams('198.51.100.1') : world.connect('198.51.100.1', kind);

    test('[SI-100] INVITE, 100, 180, 200, ACK and BYE from the caller go through', () => {
      const world = new World();
      const bob = bobAwake(world);
      const alice = callerOf(world);
      const { invite, ok } = establish(alice, bob);
      assert.equal(invite.uri, `sip:bob@${bob.hostPort};transport=tcp`);
      assert.equal(invite.maxForwards, 69);
      assert.match(invite.topVia.branch!, /^z9hG4bK-[0-9a-f]{32}\.1\.1$/);
      assert.equal(invite.topVia.host, SERVER);
      assert.equal(invite.has('Proxy-Authorization'), false);
      assert.equal(invite.vias!.length, 2);
      assert.equal(invite.recordRoutes!.length, 2);
      assert.equal(ok.vias!.length, 1);

      const uri = `sip:device@${bob.hostPort};transport=tcp`;
      const inDialog = { uri, toTag: 'to1', headers: [callerRoutes(ok)], cseq: 2 };
      alice.send(alice.request('ACK', inDialog));
      const ack = bob.incoming('ACK');
      assert.equal(ack.uri, uri);
      assert.equal(ack.has('Route'), false);
      alice.send(alice.request('BYE', { ...inDialog, cseq: 3 }));
      const bye = bob.incoming('BYE');
      bob.reply(bye, 200, 'OK');
      assert.equal(alice.response().status, 200);
      const notes = world.hub.take('call-note').map(({ text }) => text);
      assert.deepEqual(notes, [
        'the offer names no media relay',
        `ACK to bob@${DOMAIN}`,
        `BYE to bob@${DOMAIN}`,
      ]);
      assert.deepEqual(world.refusals, []);
    });

    test('[SI-101] BYE and a re-INVITE from the callee reach a caller without a registration where it came from', () => {
      const world = new World();
      const bob = bobAwake(world);
      const alice = callerOf(world);
      const { invite } = establish(alice, bob);
      const inDialog = {
        uri: invite.contacts === '*' ? '' : invite.contacts![0]!.uriText,
        from: `sip:bob@${DOMAIN}`,
        fromTag: 'to1',
        to: `sip:alice@${DOMAIN}`,
        toTag: 'from1',
        headers: [calleeRoutes(invite)],
      };
      bob.send(bob.request('INVITE', { ...inDialog, cseq: 5 }));
      assert.equal(bob.response().status, 100);
      const reinvite = alice.incoming('INVITE');
      alice.reply(reinvite, 200, 'OK', { tag: 'from1' });
      assert.equal(bob.response().status, 200);
      bob.send(bob.request('ACK', { ...inDialog, cseq: 5 }));
      alice.incoming('ACK');
      bob.send(bob.request('BYE', { ...inDialog, cseq: 6 }));
      alice.reply(alice.incoming('BYE'), 200, 'OK');
      assert.equal(bob.response().status, 200);
    });

    test('[SI-102] CANCEL: 200 to it, 487 to the INVITE, and the device is cancelled', () => {
      const world = new World();
      const bob = bobAwake(world);
      const alice = callerOf(world);
      const text = alice.ask('alice', 'INVITE', { cseq: 1 });
      const invite = bob.incoming('INVITE');
      bob.reply(invite, 180, 'Ringing');
      assert.deepEqual(alice.waiting, ['100', '180']);
      alice.clear();
      const branch = /branch=([^\r\n;]+)/.exec(text)![1]!;
      alice.send(alice.request('CANCEL', { branch, cseq: 2, headers: ['Reason: SIP;cause=600'] }));
      assert.deepEqual(alice.waiting, ['200', '487']);
      const cancel = bob.incoming('CANCEL');
      assert.equal(cancel.topVia.branch, invite.topVia.branch);
      assert.equal(cancel.header('Reason'), 'SIP;cause=600');
      bob.reply(cancel, 200, 'OK');
      bob.reply(invite, 487, 'Request Terminated');
      bob.incoming('ACK');
    });
  });
}

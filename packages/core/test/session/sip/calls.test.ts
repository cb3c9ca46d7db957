/** Calls from end to end through registrar and proxy, with a hub of few words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bobAwake, calleeRoutes, callerRoutes, establish } from './scenes.js';
import { DOMAIN, type Peer, SERVER, World } from './world.js';

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

    test('[SI-39] 100 is said when the call is on disk, however long that takes, and not before', () => {
      const world = new World();
      bobAwake(world);
      const alice = callerOf(world);
      world.hub.isTalking = false;
      const invite = alice.ask('alice', 'INVITE');
      const { call } = world.hub.take('call')[0]!;
      world.pass(5_000);
      alice.send(invite);
      world.pass(5_000);
      assert.deepEqual(alice.waiting, []);
      world.tell({ kind: 'journaled', call });
      assert.deepEqual(alice.waiting, ['100']);
      alice.send(invite);
      assert.deepEqual(alice.waiting, ['100', '100']);
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

    test('[SI-139] an answer that crosses the CANCEL is acknowledged and ended for the caller', () => {
      const world = new World();
      const bob = bobAwake(world);
      const alice = callerOf(world);
      const text = alice.ask('alice', 'INVITE', { cseq: 1 });
      const invite = bob.incoming('INVITE');
      bob.reply(invite, 180, 'Ringing');
      alice.clear();
      const branch = /branch=([^\r\n;]+)/.exec(text)![1]!;
      alice.send(alice.request('CANCEL', { branch, cseq: 2 }));
      assert.deepEqual(alice.waiting, ['200', '487']);
      bob.incoming('CANCEL');
      bob.reply(invite, 200, 'OK');
      const ack = bob.incoming('ACK');
      assert.equal(ack.uri, `sip:device@${bob.hostPort};transport=tcp`);
      assert.equal(ack.cseq.number, 2);
      assert.equal(ack.has('Route'), false);
      const bye = bob.incoming('BYE');
      assert.equal(bye.uri, ack.uri);
      assert.equal(bye.cseq.number, 3);
      assert.equal(bye.callId, invite.callId);
      assert.equal(bye.from.tag, invite.from.tag);
      assert.notEqual(bye.to.tag, undefined);
      bob.reply(invite, 200, 'OK');
      bob.incoming('ACK');
      bob.reply(bye, 200, 'OK');
      assert.deepEqual(alice.waiting, ['200', '487'], 'the caller hears nothing of it');
    });
  });
}

/** Several devices of one user: who wins, who is told, and what the caller gets when nobody answers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SipRequest } from '../../../src/wire/sip/index.js';
import { DOMAIN, type Peer, World } from './world.js';

interface Ringing {
  readonly world: World;
  readonly alice: Peer;
  readonly phones: readonly Peer[];
  readonly invites: readonly SipRequest[];
}

/** Alice calls Bob, who has so many phones. */
function callPhones(count: number, headers: readonly string[] = []): Ringing {
  const world = new World();
  const phones = Array.from({ length: count }, (_, index) => {
    const phone = world.connect(`198.51.100.${10 + index}`);
    const params = `;+sip.instance="<urn:uuid:${index}>";expires=3600`;
    assert.equal(phone.register('bob', { contactParams: params, callId: `run${index}` }).status, 200);
    return phone;
  });
  const alice = world.datagrams('198.51.100.1');
  alice.ask('alice', 'INVITE', { headers });
  const invites = phones.map((phone) => phone.incoming('INVITE'));
  assert.equal(alice.response().status, 100);
  return { world, alice, phones, invites };
}

describe('[SI-103] a fork', () => {
  test('goes to all devices at once, on branches of their own', () => {
    const { invites } = callPhones(3);
    assert.equal(new Set(invites.map((invite) => invite.topVia.branch)).size, 3);
  });

  test('the first 2xx wins, the others are cancelled with the reason', () => {
    const { alice, phones, invites } = callPhones(2);
    phones[1]!.reply(invites[1]!, 180, 'Ringing', { tag: 'b' });
    phones[0]!.reply(invites[0]!, 200, 'OK', { tag: 'a' });
    assert.deepEqual(alice.waiting, ['180', '200']);
    const cancel = phones[1]!.incoming('CANCEL');
    assert.equal(cancel.header('Reason'), 'SIP;cause=200;text="Call completed elsewhere"');
    phones[1]!.reply(cancel, 200, 'OK');
    phones[1]!.reply(invites[1]!, 487, 'Request Terminated', { tag: 'b' });
    phones[1]!.incoming('ACK');
    assert.deepEqual(alice.waiting, ['180', '200']);
  });

  test('a device that said nothing yet is cancelled at its first provisional response', () => {
    const { phones, invites } = callPhones(2);
    phones[0]!.reply(invites[0]!, 200, 'OK', { tag: 'a' });
    assert.deepEqual(phones[1]!.waiting, []);
    phones[1]!.reply(invites[1]!, 180, 'Ringing', { tag: 'b' });
    assert.deepEqual(phones[1]!.waiting, ['CANCEL']);
  });

  test('[SI-104] every 2xx is forwarded, also one that comes after the first', () => {
    const { alice, phones, invites } = callPhones(2);
    phones[0]!.reply(invites[0]!, 200, 'OK', { tag: 'a' });
    phones[1]!.reply(invites[1]!, 200, 'OK', { tag: 'b' });
    const tags = [alice.response(), alice.response()].map((response) => response.to.tag);
    assert.deepEqual(tags, ['a', 'b']);
    phones[0]!.reply(invites[0]!, 200, 'OK', { tag: 'a' });
    assert.equal(alice.response().to.tag, 'a');
  });

  test('nothing final leaves before the hub has it on disk', () => {
    const { world, alice, phones, invites } = callPhones(1);
    world.hub.isTalking = false;
    phones[0]!.reply(invites[0]!, 200, 'OK');
    phones[0]!.reply(invites[0]!, 200, 'OK');
    assert.deepEqual(alice.waiting, []);
    const answered = world.hub.take('leg-answered');
    assert.equal(answered.length, 1);
    const { call, leg, attempt } = answered[0]!;
    world.tell({ kind: 'answer', call, leg, attempt });
    assert.deepEqual(alice.waiting, ['200']);
  });
});

describe('[SI-105] the best response', () => {
  const finals = (count: number, statuses: readonly number[]) => {
    const ringing = callPhones(count);
    for (const [index, status] of statuses.entries()) {
      ringing.phones[index]!.reply(ringing.invites[index]!, status, `Status ${status}`, { tag: `t${index}` });
      assert.equal(ringing.phones[index]!.incoming('ACK').method, 'ACK');
    }
    return ringing;
  };

  for (const [statuses, best] of [
    [[486, 404], 486],
    [[500, 480], 480],
    [[486, 600], 486],
    [[604], 604],
    [[486, 415], 415],
    [[302, 486], 302],
    [[503], 500],
  ] as const) {
    test(`of ${statuses.join(' and ')} it is ${best}`, () => {
      const { alice } = finals(statuses.length, statuses);
      assert.deepEqual(alice.waiting, [String(best)]);
    });
  }

  test('603 ends the call at once, and the other device is cancelled', () => {
    const { alice, phones, invites } = callPhones(2);
    phones[1]!.reply(invites[1]!, 180, 'Ringing', { tag: 'b' });
    phones[0]!.reply(invites[0]!, 603, 'Decline', { tag: 'a' });
    assert.deepEqual(alice.waiting, ['180', '603']);
    assert.match(phones[1]!.take().header('Reason') ?? '', /cause=603/);
    phones[0]!.incoming('ACK');
  });

  test('a 302 goes to the caller with its Contact, and nobody else is called', () => {
    const { alice, phones, invites } = callPhones(1);
    phones[0]!.reply(invites[0]!, 302, 'Moved', { headers: ['Contact: <sip:carol@other.test>'] });
    const moved = alice.response();
    assert.equal(moved.status, 302);
    assert.equal(moved.header('Contact'), '<sip:carol@other.test>');
  });

  test('challenges of all devices are told together', () => {
    const { alice, phones, invites } = callPhones(2);
    for (const index of [0, 1]) {
      const headers = [`WWW-Authenticate: Digest realm="device${index}", nonce="n"`];
      phones[index]!.reply(invites[index]!, 401, 'Unauthorized', { headers });
    }
    const challenge = alice.response();
    assert.equal(challenge.status, 401);
    assert.equal(challenge.headers('WWW-Authenticate').length, 2);
  });
});

describe('[SI-106] breadth and time', () => {
  test('Max-Breadth is divided, and a branch too many is refused with 440', () => {
    const { world, invites } = callPhones(2);
    const shares = invites.map((invite) => Number(invite.header('Max-Breadth')));
    assert.ok(shares.every((share) => share >= 1) && shares[0]! + shares[1]! <= 60, String(shares));
    assert.deepEqual(world.hub.take('leg-refused'), []);
    const narrow = new World();
    for (const index of [0, 1]) {
      const phone = narrow.connect(`198.51.100.${10 + index}`);
      phone.register('bob', { contactParams: `;+sip.instance="<urn:uuid:${index}>";expires=3600` });
    }
    const alice = narrow.datagrams('198.51.100.1');
    alice.ask('alice', 'INVITE', { headers: ['Max-Breadth: 1'] });
    assert.deepEqual(
      narrow.hub.take('leg-refused').map(({ status }) => status),
      [440],
    );
  });

  test('Timer C: a device that rings for ever is cancelled and counts as 408', () => {
    const { world, phones, invites } = callPhones(1);
    phones[0]!.reply(invites[0]!, 180, 'Ringing');
    world.pass(185_000);
    assert.deepEqual(phones[0]!.waiting, ['CANCEL']);
    assert.deepEqual(
      world.hub.take('leg-refused').map(({ status, reason }) => [status, reason]),
      [[408, 'Timer C']],
    );
  });

  test('a device that never says anything as long as the call waits is unreachable', () => {
    const { world } = callPhones(1);
    world.pass(33_000);
    assert.deepEqual(world.hub.take('leg-unreachable'), []);
    world.pass(200_000);
    assert.deepEqual(
      world.hub.take('leg-unreachable').map(({ reason }) => reason),
      ['timeout'],
    );
  });
});

test('[SI-107] a flow that is lost while ringing: the 2xx of the old branch is taken on the new flow', () => {
  const { world, alice, phones, invites } = callPhones(1);
  const params = ';+sip.instance="<urn:uuid:0>";expires=3600';
  phones[0]!.reply(invites[0]!, 180, 'Ringing');
  assert.equal(alice.response().status, 180);
  phones[0]!.close();
  world.hub.isTalking = false;
  const again = world.connect('198.51.100.10');
  again.ask('bob', 'REGISTER', {
    uri: `sip:${DOMAIN}`,
    from: `sip:bob@${DOMAIN}`,
    to: `sip:bob@${DOMAIN}`,
    callId: 'run0',
    cseq: 5,
    contact: `<sip:bob@${again.hostPort}>${params}`,
  });
  const [bind] = world.hub.take('bind').slice(-1);
  const { aor, run, cseq, flow, changes } = bind!;
  const binding = { ...changes[0]!, aor, run, cseq, flow, expiresMs: world.now.wall + 3_600_000 };
  world.tell({ kind: 'bound', ticket: bind!.ticket, bindings: [binding] });
  assert.equal(again.response().status, 200);
  again.reply(invites[0]!, 200, 'OK');
  const [answered] = world.hub.take('leg-answered');
  assert.equal(answered?.attempt, 1);
  world.tell({ kind: 'answer', call: answered!.call, leg: answered!.leg, attempt: answered!.attempt });
  assert.equal(alice.response().status, 200);
});

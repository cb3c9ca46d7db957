/** Scenes that many tests of calls begin with. */
import assert from 'node:assert/strict';
import type { SipRequest, SipResponse } from '../../../src/wire/sip/index.js';
import { type Peer, textOf, type World } from './world.js';

export const instanceParams =
  ';+sip.instance="<urn:uuid:11111111-1111-1111-1111-111111111111>";reg-id=1;expires=3600';
export const sdp =
  'v=0\r\no=- 0 0 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n';

/** Bob's phone, registered with outbound on a stream. */
export function bobAwake(world: World, address = '198.51.100.2'): Peer {
  const bob = world.connect(address);
  const ok = bob.register('bob', { headers: ['Supported: outbound, path'], contactParams: instanceParams });
  assert.equal(ok.status, 200, textOf(ok));
  return bob;
}

/** The route set that a caller takes from a 2xx, as Route lines. */
export function callerRoutes(response: SipResponse): string {
  return `Route: ${response.headers('Record-Route').toReversed().join(', ')}`;
}

/** The route set that a callee takes from an INVITE, as Route lines. */
export function calleeRoutes(invite: SipRequest): string {
  return `Route: ${invite.headers('Record-Route').join(', ')}`;
}

export interface Established {
  readonly invite: SipRequest;
  readonly ok: SipResponse;
}

/** Alice's INVITE is offered to Bob, who rings and answers. */
export function establish(alice: Peer, bob: Peer): Established {
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

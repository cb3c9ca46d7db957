/** Places, the tokens that carry them, and what names us in Record-Route. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Prng } from '../../../src/base/index.js';
import type { SipCrypto } from '../../../src/session/sip/index.js';
import { recordRouteOf } from '../../../src/session/sip/messages.js';
import { formatPlace, parsePlace, PlaceTokens, type Place } from '../../../src/session/sip/proxy/place.js';

const crypto: SipCrypto = {
  sha256: (data) => data,
  md5: (data) => data,
  hmacSha256: (key, data) => Uint8Array.from(createHmac('sha256', key).update(data).digest()),
  randomBytes: (count) => new Uint8Array(count),
};

const places: readonly Place[] = [
  { kind: 'instance', aor: 'jürgen@home.test', instance: 'urn:uuid:1' },
  { kind: 'trunk', name: 'pbx', hop: 'sip:192.0.2.10;transport=tcp', flow: 7, life: 'ab' },
  { kind: 'datagram', listener: 1, address: '2001:db8::1', port: 5060 },
  { kind: 'stream', flow: 12, life: 'ab' },
];

test('[SI-109] a place survives as text and as a token, with the call that it belongs to', () => {
  const tokens = new PlaceTokens(crypto, new Uint8Array(32).fill(3));
  for (const place of places) {
    assert.deepEqual(parsePlace(formatPlace(place)), place);
    assert.deepEqual(tokens.read(tokens.sign(place, 'c1'), 'c1'), { place, call: undefined });
    const token = tokens.sign(place, 'c1', 'f'.repeat(32));
    assert.match(token, /^[\w-]+$/);
    for (const other of ['', 'c', 'c11', 'C1']) assert.equal(tokens.read(token, other), undefined);
    assert.deepEqual(tokens.read(token, 'c1'), { place, call: 'f'.repeat(32) });
  }
  assert.equal(parsePlace('x\0y'), undefined);
});

test('[SI-109] a token with any character changed, cut or added is none', () => {
  const seed = 11;
  const prng = new Prng(seed);
  const tokens = new PlaceTokens(crypto, new Uint8Array(32).fill(3));
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=%';
  for (const place of places) {
    const token = tokens.sign(place, 'c1');
    for (let index = 0; index < token.length; index++) {
      const other = alphabet[prng.nextInteger(0, alphabet.length - 1)]!;
      if (other === token[index]) continue;
      const changed = token.slice(0, index) + other + token.slice(index + 1);
      assert.equal(tokens.read(changed, 'c1'), undefined, `seed ${seed}, ${index}`);
      assert.equal(tokens.read(token.slice(0, index), 'c1'), undefined);
    }
    assert.equal(tokens.read(`${token}A`, 'c1'), undefined);
  }
});

test('[SI-100] Record-Route is sips where the Request-URI is and the transport is secure', () => {
  const tls = { transport: 'tls', host: 'edge.test', port: 5061 } as const;
  assert.equal(recordRouteOf(tls, 'T', 'sip:bob@home.test'), '<sip:T@edge.test:5061;transport=tls;lr>');
  assert.equal(recordRouteOf(tls, 'T', 'sips:bob@home.test'), '<sips:T@edge.test:5061;transport=tcp;lr>');
  const ws = { transport: 'wss', host: 'edge.test', port: 443 } as const;
  assert.equal(recordRouteOf(ws, 'T', 'sip:bob@home.test'), '<sip:T@edge.test:443;transport=ws;lr>');
  const udp = { transport: 'udp', host: '192.0.2.1', port: 5060 } as const;
  assert.equal(recordRouteOf(udp, 'T', 'sips:bob@home.test'), '<sip:T@192.0.2.1:5060;lr>');
});

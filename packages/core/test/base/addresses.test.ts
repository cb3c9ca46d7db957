import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limitKey, limitKeyOfPeer, plainAddress } from '../../src/base/index.js';

describe('addresses', () => {
  test('an IPv4 address over IPv6 is the IPv4 address', () => {
    assert.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1');
    assert.equal(plainAddress('::ffff:c000:201'), '::ffff:c000:201');
    assert.equal(plainAddress('fe80::1%eth0'), 'fe80::1');
    assert.equal(plainAddress('192.0.2.1'), '192.0.2.1');
  });

  test('IPv6 is counted by its /64, however it is written', () => {
    const expected = '2001:db8:0:1::/64';
    for (const address of [
      '2001:db8:0:1::1',
      '2001:db8:0:1:ffff::',
      '2001:0db8:0000:0001:2:3:4:5',
      '2001:db8::1:2:3:4:5',
    ]) {
      assert.equal(limitKey(address), expected, address);
      assert.equal(limitKeyOfPeer(`[${address}]:4711`), expected, address);
    }
    assert.equal(limitKey('::1'), '0:0:0:0::/64');
    assert.equal(limitKey('192.0.2.1'), '192.0.2.1');
    assert.equal(limitKey('::ffff:192.0.2.1'), '192.0.2.1');
  });

  test('a peer is counted without its port', () => {
    assert.equal(limitKeyOfPeer('192.0.2.1:80'), '192.0.2.1');
    assert.equal(limitKeyOfPeer('[::ffff:192.0.2.1]:80'), '192.0.2.1');
    assert.equal(limitKeyOfPeer('192.0.2.1'), '192.0.2.1');
  });
});

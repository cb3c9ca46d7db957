import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AddressList } from '../../src/listeners/addresses.js';
import { isLocalRequest } from '../../src/listeners/browser-guard.js';
import { clientAddress } from '../../src/listeners/http-listener.js';

describe('addresses', () => {
  it('a list has addresses and networks of both families', () => {
    const list = new AddressList(['192.0.2.1', '10.0.0.0/8', '2001:db8::/32', 'nonsense']);
    for (const address of ['192.0.2.1', '::ffff:192.0.2.1', '10.9.8.7', '2001:db8:1::1']) {
      assert.equal(list.has(address), true, address);
    }
    for (const address of ['192.0.2.2', '11.0.0.1', '2001:db9::1', ''])
      assert.equal(list.has(address), false);
    assert.equal(new AddressList([]).isEmpty, true);
  });
});

describe('X-Forwarded-For', () => {
  const proxies = new AddressList(['10.0.0.0/8']);

  it('is not believed from a peer that is no proxy', () => {
    assert.equal(clientAddress('192.0.2.9', '198.51.100.1', proxies), '192.0.2.9');
  });

  it('counts from the right, past the proxies; what the client claims itself is not looked at', () => {
    assert.equal(clientAddress('10.0.0.1', '203.0.113.5, 198.51.100.1, 10.0.0.2', proxies), '198.51.100.1');
    assert.equal(clientAddress('10.0.0.1', '198.51.100.1', proxies), '198.51.100.1');
    assert.equal(clientAddress('10.0.0.1', '198.51.100.1, rubbish', proxies), '10.0.0.1');
    assert.equal(clientAddress('10.0.0.1', undefined, proxies), '10.0.0.1');
  });
});

describe('browser guard', () => {
  it('programs and pages of this machine pass', () => {
    for (const headers of [
      {},
      { host: '127.0.0.1:8600' },
      { host: 'localhost:8600', origin: 'http://localhost:5173' },
      { host: '[::1]:8600', origin: 'http://[::1]' },
    ]) {
      assert.equal(isLocalRequest(headers), true, JSON.stringify(headers));
    }
  });

  it('foreign pages do not, neither by their origin nor by a rebound name', () => {
    for (const headers of [
      { host: '127.0.0.1:8600', origin: 'https://evil.example' },
      { host: 'evil.example:8600' },
      { host: 'evil.example:8600', origin: 'http://evil.example:8600' },
      { host: '127.0.0.1:8600', origin: 'null' },
      { host: '127.0.0.1:8600', origin: 'http://127.0.0.1.evil.example' },
      { host: '127.0.0.1:8600', origin: '' },
    ]) {
      assert.equal(isLocalRequest(headers), false, JSON.stringify(headers));
    }
  });
});

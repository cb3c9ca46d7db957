import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  formatChallenge,
  formatCredentials,
  offeredQops,
  parseChallenge,
  parseCredentials,
} from '../../../src/wire/sip/index.js';

describe('[SI-11] challenges and credentials', () => {
  test('a challenge comes back, with quotes where they belong', () => {
    const fields = new Map([
      ['realm', 'exa"mple'],
      ['nonce', 'abc='],
      ['algorithm', 'SHA-256'],
      ['qop', 'auth'],
      ['stale', 'true'],
    ]);
    const text = formatChallenge({ scheme: 'digest', fields });
    assert.equal(text, 'Digest realm="exa\\"mple", nonce="abc=", algorithm=SHA-256, qop="auth", stale=true');
    assert.deepEqual(parseChallenge(text), { scheme: 'digest', fields });
  });

  test('credentials come back', () => {
    const fields = new Map([
      ['username', 'bob'],
      ['realm', 'r'],
      ['nonce', 'n'],
      ['uri', 'sip:r;x=1'],
      ['response', '0123456789abcdef'],
      ['qop', 'auth'],
      ['nc', '00000001'],
      ['cnonce', 'c,d'],
    ]);
    const text = formatCredentials({ scheme: 'digest', fields });
    assert.match(text, /qop=auth, nc=00000001, cnonce="c,d"$/);
    assert.deepEqual(parseCredentials(text), { scheme: 'digest', fields });
  });

  test('white space, case, and several qualities', () => {
    const challenge = parseChallenge('DIGEST  Realm = "r" ,nonce="n",QOP="auth-int, AUTH" , x=y');
    assert.equal(challenge?.scheme, 'digest');
    assert.equal(challenge?.fields.get('realm'), 'r');
    assert.deepEqual(offeredQops(challenge!), ['auth-int', 'auth']);
    assert.deepEqual(offeredQops(parseChallenge('Digest realm="r"')!), []);
  });

  test('what is malformed', () => {
    for (const text of [
      '',
      'Digest realm="r',
      'Digest realm',
      'Digest ,',
      'Digest a=b c=d',
      '"x"',
      'Digest a=',
    ]) {
      assert.equal(parseCredentials(text), undefined, text);
    }
  });
});

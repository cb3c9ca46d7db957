import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { Prng, type InstantMs } from '../../../src/base/index.js';
import type { SipUser } from '../../../src/domain/index.js';
import { digestResponse } from '../../../src/session/sip/digest/digest-response.js';
import { AddressBudget } from '../../../src/session/address-budget.js';
import {
  DigestClient,
  DigestVerifier,
  ha1Of,
  type DigestAlgorithm,
} from '../../../src/session/sip/digest/index.js';
import { Nonces } from '../../../src/session/sip/digest/nonces.js';
import type { SipCrypto } from '../../../src/session/sip/machine.js';
import { parseChallenge, parseCredentials } from '../../../src/wire/sip/index.js';

const prng = new Prng(8_760);
const crypto: SipCrypto = {
  sha256: (data) => new Uint8Array(createHash('sha256').update(data).digest()),
  md5: (data) => new Uint8Array(createHash('md5').update(data).digest()),
  hmacSha256: (key, data) => new Uint8Array(createHmac('sha256', key).update(data).digest()),
  randomBytes: (count) => Uint8Array.from({ length: count }, () => prng.nextInteger(0, 255)),
};
const key = new Uint8Array(32).fill(7);
const realm = 'example.org';
const at = (ms: number): InstantMs => ({ monotonic: ms, wall: 1_700_000_000_000 + ms });

const alice: SipUser = {
  aor: 'alice@example.org',
  ha1: { 'sha-256': ha1Of(crypto, 'sha-256', 'alice', realm, 'secret') },
  devices: [],
};
const bob: SipUser = {
  aor: 'bob@example.org',
  ha1: {
    'sha-256': ha1Of(crypto, 'sha-256', 'bob', realm, 'hush'),
    md5: ha1Of(crypto, 'md5', 'bob', realm, 'hush'),
  },
  devices: [],
};

function verifier(
  failuresMax = 20,
  algorithms: readonly DigestAlgorithm[] = ['sha-256'],
  more: readonly SipUser[] = [],
): DigestVerifier {
  return new DigestVerifier({
    crypto,
    key,
    algorithms,
    findUser: (aor) => [alice, bob, ...more].find((user) => user.aor === aor),
    nonceMsMax: 300_000,
    noncesMax: 1_000,
    failedLogins: { perAddressMax: failuresMax, totalMax: 1_000, addressesMax: 100 },
  });
}

const uri = 'sip:example.org';
const address = '192.0.2.7';
const attempt = (credentials: string | undefined, method = 'REGISTER', from = address) => ({
  method,
  credentials: credentials === undefined ? [] : [parseCredentials(credentials)!],
  realm,
  address: from,
});

function clientFor(username: string, password: string, challenge: string): DigestClient {
  const client = new DigestClient({ crypto, username, password });
  assert.equal(client.handleChallenge([challenge], false), true);
  return client;
}

describe('digests', () => {
  test('[SI-60] the examples of RFC 7616 §3.9.1, with SHA-256 and MD5', () => {
    const responses = {
      'sha-256': '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1',
      md5: '8ca523f5e9506fed4657c9700eebdbec',
    } as const;
    for (const algorithm of ['sha-256', 'md5'] as const) {
      const response = digestResponse(crypto, {
        algorithm,
        ha1: ha1Of(crypto, algorithm, 'Mufasa', 'http-auth@example.org', 'Circle of Life'),
        nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
        method: 'GET',
        uri: '/dir/index.html',
        protection: { nc: '00000001', cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ' },
      });
      assert.equal(response, responses[algorithm]);
    }
  });

  test('[SI-60] the example of RFC 2617 §3.5, and the same without qop as RFC 2069 has it', () => {
    const parts = {
      algorithm: 'md5',
      ha1: ha1Of(crypto, 'md5', 'Mufasa', 'testrealm@host.com', 'Circle Of Life'),
      nonce: 'dcd98b7102dd2f0e8b11d0f600bfb0c093',
      method: 'GET',
      uri: '/dir/index.html',
    } as const;
    assert.equal(
      digestResponse(crypto, { ...parts, protection: { nc: '00000001', cnonce: '0a4f113b' } }),
      '6629fae49393a05397450978507c4ef1',
    );
    assert.equal(
      digestResponse(crypto, { ...parts, protection: undefined }),
      '670fd8c2df070c60b045671b8b24ff02',
    );
  });

  test('[SI-60] everybody is asked for the same, the best algorithm first', () => {
    for (const [algorithms, tokens] of [
      [['sha-256'], ['SHA-256']],
      [['md5'], ['MD5']],
      [
        ['sha-256', 'md5'],
        ['SHA-256', 'MD5'],
      ],
    ] as const) {
      const values = verifier(20, algorithms).challenges(at(0), realm, address, false);
      assert.deepEqual(
        values.map((value) => parseChallenge(value)!.fields.get('algorithm')),
        tokens,
      );
      for (const value of values) {
        const { scheme, fields } = parseChallenge(value)!;
        assert.equal(scheme, 'digest');
        assert.equal(fields.get('realm'), realm);
        assert.equal(fields.get('qop'), 'auth');
        assert.equal(fields.has('stale'), false);
      }
    }
  });

  test('[SI-60] an answer by an algorithm that nobody was asked for proves nothing', () => {
    const digests = verifier(20, ['sha-256']);
    const [challenge] = digests.challenges(at(0), realm, address, false);
    const b = clientFor('bob', 'hush', challenge!.replace('SHA-256', 'MD5'));
    assert.deepEqual(digests.verify(at(1), attempt(b.authorize('REGISTER', uri))), {
      kind: 'challenge',
      stale: false,
      failure: { kind: 'wrong' },
    });
  });

  test('[SI-140] a user whose password was made without an algorithm fails by it, and the reason has a name', () => {
    const carol: SipUser = { ...bob, aor: `carol@${realm}`, ha1: { md5: bob.ha1.md5! } };
    const verdictOf = (username: string, asked: readonly DigestAlgorithm[], index: number) => {
      const digests = verifier(20, asked, [carol]);
      const challenge = digests.challenges(at(0), realm, address, false)[index]!;
      const client = clientFor(username, 'hush', challenge);
      return digests.verify(at(1), attempt(client.authorize('REGISTER', uri)));
    };
    for (const asked of [['sha-256'], ['sha-256', 'md5']] as const) {
      assert.deepEqual(verdictOf('carol', asked, 0), {
        kind: 'challenge',
        stale: false,
        failure: { kind: 'no-hash', user: carol, algorithm: 'sha-256' },
      });
    }
    const wrong = { kind: 'challenge', stale: false, failure: { kind: 'wrong' } };
    assert.deepEqual(verdictOf('carol', ['sha-256', 'md5'], 1), wrong, 'it is kept, and of another password');
    assert.deepEqual(verdictOf('nobody', ['sha-256'], 0), wrong);
  });

  test('[SI-140] it counts as any failure does', () => {
    const carol: SipUser = { ...bob, aor: `carol@${realm}`, ha1: { md5: bob.ha1.md5! } };
    const digests = verifier(2, ['sha-256'], [carol]);
    const kinds = [1, 2, 3].map((ms) => {
      const client = clientFor('carol', 'hush', digests.challenges(at(ms), realm, address, false)[0]!);
      return digests.verify(at(ms), attempt(client.authorize('REGISTER', uri))).kind;
    });
    assert.deepEqual(kinds, ['challenge', 'challenge', 'blocked']);
  });

  test('[SI-60] whoever knows the password is let in, by either algorithm that was asked for', () => {
    const digests = verifier(20, ['sha-256', 'md5']);
    const a = clientFor('alice', 'secret', digests.challenges(at(0), realm, address, false)[0]!);
    assert.deepEqual(digests.verify(at(1), attempt(a.authorize('REGISTER', uri))), {
      kind: 'proved',
      user: alice,
    });
    assert.deepEqual(digests.verify(at(2), attempt(a.authorize('REGISTER', uri))), {
      kind: 'proved',
      user: alice,
    });
    const b = clientFor('bob', 'hush', digests.challenges(at(0), realm, address, false)[0]!);
    assert.deepEqual(digests.verify(at(3), attempt(b.authorize('INVITE', uri), 'INVITE')), {
      kind: 'proved',
      user: bob,
    });
    const c = clientFor('bob', 'hush', digests.challenges(at(0), realm, address, false)[1]!);
    assert.equal(digests.verify(at(4), attempt(c.authorize('REGISTER', uri))).kind, 'proved');
  });

  test('[SI-60] credentials for another method, realm or scheme do not count', () => {
    const digests = verifier();
    const client = clientFor('alice', 'secret', digests.challenges(at(0), realm, address, false)[0]!);
    const credentials = client.authorize('REGISTER', uri)!;
    const asked = { kind: 'challenge', stale: false, failure: { kind: 'wrong' } } as const;
    assert.deepEqual(digests.verify(at(1), attempt(credentials, 'INVITE')), asked);
    const unasked = { kind: 'challenge', stale: false, failure: undefined } as const;
    assert.deepEqual(digests.verify(at(1), attempt(credentials.replace(realm, 'else.example'))), unasked);
    assert.deepEqual(digests.verify(at(1), attempt('Bearer token=x')), unasked);
    assert.deepEqual(digests.verify(at(1), attempt(undefined)), unasked);
  });

  test('[SI-60] credentials without what a challenge of ours asks for are malformed', () => {
    const digests = verifier();
    const client = clientFor('alice', 'secret', digests.challenges(at(0), realm, address, false)[0]!);
    const credentials = client.authorize('REGISTER', uri)!;
    for (const without of ['username', 'nonce', 'uri', 'response', 'nc', 'cnonce', 'qop']) {
      const rest = credentials
        .replace(new RegExp(`[ ,]+${without}=("[^"]*"|[^,]*)`), ' ')
        .replace('Digest ,', 'Digest ');
      assert.equal(digests.verify(at(1), attempt(rest)).kind, 'malformed', `without ${without}: ${rest}`);
    }
    const short = credentials.replace('nc=00000001', 'nc=1');
    assert.equal(digests.verify(at(1), attempt(short)).kind, 'malformed');
    const integrity = credentials.replace('qop=auth', 'qop=auth-int');
    assert.equal(digests.verify(at(1), attempt(integrity)).kind, 'malformed');
  });
});

describe('nonces', () => {
  test('[SI-61] one that is too old or from before a change of the key is stale, and nothing is told of the password', () => {
    const digests = verifier();
    const client = clientFor('alice', 'secret', digests.challenges(at(0), realm, address, false)[0]!);
    const late = digests.verify(at(300_001), attempt(client.authorize('REGISTER', uri)));
    assert.deepEqual(late, { kind: 'challenge', stale: true, failure: undefined });
    const stale = digests.challenges(at(300_001), realm, address, true)[0]!;
    assert.equal(parseChallenge(stale)!.fields.get('stale'), 'true');
    assert.equal(client.handleChallenge([stale], true), true);
    assert.equal(digests.verify(at(300_002), attempt(client.authorize('REGISTER', uri))).kind, 'proved');

    const forged = clientFor(
      'alice',
      'secret',
      `Digest realm="${realm}", nonce="AAAA", algorithm=SHA-256, qop="auth"`,
    );
    const verdict = digests.verify(at(1), attempt(forged.authorize('REGISTER', uri)));
    assert.deepEqual(verdict, { kind: 'challenge', stale: true, failure: undefined });
    const wrong = clientFor('alice', 'wrong', digests.challenges(at(0), realm, address, false)[0]!);
    const refused = digests.verify(at(300_001), attempt(wrong.authorize('REGISTER', uri)));
    assert.deepEqual(refused, { kind: 'challenge', stale: true, failure: undefined });
  });

  test('[SI-61] one that was asked for from another address is stale: nobody fails in the name of somebody else', () => {
    const digests = verifier(3);
    const asked = digests.challenges(at(0), realm, '203.0.113.9', false)[0]!;
    // A datagram says that it comes from anywhere, and no answer comes back to tell a nonce of there.
    for (let count = 0; count < 50; count++) {
      const guess = clientFor('alice', `guess ${count}`, asked).authorize('REGISTER', uri);
      const verdict = digests.verify(at(1), attempt(guess));
      assert.deepEqual(verdict, { kind: 'challenge', stale: true, failure: undefined });
    }
    const right = clientFor('alice', 'secret', digests.challenges(at(2), realm, address, false)[0]!);
    assert.equal(digests.verify(at(2), attempt(right.authorize('REGISTER', uri))).kind, 'proved');
  });

  test('[SI-64] addresses of one /64 count as one', () => {
    const digests = verifier(3);
    const from = (host: number): string => `2001:db8:0:1::${host}`;
    for (let host = 1; host <= 3; host++) {
      const wrong = clientFor('alice', 'wrong', digests.challenges(at(0), realm, from(host), false)[0]!);
      const verdict = digests.verify(
        at(0),
        attempt(wrong.authorize('REGISTER', uri), 'REGISTER', from(host)),
      );
      assert.equal(verdict.kind, 'challenge');
    }
    const next = clientFor('alice', 'guess', digests.challenges(at(0), realm, from(9), false)[0]!);
    const verdict = digests.verify(at(0), attempt(next.authorize('REGISTER', uri), 'REGISTER', from(9)));
    assert.equal(verdict.kind, 'blocked');
  });

  test('[SI-61] a nonce costs no memory until it is used, is unlike any other, and is not to be changed', () => {
    const nonces = new Nonces({ crypto, key, nonceMsMax: 1_000, noncesMax: 10 });
    const made = new Set(Array.from({ length: 1_000 }, () => nonces.make(at(0), realm)));
    assert.equal(made.size, 1_000);
    assert.equal(nonces.size, 0);
    const [nonce] = made;
    assert.equal(nonces.check(at(1_000), nonce!, realm), 'fresh');
    assert.equal(nonces.check(at(1_001), nonce!, realm), 'stale');
    assert.equal(nonces.check(at(-1), nonce!, realm), 'stale');
    assert.equal(nonces.check(at(0), nonce!, 'else.example'), 'foreign');
    const other = new Nonces({ crypto, key: new Uint8Array(32), nonceMsMax: 1_000, noncesMax: 10 });
    assert.equal(other.check(at(0), nonce!, realm), 'foreign');
    for (let index = 0; index < nonce!.length; index++) {
      const changed = nonce!.slice(0, index) + (nonce![index] === 'A' ? 'B' : 'A') + nonce!.slice(index + 1);
      assert.notEqual(nonces.check(at(0), changed, realm), 'fresh', `changed at ${index}`);
    }
  });

  test('[SI-62] each count of a nonce is taken once, in any order within a window of 32', () => {
    const nonces = new Nonces({ crypto, key, nonceMsMax: 1_000, noncesMax: 10 });
    const nonce = nonces.make(at(0), realm);
    const take = (count: number): boolean => nonces.take(at(0), nonce, realm, count);
    assert.deepEqual([1, 1, 3, 2, 2, 3].map(take), [true, false, true, true, false, false]);
    assert.deepEqual([40, 40, 9, 8, 9, 39].map(take), [true, false, true, false, false, true]);
    assert.deepEqual([0xffff_ffff, 0xffff_ffff, 41].map(take), [true, false, false]);
  });

  test('[SI-62] when too many are remembered the first is forgotten, and nothing as old is taken', () => {
    const nonces = new Nonces({ crypto, key, nonceMsMax: 1_000, noncesMax: 2 });
    const made = [0, 1, 2, 3].map((ms) => nonces.make(at(ms), realm));
    assert.equal(nonces.take(at(5), made[1]!, realm, 1), true);
    assert.equal(nonces.take(at(5), made[2]!, realm, 1), true);
    assert.equal(nonces.take(at(5), made[3]!, realm, 1), true);
    assert.equal(nonces.size, 2);
    assert.equal(nonces.take(at(5), made[1]!, realm, 2), false, 'forgotten');
    assert.equal(nonces.take(at(5), made[0]!, realm, 1), false, 'as old as that');
    assert.equal(nonces.take(at(5), made[3]!, realm, 2), true);
    nonces.take(at(2_000), nonces.make(at(2_000), realm), realm, 1);
    assert.equal(nonces.size, 1, 'what is too old anyway is not kept');
  });

  test('[SI-62] the clock is set back: nonces that were forgotten before it make no new one stale', () => {
    const nonces = new Nonces({ crypto, key, nonceMsMax: 1_000, noncesMax: 2 });
    const take = (ms: number, nonce = nonces.make(at(ms), realm)) => nonces.take(at(ms), nonce, realm, 1);
    assert.deepEqual(
      [9_001, 9_002, 9_003, 9_004].map((ms) => take(ms)),
      [true, true, true, true],
    );
    const old = nonces.make(at(5_000), realm);
    assert.equal(take(5_000), false, 'whatever was issued by then may have been forgotten');
    assert.deepEqual(
      [5_001, 5_002, 5_003].map((ms) => take(ms)),
      [true, true, true],
    );
    assert.equal(nonces.take(at(5_004), old, realm, 1), false);
  });

  test('[SI-62] credentials that were overheard are asked for again', () => {
    const digests = verifier();
    const client = clientFor('alice', 'secret', digests.challenges(at(0), realm, address, false)[0]!);
    const credentials = client.authorize('INVITE', uri);
    assert.equal(digests.verify(at(1), attempt(credentials, 'INVITE')).kind, 'proved');
    assert.deepEqual(digests.verify(at(2), attempt(credentials, 'INVITE', '203.0.113.9')), {
      kind: 'challenge',
      stale: true,
      failure: undefined,
    });
  });
});

describe('failures', () => {
  test('[SI-63] an unknown user and a wrong password have the same answer, after the same work', () => {
    const works: string[][] = [];
    for (const username of ['alice', 'nobody']) {
      const work: string[] = [];
      const counted: SipCrypto = {
        sha256: (data) => (work.push(`sha256 ${data.length > 0}`), crypto.sha256(data)),
        md5: (data) => (work.push('md5'), crypto.md5(data)),
        hmacSha256: (mac, data) => (work.push('hmac'), crypto.hmacSha256(mac, data)),
        randomBytes: (count) => crypto.randomBytes(count),
      };
      const digests = new DigestVerifier({
        crypto: counted,
        key,
        algorithms: ['sha-256'],
        findUser: (aor) => (aor === alice.aor ? alice : undefined),
        nonceMsMax: 300_000,
        noncesMax: 1_000,
        failedLogins: { perAddressMax: 20, totalMax: 1_000, addressesMax: 100 },
      });
      const client = clientFor(username, 'wrong', digests.challenges(at(0), realm, address, false)[0]!);
      work.length = 0;
      const verdict = digests.verify(at(1), attempt(client.authorize('REGISTER', uri)));
      assert.deepEqual(verdict, { kind: 'challenge', stale: false, failure: { kind: 'wrong' } });
      works.push(work);
    }
    assert.deepEqual(works[0], works[1]);
  });

  test('[SI-64] an address that failed too often is not listened to, until its failures fade', () => {
    const digests = verifier(3);
    const wrong = clientFor('alice', 'wrong', digests.challenges(at(0), realm, address, false)[0]!);
    for (let count = 0; count < 3; count++) {
      assert.equal(digests.verify(at(0), attempt(wrong.authorize('REGISTER', uri))).kind, 'challenge');
    }
    const right = clientFor('alice', 'secret', digests.challenges(at(0), realm, address, false)[0]!);
    assert.equal(digests.verify(at(0), attempt(right.authorize('REGISTER', uri))).kind, 'blocked');
    const there = '192.0.2.99';
    const other = clientFor('alice', 'secret', digests.challenges(at(0), realm, there, false)[0]!);
    const elsewhere = attempt(other.authorize('REGISTER', uri), 'REGISTER', there);
    assert.equal(digests.verify(at(0), elsewhere).kind, 'proved');
    assert.equal(digests.verify(at(20_000), attempt(right.authorize('REGISTER', uri))).kind, 'proved');
  });

  test('[SI-64] all addresses together are bounded, and so is what is remembered of them', () => {
    const logins = new AddressBudget(2, 10, 3);
    for (let count = 0; count < 5; count++) logins.take(at(0), `192.0.2.${count}`);
    assert.equal(logins.addressCount, 3);
    assert.equal(logins.isSpent(at(0), '192.0.2.77'), false);
    for (let count = 0; count < 5; count++) logins.take(at(0), `192.0.2.${count}`);
    assert.equal(logins.isSpent(at(0), '192.0.2.77'), true);
    assert.equal(logins.isSpent(at(60_000), '192.0.2.77'), false);
    logins.take(at(120_000), '192.0.2.1');
    assert.equal(logins.addressCount, 1);
  });
});

describe('at a trunk', () => {
  const challenge = (extra = ''): string =>
    `Digest realm="pbx.example", nonce="n1", algorithm=MD5, qop="auth,auth-int"${extra}`;

  test('[SI-65] the first challenge that is known here is answered, with its opaque and a count that grows', () => {
    const client = new DigestClient({ crypto, username: 'w', password: 'p' });
    assert.equal(client.authorize('INVITE', uri), undefined);
    const others = [
      'Basic realm="x"',
      'Digest realm="pbx.example", nonce="n0", algorithm=SHA-512-256, qop="auth"',
    ];
    assert.equal(client.handleChallenge([...others, challenge(', opaque="o"')], false), true);
    const first = parseCredentials(client.authorize('INVITE', uri)!)!.fields;
    assert.equal(first.get('algorithm'), 'MD5');
    assert.equal(first.get('opaque'), 'o');
    assert.equal(first.get('nc'), '00000001');
    assert.equal(first.get('uri'), uri);
    const expected = digestResponse(crypto, {
      algorithm: 'md5',
      ha1: ha1Of(crypto, 'md5', 'w', 'pbx.example', 'p'),
      nonce: 'n1',
      method: 'INVITE',
      uri,
      protection: { nc: '00000001', cnonce: first.get('cnonce')! },
    });
    assert.equal(first.get('response'), expected);
    assert.equal(parseCredentials(client.authorize('INVITE', uri)!)!.fields.get('nc'), '00000002');
  });

  test('[SI-65] without qop it answers as RFC 2069; with a session algorithm HA1 is bound to the nonce', () => {
    const old = clientFor('w', 'p', 'Digest realm="pbx.example", nonce="n1"');
    const fields = parseCredentials(old.authorize('REGISTER', uri)!)!.fields;
    assert.deepEqual([...fields.keys()], ['username', 'realm', 'nonce', 'uri', 'response']);
    const session = clientFor(
      'w',
      'p',
      'Digest realm="pbx.example", nonce="n1", algorithm=MD5-sess, qop="auth"',
    );
    const answer = parseCredentials(session.authorize('REGISTER', uri)!)!.fields;
    assert.equal(answer.get('algorithm'), 'MD5-sess');
    const cnonce = answer.get('cnonce')!;
    const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
    const ha1 = md5(`${md5('w:pbx.example:p')}:n1:${cnonce}`);
    assert.equal(answer.get('response'), md5(`${ha1}:n1:00000001:${cnonce}:auth:${md5(`REGISTER:${uri}`)}`));
  });

  test('[SI-65] a fresh nonce that is refused ends trying; an old one, or a stale one, does not', () => {
    const client = clientFor('w', 'p', challenge());
    client.authorize('INVITE', uri);
    assert.equal(client.handleChallenge([challenge(', stale=true')], true), true);
    client.authorize('INVITE', uri);
    client.authorize('INVITE', uri);
    assert.equal(client.handleChallenge([challenge()], true), true, 'the nonce had been used before');
    client.authorize('INVITE', uri);
    assert.equal(client.handleChallenge([challenge()], true), false);
    assert.equal(client.hasChallenge, false);
    assert.equal(client.handleChallenge(['Digest realm="r", nonce="n", qop="auth-int"'], false), false);
  });
});

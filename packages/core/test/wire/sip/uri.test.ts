import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../fast-check.js';
import {
  addressBytes,
  areUrisEqual,
  canonicalHost,
  formatAddress,
  formatNameAddr,
  formatSipUri,
  formatVia,
  parseNameAddr,
  parseSipUri,
  parseUri,
  parseVia,
  withoutUriParameters,
  type SipUri,
} from '../../../src/wire/sip/index.js';
import { runs } from '../mqtt/helpers.js';

const SEED = 20_261_126;

function uri(text: string): SipUri {
  const parsed = parseSipUri(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

describe('[SI-5] URIs', () => {
  test('the parts of one', () => {
    const parsed = uri('SIPS:al%69ce:p%40ss@Example.COM:5061;transport=TCP;lr;x=%3b?Subject=a%20b&Route=c');
    assert.equal(parsed.scheme, 'sips');
    assert.equal(parsed.user, 'alice');
    assert.equal(parsed.password, 'p@ss');
    assert.equal(parsed.host, 'example.com');
    assert.equal(parsed.port, 5061);
    assert.deepEqual(
      [...parsed.params],
      [
        ['transport', 'TCP'],
        ['lr', undefined],
        ['x', ';'],
      ],
    );
    assert.equal(parsed.headers, 'Subject=a%20b&Route=c');
  });

  test('what is none', () => {
    const none = [
      '', 'sip', 'sip:', 'sip:@h', 'sip:a@', 'sip:a@b@c', 'sip:a b@h', 'sip:a@h:', 'sip:a@h:x', 'sip:a@h:65536',
      'sip:a@h;', 'sip:a@h;=x', 'sip:a@h;x=1;X=2', 'sip:a@h;x="y"', 'sip:a@[::1', 'sip:a@::1', 'sip:a@[1::2::3]',
      'sip:a@[g::]', 'sip:a%@h', 'sip:a%4@h', 'sip:a%ff@h', 'sip:a@h?', 'sip:a@-h', 'sip:a@h/x', 'sip:<a@h>', '<sip:a@h>',
      'sip:a@h\u0000', 'sip:é@h',
    ]; // prettier-ignore
    for (const text of none) assert.equal(parseUri(text), undefined, text);
  });

  test('other schemes keep their text', () => {
    assert.deepEqual(parseUri('TEL:+1-201-555-0123;phone-context=x'), {
      kind: 'other',
      scheme: 'tel',
      text: 'TEL:+1-201-555-0123;phone-context=x',
    });
    assert.equal(parseSipUri('tel:1'), undefined);
  });

  // The first two lists are those of RFC 3261 §19.1.4.
  const equal: readonly (readonly [string, string])[] = [
    ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;newparam=5'],
    ['sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com', 'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com'],
    ['sip:alice@atlanta.com?subject=project%20x&priority=urgent', 'sip:alice@atlanta.com?priority=urgent&subject=project%20x'],
    ['sip:a@[2001:db8::1]', 'sip:a@[2001:DB8:0:0:0:0:0:1]'],
    ['sip:a@h;x=%6a', 'sip:a@h;x=J'],
    ['sip:h', 'sip:H'],
  ]; // prettier-ignore
  const different: readonly (readonly [string, string])[] = [
    ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:6000;transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting'],
    ['sip:bob@phone21.boxesbybob.com', 'sip:bob@192.0.2.4'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;security=off'],
    ['sip:a@h', 'sips:a@h'],
    ['sip:a@h', 'sip:h'],
    ['sip:a;b@h', 'sip:a%3Bb@h'],
    ['sip:a@h', 'sip:a:b@h'],
    ['sip:a@h;user=phone', 'sip:a@h'],
    ['sip:a@h;maddr=x', 'sip:a@h'],
    ['sip:%00@h', 'sip:%00%00@h'],
  ];
  test('which are equal', () => {
    for (const [a, b] of equal) {
      assert.ok(areUrisEqual(uri(a), uri(b)), `${a} = ${b}`);
      assert.ok(areUrisEqual(uri(b), uri(a)), `${b} = ${a}`);
    }
    for (const [a, b] of different) {
      assert.ok(!areUrisEqual(uri(a), uri(b)), `${a} ≠ ${b}`);
      assert.ok(!areUrisEqual(uri(b), uri(a)), `${b} ≠ ${a}`);
    }
    assert.ok(areUrisEqual(parseUri('tel:1')!, parseUri('tel:1')!));
    assert.ok(!areUrisEqual(parseUri('tel:1')!, parseUri('sip:h')!));
  });

  test('[SI-7] the push parameters of a Contact, escaped and taken out again', () => {
    const endpoint = 'https://push.example.net/p/a?b=c#d;e@f&g:h';
    const text = formatSipUri({
      user: 'bob',
      host: '192.0.2.4',
      port: 5070,
      params: new Map([
        ['transport', 'tcp'],
        ['pn-provider', 'webpush'],
        ['pn-prid', endpoint],
        ['ob', undefined],
      ]),
    });
    assert.match(text, /;pn-prid=https:\/\/push\.example\.net\/p\/a%3Fb%3Dc%23d%3Be%40f&g:h;ob$/);
    const parsed = uri(text);
    assert.equal(parsed.params.get('pn-prid'), endpoint);
    assert.equal(
      withoutUriParameters(parsed, (name) => name.startsWith('pn-')),
      'sip:bob@192.0.2.4:5070;transport=tcp;ob',
    );
    // As Linphone registers it.
    const linphone = uri('sip:bob@192.0.2.4;pn-provider=webpush;pn-prid=https://p.example/x%3Fy%3D1');
    assert.equal(linphone.params.get('pn-prid'), 'https://p.example/x?y=1');
    assert.equal(
      withoutUriParameters(uri('sip:a;pn-x=1@h;%70n-x=%31?pn-x=1'), (name) => name.startsWith('pn-')),
      'sip:a;pn-x=1@h?pn-x=1',
      'only of parameters, however they are written',
    );
  });

  test(`parts come back (seed ${SEED})`, () => {
    const part = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' });
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
    );
    const property = fc.property(
      fc.option(part, { nil: undefined }),
      host,
      fc.option(fc.integer({ min: 0, max: 65_535 }), { nil: undefined }),
      fc.uniqueArray(
        fc.tuple(
          part.map((name) => name.toLowerCase()),
          fc.option(part, { nil: undefined }),
        ),
        {
          maxLength: 4,
          selector: ([name]) => name.toLowerCase(),
        },
      ),
      (user, hostText, port, params) => {
        const text = formatSipUri({ user, host: hostText, port, params: new Map(params) });
        const parsed = uri(text);
        assert.equal(parsed.user, user);
        assert.equal(parsed.host, hostText.toLowerCase());
        assert.equal(parsed.port, port);
        assert.deepEqual(
          [...parsed.params].map(([, value]) => value),
          params.map(([, value]) => value),
        );
        assert.ok(areUrisEqual(parsed, uri(text)));
      },
    );
    fc.assert(property, { seed: SEED, numRuns: runs(1_000, 50_000) });
  });
});

describe('[SI-5] hosts', () => {
  test('an IPv6 address has one form', () => {
    const forms: readonly (readonly [string, string])[] = [
      ['[2001:DB8:0:0:8:800:200C:417A]', '[2001:db8::8:800:200c:417a]'],
      ['[0:0:0:0:0:0:0:1]', '[::1]'],
      ['[::]', '[::]'],
      ['2001:db8:0:1:1:1:1:1', '[2001:db8:0:1:1:1:1:1]'],
      ['[2001:0:0:1:0:0:0:1]', '[2001:0:0:1::1]'],
      ['[::ffff:192.0.2.1]', '[::ffff:c000:201]'],
      ['Example.com.', 'example.com'],
    ];
    for (const [host, canonical] of forms) assert.equal(canonicalHost(host), canonical);
  });

  test(`addresses come back (seed ${SEED})`, () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
        assert.deepEqual(addressBytes(formatAddress(bytes)), Uint8Array.from(bytes));
      }),
      { seed: SEED, numRuns: runs(1_000, 50_000) },
    ); // prettier-ignore
    for (const text of [
      '1.2.3',
      '1.2.3.256',
      '1.2.3.4.5',
      '::1::',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      ':::1.2.3',
      '1.2.3.4::',
    ]) {
      assert.equal(addressBytes(text), undefined, text);
    }
  });
});

describe('[SI-3] names with addresses, and Via', () => {
  test('values come back', () => {
    const text = formatNameAddr({
      display: 'a "b" \\ c',
      uri: 'sip:a@h;lr',
      params: new Map([
        ['tag', '1'],
        ['+sip.instance', '<urn:uuid:1>'],
        ['ob', undefined],
      ]),
    });
    assert.equal(text, '"a \\"b\\" \\\\ c" <sip:a@h;lr>;tag=1;+sip.instance="<urn:uuid:1>";ob');
    const parsed = parseNameAddr(text);
    assert.equal(parsed?.display, 'a "b" \\ c');
    assert.equal(parsed?.uriText, 'sip:a@h;lr');
    assert.equal(parsed?.params.get('+sip.instance'), '<urn:uuid:1>');
  });

  test('without angle brackets parameters belong to the header', () => {
    const parsed = parseNameAddr('sip:a@h;tag=1');
    assert.equal(parsed?.uriText, 'sip:a@h');
    assert.equal(parsed?.tag, '1');
  });

  test('what is none', () => {
    for (const text of ['', ' ', '<>', '<sip:a@h', 'sip:a@h>', '"x <sip:a@h>', '"x" sip:a@h', 'a, b <sip:a@h>', '<sip:a@h>x', '<sip:a@h>;;', '<sip:a@h>;x=', '<sip:a@h> <sip:b@h>', 'a']) {
      assert.equal(parseNameAddr(text), undefined, text);
    } // prettier-ignore
  });

  test('a Via comes back', () => {
    const text = formatVia({ transport: 'TLS', host: '[2001:db8::1]', port: 5061, branch: 'z9hG4bK1', params: new Map([['rport', undefined]]) });
    assert.equal(text, 'SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1;rport');
    const via = parseVia(text);
    assert.equal(via?.transport, 'TLS');
    assert.equal(via?.sentBy, '[2001:db8::1]:5061');
    assert.equal(via?.branch, 'z9hG4bK1');
    assert.ok(via?.hasRport);
    for (const none of ['', 'SIP/2.0 h', 'SIP/2.0/UDP', 'SIP/2.0/UDP h h', 'SIP/2.0/UDP [::1', 'SIP/2.0/UDP h:x', 'SIP/2.0/UDP h;;']) {
      assert.equal(parseVia(none), undefined, none);
    }
  }); // prettier-ignore
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import {
  buildResponse,
  canonicalHost,
  MessageEditor,
  parseMessage,
  SipFramer,
  type SipRequest,
  type SipResponse,
} from '../../../src/wire/sip/index.js';
import { tortureMessages } from './torture.js';

function bytesOf(name: string): Uint8Array {
  const found = tortureMessages.find((message) => message.name === name);
  assert.ok(found !== undefined, name);
  return found.bytes;
}

function requestOf(name: string): SipRequest {
  const message = parseMessage(bytesOf(name));
  assert.equal(message.kind, 'request', name);
  return message as SipRequest;
}

function responseOf(name: string): SipResponse {
  const message = parseMessage(bytesOf(name));
  assert.equal(message.kind, 'response', name);
  return message as SipResponse;
}

describe('[SI-1] the torture messages of RFC 4475 and RFC 5118', () => {
  for (const { rfc, section, name, about, bytes, parser, proxy, registrar } of tortureMessages) {
    test(`RFC ${rfc} §${section} ${name}: ${about}`, () => {
      const message = parseMessage(bytes);
      if (parser !== 'message') {
        assert.ok(message.kind === 'fault', 'not a message');
        assert.equal(message.code, parser, message.message);
        // Whatever the RFC has answered can be answered, with the status it names.
        const expected = proxy ?? registrar;
        if (Array.isArray(expected)) {
          assert.ok(message.request !== undefined, 'can be answered');
          assert.ok((expected as readonly number[]).includes(message.status), String(message.status));
          const answer = parseMessage(
            buildResponse(message.request, message.status, message.message, { toTag: 'a1' }),
          );
          // Of what is malformed a part is copied into the answer, which then is no better.
          if (answer.kind === 'response') assert.equal(answer.status, message.status);
        } else assert.equal(message.request, undefined, 'cannot be answered');
        return;
      }
      assert.ok(message.kind !== 'fault', message.kind === 'fault' ? message.message : '');
      // What is forwarded unchanged is the same message, byte for byte.
      const copy = new MessageEditor(message).serialize();
      const isLengthAdded = !message.has('Content-Length');
      if (!isLengthAdded) assert.deepEqual(copy, message.bytes);
      assert.deepEqual(parseMessage(copy).kind, message.kind);
    });
  }
});

describe('what is in them', () => {
  test('[SI-3] wsinv', () => {
    const message = requestOf('wsinv');
    assert.equal(message.to.tag, '1918181833n');
    assert.equal(message.to.uriText, 'sip:vivekg@chair-dnrc.example.com');
    assert.equal(message.from.display, 'J Rosenberg \\"');
    assert.equal(message.from.tag, '98asjd8');
    assert.equal(message.maxForwards, 68);
    assert.deepEqual(message.cseq, { number: 9, method: 'INVITE' });
    assert.deepEqual(
      message.vias?.map((via) => [via.transport, via.host, via.branch]),
      [
        ['UDP', '192.0.2.2', '390skdjuw'],
        ['TCP', 'spindle.example.com', 'z9hG4bK9ikj8'],
        ['UDP', '192.168.255.111', 'z9hG4bK30239'],
      ],
    );
    assert.equal(message.header('Subject'), '');
    assert.equal(message.header('newfangledheader'), 'newfangled value continued newfangled value');
    assert.equal(message.header('UnknownHeaderWithUnusualValue'), ';;,,;;,;');
    assert.ok(Array.isArray(message.contacts));
    assert.equal(message.contacts[0]?.display, 'Quoted string ""');
    assert.deepEqual(
      [...(message.contacts[0]?.params ?? [])],
      [
        ['newparam', 'newvalue'],
        ['secondparam', undefined],
        ['q', '0.33'],
      ],
    );
    assert.equal(message.body.length, 150);
  });

  test('[SI-3] intmeth', () => {
    const message = requestOf('intmeth');
    assert.equal(message.method, "!interesting-Method0123456789_*+`.%indeed'~");
    const uri = message.requestUri;
    assert.ok(uri?.kind === 'sip');
    assert.equal(uri.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    assert.equal(uri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    assert.equal(message.to.display, 'BEL:\u0007 NUL:\u0000 DEL:\u007f');
    assert.equal(message.from.display, "token1~` token2'+_ token3*%!.-");
    assert.equal(message.from.params.get("fromparam''~+*_!.-%"), 'работающий');
    assert.equal(message.from.tag, "_token~1'+`*%!-.");
    assert.equal(message.callId, 'intmeth.word%ZK-!.*_+\'@word`~)(><:\\/"][?}{');
    assert.equal(message.header("extensionHeader-!.%*+_`'~"), '\ufeff大停電');
  });

  test('[SI-5] esc01', () => {
    const message = requestOf('esc01');
    assert.ok(message.requestUri?.kind === 'sip');
    assert.equal(message.requestUri.user, 'sips:user@example.com');
    assert.equal(message.requestUri.host, 'example.net');
    assert.ok(message.to.uri?.kind === 'sip' && message.to.uri.user === 'user');
    assert.ok(message.from.uri?.kind === 'sip' && message.from.uri.user === 'I have spaces');
    assert.ok(Array.isArray(message.contacts) && message.contacts[0]?.uri?.kind === 'sip');
    assert.equal(message.contacts[0].uri.user, 'caller');
    assert.deepEqual(
      [...message.contacts[0].uri.params],
      [
        ['lr', undefined],
        ['name', 'value%41'],
      ],
    );
  });

  test('[SI-5] escnull and esc02: what is escaped, and what is not', () => {
    const users = requestOf('escnull').contacts;
    assert.ok(Array.isArray(users));
    assert.deepEqual(
      users.map(({ uri }) => (uri?.kind === 'sip' ? uri.user : uri)),
      ['\u0000', '\u0000\u0000'],
    );
    const message = requestOf('esc02');
    assert.equal(message.method, 'RE%47IST%45R');
    assert.equal(message.topVia.branch, 'z9hG4bK209%fzsnel234');
    assert.equal(message.headers('Contact').length, 2);
    assert.equal(message.header('C%6Fntact'), '<sip:alias2@host2.example.com>');
  });

  test('[SI-3] longreq', () => {
    const message = requestOf('longreq');
    assert.equal(message.vias?.length, 34);
    assert.deepEqual(
      message.vias?.slice(0, 33).map(({ host }) => host),
      Array.from({ length: 33 }, (_, index) => `sip${33 - index}.example.com`),
    );
    assert.equal(message.vias?.at(-1)?.received, '192.0.2.5');
    assert.equal(message.body.length, 150);
  });

  test('[SI-2] dblreq: two messages in a stream, one in a datagram', () => {
    const bytes = bytesOf('dblreq');
    const message = requestOf('dblreq');
    assert.equal(message.method, 'REGISTER');
    assert.equal(message.body.length, 0);
    const framer = new SipFramer();
    framer.push(bytes);
    const methods = [framer.next(), framer.next()].map((next) => next?.kind === 'request' && next.method);
    assert.deepEqual(methods, ['REGISTER', 'INVITE']);
    assert.equal(framer.next(), undefined);
    assert.equal(framer.heldBytes, 0);
  });

  test('[SI-5] semiuri', () => {
    const message = requestOf('semiuri');
    assert.ok(message.requestUri?.kind === 'sip');
    assert.equal(message.requestUri.user, 'user;par=u@example.net');
    assert.equal(message.requestUri.params.size, 0);
    assert.equal(message.headers('Accept').length, 6);
  });

  test('[SI-3] transports, mpart01, unreason, noreason', () => {
    const transports = requestOf('transports').vias?.map(({ transport }) => transport);
    assert.deepEqual(transports, ['UDP', 'SCTP', 'TLS', 'UNKNOWN', 'TCP']);
    assert.equal(requestOf('mpart01').body.length, 553);
    const { body } = requestOf('mpart01');
    assert.deepEqual(body.subarray(-24), encodeUtf8('\r\n--7a9cbec02ceef655--\r\n'));
    assert.equal(responseOf('unreason').reason, '= 2**3 * 5**2 но сто девяносто девять - простое');
    assert.equal(responseOf('noreason').reason, '');
    assert.equal(responseOf('noreason').status, 100);
  });

  test('[SI-2] clerr waits for its rest in a stream, ncl and mcl01 end one', () => {
    const framer = new SipFramer();
    framer.push(bytesOf('clerr'));
    assert.equal(framer.next(), undefined);
    assert.ok(framer.partialBytes > 0);
    for (const name of ['ncl', 'mcl01']) {
      const other = new SipFramer();
      other.push(bytesOf(name));
      const fault = other.next();
      assert.ok(fault?.kind === 'fault' && !fault.canContinue, name);
      assert.ok(fault.request !== undefined, 'can be answered');
      other.push(bytesOf('lwsdisp'));
      assert.equal(other.next(), undefined, 'reads no more');
    }
  });

  test('[SI-5] what is malformed only to whoever reads it', () => {
    const { requestUri } = requestOf('escruri');
    assert.ok(requestUri?.kind === 'sip' && requestUri.headers === 'Route=%3Csip:example.com%3E');
    assert.equal(requestOf('regbadct').contacts, undefined);
    assert.equal(requestOf('ipv6-bad').requestUri, undefined);
    assert.equal(requestOf('baddate').header('Date'), 'Fri, 01 Jan 2010 16:00:00 EST');
    assert.equal(requestOf('unkscm').requestUri?.kind, 'other');
    assert.equal(requestOf('novelsc').requestUri?.kind, 'other');
    assert.equal(requestOf('regaut01').authorizations[0]?.scheme, 'nooneknowsthisscheme');
    assert.equal(requestOf('inv2543').maxForwards, undefined);
    assert.equal(requestOf('inv2543').topVia.branch, undefined);
    assert.deepEqual(requestOf('bext01').proxyRequires, [
      'noproxiessupportthis',
      'nordoanyproxiessupportthis',
    ]);
  });

  test('[SI-5] cparam01, cparam02, regescrt: what belongs to the Contact and what to its URI', () => {
    const [first, second, third] = ['cparam01', 'cparam02', 'regescrt'].map((name) => {
      const { contacts } = requestOf(name);
      assert.ok(Array.isArray(contacts) && contacts[0]?.uri?.kind === 'sip');
      return { contact: contacts[0], uri: contacts[0].uri };
    });
    assert.ok(first!.contact.params.has('unknownparam') && !first!.uri.params.has('unknownparam'));
    assert.ok(!second!.contact.params.has('unknownparam') && second!.uri.params.has('unknownparam'));
    assert.equal(third!.uri.headers, 'Route=%3Csip:sip.example.com%3E');
  });

  test('[SI-5] addresses of IPv6', () => {
    const hosts = [
      'port-ambiguous',
      'port-unambiguous',
      'ipv6-bug-abnf-3-colons',
      'ipv6-correct-abnf-2-colons',
    ].map((name) => {
      const uri = requestOf(name).requestUri;
      assert.ok(uri?.kind === 'sip', name);
      return [canonicalHost(uri.host), uri.port];
    });
    assert.deepEqual(hosts, [
      ['[2001:db8::10:5070]', undefined],
      ['[2001:db8::10]', 5070],
      ['[2001:db8::c000:201]', undefined],
      ['[2001:db8::c000:201]', undefined],
    ]);
    for (const name of ['via-received-param-with-delim', 'via-received-param-no-delim']) {
      assert.equal(canonicalHost(requestOf(name).topVia.received ?? ''), '[2001:db8::9:255]', name);
    }
    assert.deepEqual(
      requestOf('mult-ip-in-header').vias?.map(({ sentBy }) => sentBy),
      ['[2001:db8::9:1]:6050', '192.0.2.1', '[2001:db8::9:255]'],
    );
  });
});

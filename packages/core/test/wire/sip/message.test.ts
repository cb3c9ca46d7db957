import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import { parseMessage, sipMessageLimits as limits, type SipFaultCode } from '../../../src/wire/sip/index.js';
import { inviteBytes, request, response, text, withLines } from './samples.js';

describe('[SI-3] what a message says', () => {
  test('an INVITE with a little of everything', () => {
    const invite = request(inviteBytes);
    assert.equal(invite.method, 'INVITE');
    assert.equal(invite.uri, 'sip:bob@192.0.2.4:5070;transport=tcp;ob');
    assert.ok(invite.requestUri?.kind === 'sip' && invite.requestUri.params.has('ob'));
    assert.equal(invite.topVia.sentBy, 'proxy.example.com:5060');
    assert.ok(invite.topVia.hasRport && invite.topVia.rport === undefined);
    assert.equal(invite.vias?.[1]?.rport, 40_000);
    assert.equal(invite.from.display, 'Al\u00efce');
    assert.equal(invite.to.display, 'Bob, "the" builder');
    assert.equal(invite.to.tag, undefined);
    assert.equal(invite.callId, 'a84b4c76e66710@pc33.example.com');
    assert.deepEqual(invite.cseq, { number: 314_159, method: 'INVITE' });
    assert.deepEqual(
      invite.routes?.map((route) => route.uriText),
      ['sip:edge.example.com;lr', 'sip:next.example.com;lr', 'sip:last.example.com;lr'],
    );
    assert.deepEqual(invite.supported, ['replaces', 'outbound', '100rel']);
    assert.ok(Array.isArray(invite.contacts));
    assert.equal(
      invite.contacts[0]?.params.get('+sip.instance'),
      '<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>',
    );
    assert.equal(invite.header('x-unknown'), 'a, b;c');
    assert.deepEqual(invite.headers('X-Unknown'), ['a, b;c'], 'of an unknown header nothing is split');
    assert.equal(invite.contentType, 'application/sdp');
    assert.equal(invite.body.length, 150);
    assert.equal(invite.expires, undefined);
    assert.deepEqual(invite.paths, []);
  });

  test('compact names are the long ones, in any case', () => {
    const long =
      'Contact: <sip:c@h>\r\nSupported: path\r\nContent-Type: a/b\r\nSubject: s\r\nEvent: e\r\nAllow-Events: p\r\nRefer-To: <sip:r@h>\r\nReferred-By: <sip:q@h>\r\nSession-Expires: 90\r\nContent-Encoding: gzip\r\n';
    const compact =
      'm: <sip:c@h>\r\nK: path\r\nc: a/b\r\nS: s\r\no: e\r\nU: p\r\nr: <sip:r@h>\r\nB: <sip:q@h>\r\nx: 90\r\nE: gzip\r\n';
    const names = [
      'Contact',
      'SUPPORTED',
      'content-type',
      'Subject',
      'Event',
      'allow-events',
      'Refer-To',
      'referred-by',
      'Session-Expires',
      'Content-Encoding',
    ];
    const short = ['m', 'k', 'C', 's', 'O', 'u', 'R', 'b', 'X', 'e'];
    const [a, b] = [request(withLines(long)), request(withLines(compact))];
    for (const [index, name] of names.entries()) {
      assert.ok(a.has(name), name);
      assert.equal(a.header(name), b.header(name), name);
      assert.deepEqual(b.headers(name), b.headers(short[index]!), name);
    }
    const ids = request(
      'OPTIONS sip:b@h SIP/2.0\nv: SIP/2.0/UDP h;branch=z9hG4bK1\nf: <sip:a@h>;tag=1\nt: <sip:b@h>\ni: 1\nCSEQ: 1 OPTIONS\nl: 0\n\n',
    );
    assert.equal(ids.callId, '1');
    assert.equal(ids.from.tag, '1');
  });

  test('contacts: none, a star, a star among others, a malformed one', () => {
    assert.deepEqual(request(withLines('')).contacts, []);
    assert.equal(request(withLines('Contact: *\r\n')).contacts, '*');
    assert.equal(request(withLines('Contact: *\r\nContact: <sip:a@h>\r\n')).contacts, undefined);
    assert.equal(request(withLines('Contact: <sip:a@h>, <nonsense>\r\n')).contacts, undefined);
  });

  test('numbers that are none are absent', () => {
    assert.equal(request(withLines('Expires: 60\r\n')).expires, 60);
    assert.equal(request(withLines('Expires: 0\r\n')).expires, 0);
    for (const value of ['', '-1', '1e3', '60 s', '4294967296', '9'.repeat(40)]) {
      assert.equal(request(withLines(`Expires: ${value}\r\n`)).expires, undefined, value);
    }
  });

  test('credentials, one a line', () => {
    const message = request(
      withLines(
        'Authorization: Digest username="b, \\"o\\"b", realm="r", nonce="n,1", uri="sip:r", response="00", algorithm=SHA-256, qop=auth, nc=00000001, cnonce="c"\r\nProxy-Authorization: Bearer x="1"\r\nAuthorization: Digest =\r\n',
      ),
    );
    assert.equal(message.authorizations.length, 1);
    assert.equal(message.authorizations[0]!.fields.get('username'), 'b, "o"b');
    assert.equal(message.authorizations[0]!.fields.get('nonce'), 'n,1');
    assert.equal(message.authorizations[0]!.fields.get('algorithm'), 'SHA-256');
    assert.equal(message.proxyAuthorizations[0]?.scheme, 'bearer');
  });

  test('text that is no UTF-8 has a character for each byte', () => {
    const bytes = withLines('Subject: x\r\n');
    bytes[Buffer.from(bytes).indexOf('x\r\n')] = 0xe9;
    assert.equal(request(bytes).header('Subject'), '\u00e9');
  });

  test('folds and the white space around them are one space', () => {
    const message = request(withLines('Subject: a \t\r\n \r\n\t b\r\n  c\r\n'));
    assert.equal(message.header('Subject'), 'a b c');
  });

  test('a response', () => {
    const message = response(
      'SIP/2.0 486 Busy Here\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\nTo: <sip:b@h>;tag=2\nCall-ID: 1\nCSeq: 1 INVITE\n\n',
    );
    assert.equal(message.status, 486);
    assert.equal(message.reason, 'Busy Here');
    assert.equal(message.to.tag, '2');
    assert.equal(message.body.length, 0);
  });
});

describe('[SI-1] what is no message', () => {
  const head =
    'OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n';
  const cases: readonly (readonly [what: string, bytes: string, code: SipFaultCode])[] = [
    ['nothing', '', 'line-ending'],
    ['line ends alone', '\r\n\r\n', 'line-ending'],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n', 'start-line'],
    ['no empty line', head, 'line-ending'],
    ['a line feed alone', head.replace('Call-ID: 1\r\n', 'Call-ID: 1\n') + '\r\n', 'line-ending'],
    [
      'a carriage return within a line',
      head.replace('Call-ID: 1', 'Call-ID: 1\rX: 2') + '\r\n',
      'line-ending',
    ],
    ['a line feed in the start line', head.replace(' SIP/2.0', '\n SIP/2.0') + '\r\n', 'line-ending'],
    ['a line without a colon', `${head}nonsense\r\n\r\n`, 'header-line'],
    ['a header without a name', `${head}: x\r\n\r\n`, 'header-line'],
    ['a name with a space', `${head}X Y: x\r\n\r\n`, 'header-line'],
    ['a fold behind the start line', head.replace('\r\n', '\r\n x\r\n') + '\r\n', 'header-line'],
    ['another version', head.replace('SIP/2.0', 'SIP/3.0') + '\r\n', 'version'],
    ['no version', head.replace(' SIP/2.0', '') + '\r\n', 'start-line'],
    ['a status of two digits', `SIP/2.0 20 OK\r\n${head.slice(head.indexOf('Via'))}\r\n`, 'start-line'],
    ['a status of 700', `SIP/2.0 700 OK\r\n${head.slice(head.indexOf('Via'))}\r\n`, 'start-line'],
    ['no Via', head.replace(/Via.*\r\n/, '') + '\r\n', 'header-missing'],
    ['no Call-ID', head.replace(/Call-ID.*\r\n/, '') + '\r\n', 'header-missing'],
    ['two From', `${head}f: <sip:x@h>\r\n\r\n`, 'header-repeated'],
    ['two equal lengths', `${head}l: 0\r\nContent-Length: 0\r\n\r\n`, 'header-repeated'],
    ['a Via without a host', head.replace('UDP h', 'UDP') + '\r\n', 'header-malformed'],
    ['a Via to a port beyond all', head.replace('UDP h', 'UDP h:65536') + '\r\n', 'header-malformed'],
    ['a CSeq without a method', head.replace('1 OPTIONS', '1') + '\r\n', 'header-malformed'],
    ['a CSeq of 2^31', head.replace('1 OPTIONS', '2147483648 OPTIONS') + '\r\n', 'header-malformed'],
    ['a Call-ID with a space', head.replace('Call-ID: 1', 'Call-ID: 1 2') + '\r\n', 'header-malformed'],
    ['an empty Call-ID', head.replace('Call-ID: 1', 'Call-ID:') + '\r\n', 'header-malformed'],
    ['a From without a URI', head.replace('<sip:a@h>', '<>') + '\r\n', 'header-malformed'],
    ['hops beyond 255', `${head}Max-Forwards: 256\r\n\r\n`, 'header-malformed'],
    ['a length with a sign', `${head}Content-Length: +1\r\n\r\nx`, 'header-malformed'],
    ['a body cut off', `${head}Content-Length: 5\r\n\r\nabcd`, 'body-truncated'],
  ];
  for (const [what, bytes, code] of cases) {
    test(what, () => {
      const message = parseMessage(encodeUtf8(bytes));
      assert.ok(message.kind === 'fault', 'is one');
      assert.equal(message.code, code);
    });
  }

  test('bytes behind the body are ignored, CRLF in front is skipped', () => {
    const message = parseMessage(encodeUtf8(`\r\n\r\n${head}Content-Length: 2\r\n\r\nabcd`));
    assert.ok(message.kind === 'request');
    assert.equal(text(message.body), 'ab');
    assert.equal(message.bytes[0], 'O'.charCodeAt(0));
  });

  test('a fault of an ACK and of a response is not answered', () => {
    const ack = parseMessage(encodeUtf8(`${head.replaceAll('OPTIONS', 'ACK')}Max-Forwards: x\r\n\r\n`));
    assert.ok(ack.kind === 'fault' && ack.code === 'header-malformed' && ack.request === undefined);
    const options = parseMessage(encodeUtf8(`${head}Max-Forwards: x\r\n\r\n`));
    assert.ok(options.kind === 'fault' && options.status === 400 && options.request !== undefined);
  });
});

describe('[SI-4] limits', () => {
  test('header lines', () => {
    const lines = (count: number): Uint8Array => withLines('X: y\r\n'.repeat(count));
    const own = 6;
    assert.equal(parseMessage(lines(limits.headerLinesMax - own)).kind, 'request');
    const fault = parseMessage(lines(limits.headerLinesMax - own + 1));
    assert.ok(fault.kind === 'fault' && fault.code === 'headers-too-many' && fault.status === 513);
  });

  test('bytes of the head', () => {
    const empty = withLines('X: \r\n').length;
    const padded = (bytes: number): Uint8Array => withLines(`X: ${'y'.repeat(bytes - empty)}\r\n`);
    assert.equal(padded(limits.headBytesMax).length, limits.headBytesMax);
    assert.equal(parseMessage(padded(limits.headBytesMax)).kind, 'request');
    const fault = parseMessage(padded(limits.headBytesMax + 1));
    assert.ok(fault.kind === 'fault' && fault.code === 'head-too-large' && fault.status === 513);
  });

  test('parameters of a value, and of a URI', () => {
    const params = (count: number): string =>
      Array.from({ length: count }, (_, index) => `;p${index}`).join('');
    const contacts = (value: string): unknown => request(withLines(`Contact: ${value}\r\n`)).contacts;
    const uriOf = (count: number): unknown =>
      request(withLines(`Contact: <sip:h${params(count)}>\r\n`)).contacts;
    assert.ok(Array.isArray(contacts(`<sip:h>${params(limits.parametersMax)}`)));
    assert.equal(contacts(`<sip:h>${params(limits.parametersMax + 1)}`), undefined);
    const [most, more] = [limits.parametersMax, limits.parametersMax + 1].map((count) => {
      const found = uriOf(count);
      assert.ok(Array.isArray(found));
      return (found[0] as { uri: unknown }).uri;
    });
    assert.ok(most !== undefined && more === undefined);
  });

  test('bytes of the body, as they are promised and as they come', () => {
    const body = 'x'.repeat(limits.bodyBytesMax + 1);
    const message = (bytes: number): ReturnType<typeof parseMessage> =>
      parseMessage(Buffer.concat([withLines(`Content-Length: ${bytes}\r\n`), encodeUtf8(body)]));
    assert.equal(message(limits.bodyBytesMax).kind, 'request');
    const fault = message(limits.bodyBytesMax + 1);
    assert.ok(fault.kind === 'fault' && fault.code === 'body-too-large' && fault.status === 413);
    assert.ok(fault.request !== undefined, 'can be answered');
    const silent = parseMessage(Buffer.concat([withLines(''), encodeUtf8(body)]));
    assert.ok(silent.kind === 'fault' && silent.code === 'body-too-large');
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import {
  buildAck,
  buildCancel,
  buildRequest,
  buildResponse,
  MessageEditor,
} from '../../../src/wire/sip/index.js';
import { inviteBytes, inviteText, request, response, text, withLines } from './samples.js';

const ours = 'SIP/2.0/TCP edge.example.com;branch=z9hG4bKours';

/** The edited INVITE, beside the text in which the same was changed by hand. */
function check(edit: (editor: MessageEditor) => MessageEditor, expected: (text: string) => string): void {
  const serialized = text(edit(new MessageEditor(request(inviteBytes))).serialize());
  assert.equal(serialized, expected(inviteText).replaceAll('\n', '\r\n'));
}

describe('[SI-8] edits leave every other byte as it was', () => {
  test('nothing', () =>
    check(
      (editor) => editor,
      (whole) => whole,
    ));

  test('the Request-URI', () =>
    check(
      (editor) => editor.setRequestUri('sip:bob@192.0.2.99'),
      (whole) => whole.replace('sip:bob@192.0.2.4:5070;transport=tcp;ob', 'sip:bob@192.0.2.99'),
    ));

  test('a Via goes to the top', () =>
    check(
      (editor) => editor.pushVia(ours),
      (whole) => whole.replace('Via: SIP', `Via: ${ours}\nVia: SIP`),
    ));

  test('a Via is taken from a line of two, then its line', () => {
    const [first] = /SIP\/2\.0\/TCP.*? , /.exec(inviteText)!;
    check(
      (editor) => editor.popVia(),
      (whole) => whole.replace(first, ''),
    );
    check(
      (editor) => editor.popVia().popVia(),
      (whole) => whole.replace(/Via: .*\n/, ''),
    );
    check(
      (editor) => editor.pushVia(ours).popVia(),
      (whole) => whole,
    );
  });

  test('received and rport of the top Via alone', () =>
    check(
      (editor) => editor.setTopViaParam('received', '192.0.2.7').setTopViaParam('rport', '4444'),
      (whole) => whole.replace('z9hG4bK-proxy-1;rport ,', 'z9hG4bK-proxy-1;rport=4444;received=192.0.2.7,'),
    ));

  test('a value that is there is replaced', () =>
    check(
      (editor) => editor.popVia().setTopViaParam('received', '[::1]'),
      (whole) => whole.replace(/SIP\/2\.0\/TCP.*? , /, '').replace('received=192.0.2.9', 'received=[::1]'),
    ));

  test('hops are counted down, or begun', () => {
    check(
      (editor) => editor.decrementMaxForwards(),
      (whole) => whole.replace(': 69', ': 68'),
    );
    const without = request(text(inviteBytes).replaceAll('\r\n', '\n').replace('Max-Forwards: 69\n', ''));
    const begun = request(new MessageEditor(without).decrementMaxForwards(10).serialize());
    assert.equal(begun.maxForwards, 10);
    assert.throws(() =>
      new MessageEditor(request(withLines('', 'A')))
        .removeAll('Max-Forwards')
        .replace('Max-Forwards', '0')
        .decrementMaxForwards(),
    );
  });

  test('the first Route is taken, lines and quotes in order', () => {
    check(
      (editor) => editor.removeFirst('Route'),
      (whole) => whole.replace('<sip:edge.example.com;lr>, ', ''),
    );
    check(
      (editor) => editor.removeFirst('Route').removeFirst('Route'),
      (whole) => whole.replace(/Route: <sip:edge.*\n/, ''),
    );
    check(
      (editor) => editor.removeAll('route'),
      (whole) => whole.replaceAll(/^Route: .*\n/gm, ''),
    );
  });

  test('new ones above their like, or below Via, or at the end', () => {
    check(
      (editor) => editor.prepend('Record-Route', '<sip:us;lr>'),
      (whole) => whole.replace('Record-Route:', 'Record-Route: <sip:us;lr>\nRecord-Route:'),
    );
    check(
      (editor) => editor.prepend('Path', '<sip:us;lr>'),
      (whole) => whole.replace('Max-Forwards', 'Path: <sip:us;lr>\nMax-Forwards'),
    );
    check(
      (editor) => editor.append('X-New', 'für'),
      (whole) => whole.replace('Length: 150\n', 'Length: 150\nX-New: für\n'),
    );
  });

  test('replaced where the first was; unknown names too', () => {
    check(
      (editor) => editor.replace('m', '<sip:x>'),
      (whole) => whole.replace(/Contact: .*/, 'Contact: <sip:x>').replace('Contact: <sip:x>', 'm: <sip:x>'),
    );
    check(
      (editor) => editor.replace('x-UNKNOWN', 'z'),
      (whole) => whole.replace(/X-Unknown.*/, 'x-UNKNOWN: z'),
    );
  });

  test('another body has its length', () => {
    const edited = request(
      new MessageEditor(request(inviteBytes)).setBody(encodeUtf8('für'), 'text/plain').serialize(),
    );
    assert.equal(text(edited.body), 'für');
    assert.equal(edited.header('Content-Length'), '4');
    assert.equal(edited.contentType, 'text/plain');
  });

  test('bytes that are no UTF-8 stay in a line that is edited', () => {
    const bytes = withLines('Route: "x" <sip:a;lr>, "y" <sip:b;lr>\r\n');
    bytes[bytes.indexOf('y'.charCodeAt(0), bytes.indexOf(0x2c))] = 0xe9;
    const edited = new MessageEditor(request(bytes)).removeFirst('Route').serialize();
    assert.ok(edited.includes(0xe9));
    assert.ok(!text(edited).includes('"x"'));
  });

  test('a length is added for the sake of streams', () => {
    assert.equal(
      request(new MessageEditor(request(withLines(''))).serialize()).header('Content-Length'),
      '0',
    );
  });

  test('no line can be smuggled in', () => {
    const editor = new MessageEditor(request(inviteBytes));
    assert.throws(() => editor.append('X', 'a\r\nY: b'), /CR nor LF/);
    assert.throws(() => editor.setRequestUri('sip:a\r\nX: y').serialize(), /CR nor LF/);
    assert.throws(() => buildResponse(request(inviteBytes), 200, 'O\nK'), /CR nor LF/);
  });
});

describe('[SI-9] messages of our own', () => {
  test('a response has what binds it to its request, as it came', () => {
    const invite = request(inviteBytes);
    const bytes = buildResponse(invite, 200, 'OK', {
      toTag: 'x9',
      headers: [['Contact', '<sip:us>']],
      body: encodeUtf8('hi'),
      contentType: 'text/plain',
    });
    const answer = response(bytes);
    assert.equal(answer.status, 200);
    for (const name of ['Via', 'From', 'Call-ID', 'CSeq', 'Record-Route']) {
      assert.deepEqual(answer.headers(name), invite.headers(name), name);
    }
    assert.equal(answer.header('To'), `${invite.header('To')};tag=x9`);
    assert.equal(answer.has('Timestamp'), false);
    assert.equal(text(answer.body), 'hi');
    assert.equal(answer.contentType, 'text/plain');
  });

  test('100 has no tag of ours but the Timestamp; errors no Record-Route', () => {
    const invite = request(inviteBytes);
    const trying = response(buildResponse(invite, 100, 'Trying', { toTag: 'x9' }));
    assert.equal(trying.to.tag, undefined);
    assert.equal(trying.header('Timestamp'), '54.2');
    assert.equal(trying.has('Record-Route'), false);
    assert.equal(response(buildResponse(invite, 486, 'Busy', { toTag: 'x9' })).has('Record-Route'), false);
    assert.equal(response(buildResponse(invite, 180, 'Ringing', { toTag: 'x9' })).has('Record-Route'), true);
  });

  test('a tag that is there stays', () => {
    const bye = request(
      text(withLines('', 'BYE'))
        .replaceAll('\r\n', '\n')
        .replace('<sip:b@example.com>', '<sip:b@example.com>;tag=7'),
    );
    assert.equal(
      response(buildResponse(bye, 200, 'OK', { toTag: 'x9' })).header('To'),
      '<sip:b@example.com>;tag=7',
    );
  });

  test('ACK for an error: To of the response, all else of the INVITE', () => {
    const invite = request(inviteBytes);
    const busy = response(buildResponse(invite, 486, 'Busy', { toTag: 'x9' }));
    const ack = request(buildAck(invite, busy));
    assert.equal(ack.method, 'ACK');
    assert.equal(ack.uri, invite.uri);
    assert.deepEqual(ack.headers('Via'), [invite.topVia.text]);
    assert.equal(ack.to.tag, 'x9');
    assert.equal(ack.header('From'), invite.header('From'));
    assert.equal(ack.callId, invite.callId);
    assert.deepEqual(ack.cseq, { number: 314_159, method: 'ACK' });
    assert.deepEqual(ack.headers('Route'), invite.headers('Route'));
    assert.equal(ack.body.length, 0);
  });

  test('CANCEL: To without a tag, the branch of the INVITE', () => {
    const invite = request(inviteBytes);
    const cancel = request(buildCancel(invite, [['Reason', 'SIP;cause=200']]));
    assert.equal(cancel.topVia.branch, 'z9hG4bK-proxy-1');
    assert.equal(cancel.vias?.length, 1);
    assert.equal(cancel.header('To'), invite.header('To'));
    assert.deepEqual(cancel.cseq, { number: 314_159, method: 'CANCEL' });
    assert.equal(cancel.header('Reason'), 'SIP;cause=200');
    assert.deepEqual(cancel.headers('Route'), invite.headers('Route'));
    assert.equal(cancel.has('Contact'), false);
  });

  test('a request from its parts', () => {
    const message = request(
      buildRequest({
        method: 'MESSAGE',
        uri: 'sip:bob@192.0.2.4',
        vias: [ours],
        from: '<sip:a@h>;tag=1',
        to: '<sip:b@h>',
        callId: 'c',
        cseq: 3,
        routes: ['<sip:r;lr>'],
        headers: [['Expires', '30']],
        body: encodeUtf8('für'),
        contentType: 'text/plain;charset=utf-8',
      }),
    );
    assert.equal(message.topVia.text, ours);
    assert.equal(message.maxForwards, 70);
    assert.equal(message.expires, 30);
    assert.deepEqual(
      message.routes?.map(({ uriText }) => uriText),
      ['sip:r;lr'],
    );
    assert.equal(text(message.body), 'für');
  });
});

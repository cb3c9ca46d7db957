import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../../src/base/index.js';
import {
  buildAck,
  buildCancel,
  buildResponse,
  MessageEditor,
  parseMessage,
  SipFramer,
  sipMessageLimits,
  type NameAddr,
  type SipFault,
  type SipMessage,
} from '../../../src/wire/sip/index.js';
import { runs } from '../mqtt/helpers.js';
import { mutated, SEED } from './mutations.js';
import { inviteBytes, withLines } from './samples.js';
import { tortureMessages } from './torture.js';

const corpus: readonly Uint8Array[] = [
  inviteBytes,
  withLines(
    'Contact: <sip:a@h;ob>;reg-id=1, *\r\nPath: <sip:p;lr>\r\nRequire: outbound\r\nProxy-Require: x\r\nExpires: 60\r\nAuthorization: Digest username="a", realm="r"\r\nContent-Length: 0\r\n',
    'REGISTER',
  ),
  ...tortureMessages.map(({ bytes }) => bytes),
];

/** Everything that a message can be asked for. */
function readAll(message: SipMessage): void {
  const lists = [message.contacts, message.routes, message.recordRoutes, message.paths];
  const values: NameAddr[] = [message.from, message.to];
  for (const list of lists) if (Array.isArray(list)) values.push(...(list as NameAddr[]));
  for (const value of values) assert.ok(value.uri === undefined || value.uri.text === value.uriText);
  assert.ok(message.callId !== '' && message.cseq.number >= 0);
  assert.ok(message.vias === undefined || message.vias[0]!.text === message.topVia.text);
  assert.ok((message.expires ?? 0) >= 0);
  assert.ok(message.requires.concat(message.proxyRequires, message.supported).every((tag) => tag !== ''));
  for (const name of ['Contact', 'X-Unknown', 'Subject', 'route']) {
    const all = message.headers(name);
    // One asks for the first value, the other for all; of a list without a value there is none.
    assert.equal(message.header(name), all[0]);
  }
  if (message.kind === 'response') {
    assert.ok(message.status >= 100 && message.status < 700);
    return;
  }
  assert.ok((message.maxForwards ?? 0) <= 255);
  assert.ok(message.authorizations.length + message.proxyAuthorizations.length >= 0);
  assert.ok(message.requestUri === undefined || message.requestUri.text === message.uri);
}

/** What a proxy does to a message that it forwards, and answers to it. */
function handle(message: SipMessage): void {
  assert.deepEqual(
    new MessageEditor(message).serialize().subarray(0, message.head.end - message.head.start - 2),
    message.bytes.subarray(0, message.head.end - message.head.start - 2),
  );
  const editor = new MessageEditor(message)
    .setTopViaParam('received', '192.0.2.1')
    .pushVia('SIP/2.0/UDP us;branch=z9hG4bKours')
    .removeFirst('Route');
  if (message.kind === 'request' && (message.maxForwards ?? 1) > 0) editor.decrementMaxForwards();
  const edited = parseMessage(editor.serialize());
  if (edited.kind === 'fault') assert.ok(edited.code === 'head-too-large', edited.message);
  else {
    assert.equal(edited.topVia.branch, 'z9hG4bKours');
    if (edited.vias !== undefined) assert.equal(edited.vias[1]?.received, '192.0.2.1');
    assert.deepEqual(edited.body, message.body);
  }
  if (message.kind === 'response') return;
  const answer = parseMessage(buildResponse(message, 500, 'No', { toTag: 't' }));
  assert.ok(answer.kind === 'response', answer.kind === 'fault' ? answer.message : '');
  assert.ok(answer.to.params.has('tag'));
  assert.equal(parseMessage(buildAck(message, answer)).kind, 'request');
  assert.equal(parseMessage(buildCancel(message)).kind, 'request');
}

function handleFault(fault: SipFault): void {
  assert.ok(fault.message.length > 0);
  if (fault.request !== undefined) {
    assert.ok(buildResponse(fault.request, fault.status, fault.message, { toTag: 't' }).length > 0);
    assert.ok(fault.request.topVia.host !== '');
  }
}

test(`[SI-1] mutated messages never throw, and are a message or a fault (seed ${SEED})`, (context) => {
  const prng = new Prng(SEED);
  const counts = new Map<string, number>();
  for (let run = runs(6_000, 2_000_000); run > 0; run -= 1) {
    const bytes = mutated(prng, corpus[prng.nextInteger(0, corpus.length - 1)]!);
    try {
      const message = parseMessage(bytes);
      if (message.kind === 'fault') handleFault(message);
      else {
        readAll(message);
        handle(message);
      }
      const kind = message.kind === 'fault' ? message.code : message.kind;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    } catch (error) {
      throw new Error(`run ${run}: ${JSON.stringify(Buffer.from(bytes).toString('latin1'))}`, {
        cause: error,
      });
    }
  }
  context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  const kinds = [
    'request',
    'response',
    'line-ending',
    'start-line',
    'header-line',
    'header-missing',
    'header-malformed',
  ];
  for (const kind of kinds) assert.ok((counts.get(kind) ?? 0) > 20, kind);
});

test(`[SI-4] a stream of mutated messages holds no more than one message may have (seed ${SEED})`, () => {
  const prng = new Prng(SEED);
  const messageBytesMax = sipMessageLimits.headBytesMax + sipMessageLimits.bodyBytesMax;
  let framer = new SipFramer();
  let ended = 0;
  for (let run = runs(3_000, 500_000); run > 0; run -= 1) {
    const bytes = mutated(prng, corpus[prng.nextInteger(0, corpus.length - 1)]!);
    const at = prng.nextInteger(0, bytes.length);
    for (const piece of [bytes.slice(0, at), bytes.slice(at)]) {
      framer.push(piece);
      for (let next = framer.next(); next !== undefined; next = framer.next()) {
        if (next.kind === 'request' || next.kind === 'response') readAll(next);
        else if (next.kind === 'fault') {
          handleFault(next);
          if (next.canContinue) continue;
          assert.equal(framer.heldBytes, 0);
          ended += 1;
          framer = new SipFramer();
          break;
        }
      }
      assert.ok(framer.heldBytes <= 2 * messageBytesMax, `${framer.heldBytes}`);
    }
  }
  assert.ok(ended > 100);
});

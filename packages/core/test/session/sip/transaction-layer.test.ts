import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8, encodeUtf8 } from '../../../src/base/index.js';
import { parseMessage } from '../../../src/wire/sip/index.js';
import {
  alice,
  bob,
  EdgeWorld,
  requestText,
  responseText,
  TCP,
  UDP,
  type RequestParts,
} from './edge-world.js';

describe('matching', () => {
  test('[SI-30] a request is new by branch, sent-by and method; the same again is not', () => {
    const world = new EdgeWorld();
    world.open(1);
    const text = requestText({ method: 'OPTIONS' });
    world.receive(1, text + text);
    assert.deepEqual(world.kinds(), ['request']);
    world.receive(1, requestText({ method: 'OPTIONS', via: 'TCP 192.0.2.9:5060;branch=z9hG4bKa' }));
    assert.deepEqual(world.kinds(), ['request'], 'another sent-by');
    world.receive(1, requestText({ method: 'MESSAGE' }));
    assert.deepEqual(world.kinds(), ['request'], 'another method');
    world.receive(1, requestText({ method: 'OPTIONS', via: 'TCP 192.0.2.7:5060;branch=z9hG4bKb' }));
    assert.deepEqual(world.kinds(), ['request'], 'another branch');
  });

  test('[SI-30] the ACK of a refusal finds its INVITE, that of a 2xx goes to the core', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    assert.equal(world.respond(transaction, 486, request), true);
    world.receive(1, requestText({ method: 'ACK', toTag: 't' }));
    assert.deepEqual(world.kinds(), ['terminated']);
    world.receive(
      1,
      requestText({ method: 'ACK', toTag: 't', via: 'TCP 192.0.2.7:5060;branch=z9hG4bKother' }),
    );
    assert.deepEqual(
      world.events().map((event) => event.kind === 'ack' && event.invite),
      [undefined],
    );
  });

  test('[SI-40] an ACK with the branch of its accepted INVITE goes to the core, too', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    world.respond(transaction, 200, request);
    world.receive(1, requestText({ method: 'ACK', toTag: 't' }));
    assert.equal(world.event('ack').invite, transaction);
  });

  test('[SI-49] the ACK of a 2xx over UDP ends its repetition; another one does not', () => {
    const world = new EdgeWorld();
    world.datagram(alice, requestText({ via: 'UDP 192.0.2.7:40000;branch=z9hG4bKa' }));
    const { transaction, request } = world.event('request');
    world.respond(transaction, 200, request);
    const answer = 'udp 192.0.2.7:40000: SIP/2.0 200 Whatever';
    assert.deepEqual(world.out(), [answer]);
    const ack = (parts: RequestParts) =>
      world.datagram(
        alice,
        requestText({
          method: 'ACK',
          toTag: 't',
          via: 'UDP 192.0.2.7:40000;branch=z9hG4bKack',
          ...parts,
        }),
      );
    ack({ cseq: 2 });
    ack({ fromTag: 'other' });
    ack({ callId: 'call-2' });
    world.pass(9_500);
    assert.deepEqual(world.out(), [answer, answer]);
    ack({});
    world.pass(30_000);
    assert.deepEqual(world.out(), []);
    assert.equal(world.kinds().at(-1), 'terminated');
  });

  test('[SI-31] without a branch of RFC 3261 requests are matched as RFC 2543 wants it', () => {
    const world = new EdgeWorld();
    world.open(1);
    const via = 'TCP 192.0.2.7:5060';
    world.receive(1, requestText({ via }) + requestText({ via }));
    const { transaction, request } = world.event('request');
    world.receive(1, requestText({ via, callId: 'call-2' }));
    assert.deepEqual(world.kinds(), ['request']);
    world.receive(1, requestText({ via, method: 'CANCEL' }));
    assert.equal(world.event('cancel').invite, transaction);
    world.respond(transaction, 487, request);
    world.receive(1, requestText({ via, method: 'ACK', toTag: 't' }));
    assert.deepEqual(world.kinds(), ['terminated']);
  });

  test('[SI-48] responses that belong to nothing go nowhere, nor those whose Via is not ours', () => {
    const world = new EdgeWorld();
    world.open(1);
    const text = world.invite(world.flowOf(1));
    world.receive(1, responseText(text.replace('x.1.1', 'y.1.1'), 200));
    world.receive(1, responseText(text.replace('sip.example.org:5060', 'elsewhere.example'), 200));
    world.receive(1, responseText(text, 180));
    assert.deepEqual(
      world.events().map((event) => (event.kind === 'dropped' ? event.reason : event.kind)),
      ['stray-response', 'foreign-via', 'response'],
    );
  });

  test('[SI-45] the same request by another way is a merged one, until the first is answered', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const first = world.event('request');
    assert.equal(world.edge.isMerged(first.transaction), false);
    world.receive(1, requestText({ via: 'TCP 192.0.2.9:5060;branch=z9hG4bKb' }));
    const second = world.event('request');
    assert.equal(world.edge.isMerged(second.transaction), true);
    world.receive(1, requestText({ via: 'TCP 192.0.2.9:5060;branch=z9hG4bKc', toTag: 'in-dialog' }));
    assert.equal(world.edge.isMerged(world.event('request').transaction), false);
    world.respond(first.transaction, 486, first.request);
    world.receive(1, requestText({ method: 'ACK', toTag: 't' }));
    assert.equal(world.edge.isMerged(second.transaction), false);
  });
});

describe('an INVITE that came', () => {
  test('[SI-39] 100 goes out after 200 ms, and again for a retransmission', () => {
    const world = new EdgeWorld();
    world.datagram(alice, requestText({ via: 'UDP 10.0.0.1:5060;rport;branch=z9hG4bKa' }));
    world.pass(199);
    assert.deepEqual(world.out(), []);
    world.pass(1);
    assert.deepEqual(world.out(), ['udp 192.0.2.7:40000: SIP/2.0 100 Trying']);
    world.datagram(alice, requestText({ via: 'UDP 10.0.0.1:5060;rport;branch=z9hG4bKa' }));
    assert.deepEqual(world.out(), ['udp 192.0.2.7:40000: SIP/2.0 100 Trying']);
    assert.deepEqual(world.kinds(), ['request']);
  });

  test('[SI-35] a CANCEL is answered with 200 and told; too late, it is answered alone; without an INVITE with 481', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    world.receive(1, requestText({ method: 'CANCEL' }));
    assert.deepEqual(world.out(), ['1: SIP/2.0 200 OK']);
    assert.match(world.sent.at(-1)!, /^To: .*;tag=our-call-1\r$/m);
    assert.equal(world.event('cancel').invite, transaction);
    world.respond(transaction, 487, request);
    world.out();
    world.receive(1, requestText({ method: 'CANCEL' }));
    assert.deepEqual(world.out(), ['1: SIP/2.0 200 OK']);
    assert.deepEqual(world.kinds(), []);
    world.receive(1, requestText({ method: 'CANCEL', via: 'TCP 192.0.2.7:5060;branch=z9hG4bKnone' }));
    assert.deepEqual(world.out(), ['1: SIP/2.0 481 Call/Transaction Does Not Exist']);
    assert.deepEqual(world.kinds(), []);
  });

  test('[SI-42] the loss of the connection does not end it: the response takes another way, or its failure is told', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    world.close(1);
    assert.deepEqual(world.kinds(), ['flow-lost']);
    assert.equal(world.respond(transaction, 180, request), true);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.7:5060']);
    world.close(-1);
    assert.deepEqual(world.kinds(), ['unsent']);
    assert.equal(world.respond(transaction, 200, request), true);
    assert.deepEqual(world.out(), ['connect -2 tcp 192.0.2.7:5060']);
    world.edge.handleInput(world.now, {
      kind: 'connection-opened',
      connection: -2,
      listener: TCP,
      transport: 'tcp',
      remote: { address: '192.0.2.7', port: 5060 },
    });
    assert.deepEqual(world.out(), ['-2: SIP/2.0 200 Whatever']);
  });

  test('[SI-42] responses take the flow that the core names', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    world.close(1);
    world.open(2);
    world.edge.redirect(world.now, transaction, world.flowOf(2));
    world.respond(transaction, 200, request);
    assert.deepEqual(world.out(), ['2: SIP/2.0 200 Whatever']);
  });

  test('[SI-42] a 2xx that could not be sent goes by the flow that the core names later, once', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    world.close(1);
    world.respond(transaction, 200, request);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.7:5060']);
    world.close(-1);
    assert.deepEqual(world.out(), []);
    world.open(2);
    world.edge.redirect(world.now, transaction, world.flowOf(2));
    assert.deepEqual(world.out(), ['2: SIP/2.0 200 Whatever']);
    world.open(3);
    world.edge.redirect(world.now, transaction, world.flowOf(3));
    assert.deepEqual(world.out(), []);
  });

  test('[SI-42] a sender who repeats on a new connection is answered there', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, request } = world.event('request');
    world.close(1);
    world.open(2);
    world.receive(2, requestText());
    world.respond(transaction, 200, request);
    assert.deepEqual(world.out(), ['2: SIP/2.0 200 Whatever']);
  });

  test('[SI-44] made anew after a restart, it absorbs a retransmission and answers where the Via says', () => {
    const world = new EdgeWorld();
    const text = requestText({ via: 'UDP 10.0.0.1:5060;received=192.0.2.7;rport=40000;branch=z9hG4bKa' });
    const request = parseMessage(encodeUtf8(text));
    assert.equal(request.kind, 'request');
    const key = world.edge.restoreServer(world.now, request, UDP, 'proceeding', undefined);
    assert.notEqual(key, undefined);
    world.datagram(alice, requestText({ via: 'UDP 10.0.0.1:5060;rport;branch=z9hG4bKa' }));
    assert.deepEqual(world.out(), ['udp 192.0.2.7:40000: SIP/2.0 100 Trying']);
    assert.deepEqual(world.kinds(), []);
    world.edge.probe(world.now, key!, 7);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 7, flow: 0 }]);
    world.respond(key!, 200, request);
    assert.deepEqual(world.out(), ['udp 192.0.2.7:40000: SIP/2.0 200 Whatever']);
  });

  test('[SI-129] a request that is rejected leaves nothing: the next one finds the room, and no answer is repeated', () => {
    const world = new EdgeWorld({ transactionLimits: { serverTransactionsMax: 1 } });
    for (const method of ['INVITE', 'OPTIONS']) {
      for (let count = 0; count < 3; count++) {
        const via = `UDP 192.0.2.7:5060;branch=z9hG4bK${method}${count}`;
        world.datagram(alice, requestText({ method, via }));
        const { transaction, request } = world.event('request');
        const bytes = encodeUtf8(responseText(decodeUtf8(request.bytes, 0, request.bytes.length)!, 407));
        world.edge.reject(world.now, transaction, bytes);
        assert.equal(world.event('terminated').transaction, transaction);
        assert.deepEqual(world.out(), ['udp 192.0.2.7:5060: SIP/2.0 407 Whatever']);
      }
    }
    world.datagram(alice, requestText({ method: 'CANCEL', via: 'UDP 192.0.2.7:5060;branch=z9hG4bKnone' }));
    assert.deepEqual(world.out(), ['udp 192.0.2.7:5060: SIP/2.0 481 Call/Transaction Does Not Exist']);
    world.pass(64_000);
    assert.deepEqual([world.out(), world.kinds()], [[], []]);
  });

  test('[SI-46] with no room left it is answered with 503 and Retry-After, without a transaction', () => {
    const world = new EdgeWorld({
      transactionLimits: { serverTransactionsMax: 1, clientTransactionsMax: 1 },
    });
    world.open(1);
    world.receive(1, requestText());
    const { origin } = world.event('request');
    world.receive(1, requestText({ via: 'TCP 192.0.2.7:5060;branch=z9hG4bKb' }));
    assert.deepEqual(world.out(), ['1: SIP/2.0 503 Service Unavailable']);
    assert.match(world.sent.at(-1)!, /^Retry-After: 5\r$/m);
    assert.equal(world.event('dropped').reason, 'too-many-transactions');
    world.invite(origin.flow);
    const bytes = encodeUtf8(requestText());
    assert.equal(
      world.edge.request(world.now, {
        method: 'INVITE',
        branch: 'z9hG4bK-z',
        bytes,
        flow: origin.flow,
        outlivesFlow: false,
      }),
      undefined,
    );
  });
});

describe('an INVITE that was sent', () => {
  test('[SI-33] the ACK of a refusal has its Request-URI, Via, Route and CSeq, and To of the response', () => {
    const world = new EdgeWorld();
    world.open(1);
    const text = world.invite(world.flowOf(1));
    world.out();
    world.receive(1, responseText(text, 486, 'busy'));
    assert.deepEqual(world.out(), ['1: ACK sip:bob@example.org SIP/2.0']);
    const ack = world.sent.at(-1)!;
    assert.match(ack, /^Via: SIP\/2\.0\/TCP sip\.example\.org:5060;branch=z9hG4bK-x\.1\.1\r$/m);
    assert.match(ack, /^Route: <sip:hop\.example;lr>\r$/m);
    assert.match(ack, /^To: <sip:bob@example\.org>;tag=busy\r$/m);
    assert.match(ack, /^CSeq: 1 ACK\r$/m);
    assert.deepEqual(world.kinds(), ['response', 'terminated']);
  });

  test('[SI-35] its CANCEL has its branch and the reason, and its own transaction, which nobody is told of', () => {
    const world = new EdgeWorld();
    world.open(1);
    const text = world.invite(world.flowOf(1));
    world.out();
    world.edge.cancel(world.now, 'z9hg4bk-x.1.1 INVITE', 'SIP;cause=200;text="Call completed elsewhere"');
    assert.deepEqual(world.out(), []);
    world.receive(1, responseText(text, 180));
    assert.deepEqual(world.out(), ['1: CANCEL sip:bob@example.org SIP/2.0']);
    const cancel = world.sent.at(-1)!;
    assert.match(cancel, /branch=z9hG4bK-x\.1\.1\r\n/);
    assert.match(cancel, /^Reason: SIP;cause=200;text="Call completed elsewhere"\r$/m);
    assert.match(cancel, /^CSeq: 1 CANCEL\r$/m);
    world.receive(1, responseText(cancel, 200));
    world.receive(1, responseText(text, 487));
    assert.deepEqual(world.kinds(), ['response', 'response', 'terminated']);
  });

  test('[SI-37] it outlives its flow, is sent again as it was, and is answered on any flow', () => {
    const world = new EdgeWorld();
    world.open(1, bob);
    const text = world.invite(world.flowOf(1));
    world.close(1);
    assert.deepEqual(world.kinds(), ['detached', 'flow-lost']);
    world.pass(100_000);
    assert.deepEqual(world.kinds(), []);
    world.open(2, bob);
    const flow = world.flowOf(2);
    world.out();
    assert.equal(world.edge.attach(world.now, 'z9hg4bk-x.1.1 INVITE', flow, true), true);
    world.out();
    assert.equal(world.sent.at(-1), text);
    world.receive(2, responseText(text, 180));
    world.close(2);
    world.open(3, bob);
    world.receive(3, responseText(text, 200));
    assert.deepEqual(world.kinds(), ['response', 'detached', 'flow-lost', 'response']);
    world.receive(3, responseText(text, 200));
    assert.deepEqual(world.kinds(), ['response']);
  });

  test('[SI-37] a CANCEL that was lost with its flow goes along to the next one', () => {
    const world = new EdgeWorld();
    world.open(1, bob);
    const text = world.invite(world.flowOf(1));
    world.receive(1, responseText(text, 180));
    world.edge.cancel(world.now, 'z9hg4bk-x.1.1 INVITE');
    world.close(1);
    world.open(2, bob);
    const flow = world.flowOf(2);
    world.out();
    world.edge.attach(world.now, 'z9hg4bk-x.1.1 INVITE', flow, false);
    assert.deepEqual(world.out(), ['2: CANCEL sip:bob@example.org SIP/2.0']);
  });

  test('[SI-44] made anew after a restart, it takes a response on a new flow, and acknowledges there', () => {
    const world = new EdgeWorld();
    const branch = 'z9hG4bK-x.1.1';
    const text = requestText({ via: `TCP sip.example.org:5060;branch=${branch}` });
    const request = { method: 'INVITE', branch, bytes: encodeUtf8(text) };
    assert.notEqual(world.edge.restoreClient(world.now, request, 'calling'), undefined);
    world.open(1, bob);
    world.receive(1, responseText(text, 486));
    assert.deepEqual(world.kinds(), ['response', 'terminated']);
    assert.deepEqual(world.out(), ['1: ACK sip:bob@example.org SIP/2.0']);
  });

  test('[SI-44] its ACK and CANCEL have the Via that the phone has seen, once that is known', () => {
    const world = new EdgeWorld();
    const branch = 'z9hG4bK-x.1.1';
    const textAt = (port: number) => requestText({ via: `TCP sip.example.org:${port};branch=${branch}` });
    const bytes = encodeUtf8(textAt(5060));
    const key = world.edge.restoreClient(world.now, { method: 'INVITE', branch, bytes }, 'proceeding')!;
    world.open(1, bob);
    const flow = world.flowOf(1);
    world.edge.amend(key, encodeUtf8(textAt(5061)));
    world.edge.attach(world.now, key, flow, false);
    world.edge.cancel(world.now, key);
    assert.deepEqual(world.out(), ['1: CANCEL sip:bob@example.org SIP/2.0']);
    assert.match(
      world.sent.at(-1)!,
      /^Via: SIP\/2\.0\/TCP sip\.example\.org:5061;branch=z9hG4bK-x\.1\.1\r$/m,
    );
  });

  test('[SI-37] what is attached to a flow that is gone is not, and what has ended cannot be', () => {
    const world = new EdgeWorld();
    world.open(1, bob);
    const flow = world.flowOf(1);
    world.invite(flow);
    world.close(1);
    assert.equal(world.edge.attach(world.now, 'z9hg4bk-x.1.1 INVITE', flow, true), false);
    world.edge.abandon(world.now, 'z9hg4bk-x.1.1 INVITE');
    world.open(2, bob);
    assert.equal(world.edge.attach(world.now, 'z9hg4bk-x.1.1 INVITE', world.flowOf(2), true), false);
  });
});

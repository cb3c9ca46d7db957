import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sipTransportLimits } from '../../../src/session/sip/transport/index.js';
import { alice, bob, EdgeWorld, requestText, TCP, TLS, UDP, WS } from './edge-world.js';
import type { ResolvedTarget, SipAddress } from '../../../src/session/sip/machine.js';

const options = (via: string): string => requestText({ method: 'OPTIONS', via });

function opened(world: EdgeWorld, connection: number, remote: SipAddress): void {
  world.edge.handleInput(world.now, {
    kind: 'connection-opened',
    connection,
    listener: TCP,
    transport: 'tcp',
    remote,
  });
}

function resolved(world: EdgeWorld, ticket: number, targets: readonly ResolvedTarget[]): void {
  world.edge.handleInput(world.now, { kind: 'resolved', ticket, targets });
}

const target = { port: undefined, transport: undefined, isSecure: false, requestBytes: 500 };

describe('flows', () => {
  test('[SI-50] a flow is a connection, not an address: the number is never given again', () => {
    const world = new EdgeWorld();
    world.open(1);
    const first = world.flowOf(1);
    world.close(1);
    assert.equal(world.edge.flowInfo(first), undefined);
    assert.equal(world.event('flow-lost').flow, first);
    world.open(1);
    assert.notEqual(world.flowOf(1), first);
  });

  test('[SI-50] a flow of UDP is a listener, a remote and an epoch', () => {
    const world = new EdgeWorld();
    world.datagram(alice, options('UDP 10.0.0.1;rport;branch=z9hG4bKa'));
    assert.equal(world.event('request').origin.flow, 0);
    const first = world.edge.openUdpFlow(UDP, alice);
    const second = world.edge.openUdpFlow(UDP, alice);
    assert.notEqual(first, second);
    world.datagram(alice, options('UDP 10.0.0.1;rport;branch=z9hG4bKb'));
    assert.equal(world.event('request').origin.flow, second);
    world.edge.closeFlow(world.now, second, 'replaced');
    assert.equal(world.event('flow-lost').flow, second);
    assert.deepEqual(world.edge.flowInfo(first)?.remote, alice);
    assert.equal(world.edge.flowInfo(second), undefined);
  });

  test('[SI-50] the place of a flow of UDP outlives the process, in a new epoch', () => {
    const world = new EdgeWorld();
    const flow = world.edge.openUdpFlow(UDP, alice);
    const place = world.edge.placeOf(flow)!;
    const next = new EdgeWorld();
    next.edge.openUdpFlow(UDP, bob);
    assert.deepEqual(next.edge.flowInfo(next.edge.openPlace(place)!)?.remote, alice);
    assert.equal(next.edge.openPlace('udp 0 5060 192.0.2.1'), undefined, 'a listener of TCP');
    assert.equal(next.edge.openPlace('anything'), undefined);
    world.open(1);
    assert.equal(world.edge.placeOf(world.flowOf(1)), undefined);
  });

  test('[SI-50] of too many flows of UDP the one opened longest ago ends', () => {
    const world = new EdgeWorld({ transportLimits: { datagramFlowsMax: 1 } });
    const first = world.edge.openUdpFlow(UDP, alice);
    world.edge.openUdpFlow(UDP, bob);
    world.pass(0);
    world.datagram(bob, '\r\n');
    assert.equal(world.event('flow-lost').flow, first);
  });

  test('[SI-50] a flood of sources costs nothing, and of passing flows no more than their bound', () => {
    const limits = { passingFlowsMax: 100, passingIdleMsMax: 60_000 };
    const world = new EdgeWorld({ transportLimits: limits });
    const registered = world.edge.openUdpFlow(UDP, alice);
    const remoteOf = (index: number): SipAddress => ({
      address: `10.1.${index >> 8}.${index & 255}`,
      port: 5060,
    });
    for (let index = 0; index < 1_000; index += 1) {
      world.datagram(remoteOf(index), '\r\n');
      world.datagram(remoteOf(index), options('UDP 10.0.0.1;rport;branch=z9hG4bKa'));
    }
    assert.equal(world.edge.flowCount, 1);
    const flows: number[] = [];
    for (let index = 0; index < 1_000; index += 1) {
      world.pass(10);
      flows.push(world.edge.udpFlow(world.now, UDP, remoteOf(index)));
      // Somebody in a call is heard of all the time.
      assert.equal(world.edge.udpFlow(world.now, UDP, remoteOf(0)), flows[0]);
      assert.ok(world.edge.flowCount <= 101);
    }
    assert.ok(world.edge.flowInfo(flows[0]!) !== undefined && world.edge.flowInfo(flows[1]!) === undefined);
    assert.ok(world.edge.flowInfo(registered) !== undefined);
    world.pass(limits.passingIdleMsMax);
    assert.equal(world.edge.flowCount, 1);
    assert.ok(world.edge.flowInfo(registered) !== undefined);
    assert.equal(world.edge.nextTimeoutMs(), Infinity);
  });

  test('[SI-50] a passing flow lives as long as something passes, either way', () => {
    const world = new EdgeWorld({ transportLimits: { passingIdleMsMax: 60_000 } });
    const flow = world.edge.udpFlow(world.now, UDP, bob);
    world.pass(59_000);
    world.datagram(bob, options('UDP 10.0.0.2;rport;branch=z9hG4bKb'));
    assert.equal(world.event('request').origin.flow, flow);
    world.pass(59_000);
    world.edge.sendAck(world.now, flow, new Uint8Array(1));
    world.pass(59_000);
    assert.ok(world.edge.flowInfo(flow) !== undefined);
    world.pass(1_000);
    assert.equal(world.edge.flowInfo(flow), undefined);
    assert.equal(world.event('flow-lost').flow, flow);
    assert.notEqual(world.edge.udpFlow(world.now, UDP, bob), flow);
  });
});

describe('pings', () => {
  test('[SI-51] CRLFCRLF is answered with exactly one CRLF, at any point between messages, and nothing is sent unasked', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, '\r\n');
    assert.deepEqual(world.out(), []);
    world.receive(1, '\r\n');
    assert.deepEqual(world.out(), ['1: \\r\\n']);
    world.receive(1, `\r\n\r\n${requestText({ method: 'OPTIONS' })}\r\n\r\n`);
    assert.deepEqual(world.out(), ['1: \\r\\n', '1: \\r\\n']);
    assert.deepEqual(world.kinds(), ['request']);
    world.pass(3_000);
    assert.deepEqual(world.out(), []);
  });

  test('[SI-51] on UDP a CRLF keeps a NAT open and is not answered; on WebSocket a frame of CRLFCRLF is', () => {
    const world = new EdgeWorld();
    world.datagram(alice, '\r\n\r\n');
    assert.deepEqual(world.out(), []);
    world.open(1, alice, 'ws', WS);
    world.receive(1, '\r\n\r\n');
    assert.deepEqual(world.out(), ['1: \\r\\n']);
  });

  test('[SI-52] STUN is answered on the port of SIP with the address that it came from', () => {
    const world = new EdgeWorld();
    const bytes = Uint8Array.of(0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    world.edge.handleInput(world.now, { kind: 'datagram', listener: UDP, remote: alice, bytes });
    const [output, ...others] = world.outputs();
    assert.equal(others.length, 0);
    assert.ok(output?.kind === 'send');
    assert.deepEqual(output.remote, alice);
    const view = new DataView(output.bytes.buffer, output.bytes.byteOffset);
    assert.equal(view.getUint16(0), 0x0101);
    const at = 20;
    assert.equal(view.getUint16(at), 0x0020, 'XOR-MAPPED-ADDRESS');
    assert.equal(view.getUint16(at + 6) ^ 0x2112, alice.port);
    assert.equal((view.getUint32(at + 8) ^ 0x2112_a442) >>> 0, 0xc000_0207);
  });
});

describe('where a request came from', () => {
  const viaOf = (world: EdgeWorld): string => world.event('request').request.topVia.text;

  test('[SI-53] received is noted where the sent-by is another address or a name; rport where it was asked for', () => {
    const world = new EdgeWorld();
    world.datagram(alice, options('UDP 192.0.2.7:5060;branch=z9hG4bKa'));
    assert.equal(viaOf(world), 'SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKa');
    world.datagram(alice, options('UDP 10.0.0.1:5060;branch=z9hG4bKb'));
    assert.match(viaOf(world), /;received=192\.0\.2\.7/);
    world.datagram(alice, options('UDP phone.example;branch=z9hG4bKc'));
    assert.match(viaOf(world), /;received=192\.0\.2\.7/);
    world.datagram(alice, options('UDP 192.0.2.7:5060;rport;branch=z9hG4bKd'));
    const via = viaOf(world);
    assert.match(via, /;received=192\.0\.2\.7/);
    assert.match(via, /;rport=40000/);
  });

  test('[SI-53] what the sender wrote there itself does not count', () => {
    const world = new EdgeWorld();
    world.open(1, bob);
    world.receive(1, options('TCP 192.0.2.8:5060;received=203.0.113.1;rport=1;branch=z9hG4bKa'));
    const { request } = world.event('request');
    assert.equal(request.topVia.received, '192.0.2.8');
    assert.equal(request.topVia.rport, 41_000);
  });
});

describe('the way of a response', () => {
  test('[SI-54] on UDP it goes to the address that the request came from, to the port of rport or else of the sent-by', () => {
    const world = new EdgeWorld();
    for (const [via, where] of [
      ['UDP 10.0.0.1:5070;rport;branch=z9hG4bKa', '192.0.2.7:40000'],
      ['UDP 10.0.0.1:5070;branch=z9hG4bKb', '192.0.2.7:5070'],
      ['UDP 10.0.0.1;branch=z9hG4bKc', '192.0.2.7:5060'],
      ['UDP 10.0.0.1;maddr=203.0.113.5;branch=z9hG4bKd', '192.0.2.7:5060'],
    ] as const) {
      world.datagram(alice, options(via));
      const { transaction, request } = world.event('request');
      world.respond(transaction, 200, request);
      assert.deepEqual(world.out(), [`udp ${where}: SIP/2.0 200 Whatever`]);
    }
  });

  test('[SI-54] when the connection is gone it takes a new one to the address, and last to the sent-by', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText({ via: 'TCP caller.example:5070;branch=z9hG4bKa' }));
    const { transaction, request } = world.event('request');
    world.close(1);
    world.respond(transaction, 180, request);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.7:5070']);
    world.respond(transaction, 200, request);
    world.close(-1);
    assert.deepEqual(world.out(), ['resolve 1 caller.example']);
    resolved(world, 1, [{ transport: 'tcp', remote: bob }]);
    assert.deepEqual(world.out(), ['connect -2 tcp 192.0.2.8:41000']);
    opened(world, -2, bob);
    assert.deepEqual(world.out(), ['-2: SIP/2.0 180 Whatever', '-2: SIP/2.0 200 Whatever']);
    assert.deepEqual(world.kinds(), ['flow-lost']);
  });

  test('[SI-54] nobody is connected to who was not let in', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText({ via: 'TCP intranet.example:6379;branch=z9hG4bKa' }));
    const { transaction, request } = world.event('request');
    world.close(1);
    world.respond(transaction, 407, request);
    assert.deepEqual(world.out(), []);
    assert.deepEqual(world.kinds(), ['flow-lost', 'unsent']);
  });

  test('[SI-54] a probe says beforehand whether there is a way', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, requestText());
    const { transaction, origin } = world.event('request');
    world.edge.probe(world.now, transaction, 1);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 1, flow: origin.flow }]);
    world.close(1);
    world.edge.probe(world.now, transaction, 2);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.7:5060']);
    world.pass(sipTransportLimits.connectMsMax);
    assert.deepEqual(world.out(), ['close -1 connect-timeout']);
    assert.deepEqual(world.event('routed'), { kind: 'routed', ticket: 2, flow: undefined });
  });

  test('[SI-56] nobody is reached by a new WebSocket', () => {
    const world = new EdgeWorld();
    world.open(1, alice, 'ws', WS);
    world.receive(1, requestText({ via: 'WS df7jal23ls0d.invalid;branch=z9hG4bKa' }));
    const { transaction, request } = world.event('request');
    world.close(1);
    world.respond(transaction, 200, request);
    assert.deepEqual(world.kinds(), ['flow-lost', 'unsent']);
    assert.deepEqual(world.out(), []);
  });
});

describe('the way to another server', () => {
  test('[SI-55] an address is asked nobody about, and a connection is made once for all who want it', () => {
    const world = new EdgeWorld();
    const tcp = { ...target, host: '192.0.2.8', port: 5062, transport: 'tcp' } as const;
    world.edge.route(world.now, tcp, 1);
    world.edge.route(world.now, tcp, 2);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.8:5062']);
    opened(world, -1, { address: '192.0.2.8', port: 5062 });
    const events = world.events();
    assert.deepEqual(
      events.map((event) => event.kind === 'routed' && event.ticket),
      [1, 2],
    );
    const flow = events[0]!.kind === 'routed' ? events[0]!.flow! : 0;
    world.edge.route(world.now, tcp, 3);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 3, flow }]);
    assert.deepEqual(world.edge.sentBy(flow), { transport: 'tcp', host: 'sip.example.org', port: 5060 });
    world.receive(-1, options('TCP 192.0.2.8;branch=z9hG4bKa'));
    assert.equal(world.event('request').origin.flow, flow);
  });

  test('[SI-55] the addresses of a name are tried in their order', () => {
    const world = new EdgeWorld();
    world.edge.route(world.now, { ...target, host: 'trunk.example' }, 5);
    assert.deepEqual(world.out(), ['resolve 1 trunk.example']);
    resolved(world, 1, [
      { transport: 'tcp', remote: alice },
      { transport: 'tls', remote: bob },
    ]);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.7:40000']);
    world.close(-1);
    const [connect] = world.outputs();
    assert.deepEqual(connect, {
      kind: 'connect',
      connection: -2,
      transport: 'tls',
      remote: bob,
      serverName: 'trunk.example',
    });
    world.close(-2);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 5, flow: undefined }]);
  });

  test('[SI-55] a long request goes over TCP where that is ours to choose, and over UDP where TCP is not spoken', () => {
    const world = new EdgeWorld();
    world.edge.route(world.now, { ...target, host: '192.0.2.8' }, 1);
    const short = world.event('routed').flow!;
    assert.equal(world.edge.flowInfo(short)?.transport, 'udp');
    world.edge.route(world.now, { ...target, host: '192.0.2.8', requestBytes: 1_301 }, 2);
    assert.deepEqual(world.out(), ['connect -1 tcp 192.0.2.8:5060']);
    world.close(-1);
    assert.equal(world.event('routed').flow, short);
  });

  test('[SI-55] sips goes over TLS alone; nobody waits for an answer longer than the bound', () => {
    const world = new EdgeWorld();
    world.edge.route(world.now, { ...target, host: '192.0.2.8', isSecure: true }, 1);
    assert.deepEqual(world.out(), ['connect -1 tls 192.0.2.8:5061']);
    world.pass(sipTransportLimits.connectMsMax);
    assert.deepEqual(world.out(), ['close -1 connect-timeout']);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 1, flow: undefined }]);
    opened(world, -1, bob);
    assert.deepEqual(world.out(), ['close -1 not-wanted']);
    world.edge.route(world.now, { ...target, host: 'silent.example' }, 2);
    world.pass(sipTransportLimits.connectMsMax);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 2, flow: undefined }]);
  });

  test('[SI-55] connections of ours and searches are bounded', () => {
    const world = new EdgeWorld({ transportLimits: { outgoingConnectionsMax: 1, routesWaitingMax: 1 } });
    const tcp = { ...target, transport: 'tcp' } as const;
    world.edge.route(world.now, { ...tcp, host: '192.0.2.8' }, 1);
    world.edge.route(world.now, { ...tcp, host: '192.0.2.8' }, 2);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 2, flow: undefined }]);
    opened(world, -1, { address: '192.0.2.8', port: 5060 });
    world.events();
    world.edge.route(world.now, { ...tcp, host: '192.0.2.9' }, 3);
    assert.deepEqual(world.events(), [{ kind: 'routed', ticket: 3, flow: undefined }]);
    world.out();
    world.pass(sipTransportLimits.outgoingIdleMsMax);
    assert.deepEqual(world.out(), ['close -1 idle']);
  });
});

describe('bytes', () => {
  test('[SI-56] on WebSocket a frame is one message, without a Content-Length', () => {
    const world = new EdgeWorld();
    world.open(1, alice, 'wss', WS);
    const via = 'WSS df7jal23ls0d.invalid;branch=z9hG4bKa';
    world.receive(1, options(via).replace('Content-Length: 0\r\n', ''));
    const { transaction, request, origin } = world.event('request');
    assert.equal(origin.transport, 'wss');
    world.respond(transaction, 200, request);
    assert.deepEqual(world.out(), ['1: SIP/2.0 200 Whatever']);
    assert.match(world.sent.at(-1)!, /^Via: .*df7jal23ls0d\.invalid.*;received=192\.0\.2\.7/m);
  });

  test('[SI-57] a malformed request is answered with 400; a stream that cannot be read on ends', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.receive(1, options('TCP 192.0.2.7;branch=z9hG4bKa').replace('Max-Forwards: 70', 'Max-Forwards: x'));
    assert.match(world.out().join(), /^1: SIP\/2\.0 400 /);
    assert.equal(world.event('dropped').reason, 'malformed');
    world.receive(1, options('TCP 192.0.2.7;branch=z9hG4bKb'));
    assert.deepEqual(world.kinds(), ['request']);
    world.receive(1, '\u0000\u0001');
    // More of it may come before it is looked at.
    world.receive(1, 'x'.repeat(1_000));
    world.pass(0);
    assert.deepEqual(world.out(), ['close 1 unreadable']);
    world.datagram(
      alice,
      requestText({ via: 'UDP 10.0.0.1;rport;branch=z9hG4bKc' }).replace('CSeq: 1 INVITE', 'CSeq: x'),
    );
    assert.match(world.out().join(), /^(udp 192\.0\.2\.7:40000: SIP\/2\.0 400 .*)?$/);
  });

  test('[SI-57] on UDP the answer goes where the request came from', () => {
    const world = new EdgeWorld();
    const text = options('UDP 10.0.0.1;rport;branch=z9hG4bKa').replace('Max-Forwards: 70', 'Max-Forwards: x');
    world.datagram(alice, text);
    assert.match(world.out().join(), /^udp 192\.0\.2\.7:40000: SIP\/2\.0 400 /);
    world.datagram(alice, text.replace('rport;', ''));
    assert.match(world.out().join(), /^udp 192\.0\.2\.7:5060: SIP\/2\.0 400 /);
  });

  test('[SI-58] who is let in by nobody, or never ends what was begun, is cut off', () => {
    const world = new EdgeWorld();
    world.open(1);
    world.open(2);
    world.open(3);
    world.receive(2, requestText({ method: 'OPTIONS' }).slice(0, 60));
    world.receive(3, requestText({ method: 'OPTIONS', callId: 'whole' }));
    world.edge.admit(world.event('request').origin.flow);
    // Pings and requests alone keep nobody here.
    world.open(4);
    world.receive(4, `\r\n\r\n${requestText({ method: 'OPTIONS', callId: 'other' })}`);
    world.pass(sipTransportLimits.messageMsMax);
    assert.deepEqual(
      world.out().filter((output) => output.startsWith('close')),
      ['close 2 message-timeout'],
    );
    world.pass(sipTransportLimits.admissionMsMax);
    assert.deepEqual(
      world
        .out()
        .filter((output) => output.startsWith('close'))
        .toSorted(),
      ['close 1 admission-timeout', 'close 4 admission-timeout'],
    );
    world.pass(10 * sipTransportLimits.outgoingIdleMsMax);
    assert.deepEqual(
      world.out().filter((output) => output.startsWith('close')),
      [],
      'a sleeper may be silent for as long as it likes',
    );
  });

  test('[SI-57] what was read is not looked at again: the memory is the host’s', () => {
    const world = new EdgeWorld();
    world.open(1);
    const chunk = new TextEncoder().encode(requestText());
    world.edge.handleInput(world.now, { kind: 'bytes', connection: 1, chunk });
    chunk.fill(0);
    const { transaction, request } = world.event('request');
    assert.equal(request.callId, 'call-1');
    world.respond(transaction, 200, request);
    world.outputs();
    assert.match(world.sent.at(-1)!, /^Call-ID: call-1\r$/m);
  });
});

test('[SI-55] requests go out under the address of a listener of their transport', () => {
  const world = new EdgeWorld();
  world.open(1, alice, 'tls', TLS);
  assert.deepEqual(world.edge.sentBy(world.flowOf(1)), {
    transport: 'tls',
    host: 'sip.example.org',
    port: 5061,
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8 } from '../../../src/base/index.js';
import { ReasonCode, noProperties, type ConnectPacket, type Packet } from '../../../src/wire/mqtt/index.js';
import { connectPacket, Harness, opened, publication, publishPacket, summary, type Turn } from './harness.js';

const identity = { kind: 'anonymous' } as const;

function canaryConnect(silence: string, fields: Partial<ConnectPacket> = {}): ConnectPacket {
  const properties = { userProperties: [['wakeline-canary', silence]] as const, ...fields.properties };
  return connectPacket(5, { keepAliveSeconds: 0, ...fields, properties });
}

/** A canary that has its CONNACK. */
function openCanary(): { readonly harness: Harness; readonly turn: Turn } {
  const harness = new Harness(5);
  harness.send(canaryConnect('340000'));
  harness.input({ kind: 'authenticated', identity });
  return { harness, turn: harness.events(opened) };
}

describe('a canary', () => {
  test('[KA-20] is told to the hub as such, without anything that it could take over', () => {
    const harness = new Harness(5, {
      serverKeepAliveSeconds: 60,
      keepAliveMsMax: 30_000,
      keepAliveRequired: true,
    });
    const will = {
      topic: 'gone',
      payload: Uint8Array.of(1),
      qos: 1,
      retain: false,
      properties: publication().properties,
      messageExpirySeconds: undefined,
      delaySeconds: 0,
    } as const;
    const fields = { clean: false, will, properties: { sessionExpirySeconds: 3_600 } };
    const { authenticate } = harness.send(canaryConnect('340000', fields));
    assert.equal(authenticate?.clientId, 'd1');
    const { commands } = harness.input({ kind: 'authenticated', identity });
    assert.deepEqual(commands, [
      { kind: 'canary', link: 'mqtt', peer: '127.0.0.1:50000', identity, clientId: 'd1', silenceMs: 340_000 },
    ]);
    const { packets, probing } = harness.events(opened);
    const [connack] = packets;
    assert(connack?.type === 'connack' && !connack.sessionPresent && connack.reasonCode === 0);
    assert.equal(
      connack.properties.serverKeepAliveSeconds,
      undefined,
      'it keeps the keep alive 0 that it asks for',
    );
    assert.equal(connack.properties.sessionExpirySeconds, 0, 'it is told that nothing survives it');
    assert.equal(probing, 'never', 'the host must not keep the path alive');
    assert.equal(harness.session.nextTimeoutMs(), Infinity);
  });

  test('[KA-24] is offered to who asked for the cursor, and to nobody else', () => {
    for (const [asked, offered] of [
      [[['wakeline', 'cursor']], '7200000'],
      [[], undefined],
    ] as const) {
      const harness = new Harness(5);
      harness.send(connectPacket(5, { properties: { userProperties: asked } }));
      harness.input({ kind: 'authenticated', identity });
      const [connack] = harness.events(opened).packets;
      assert(connack?.type === 'connack');
      const property = connack.properties.userProperties?.find(([name]) => name === 'wakeline-canary');
      assert.equal(property?.[1], offered);
    }
  });

  test('[KA-20] gets the push, and an answer to its ping', () => {
    const { harness } = openCanary();
    assert.deepEqual(summary(harness.send({ type: 'pingreq' })), [['pingresp', undefined]]);
    const { packets } = harness.events({ kind: 'canary-due', silenceMs: 340_000 });
    const [push] = packets;
    assert(packets.length === 1 && push?.type === 'publish');
    assert.deepEqual([push.topic, push.qos, push.retain], ['$line/canary', 0, false]);
    assert.equal(decodeUtf8(push.payload, 0, push.payload.length), '{"silence":340000}');
  });

  test('[KA-20] ends with DISCONNECT, and with the connection: the hub hears it', () => {
    const close = { kind: 'close', publishWill: false, sessionExpirySeconds: undefined };
    const disconnect: Packet = { type: 'disconnect', reasonCode: 0, properties: noProperties };
    assert.deepEqual(openCanary().harness.send(disconnect).commands, [close]);
    const lost = openCanary().harness.input({ kind: 'socket-closed' });
    assert.deepEqual(lost.commands, [{ ...close, publishWill: true }]);
  });

  const foreign: readonly Packet[] = [
    publishPacket(),
    publishPacket({ topic: '$line/alive', payload: new Uint8Array(0) }),
    publishPacket({ topic: '$line/state', qos: 1, packetId: 1 }),
    { type: 'unsubscribe', packetId: 1, filters: ['a'], properties: noProperties },
    { type: 'pubrel', packetId: 1, reasonCode: 0, properties: noProperties },
    { type: 'puback', packetId: 1, reasonCode: 0, properties: noProperties },
  ];
  for (const packet of foreign) {
    const what = packet.type === 'publish' ? `publish to ${packet.topic}` : packet.type;
    test(`[KA-20] sends no ${what}`, () => {
      const turn = openCanary().harness.send(packet);
      assert.deepEqual(summary(turn), [['disconnect', ReasonCode.protocolError]]);
      assert.deepEqual(
        turn.commands.map(({ kind }) => kind),
        ['close'],
      );
      assert.equal(turn.close?.reason, 'protocol-error');
    });
  }

  for (const [reason, code] of [
    ['session-taken-over', ReasonCode.sessionTakenOver],
    ['canary-over', ReasonCode.maximumConnectTime],
  ] as const) {
    test(`[KA-20] is told ${reason}`, () => {
      const turn = openCanary().harness.events({ kind: 'end', reason });
      assert.deepEqual(summary(turn), [['disconnect', code]]);
      assert.equal(turn.close?.reason, reason);
    });
  }

  for (const silence of [
    '',
    '0',
    '999',
    '7200001',
    '-5000',
    '1e5',
    '5000.5',
    '05000',
    ' 5000',
    '5000 ',
    '99999999999999999999',
  ]) {
    test(`[KA-20] a silence of "${silence}" is refused by name`, () => {
      const turn = new Harness(5).send(canaryConnect(silence));
      assert.equal(turn.authenticate, undefined);
      assert.equal(turn.close?.reason, 'canary-invalid');
      const [connack] = turn.packets;
      assert(connack?.type === 'connack' && connack.reasonCode === ReasonCode.implementationSpecificError);
      assert.match(connack.properties.reasonString ?? '', /wakeline-canary/);
    });
  }

  for (const silence of ['1000', '7200000']) {
    test(`[KA-20] a silence of ${silence} ms is taken`, () => {
      const turn = new Harness(5).send(canaryConnect(silence));
      assert.equal(turn.authenticate?.clientId, 'd1');
    });
  }

  test('[KA-20] two silences are none', () => {
    const userProperties = [
      ['wakeline-canary', '5000'],
      ['wakeline-canary', '6000'],
    ] as const;
    const turn = new Harness(5).send(connectPacket(5, { properties: { userProperties } }));
    assert.equal(turn.close?.reason, 'canary-invalid');
  });

  test('[KA-20] refused credentials are told as always', () => {
    const harness = new Harness(5);
    harness.send(canaryConnect('5000'));
    const turn = harness.input({ kind: 'denied', reason: 'bad-credentials' });
    assert.deepEqual(summary(turn), [['connack', ReasonCode.badUserNameOrPassword]]);
    assert.deepEqual(turn.commands, []);
  });
});

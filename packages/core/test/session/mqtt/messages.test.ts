import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8, limits } from '../../../src/base/index.js';
import { Urgency, type LinkEvent, type Refusal } from '../../../src/domain/index.js';
import { packetIdOf, reasons, sequenceOf } from '../../../src/session/mqtt/index.js';
import {
  encodeApplicationProperties,
  noProperties,
  publishPacketBytes,
} from '../../../src/wire/mqtt/index.js';
import {
  ackPacket,
  delivery,
  openSession,
  publication,
  publishPacket,
  summary,
  type Harness,
} from './harness.js';

function accepted(packetId: number, qos: 1 | 2, reason?: Refusal, matched = true): LinkEvent {
  return { kind: 'accepted', packetId, qos, reason, matched };
}

const closeCommand = { kind: 'close', publishWill: true, sessionExpirySeconds: undefined } as const;

describe('PUBLISH from the client', () => {
  test('is handed to the hub, and acknowledged only when the hub says it is safe', () => {
    const harness = openSession(4);
    const turn = harness.send(
      publishPacket(),
      publishPacket({ qos: 1, packetId: 7, retain: true }),
      publishPacket({ qos: 2, packetId: 8, dup: true }),
    );
    assert.deepEqual(turn.packets, []);
    assert.deepEqual(turn.commands, [
      { kind: 'publish', publication: publication(), packetId: 0 },
      { kind: 'publish', publication: publication({ qos: 1, retain: true }), packetId: 7 },
      { kind: 'publish', publication: publication({ qos: 2 }), packetId: 8 },
    ]);
    assert.deepEqual(harness.events(accepted(7, 1), accepted(8, 2)).packets, [
      ackPacket('puback', 7),
      ackPacket('pubrec', 8),
    ]);
    assert.deepEqual(harness.send(ackPacket('pubrel', 8)).commands, [{ kind: 'release', packetId: 8 }]);
    assert.deepEqual(harness.events({ kind: 'completed', packetId: 8, found: true }).packets, [
      ackPacket('pubcomp', 8),
    ]);
  });

  test('5.0: no subscriber is 0x10, an unknown PUBREL 0x92', () => {
    const harness = openSession(5);
    const turn = harness.events(accepted(1, 1, undefined, false), accepted(2, 2, undefined, false), {
      kind: 'completed',
      packetId: 9,
      found: false,
    });
    assert.deepEqual(summary(turn), [
      ['puback', 0x10],
      ['pubrec', 0x10],
      ['pubcomp', 0x92],
    ]);
  });

  test('urgency, replace and expiry are read, and all properties are forwarded as they came', () => {
    const properties = encodeApplicationProperties({
      payloadFormat: 1,
      userProperties: [
        ['x', 'y'],
        ['urgency', 'very-low'],
        ['replace', 'weather'],
      ],
    });
    const harness = openSession(5);
    const { commands } = harness.send(publishPacket({ properties, messageExpirySeconds: 5 }));
    assert.deepEqual(commands, [
      {
        kind: 'publish',
        packetId: 0,
        publication: publication({
          properties,
          expirySeconds: 5,
          urgency: Urgency.veryLow,
          replaceKey: 'weather',
        }),
      },
    ]);
    const unknown = encodeApplicationProperties({ userProperties: [['urgency', 'soon']] });
    const [command] = harness.send(publishPacket({ properties: unknown })).commands;
    assert.ok(command?.kind === 'publish' && command.publication.urgency === Urgency.normal);
  });

  const refused: readonly (readonly [string, string, Uint8Array, number])[] = [
    ['topic too long', 'x'.repeat(limits.topicBytesMax + 1), new Uint8Array(0), 0x90],
    ['topic too long in bytes', '€'.repeat(400), new Uint8Array(0), 0x90],
    ['topic too deep', '/'.repeat(limits.topicDepthMax), new Uint8Array(0), 0x90],
    ['topic of the server', '$SYS/broker', new Uint8Array(0), 0x87],
    ['payload too large', 'a', new Uint8Array(limits.messageBytesMax + 1), 0x97],
  ];
  for (const [title, topic, payload, code] of refused) {
    test(`${title}: refused here`, () => {
      const packet = publishPacket({ topic, payload });
      const harness = openSession(5);
      const turn = harness.send(
        packet,
        { ...packet, qos: 1, packetId: 1 },
        { ...packet, qos: 2, packetId: 2 },
      );
      assert.deepEqual(summary(turn), [
        ['puback', code],
        ['pubrec', code],
      ]);
      assert.deepEqual([turn.commands, turn.close], [[], undefined]);

      const old = openSession(4);
      assert.deepEqual(old.send(packet), {
        authenticate: undefined,
        commands: [],
        packets: [],
        close: undefined,
      });
      const answer = old.send({ ...packet, qos: 1, packetId: 1 });
      // 3.1.1: acknowledged where nobody could ever have it, else closed so that the client keeps it.
      if (code === 0x87) assert.deepEqual([summary(answer), answer.close], [[['puback', 0]], undefined]);
      else assert.deepEqual([answer.packets, answer.commands], [[], [closeCommand]]);
    });
  }

  test('as deep and long as allowed, and $line/', () => {
    const harness = openSession(5);
    for (const topic of [
      '/'.repeat(limits.topicDepthMax - 1),
      'x'.repeat(limits.topicBytesMax),
      '$line/canary',
      'a$',
    ]) {
      assert.equal(harness.send(publishPacket({ topic })).commands.length, 1, topic);
    }
  });

  test('[MQTT3 4.8.0-2] refused by the hub: 5.0 says why, 3.1.1 is closed so that the client keeps it', () => {
    const harness = openSession(5);
    harness.send(publishPacket({ qos: 1, packetId: 1 }), publishPacket({ qos: 2, packetId: 2 }));
    const turn = harness.events(accepted(1, 1, 'storage-full'), accepted(2, 2, 'not-authorized'));
    assert.deepEqual(turn.packets, [
      ackPacket('puback', 1, 0x97, { reasonString: reasons['storage-full'].text }),
      ackPacket('pubrec', 2, 0x87, { reasonString: reasons['not-authorized'].text }),
    ]);
    const old = openSession(4);
    old.send(publishPacket({ qos: 1, packetId: 1 }));
    const ended = old.events(accepted(1, 1, 'storage-full'));
    assert.deepEqual(
      [ended.packets, ended.commands, ended.close],
      [[], [closeCommand], { reason: 'storage-full' }],
    );
  });

  test('[MQTT5 3.1.2-29, 3.4.2-2] no reason string for who wants none, or has no room for it', () => {
    for (const properties of [{ requestProblemInformation: 0 }, { maximumPacketBytes: 100 }]) {
      const harness = openSession(5, { properties });
      assert.deepEqual(harness.events(accepted(1, 1, 'storage-full')).packets, [
        ackPacket('puback', 1, 0x97),
      ]);
    }
  });

  test('[MQTT5 3.3.4-7] receive maximum: counted until PUBACK, PUBCOMP or a PUBREC that refuses', () => {
    const harness = openSession(5);
    const one = (packetId: number): boolean => {
      return harness.send(publishPacket({ qos: 1, packetId })).close === undefined;
    };
    harness.send(publishPacket({ qos: 2, packetId: 1 }), publishPacket({ qos: 2, packetId: 2 }));
    assert.ok(one(3));
    harness.events(accepted(3, 1), accepted(1, 2), accepted(2, 2, 'inbox-full'));
    assert.ok(one(4) && one(5));
    // Sent again, a QoS 2 message counts once.
    assert.equal(harness.send(publishPacket({ qos: 2, packetId: 1, dup: true })).close, undefined);
    harness.events({ kind: 'completed', packetId: 1, found: true });
    assert.ok(one(6));
    const turn = harness.send(publishPacket({ qos: 1, packetId: 7 }));
    assert.deepEqual(summary(turn), [['disconnect', 0x93]]);
    assert.deepEqual([turn.commands, turn.close], [[closeCommand], { reason: 'receive-maximum-exceeded' }]);
  });

  test('3.1.1 knows no receive maximum', () => {
    const harness = openSession(4);
    for (let packetId = 1; packetId < 50; packetId += 1) {
      assert.equal(harness.send(publishPacket({ qos: 1, packetId })).close, undefined);
    }
  });
});

describe('deliveries', () => {
  test('QoS 0, 1 and 2 leave in one write, with what the version can say', () => {
    const fields = {
      properties: encodeApplicationProperties({ contentType: 'x' }),
      expirySeconds: 4,
      subscriptionIds: [1, 300],
    };
    for (const version of [4, 5] as const) {
      const harness = openSession(version);
      const { packets } = harness.events(
        delivery(0, fields),
        delivery(5, { ...fields, duplicate: true }),
        delivery(65_536, { ...fields, qos: 2, retain: true }),
      );
      const extra = version === 5 ? fields : { properties: new Uint8Array(0), subscriptionIds: [] };
      const expected = publishPacket({
        topic: 'a',
        payload: Uint8Array.of(9),
        properties: extra.properties,
        subscriptionIds: extra.subscriptionIds,
        messageExpirySeconds: version === 5 ? 4 : undefined,
      });
      assert.deepEqual(packets, [
        expected,
        { ...expected, qos: 1, dup: true, packetId: 5 },
        { ...expected, qos: 2, retain: true, packetId: 1 },
      ]);
    }
  });

  test('acknowledgements become sequence numbers, over gaps and over the end of the ids', () => {
    const harness = openSession(4);
    harness.events(
      delivery(65_530),
      delivery(65_535, { qos: 2 }),
      delivery(65_540),
      delivery(65_541, { qos: 2 }),
    );
    const turn = harness.send(
      ackPacket('puback', 65_530),
      ackPacket('pubrec', 65_535),
      ackPacket('puback', 5),
      ackPacket('pubrec', 6),
      ackPacket('pubcomp', 65_535),
    );
    assert.deepEqual(turn.commands, [
      { kind: 'acknowledge', sequence: 65_530 },
      { kind: 'received', sequence: 65_535 },
      { kind: 'acknowledge', sequence: 65_540 },
      { kind: 'received', sequence: 65_541 },
      { kind: 'complete', sequence: 65_535 },
    ]);
    assert.deepEqual(
      harness.events({ kind: 'release', sequence: 65_535 }, { kind: 'release', sequence: 65_541 }).packets,
      [ackPacket('pubrel', 65_535), ackPacket('pubrel', 6)],
    );
  });

  test('ids and sequence numbers agree within a window', () => {
    for (const last of [1, 65_534, 65_535, 65_536, 131_070, 131_071, 2 ** 40]) {
      for (const behind of [0, 1, 1_000, 65_533]) {
        const sequence = last - behind;
        if (sequence < 1) continue;
        const id = packetIdOf(sequence);
        assert.ok(id >= 1 && id <= 65_535);
        assert.equal(sequenceOf(id, last), sequence);
      }
    }
    assert.equal(sequenceOf(9, 8), 0);
    assert.equal(sequenceOf(9, 0), 0);
  });

  test('a message refused with PUBREC is done; what was never sent is ignored', () => {
    const harness = openSession(5);
    harness.events(delivery(3, { qos: 2 }));
    assert.deepEqual(harness.send(ackPacket('pubrec', 3, 0x97)).commands, [
      { kind: 'acknowledge', sequence: 3 },
    ]);
    const unknown = harness.send(ackPacket('puback', 9), ackPacket('pubcomp', 9), ackPacket('pubrec', 9));
    assert.deepEqual([unknown.commands, unknown.packets], [[], [ackPacket('pubrel', 9, 0x92)]]);
    const old = openSession(4);
    const ignored = old.send(ackPacket('puback', 9), ackPacket('pubrec', 9));
    assert.deepEqual([ignored.commands, ignored.packets, ignored.close], [[], [], undefined]);
  });

  test('[MQTT5 3.1.2-24, 3.1.2-25] what is larger than the client takes counts as done', () => {
    const event = delivery(2, { body: new Uint8Array(100) });
    assert.ok(event.kind === 'deliver');
    const bytes = publishPacketBytes(5, event.delivery);
    const fits = openSession(5, { properties: { maximumPacketBytes: bytes } });
    assert.equal(fits.events(event).packets.length, 1);
    const harness = openSession(5, { properties: { maximumPacketBytes: bytes - 1 } });
    const turn = harness.events(event, delivery(0, { body: new Uint8Array(110) }), delivery(3));
    assert.deepEqual(turn.commands, [{ kind: 'acknowledge', sequence: 2 }]);
    assert.deepEqual(
      turn.packets.map((packet) => packet.type === 'publish' && packet.packetId),
      [3],
    );
  });
});

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;

  function subscribe(harness: Harness, ...filters: readonly string[]): ReturnType<Harness['send']> {
    return harness.send({
      type: 'subscribe',
      packetId: 4,
      subscriptions: filters.map((filter) => ({ filter, ...options })),
      properties: noProperties,
    });
  }

  test('requests go to the hub with all their options, results become codes', () => {
    const harness = openSession(5);
    const entry = {
      filter: 'a/+',
      qos: 2,
      noLocal: true,
      retainAsPublished: true,
      retainHandling: 1,
    } as const;
    const turn = harness.send({
      type: 'subscribe',
      packetId: 4,
      subscriptions: [entry, { filter: '#', ...options }],
      properties: { subscriptionId: 77 },
    });
    assert.deepEqual(turn.commands, [
      {
        kind: 'subscribe',
        ticket: 4,
        subscriptions: [
          { ...entry, subscriptionId: 77 },
          { filter: '#', ...options, subscriptionId: 77 },
        ],
      },
    ]);
    const { packets } = harness.events({ kind: 'subscribed', ticket: 4, results: [2, 'not-authorized'] });
    assert.deepEqual(packets, [
      {
        type: 'suback',
        packetId: 4,
        reasonCodes: [2, 0x87],
        properties: { reasonString: reasons['not-authorized'].text },
      },
    ]);
    const old = openSession(4);
    const answer = old.events({ kind: 'subscribed', ticket: 4, results: [1, 'subscriptions-full'] });
    assert.deepEqual(summary(answer), [['suback', [1, 0x80]]]);
  });

  const invalid = ['a#', '#/a', 'a/#/b', 'a+', '+a', 'a/b+/c', '/'.repeat(64), 'x'.repeat(1_025)];
  // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
  invalid.push('$share/g', '$share/g/', '$share//a', '$share/', '$share/+/a', '$share/g#/a', '$share/g/a#');
  test('filters that are malformed are refused one by one', () => {
    for (const [version, code] of [
      [5, 0x8f],
      [4, 0x80],
    ] as const) {
      const harness = openSession(version);
      for (const filter of invalid) {
        const turn = subscribe(harness, filter);
        assert.deepEqual([summary(turn), turn.commands], [[['suback', [code]]], []], filter);
      }
      const turn = subscribe(harness, 'a/#', 'a#', '$share/g/a', '+/+');
      const [command] = turn.commands;
      assert.ok(command?.kind === 'subscribe' && turn.packets.length === 0);
      assert.deepEqual(
        command.subscriptions.map(({ filter }) => filter),
        ['a/#', '$share/g/a', '+/+'],
      );
      const answer = harness.events({ kind: 'subscribed', ticket: 4, results: [1, 2, 0] });
      assert.deepEqual(summary(answer), [['suback', [1, code, 2, 0]]]);
      // The ticket is forgotten with its answer.
      assert.deepEqual(summary(harness.events({ kind: 'subscribed', ticket: 4, results: [2] })), [
        ['suback', [2]],
      ]);
    }
  });

  test('valid filters', () => {
    const harness = openSession(4);
    for (const filter of [
      '#',
      '+',
      '/',
      '//',
      '/#',
      '+/',
      '+/+/#',
      'a/+/b',
      '$SYS/#',
      '$line/inbox/x',
      '$share/g/#',
      '$share/g//',
    ]) {
      assert.equal(subscribe(harness, filter).commands.length, 1, filter);
    }
  });

  test('[MQTT5 3.8.3-4] no local on a shared subscription ends the connection', () => {
    const turn = openSession(5).send({
      type: 'subscribe',
      packetId: 4,
      subscriptions: [{ filter: '$share/g/a', ...options, noLocal: true }],
      properties: noProperties,
    });
    assert.deepEqual([summary(turn), turn.commands], [[['disconnect', 0x82]], [closeCommand]]);
  });

  test('UNSUBSCRIBE', () => {
    for (const version of [4, 5] as const) {
      const harness = openSession(version);
      const unsubscribe = (...filters: string[]): ReturnType<Harness['send']> =>
        harness.send({ type: 'unsubscribe', packetId: 9, filters, properties: noProperties });
      assert.deepEqual(unsubscribe('a', 'b#', 'c').commands, [
        { kind: 'unsubscribe', ticket: 9, filters: ['a', 'c'] },
      ]);
      const answer = harness.events({ kind: 'unsubscribed', ticket: 9, results: [true, false] });
      assert.deepEqual(summary(answer), [['unsuback', version === 5 ? [0, 0x8f, 0x11] : []]]);
      assert.deepEqual(summary(unsubscribe('b#')), [['unsuback', version === 5 ? [0x8f] : []]]);
    }
  });

  test('requests that wait for a part of their answer are bounded', () => {
    const harness = openSession(5);
    let turn = subscribe(harness, 'a', 'a#');
    for (let packetId = 5; turn.close === undefined; packetId += 1) {
      assert.ok(packetId < 200);
      turn = harness.send({
        type: 'subscribe',
        packetId,
        subscriptions: [
          { filter: 'a', ...options },
          { filter: 'a#', ...options },
        ],
        properties: noProperties,
      });
    }
    assert.deepEqual(summary(turn), [['disconnect', 0x97]]);
  });
});

test('a text that no interner knows is a topic like any other', () => {
  const harness = openSession(5);
  const topic = encodeUtf8('ünï/cödé');
  const { packets } = harness.events(delivery(0, { topic }));
  assert.ok(packets[0]?.type === 'publish' && packets[0].topic === 'ünï/cödé');
});

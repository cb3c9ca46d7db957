import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LinkEvent } from '../../../src/domain/index.js';
import type { MqttSession } from '../../../src/session/mqtt/index.js';
import { ackPacket, delivery, openSession, publishPacket, summary } from './harness.js';

const now = { monotonic: 2_000, wall: 1_700_000_002_000 };

/** What one turn writes, as it is handed to the socket. */
function written(session: MqttSession, ...events: readonly LinkEvent[]): Uint8Array {
  session.handleInput(now, { kind: 'events', events });
  const output = session.pollOutput();
  assert(output?.kind === 'write');
  assert.equal(session.pollOutput(), undefined);
  return output.bytes;
}

describe('[DE-26] one QoS 0 delivery to many', () => {
  test('is one packet in memory, however many connections it waits in', () => {
    for (const version of [4, 5] as const) {
      const event = delivery(0);
      const [first, second] = [openSession(version), openSession(version)].map(({ session }) =>
        written(session, event),
      );
      assert.equal(first, second);
    }
  });

  test('is said in the words of each version', () => {
    const event = delivery(0, { expirySeconds: 7 });
    const [four, five] = [openSession(4), openSession(5)];
    for (const harness of [four, five, four, five]) {
      const packet = publishPacket({
        topic: 'a',
        payload: Uint8Array.of(9),
        messageExpirySeconds: harness === five ? 7 : undefined,
      });
      assert.deepEqual(harness.events(event).packets, [packet]);
    }
  });

  test('keeps its place among other packets, and does not change by them', () => {
    const event = delivery(0);
    const alone = written(openSession(4).session, event);
    const before = String(alone);
    const harness = openSession(4);
    const accepted = { kind: 'accepted', packetId: 5, qos: 1, reason: undefined, matched: true } as const;
    assert.deepEqual(summary(harness.events(event, accepted, event)), [
      ['publish', undefined],
      ['puback', 0],
      ['publish', undefined],
    ]);
    assert.deepEqual(harness.events(accepted).packets, [ackPacket('puback', 5)]);
    assert.equal(String(alone), before);
  });

  test('[MQTT5 3.1.2-24] is not sent to who takes no packet of its size', () => {
    const event = delivery(0, { body: new Uint8Array(100) });
    const small = openSession(5, { properties: { maximumPacketBytes: 60 } });
    assert.deepEqual(openSession(5).events(event).packets.length, 1);
    assert.deepEqual(small.events(event), {
      authenticate: undefined,
      commands: [],
      packets: [],
      close: undefined,
    });
  });
});

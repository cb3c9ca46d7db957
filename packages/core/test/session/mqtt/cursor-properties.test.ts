import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../fast-check.js';
import { isPropertyText, noBytes } from '../../../src/domain/index.js';
import { epochIn, splitSequence, withSequence } from '../../../src/session/mqtt/cursor-properties.js';
import {
  decodeApplicationProperties,
  encodeApplicationProperties,
  type ConnackPacket,
  type PublishPacket,
  type UserProperty,
} from '../../../src/wire/mqtt/index.js';
import { connectPacket, delivery, Harness, opened } from './harness.js';

const asking = { properties: { userProperties: [['wakeline', 'cursor'] as const] } };
const epoch = Uint8Array.of(1, 2, 3, 4, 0xa5, 0xff, 0, 8);

function open(
  version: 4 | 5,
  fields: object,
): { readonly harness: Harness; readonly connack: ConnackPacket } {
  const harness = new Harness(version);
  harness.send(connectPacket(version, fields));
  harness.input({ kind: 'authenticated', identity: { kind: 'anonymous' } });
  const { packets } = harness.events({ ...opened, epoch });
  return { harness, connack: packets[0] as ConnackPacket };
}

function told(harness: Harness, ...args: Parameters<typeof delivery>): PublishPacket {
  return harness.events(delivery(...args)).packets[0] as PublishPacket;
}

describe('cursor over MQTT', () => {
  test('[MQ-8] who asks is told the epoch and each number, also beyond what a packet id can hold', () => {
    const { harness, connack } = open(5, asking);
    assert.equal(epochIn(connack.properties), '01020304a5ff0008');
    for (const sequence of [1, 65_536, 4_294_967_295]) {
      const { properties } = told(harness, sequence);
      assert.deepEqual(decodeApplicationProperties(properties), {
        userProperties: [['sequence', String(sequence)]],
      });
      assert.deepEqual(splitSequence(properties), { sequence, properties: noBytes });
    }
  });

  test('[MQ-8] QoS 0 has no number, and nothing is added to it', () => {
    const { harness } = open(5, asking);
    assert.deepEqual(told(harness, 0).properties, noBytes);
  });

  test('[MQ-8] who does not ask, or speaks 3.1.1, is told nothing', () => {
    for (const userProperties of [[], [['wakeline', 'x'] as const], [['cursor', 'wakeline'] as const]]) {
      const { harness, connack } = open(5, { properties: { userProperties } });
      assert.equal(connack.properties.userProperties, undefined);
      assert.deepEqual(told(harness, 7).properties, noBytes);
    }
    assert.deepEqual(told(open(4, {}).harness, 7).properties, noBytes);
  });

  test("[MQ-8] a sender's properties stay as they are, and none of them passes for the number", () => {
    const text = fc.oneof(fc.constantFrom('sequence', '5', '17', ''), fc.string({ maxLength: 12 }));
    const safe = text.filter(isPropertyText);
    const pairs = fc.array(fc.tuple(safe, safe), { maxLength: 4 });
    fc.assert(
      fc.property(pairs, fc.integer({ min: 1, max: 0xffff_ffff }), (userProperties, sequence) => {
        const properties = encodeApplicationProperties({
          contentType: 'text/plain',
          userProperties: userProperties as readonly UserProperty[],
        });
        const event = delivery(sequence, { properties });
        assert.ok(event.kind === 'deliver');
        assert.deepEqual(splitSequence(withSequence(event.delivery).properties), { sequence, properties });
      }),
      { numRuns: 300 },
    );
  });
});

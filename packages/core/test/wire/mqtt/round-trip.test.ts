import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../fast-check.js';
import type { Packet } from '../../../src/wire/mqtt/index.js';
import { anyPacket, packetKinds, versions } from './arbitraries.js';
import { decodeAll, encode, runs } from './helpers.js';

for (const version of versions) {
  describe(`MQTT ${version === 4 ? '3.1.1' : '5.0'}`, () => {
    for (const [kind, arbitrary] of Object.entries(packetKinds(version))) {
      test(`${kind}: what is encoded is decoded`, () => {
        fc.assert(
          fc.property(arbitrary, (packet) => {
            assert.deepEqual(decodeAll(version, [encode(version, packet)]), [structuredClone(packet)]);
          }),
          { numRuns: runs(150, 5_000) },
        );
      });

      test(`${kind}: every split point`, () => {
        fc.assert(
          fc.property(arbitrary, (packet) => {
            const bytes = encode(version, packet);
            const expected = [structuredClone(packet)];
            for (let split = 1; split < bytes.length; split += 1) {
              assert.deepEqual(
                decodeAll(version, [bytes.subarray(0, split), bytes.subarray(split)]),
                expected,
              );
            }
            const singles = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
            assert.deepEqual(decodeAll(version, singles), expected);
          }),
          { numRuns: runs(5, 100) },
        );
      });
    }

    test('many packets in chunks of any size', () => {
      const stream = fc.array(
        anyPacket(version).filter(({ type }) => type !== 'connect'),
        { minLength: 1, maxLength: 12 },
      );
      fc.assert(
        fc.property(stream, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (packets, sizes) => {
          const bytes = encode(version, ...packets);
          const chunks: Uint8Array[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const size = sizes[turn % sizes.length]!;
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          assert.deepEqual(
            decodeAll(version, chunks),
            packets.map((packet): Packet => structuredClone(packet)),
          );
        }),
        { numRuns: runs(200, 5_000) },
      );
    });
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../fast-check.js';
import { ByteWriter, Prng } from '../../../src/base/index.js';
import { MqttDecoder } from '../../../src/wire/mqtt/index.js';
import { anyPacket, versions } from './arbitraries.js';
import { encode, runs } from './helpers.js';

const SEED = 20_260_722;
const MAX_PACKET_BYTES = 4_096;

/**
 * Half of the inputs are mutated whole; in the other half only the body is, and the remaining length is put
 * right again, so that the mutation reaches the fields behind it.
 */
function mutatePacket(prng: Prng, packet: Uint8Array): Uint8Array {
  if (prng.nextFloat() < 0.5) return mutate(prng, packet);
  let headerBytes = 2;
  while (packet[headerBytes - 1]! >= 0x80) headerBytes += 1;
  const body = mutate(prng, packet.subarray(headerBytes));
  const framed = new ByteWriter();
  framed.writeU8(packet[0]!);
  const mark = framed.length;
  framed.writeBytes(body);
  framed.insertLengthAt(mark);
  return framed.take();
}

/** Flips, overwrites, inserts, removes or cuts, one to four times. */
function mutate(prng: Prng, original: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(original);
  for (let count = prng.nextInteger(1, 4); count > 0 && bytes.length > 0; count -= 1) {
    const at = prng.nextInteger(0, bytes.length - 1);
    switch (prng.nextInteger(0, 4)) {
      case 0:
        bytes[at] = bytes[at]! ^ (1 << prng.nextInteger(0, 7));
        break;
      case 1:
        bytes[at] = [0, 1, 0x7f, 0x80, 0xff][prng.nextInteger(0, 4)]!;
        break;
      case 2:
        bytes = Uint8Array.of(...bytes.subarray(0, at), prng.nextInteger(0, 255), ...bytes.subarray(at));
        break;
      case 3:
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + 1));
        break;
      default:
        bytes = bytes.slice(0, at);
    }
  }
  return bytes;
}

test('mutated packets never throw, end in a value, and hold no more than was received', (context) => {
  const count = runs(50_000, 1_000_000);
  const prng = new Prng(SEED);
  const corpus = versions.flatMap((version) =>
    fc.sample(anyPacket(version), { numRuns: 2_000, seed: SEED }).map((packet) => ({
      version,
      bytes: encode(version, packet),
    })),
  );
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  let malformed = 0;
  let packets = 0;
  let unfinished = 0;
  let heapMost = 0;
  for (let index = 0; index < count; index += 1) {
    const { version, bytes } = corpus[prng.nextInteger(0, corpus.length - 1)]!;
    const input = mutatePacket(prng, bytes);
    const decoder = new MqttDecoder({ maxPacketBytes: MAX_PACKET_BYTES, protocolVersion: version });
    const split = prng.nextInteger(0, input.length);
    let received = 0;
    let isDead = false;
    for (const chunk of [input.subarray(0, split), input.subarray(split)]) {
      decoder.push(chunk);
      received += chunk.length;
      for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
        assert.equal(isDead, false, 'something came after a malformed packet');
        if (next.type === 'malformed') {
          malformed += 1;
          isDead = true;
          assert.ok(next.reasonCode >= 0x80 && next.detail.length > 0);
        } else packets += 1;
      }
      assert.ok(decoder.partialBytes <= received);
      assert.ok(decoder.heldBytes <= Math.max(64, 2 * received), `${decoder.heldBytes} of ${received}`);
    }
    if (decoder.partialBytes > 0) unfinished += 1;
    if (index % 10_000 === 0) heapMost = Math.max(heapMost, process.memoryUsage().heapUsed);
  }
  const grownMegabytes = (heapMost - heapBefore) / 1e6;
  context.diagnostic(
    `${count} inputs: ${malformed} malformed, ${packets} packets, ${unfinished} unfinished; ` +
      `heap at most ${grownMegabytes.toFixed(1)} MB above the start`,
  );
  assert.ok(
    malformed > count / 10 && packets > count / 10,
    'the mutations are neither too mild nor too wild',
  );
  assert.ok(grownMegabytes < 128, `the heap grew by ${grownMegabytes} MB`);
});

test('random bytes never throw', () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 6 });
  fc.assert(
    fc.property(chunks, fc.constantFrom(...versions), (parts, protocolVersion) => {
      const decoder = new MqttDecoder({ maxPacketBytes: MAX_PACKET_BYTES, protocolVersion });
      for (const part of parts) {
        decoder.push(part);
        while (decoder.next() !== undefined);
      }
    }),
    { numRuns: runs(5_000, 100_000) },
  );
});

/** Strict UTF-8 against the host's own decoder and encoder. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../fast-check.js';
import {
  ByteReader,
  ByteWriter,
  decodeUtf8,
  encodeUtf8,
  isTextUtf8,
  utf8Bytes,
} from '../../src/base/index.js';

const host = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function hostDecode(bytes: Uint8Array): string | undefined {
  try {
    return host.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Bytes that are often nearly well-formed. */
const nearly = fc
  .array(
    fc.constantFrom(
      0,
      0x41,
      0x7f,
      0x80,
      0x8f,
      0x90,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc2,
      0xdf,
      0xe0,
      0xed,
      0xef,
      0xf0,
      0xf4,
      0xf5,
      0xff,
    ),
    { maxLength: 8 },
  )
  .map((bytes) => Uint8Array.from(bytes));

test('decodes what the host decodes and refuses what it refuses', () => {
  fc.assert(
    fc.property(fc.oneof(nearly, fc.uint8Array({ maxLength: 12 })), (bytes) => {
      const expected = hostDecode(bytes);
      assert.equal(decodeUtf8(bytes, 0, bytes.length), expected);
      assert.equal(isTextUtf8(bytes, 0, bytes.length), expected !== undefined && !expected.includes('\0'));
    }),
    { numRuns: 20_000 },
  );
});

test('encodes what the host encodes, lone surrogates included', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 0xffff })),
      fc.string({ unit: 'binary' }),
      (units, text) => {
        for (const value of [String.fromCharCode(...units), text]) {
          const expected = new Uint8Array(new TextEncoder().encode(value));
          assert.deepEqual(encodeUtf8(value), expected);
          assert.equal(utf8Bytes(value), expected.length);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('long texts', () => {
  const text = 'aé€😀'.repeat(20_000);
  const bytes = encodeUtf8(text);
  assert.equal(decodeUtf8(bytes, 0, bytes.length), text);
});

test('a reader that runs over the end yields zeros and says so', () => {
  const reader = new ByteReader(Uint8Array.of(1, 2, 3), 0, 3);
  assert.equal(reader.readU16(), 0x0102);
  assert.equal(reader.readU32(), 0);
  assert.equal(reader.failed, true);
  assert.equal(reader.readU8(), 0);
  assert.equal(reader.readView(0).length, 0);
});

test('a writer is read back as it was written', () => {
  const field = fc.oneof(
    fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 0xff }) }),
    fc.record({ kind: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 0xffff }) }),
    fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffff_ffff }) }),
    fc.record({ kind: fc.constant('varint' as const), value: fc.integer({ min: 0, max: 268_435_455 }) }),
    fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 200 }) }),
  );
  fc.assert(
    fc.property(fc.array(field), (fields) => {
      const writer = new ByteWriter(0);
      const mark = writer.length;
      for (const { kind, value } of fields) {
        if (kind === 'u8') writer.writeU8(value);
        else if (kind === 'u16') writer.writeU16(value);
        else if (kind === 'u32') writer.writeU32(value);
        else if (kind === 'varint') writer.writeVarint(value);
        else writer.writeBytesWithLength(value);
      }
      writer.insertLengthAt(mark);
      const bytes = writer.take();
      const reader = new ByteReader(bytes, 0, bytes.length);
      assert.equal(reader.readVarint(), reader.remainingBytes);
      for (const { kind, value } of fields) {
        if (kind === 'u8') assert.equal(reader.readU8(), value);
        else if (kind === 'u16') assert.equal(reader.readU16(), value);
        else if (kind === 'u32') assert.equal(reader.readU32(), value);
        else if (kind === 'varint') assert.equal(reader.readVarint(), value);
        else assert.deepEqual(reader.readView(reader.readU16()), value);
      }
      assert.equal(reader.failed, false);
      assert.equal(writer.length, 0);
    }),
    { numRuns: 500 },
  );
});

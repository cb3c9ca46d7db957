import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../fast-check.js';
import { ByteWriter } from '../../src/base/index.js';

describe('bytes that are shared', () => {
  const shared = Uint8Array.of(1, 2, 3);

  test('are handed out as they are when nothing is with them', () => {
    const writer = new ByteWriter();
    for (let turn = 0; turn < 2; turn += 1) {
      writer.writeShared(shared);
      assert.equal(writer.length, 3);
      assert.equal(writer.take(), shared);
      assert.equal(writer.length, 0);
    }
  });

  test('are copied as soon as something is with them', () => {
    const writer = new ByteWriter();
    writer.writeU8(0);
    writer.writeShared(shared);
    assert.deepEqual(writer.take(), Uint8Array.of(0, 1, 2, 3));
    writer.writeShared(shared);
    writer.writeU8(4);
    assert.deepEqual(writer.take(), Uint8Array.of(1, 2, 3, 4));
  });

  test('are never written into, whatever is done with the writer', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write'), bytes: fc.uint8Array({ maxLength: 40 }) }),
      fc.record({ kind: fc.constant('share'), bytes: fc.uint8Array({ maxLength: 600 }) }),
      fc.record({ kind: fc.constant('truncate'), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ kind: fc.constant('prefix'), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ kind: fc.constant('take') }),
      fc.record({ kind: fc.constant('reset') }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const writer = new ByteWriter(16);
        const given: (readonly [Uint8Array, string])[] = [];
        let model: number[] = [];
        for (const one of steps) {
          if ('bytes' in one) {
            if (one.kind === 'share') {
              given.push([one.bytes, String(one.bytes)]);
              writer.writeShared(one.bytes);
            } else writer.writeBytes(one.bytes);
            model.push(...one.bytes);
          } else if ('part' in one) {
            const mark = Math.floor(one.part * model.length);
            if (one.kind === 'truncate') {
              writer.truncate(mark);
              model = model.slice(0, mark);
            } else {
              writer.insertLengthAt(mark);
              const rest = model.length - mark;
              const length = rest < 0x80 ? [rest] : [(rest & 0x7f) | 0x80, rest >>> 7];
              model = [...model.slice(0, mark), ...length, ...model.slice(mark)];
            }
          } else {
            if (one.kind === 'take') assert.deepEqual([...writer.take()], model);
            else writer.reset();
            model = [];
          }
          fc.pre(model.length < 0x4000);
          assert.deepEqual([...writer.view()], model);
        }
        for (const [bytes, before] of given) assert.equal(String(bytes), before);
      }),
    );
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeProperties, isPropertyText } from '@wakeline/core/domain';
import fc from '../fast-check.js';
import mqttPacket from 'mqtt-packet';

/** The properties as the oracle codec reads them out of a PUBLISH built around the bytes. */
function readWithOracle(properties: Uint8Array): Record<string, unknown> {
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  let read: Record<string, unknown> | undefined;
  parser.on('packet', (packet) => {
    read = { ...(packet as { properties?: Record<string, unknown> }).properties };
  });
  parser.on('error', (error) => {
    throw error;
  });
  const varint = (value: number): number[] => {
    const bytes: number[] = [];
    do {
      bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
      value >>>= 7;
    } while (value > 0);
    return bytes;
  };
  const length = varint(properties.length);
  const rest = Buffer.concat([Buffer.from([0, 1, 0x74, ...length]), properties]);
  parser.parse(Buffer.concat([Buffer.from([0x30, ...varint(rest.length)]), rest]));
  assert.ok(read);
  return read;
}

test('no properties are no bytes', () => {
  assert.equal(encodeProperties({}).length, 0);
  assert.equal(encodeProperties({ isText: false, userProperties: [] }).length, 0);
});

test('every property stands under its identifier', () => {
  const bytes = encodeProperties({
    isText: true,
    contentType: 'a/b',
    responseTopic: 'r',
    correlationData: Uint8Array.of(7, 8),
    userProperties: [['k', 'ü']],
  });
  const expected = '0101' + '030003612f62' + '08000172' + '0900020708' + '2600016b0002c3bc';
  assert.equal(Buffer.from(bytes).toString('hex'), expected);
});

test('an independent codec reads back what was written', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter(isPropertyText);
  // The oracle forgets an empty value when its name comes again.
  const value = text.filter((each) => each !== '');
  fc.assert(
    fc.property(
      text,
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.tuple(text, value), { minLength: 1, maxLength: 5 }),
      (contentType, correlationData, userProperties) => {
        const read = readWithOracle(encodeProperties({ contentType, correlationData, userProperties }));
        assert.equal(read['contentType'], contentType);
        assert.deepEqual(new Uint8Array(read['correlationData'] as Buffer), correlationData);
        const expected: Record<string, string | string[]> = Object.create(null);
        for (const [name, value] of userProperties) {
          const before = expected[name];
          if (before === undefined) expected[name] = value;
          else expected[name] = [...(Array.isArray(before) ? before : [before]), value];
        }
        const got = Object.entries(read['userProperties'] as object);
        assert.deepEqual(
          got.filter(([name]) => name !== '__proto__'),
          Object.entries(expected).filter(([name]) => name !== '__proto__'),
        );
      },
    ),
    { interruptAfterTimeLimit: 2_000 },
  );
});

test('text that MQTT forbids is recognized', () => {
  assert.equal(isPropertyText(''), true);
  assert.equal(isPropertyText('€ 😀'), true);
  assert.equal(isPropertyText('a\0b'), false);
  assert.equal(isPropertyText('\ud800'), false);
  assert.equal(isPropertyText('\udc00x'), false);
  assert.equal(isPropertyText('x'.repeat(65_535)), true);
  assert.equal(isPropertyText('x'.repeat(65_536)), false);
  assert.equal(isPropertyText('€'.repeat(21_846)), false);
});

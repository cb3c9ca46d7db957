import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8, Prng } from '../../../src/base/index.js';
import {
  encodeStunAnswer,
  isStun,
  parseStunBindingRequest,
  sipMessageLimits,
} from '../../../src/wire/sip/index.js';
import { fromHex, runs } from '../mqtt/helpers.js';
import { inviteBytes } from './samples.js';

const SEED = 20_261_126;
const id = 'b7e7a701bc34d686fa87dfae';
const bare = fromHex(`0001 0000 2112a442 ${id}`);

/** A request with these attributes, in hexadecimal digits. */
function withAttributes(attributes: string): Uint8Array {
  const value = fromHex(attributes);
  const length = value.length.toString(16).padStart(4, '0');
  return Uint8Array.of(...fromHex(`0001 ${length} 2112a442 ${id}`), ...value);
}

describe('[SI-10] STUN beside SIP', () => {
  test('is told by its first two bits and its cookie', () => {
    assert.ok(isStun(bare));
    assert.ok(!isStun(inviteBytes));
    assert.ok(!isStun(Uint8Array.of()));
    assert.ok(!isStun(encodeUtf8('!odd sip:b@h SIP/2.0\r\n')), 'a method may begin so');
    assert.ok(!isStun(fromHex('0d0a0d0a')), 'a ping of SIP is none');
  });

  // RFC 5769 §2.2 and §2.3: the mapped addresses of the test vectors, with their transaction id.
  test('the answer has the mapped address, IPv4', () => {
    const request = parseStunBindingRequest(bare);
    assert.ok(request !== undefined);
    assert.deepEqual(
      encodeStunAnswer(request, '192.0.2.1', 32_853),
      fromHex(`0101 000c 2112a442 ${id} 0020 0008 0001 a147 e112a643`),
    );
  });

  test('the answer has the mapped address, IPv6', () => {
    const request = parseStunBindingRequest(bare);
    assert.ok(request !== undefined);
    const expected = fromHex(`0101 0018 2112a442 ${id} 0020 0014 0002 a147 0113a9faa5d3f179bc25f4b5bed2b9d9`);
    assert.deepEqual(encodeStunAnswer(request, '2001:db8:1234:5678:11:2233:4455:6677', 32_853), expected);
    assert.deepEqual(encodeStunAnswer(request, '[2001:db8:1234:5678:11:2233:4455:6677]', 32_853), expected);
    assert.equal(encodeStunAnswer(request, 'example.com', 1), undefined);
  });

  test('software, fingerprint and integrity are passed over', () => {
    const request = parseStunBindingRequest(
      withAttributes('8022 0003 61626300 0008 0004 00000000 8028 0004 e57a3bcf'),
    );
    assert.deepEqual(request?.unknownAttributes, []);
  });

  test('what would have to be understood is answered with 420', () => {
    const request = parseStunBindingRequest(withAttributes('0025 0000 0003 0004 00000002'));
    assert.deepEqual(request?.unknownAttributes, [0x0025, 0x0003]);
    assert.deepEqual(
      encodeStunAnswer(request!, '192.0.2.1', 1),
      fromHex(`0111 0010 2112a442 ${id} 0009 0004 00000414 000a 0004 0025 0003`),
    );
    const odd = parseStunBindingRequest(withAttributes('0025 0000'));
    assert.deepEqual(
      encodeStunAnswer(odd!, '192.0.2.1', 1),
      fromHex(`0111 0010 2112a442 ${id} 0009 0004 00000414 000a 0002 0025 0000`),
    );
  });

  test('anything else has no answer', () => {
    const cases: readonly (readonly [string, Uint8Array])[] = [
      ['cut off', bare.subarray(0, 19)],
      ['no cookie', fromHex(`0001 0000 00000000 ${id}`)],
      ['an indication', fromHex(`0011 0000 2112a442 ${id}`)],
      ['a response', fromHex(`0101 0000 2112a442 ${id}`)],
      ['another length', fromHex(`0001 0004 2112a442 ${id}`)],
      ['an attribute beyond the end', withAttributes('8022 0008 61626364')],
      ['half an attribute header', Uint8Array.of(...bare, 0, 1)],
      ['too many attributes', withAttributes('8022 0000 '.repeat(sipMessageLimits.stunAttributesMax + 1))],
      ['too large', withAttributes(`8022 0500 ${'00'.repeat(0x500)}`)],
    ];
    for (const [what, bytes] of cases) assert.equal(parseStunBindingRequest(bytes), undefined, what);
    const most = withAttributes('8022 0000 '.repeat(sipMessageLimits.stunAttributesMax));
    assert.ok(parseStunBindingRequest(most) !== undefined);
  });

  test(`mutated requests never throw (seed ${SEED})`, () => {
    const prng = new Prng(SEED);
    const source = withAttributes('8022 0003 61626300 0025 0000 8028 0004 e57a3bcf');
    let parsed = 0;
    for (let run = runs(20_000, 1_000_000); run > 0; run -= 1) {
      const bytes = Uint8Array.from(source);
      for (let change = prng.nextInteger(1, 3); change > 0; change -= 1) {
        bytes[prng.nextInteger(0, bytes.length - 1)] = prng.nextInteger(0, 255);
      }
      const request = parseStunBindingRequest(
        bytes.subarray(0, prng.nextInteger(0, 3) === 0 ? prng.nextInteger(0, bytes.length) : bytes.length),
      );
      if (request === undefined) continue;
      parsed += 1;
      assert.ok(encodeStunAnswer(request, '192.0.2.1', 1) !== undefined);
    }
    assert.ok(parsed > 100, `${parsed}`);
  });
});

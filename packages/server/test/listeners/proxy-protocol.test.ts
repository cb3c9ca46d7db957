import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../fast-check.js';
import { parseProxyHeader } from '../../src/listeners/proxy-protocol.js';

const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const bytesMax = 4_096;

function binary(versionCommand: number, family: number, body: readonly number[]): Buffer {
  return Buffer.from([...signature, versionCommand, family, body.length >> 8, body.length & 0xff, ...body]);
}

const ipv4Body = [192, 0, 2, 1, 198, 51, 100, 1, 0x13, 0x88, 0x07, 0x5b];
const ipv6Body = [
  0x20,
  0x01,
  0x0d,
  0xb8,
  ...Array<number>(11).fill(0),
  1,
  ...Array<number>(16).fill(0),
  0,
  80,
  1,
  1,
];

const valid: readonly {
  readonly name: string;
  readonly bytes: Buffer;
  readonly source: object | undefined;
}[] = [
  {
    name: 'v1 TCP4',
    bytes: Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 5000 1883\r\n'),
    source: { address: '192.0.2.1', port: 5000 },
  },
  {
    name: 'v1 TCP6',
    bytes: Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 5000 1883\r\n'),
    source: { address: '2001:db8::1', port: 5000 },
  },
  { name: 'v1 UNKNOWN', bytes: Buffer.from('PROXY UNKNOWN\r\n'), source: undefined },
  { name: 'v2 IPv4', bytes: binary(0x21, 0x11, ipv4Body), source: { address: '192.0.2.1', port: 5000 } },
  {
    name: 'v2 IPv4 with extensions',
    bytes: binary(0x21, 0x11, [...ipv4Body, 4, 0, 1, 0]),
    source: { address: '192.0.2.1', port: 5000 },
  },
  {
    name: 'v2 IPv6',
    bytes: binary(0x21, 0x21, ipv6Body),
    source: { address: '2001:db8:0:0:0:0:0:1', port: 80 },
  },
  { name: 'v2 LOCAL', bytes: binary(0x20, 0x00, []), source: undefined },
  { name: 'v2 Unix', bytes: binary(0x21, 0x31, Array<number>(216).fill(0)), source: undefined },
];

describe('PROXY protocol', () => {
  for (const { name, bytes, source } of valid) {
    it(`${name}: the source and the length, at every split point`, () => {
      for (let end = 0; end < bytes.length; end += 1) {
        assert.deepEqual(parseProxyHeader(bytes.subarray(0, end), bytesMax), { kind: 'incomplete' });
      }
      const expected = { kind: 'header', length: bytes.length, source };
      assert.deepEqual(parseProxyHeader(bytes, bytesMax), expected);
      const followed = Buffer.concat([bytes, Buffer.from([0x10, 0x0c])]);
      assert.deepEqual(parseProxyHeader(followed, bytesMax), expected);
    });
  }

  it('refuses what is no header', () => {
    for (const bytes of [
      Buffer.from([0x10]),
      Buffer.from('GET / HTTP/1.1\r\n'),
      Buffer.from('PROXY TCP4 192.0.2.1\r\n'),
      Buffer.from('PROXY TCP4 a b 1 2\r\n'),
      Buffer.from('PROXY TCP9 192.0.2.1 198.51.100.1 5000 1883\r\n'),
      Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`),
      binary(0x31, 0x11, ipv4Body),
      binary(0x22, 0x11, ipv4Body),
      binary(0x21, 0x11, [1, 2, 3]),
      binary(0x21, 0x21, ipv4Body),
    ]) {
      assert.deepEqual(parseProxyHeader(bytes, bytesMax), { kind: 'malformed' }, bytes.toString('latin1'));
    }
  });

  it('a header longer than allowed is refused before it is waited for', () => {
    const head = binary(0x21, 0x11, ipv4Body).subarray(0, 16);
    head.writeUInt16BE(60_000, 14);
    assert.deepEqual(parseProxyHeader(head, bytesMax), { kind: 'malformed' });
  });

  it('never throws and never reads past the end, whatever comes', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(250), fc.nat(255)), { maxLength: 4 }))
      .map(([{ bytes }, changes]) => {
        const copy = Buffer.from(bytes);
        for (const [index, value] of changes) copy[index % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(mutated, (bytes) => {
        const header = parseProxyHeader(bytes, bytesMax);
        if (header.kind === 'header') assert.ok(header.length <= bytes.length);
      }),
      { interruptAfterTimeLimit: 2_000 },
    );
  });
});

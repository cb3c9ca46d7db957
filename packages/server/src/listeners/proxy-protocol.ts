/**
 * PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): what a load
 * balancer says in front of a connection about whose it is. Pure: bytes in, a value out.
 */

/** `incomplete`: give more bytes. `header`: the connection's own bytes begin at `length`. */
export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'malformed' }
  | {
      readonly kind: 'header';
      readonly length: number;
      /** undefined: the proxy speaks for itself (a health check) or the family is not an Internet one. */
      readonly source: { readonly address: string; readonly port: number } | undefined;
    };

const incomplete: ProxyHeader = { kind: 'incomplete' };
const malformed: ProxyHeader = { kind: 'malformed' };

/** §2.1: the longest version 1 line, CR LF included. */
const lineBytesMax = 107;
/** §2.2 */
const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const lineStart = Buffer.from('PROXY ', 'latin1');
const fixedBytes = 16;

/** Reads the header at the start of `bytes`; one longer than `bytesMax` is malformed. */
export function parseProxyHeader(bytes: Buffer, bytesMax: number): ProxyHeader {
  if (startsLike(bytes, signature)) return parseBinary(bytes, bytesMax);
  if (startsLike(bytes, lineStart)) return parseLine(bytes);
  return malformed;
}

/** Whether `bytes` begins with `start`, as far as there are bytes. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function parseLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, lineBytesMax).indexOf('\r\n', 0, 'latin1');
  if (end === -1) return bytes.length < lineBytesMax ? incomplete : malformed;
  const length = end + 2;
  const words = bytes.toString('latin1', 0, end).split(' ');
  const [, family, sourceAddress = '', , sourcePort = ''] = words;
  if (family === 'UNKNOWN') return { kind: 'header', length, source: undefined };
  if (words.length !== 6 || (family !== 'TCP4' && family !== 'TCP6')) return malformed;
  const pattern = family === 'TCP4' ? /^\d{1,3}(\.\d{1,3}){3}$/ : /^[0-9a-fA-F:.]{2,45}$/;
  if (!pattern.test(sourceAddress) || !/^\d{1,5}$/.test(sourcePort)) return malformed;
  return { kind: 'header', length, source: { address: sourceAddress, port: Number(sourcePort) } };
}

function parseBinary(bytes: Buffer, bytesMax: number): ProxyHeader {
  if (bytes.length < fixedBytes) return incomplete;
  const versionAndCommand = bytes[12]!;
  if (versionAndCommand >> 4 !== 2) return malformed;
  const command = versionAndCommand & 0x0f;
  if (command > 1) return malformed;
  const length = fixedBytes + bytes.readUInt16BE(14);
  if (length > bytesMax) return malformed;
  if (bytes.length < length) return incomplete;
  // LOCAL: the connection is the proxy's own, whatever the addresses say.
  if (command === 0) return { kind: 'header', length, source: undefined };
  const family = bytes[13]! >> 4;
  if (family === 1) {
    if (length < fixedBytes + 12) return malformed;
    const address = bytes.subarray(16, 20).join('.');
    return { kind: 'header', length, source: { address, port: bytes.readUInt16BE(24) } };
  }
  if (family === 2) {
    if (length < fixedBytes + 36) return malformed;
    const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(16 + 2 * index).toString(16));
    return { kind: 'header', length, source: { address: groups.join(':'), port: bytes.readUInt16BE(48) } };
  }
  return { kind: 'header', length, source: undefined };
}

/** Base64url (RFC 4648 §5) without the host: core has no Buffer. */
import type { ByteWriter } from '../../base/index.js';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const digits = Uint8Array.from(alphabet, (character) => character.charCodeAt(0));

/** Appends the text of `bytes`, without padding. */
export function writeBase64Url(writer: ByteWriter, bytes: Uint8Array): void {
  writer.ensure(Math.ceil((bytes.length * 4) / 3));
  let index = 0;
  for (; index + 2 < bytes.length; index += 3) {
    const group = (bytes[index]! << 16) | (bytes[index + 1]! << 8) | bytes[index + 2]!;
    writer.writeU32(
      (digits[group >>> 18]! << 24) |
        (digits[(group >>> 12) & 63]! << 16) |
        (digits[(group >>> 6) & 63]! << 8) |
        digits[group & 63]!,
    );
  }
  const left = bytes.length - index;
  if (left === 0) return;
  const group = (bytes[index]! << 16) | (left === 2 ? bytes[index + 1]! << 8 : 0);
  writer.writeU8(digits[group >>> 18]!);
  writer.writeU8(digits[(group >>> 12) & 63]!);
  if (left === 2) writer.writeU8(digits[(group >>> 6) & 63]!);
}

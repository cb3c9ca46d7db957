/** Base64url without padding (RFC 4648 §5) as text: core has no Buffer. Not for the hot path of a codec. */

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const values = new Map(Array.from(alphabet, (character, value) => [character.charCodeAt(0), value]));

export function toBase64Url(bytes: Uint8Array): string {
  let text = '';
  for (let index = 0; index < bytes.length; index += 3) {
    const left = bytes.length - index;
    const group =
      (bytes[index]! << 16) | (left > 1 ? bytes[index + 1]! << 8 : 0) | (left > 2 ? bytes[index + 2]! : 0);
    text += alphabet[group >>> 18]! + alphabet[(group >>> 12) & 63]!;
    if (left > 1) text += alphabet[(group >>> 6) & 63]!;
    if (left > 2) text += alphabet[group & 63]!;
  }
  return text;
}

/** undefined: not the one way to write some bytes. */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const left = text.length % 4;
  if (left === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let count = 0;
  let bits = 0;
  let bitCount = 0;
  for (let index = 0; index < text.length; index++) {
    const value = values.get(text.charCodeAt(index));
    if (value === undefined) return undefined;
    bits = ((bits << 6) | value) & 0xffff;
    bitCount += 6;
    if (bitCount < 8) continue;
    bitCount -= 8;
    bytes[count++] = (bits >>> bitCount) & 0xff;
  }
  // Bits that are left over are zero, or two texts would name the same bytes.
  return (bits & ((1 << bitCount) - 1)) === 0 ? bytes : undefined;
}

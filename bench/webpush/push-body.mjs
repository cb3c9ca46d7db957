/**
 * A body of the form that RFC 8188 (aes128gcm) gives it: salt, record size, key of the sender, ciphertext. Push services
 * pass it through; so the ciphertext is random, but for its first four bytes, by which the device knows the push.
 */
import { randomBytes } from 'node:crypto';

const HEADER_BYTES = 16 + 4 + 1 + 65;
const NUMBER_OFFSET = HEADER_BYTES;
/** Of a message of 200 bytes: one byte of padding and sixteen of tag more. */
const CIPHERTEXT_BYTES = 200 + 1 + 16;

export function makeBody() {
  const body = randomBytes(HEADER_BYTES + CIPHERTEXT_BYTES);
  body.writeUInt32BE(4096, 16);
  body[20] = 65;
  body[21] = 4;
  return body;
}

export function writeNumber(body, number) {
  body.writeUInt32BE(number, NUMBER_OFFSET);
}

export function readNumber(data) {
  return Buffer.from(data, 'base64url').readUInt32BE(NUMBER_OFFSET);
}

/** Lines that we write ourselves. */
import { assert, encodeUtf8 } from '../../base/index.js';

/** `text` and CRLF. What would end the line early is a mistake of ours and asserted. */
export function lineBytes(text: string): Uint8Array {
  assert(!/[\r\n]/.test(text), 'a line that is written has neither CR nor LF');
  return encodeUtf8(`${text}\r\n`);
}

/** One header with its CRLF. */
export function headerLine(name: string, value: string): Uint8Array {
  return lineBytes(`${name}: ${value}`);
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Bytes that were a message of SIP: changed where it means something, cut, doubled. */
import { encodeUtf8, type Prng } from '../../../src/base/index.js';

export const SEED = 20_261_126;

/** What means something to a parser of SIP. */
const meaning = encodeUtf8('\r\n\r\n :;,<>"\\%@[]?=/*0SIP');

/** A copy of `base` with a few changes. */
export function mutated(prng: Prng, base: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(base);
  for (let change = prng.nextInteger(1, 5); change > 0 && bytes.length > 0; change -= 1) {
    const at = prng.nextInteger(0, bytes.length - 1);
    const to = Math.min(bytes.length, at + prng.nextInteger(0, 60));
    switch (prng.nextInteger(0, 4)) {
      case 0:
        bytes[at] = prng.nextInteger(0, 255);
        break;
      case 1:
        bytes[at] = meaning[prng.nextInteger(0, meaning.length - 1)]!;
        break;
      case 2:
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(to));
        break;
      case 3:
        bytes = Uint8Array.of(...bytes.subarray(0, to), ...bytes.subarray(at));
        break;
      default:
        bytes = bytes.slice(0, at);
    }
  }
  return bytes;
}

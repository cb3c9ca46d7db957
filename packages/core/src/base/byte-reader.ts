/**
 * Reads big-endian fields from a stretch of bytes, in place. Running over the end is a state, not an exception:
 * the reader yields zeros from then on and `failed` stays true, so that a decoder reads a whole structure and
 * asks once.
 */
import { decodeUtf8 } from './utf8.js';

export class ByteReader {
  readonly bytes: Uint8Array;
  position: number;
  /** First index that is not read. May be lowered and restored around a nested structure. */
  end: number;
  /** Something ran over the end or was not well-formed. */
  failed = false;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get remainingBytes(): number {
    return this.end - this.position;
  }

  readU8(): number {
    const at = this.#advance(1);
    return at < 0 ? 0 : this.bytes[at]!;
  }

  readU16(): number {
    const at = this.#advance(2);
    return at < 0 ? 0 : (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  readU32(): number {
    const at = this.#advance(4);
    if (at < 0) return 0;
    const { bytes } = this;
    return bytes[at]! * 0x100_0000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
  }

  /** A variable byte integer of at most four bytes (MQTT 5.0 §1.5.5); fails unless it is the shortest form. */
  readVarint(): number {
    let value = 0;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.readU8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) this.failed = true;
        return value;
      }
    }
    this.failed = true;
    return 0;
  }

  /** The next `length` bytes as a view, or an empty view. */
  readView(length: number): Uint8Array {
    const at = this.#advance(length);
    return at < 0 ? this.bytes.subarray(0, 0) : this.bytes.subarray(at, at + length);
  }

  /** The next `length` bytes as strict UTF-8. */
  readUtf8(length: number): string {
    const at = this.#advance(length);
    if (at < 0) return '';
    const text = decodeUtf8(this.bytes, at, at + length);
    if (text === undefined) this.failed = true;
    return text ?? '';
  }

  /** Skips `length` bytes and returns where they began; -1 when there are not so many. */
  skip(length: number): number {
    return this.#advance(length);
  }

  #advance(length: number): number {
    const at = this.position;
    if (this.end - at < length) {
      this.failed = true;
      this.position = this.end;
      return -1;
    }
    this.position = at + length;
    return at;
  }
}

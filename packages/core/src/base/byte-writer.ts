/**
 * A growing buffer that is written from front to back. One writer serves many flows in turn: what a turn wrote
 * is taken out as one array of exactly its size, and the writer's own memory stays.
 */
import { assert } from './assert.js';
import { utf8Bytes, writeUtf8 } from './utf8.js';

/** Below this a loop beats the fixed cost of `set`. */
const LOOP_BYTES_MAX = 24;

/** Memory a writer keeps after its content was taken. */
const KEPT_BYTES_MAX = 256 * 1024;

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;
  /** The writer's memory while it has bytes in its place that are not its own. */
  #spare: Uint8Array | null = null;

  /** @param initialBytes memory to begin with; doubled whenever it does not suffice. */
  constructor(initialBytes = 256) {
    this.#bytes = new Uint8Array(Math.max(16, initialBytes));
  }

  /** Bytes written since the last `take` or `reset`. */
  get length(): number {
    return this.#length;
  }

  writeU8(value: number): void {
    this.ensure(1);
    this.#bytes[this.#length++] = value;
  }

  writeU16(value: number): void {
    this.ensure(2);
    const bytes = this.#bytes;
    bytes[this.#length] = value >>> 8;
    bytes[this.#length + 1] = value;
    this.#length += 2;
  }

  writeU32(value: number): void {
    this.ensure(4);
    const bytes = this.#bytes;
    bytes[this.#length] = value >>> 24;
    bytes[this.#length + 1] = value >>> 16;
    bytes[this.#length + 2] = value >>> 8;
    bytes[this.#length + 3] = value;
    this.#length += 4;
  }

  /** A variable byte integer, 0 … 268,435,455 (MQTT 5.0 §1.5.5), in its shortest form. */
  writeVarint(value: number): void {
    assert(value >= 0 && value <= 268_435_455, 'a variable byte integer has at most 28 bits');
    this.ensure(4);
    this.#length = putVarint(this.#bytes, this.#length, value);
  }

  writeBytes(source: Uint8Array): void {
    const length = source.length;
    this.ensure(length);
    const bytes = this.#bytes;
    const at = this.#length;
    if (length <= LOOP_BYTES_MAX) {
      for (let index = 0; index < length; index += 1) bytes[at + index] = source[index]!;
    } else bytes.set(source, at);
    this.#length = at + length;
  }

  /** As {@link writeBytes}, for bytes that never change: while nothing is with them they are not copied, not even by {@link take}. */
  writeShared(source: Uint8Array): void {
    if (this.#length > 0 || source.length === 0) return this.writeBytes(source);
    this.#spare ??= this.#bytes;
    this.#bytes = source;
    this.#length = source.length;
  }

  /** The UTF-8 of `text`, without a length. */
  writeUtf8(text: string): void {
    this.ensure(utf8Bytes(text));
    this.#length = writeUtf8(this.#bytes, this.#length, text);
  }

  /** The UTF-8 of `text` behind its length in two bytes; at most 65,535 bytes. */
  writeUtf8WithLength(text: string): void {
    const length = utf8Bytes(text);
    assert(length <= 0xffff, 'a string of the wire has at most 65,535 bytes');
    this.ensure(2 + length);
    this.writeU16(length);
    this.#length = writeUtf8(this.#bytes, this.#length, text);
  }

  /** `source` behind its length in two bytes; at most 65,535 bytes. */
  writeBytesWithLength(source: Uint8Array): void {
    assert(source.length <= 0xffff, 'binary data of the wire has at most 65,535 bytes');
    this.writeU16(source.length);
    this.writeBytes(source);
  }

  /** Puts the number of bytes written since `mark` (an earlier `length`) in front of them, as a varint. */
  insertLengthAt(mark: number): void {
    const value = this.#length - mark;
    assert(value <= 268_435_455, 'a variable byte integer has at most 28 bits');
    const prefix = varintBytes(value);
    this.ensure(prefix);
    this.#bytes.copyWithin(mark + prefix, mark, this.#length);
    putVarint(this.#bytes, mark, value);
    this.#length += prefix;
  }

  /** Makes room for `more` bytes, at least doubling. */
  ensure(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const spare = this.#spare;
    const isSpareEnough = spare !== null && spare.length >= needed;
    const grown = isSpareEnough ? spare : new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#spare = null;
  }

  /** Forgets what was written behind `mark`, an earlier `length`. */
  truncate(mark: number): void {
    assert(mark >= 0 && mark <= this.#length, 'a writer is truncated to an earlier length');
    // What is written next must not go into bytes that are not the writer's own.
    if (this.#spare !== null && mark < this.#length) this.ensure(1);
    this.#length = mark;
  }

  /**
   * Everything written, in an array of exactly that size; the writer is empty again. It belongs to the caller, unless it
   * is what {@link writeShared} was given.
   */
  take(): Uint8Array {
    const taken = this.#spare === null ? this.#bytes.slice(0, this.#length) : this.#bytes;
    this.reset();
    return taken;
  }

  /** A view of everything written, valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
    if (this.#spare !== null) {
      this.#bytes = this.#spare;
      this.#spare = null;
    }
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = new Uint8Array(KEPT_BYTES_MAX / 4);
  }
}

/** Bytes of the shortest variable byte integer for `value`, 1 … 4. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x20_0000 ? 3 : 4;
}

function putVarint(bytes: Uint8Array, offset: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    bytes[offset++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[offset++] = rest;
  return offset;
}

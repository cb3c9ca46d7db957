/**
 * How one change lies in a file of the journal, and so in memory: u8 number of the table, with 0x80 set when it deletes, u16 length of the key, u32 length
 * of the value, key, value; integers little-endian. From then on a change is known by its place.
 */
import type { StoreChange, Table } from '@wakeline/core/ports';
import { tables } from '@wakeline/core/ports';

const HEADER_BYTES = 7;
const DELETES = 0x80;
/** As many as a number holds exactly. */
const PREFIX_BYTES = 6;

const tableNumbers = new Map(tables.map((table, number) => [table, number]));

export function numberOf(table: Table): number {
  return tableNumbers.get(table)!;
}

export function bytesOfChange({ key, value }: StoreChange): number {
  return HEADER_BYTES + key.length + (value?.length ?? 0);
}

/** Returns where it ends. */
export function writeChange(memory: Buffer, at: number, { table, key, value }: StoreChange): number {
  memory[at] = value === undefined ? numberOf(table) | DELETES : numberOf(table);
  memory.writeUInt16LE(key.length, at + 1);
  memory.writeUInt32LE(value?.length ?? 0, at + 3);
  memory.set(key, keyStart(at));
  if (value !== undefined) memory.set(value, keyEnd(memory, at));
  return changeEnd(memory, at);
}

export function changeEnd(memory: Buffer, at: number): number {
  return keyEnd(memory, at) + valueLengthAt(memory, at);
}

export function tableNumberAt(memory: Buffer, at: number): number {
  return memory[at]! & ~DELETES;
}

export function isDeletion(memory: Buffer, at: number): boolean {
  return (memory[at]! & DELETES) !== 0;
}

export function keyStart(at: number): number {
  return at + HEADER_BYTES;
}

export function keyEnd(memory: Buffer, at: number): number {
  return at + HEADER_BYTES + (memory[at + 1]! | (memory[at + 2]! << 8));
}

/** A copy. */
export function keyBytesAt(memory: Buffer, at: number): Uint8Array {
  return Uint8Array.prototype.slice.call(memory, keyStart(at), keyEnd(memory, at));
}

/** A key as text, each byte a character: texts compare as the bytes do. */
export function keyText(key: Uint8Array, start = 0, end = key.length): string {
  return Buffer.prototype.latin1Slice.call(key, start, end);
}

export function keyTextAt(memory: Buffer, at: number): string {
  return keyText(memory, keyStart(at), keyEnd(memory, at));
}

/** The first bytes of a key as a number that orders as they do; equal for keys that differ only behind them. */
export function keyPrefixAt(memory: Buffer, at: number): number {
  const start = keyStart(at);
  const end = keyEnd(memory, at);
  let prefix = 0;
  for (let index = start; index < start + PREFIX_BYTES; index++)
    prefix = prefix * 256 + (index < end ? memory[index]! : 0);
  return prefix;
}

/** Bytes. */
export function valueLengthAt(memory: Buffer, at: number): number {
  return memory.readUInt32LE(at + 3);
}

/** A view; undefined: the change deletes. */
export function valueAt(memory: Buffer, at: number): Uint8Array | undefined {
  if (isDeletion(memory, at)) return undefined;
  return new Uint8Array(memory.buffer, memory.byteOffset + keyEnd(memory, at), valueLengthAt(memory, at));
}

/**
 * One of the two files of the journal: batches one behind the other, each made durable by one synced write.
 *
 * The file is written through an O_DSYNC descriptor into space that was allocated and zeroed before, so a batch costs
 * one write and no change of the file's metadata. What the file holds stands in memory too, at the same places: a
 * batch is encoded there, written from there, and read from there until LMDB has it. Memory that a batch never reached is not touched.
 *
 * A file is used again from its start under a new generation. What is left of the old one behind the new end must
 * never be taken for a batch, even where a sender chose those bytes. Therefore every checksum goes on from the one before it, and the first
 * from a number drawn for this generation. Reading ends at the first batch that is not whole: the one that a crash cut off.
 * A batch is written when the one before it is synced, so a crash leaves none behind that: where there are, the file is damaged
 * ({@link JournalFile.hasBatchesBehind}).
 *
 * Layout, integers little-endian. Header: 8 bytes `WLJRNL02`, u32 generation, u32 seed, u32 and u32 end and last checksum of the
 * generation before (0: it was not there), u32 CRC-32 of those. Then batches: u32 length of what follows the two fields, u32 CRC-32
 * of it; in it u32 generation, and the changes (journal-changes.ts).
 */
import { randomBytes } from 'node:crypto';
import { close, constants, fdatasync, fstat, open, read, write } from 'node:fs';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { StoreChange } from '@wakeline/core/ports';
import { FILE_MODE } from './data-directory.js';
import { bytesOfChange, changeEnd, writeChange } from './journal-changes.js';

/** Allocated at the first start. Doubled when it is full: a quiet server never needs more. */
const INITIAL_BYTES = 1024 * 1024;
const MAGIC = Buffer.from('WLJRNL02', 'latin1');
const HEADER_BYTES = MAGIC.length + 20;
/** Length and checksum. */
const BATCH_HEADER_BYTES = 8;
/** What stands before the changes, and counts as part of the batch. */
const GENERATION_BYTES = 4;
/** Bytes whose checksums are computed in search of batches behind the end: senders may have written what looks like many. */
const SEARCH_BYTES_MAX = 64 * 1024 * 1024;

const closeFile = promisify(close);
const openFile = promisify(open);
const statFile = promisify(fstat);
const syncData = promisify(fdatasync);

/** Is told of each change that stands in the file. */
export interface JournalSink {
  /** What is at this place of the file's memory stays there until the file begins another generation. */
  take(memory: Buffer, at: number): void;
}

/** Where a file ends, and with which checksum. */
export interface JournalEnd {
  readonly bytes: number;
  readonly checksum: number;
}

export class JournalFile {
  /** 0: nothing is in it. */
  generation = 0;
  /** Where the generation before this one ended, in the other file; undefined: it was not there. */
  previousEnd: JournalEnd | undefined;
  readonly path: string;
  readonly #descriptor: number;
  readonly #memory: Buffer;
  /** What is allocated on disk. */
  #fileBytes: number;
  /** End of the last batch that is synced. */
  #endBytes = 0;
  /** Checksum from which that of the next batch goes on. */
  #checksum = 0;

  private constructor(path: string, descriptor: number, fileBytes: number, bytesMax: number) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#fileBytes = fileBytes;
    this.#memory = Buffer.allocUnsafeSlow(bytesMax);
  }

  /** Makes the file, or empties it, and allocates its first bytes: durable once its directory is synced. */
  static async create(path: string): Promise<void> {
    const descriptor = await openFile(path, 'w', FILE_MODE);
    try {
      await writeWhole(descriptor, Buffer.alloc(INITIAL_BYTES), 0);
      await syncData(descriptor);
    } finally {
      await closeFile(descriptor);
    }
  }

  /**
   * Opens a file and hands over every batch that is whole, in order; of a generation up to `appliedGeneration` none is read. `bytesMax`: up
   * to this size the file grows; what was written under a greater limit is read all the same. Rejects with the system's error.
   */
  static async open(
    path: string,
    appliedGeneration: number,
    bytesMax: number,
    sink: JournalSink,
  ): Promise<JournalFile> {
    const descriptor = await openFile(path, constants.O_RDWR | constants.O_DSYNC);
    try {
      const { size } = await statFile(descriptor);
      const file = new JournalFile(path, descriptor, size, Math.max(bytesMax, size));
      await file.#load(appliedGeneration, sink);
      return file;
    } catch (error) {
      await closeFile(descriptor);
      throw error;
    }
  }

  /** Everything in the file is done with: the next batch is the first of another generation. */
  begin(generation: number, previousEnd: JournalEnd | undefined): void {
    this.generation = generation;
    this.previousEnd = previousEnd;
    this.#endBytes = 0;
  }

  get end(): JournalEnd {
    return { bytes: this.#endBytes, checksum: this.#checksum };
  }

  /**
   * Whether batches of a generation lie behind the end: something before them is damaged. Asked after {@link open}, of the
   * generation that the file has or, where its header cannot be read, could have. A crash does not bring that about: what it cuts off is
   * the last batch, and what older generations left has other numbers. Not all damage is found: of the last batch it looks like a crash.
   */
  hasBatchesBehind(generation: number): boolean {
    const memory = this.#memory.subarray(0, this.#fileBytes);
    let bytesLeft = SEARCH_BYTES_MAX;
    /** End of a batch that another one continues; undefined: none does. */
    const continued = (offset: number): number | undefined => {
      const end = this.#batchEnd(memory, offset, generation);
      const nextEnd = end && this.#batchEnd(memory, end, generation);
      if (end === undefined || nextEnd === undefined || (bytesLeft -= nextEnd - end) < 0) return undefined;
      const checksum = crc32(
        memory.subarray(end + BATCH_HEADER_BYTES, nextEnd),
        memory.readUInt32LE(offset + 4),
      );
      return checksum === memory.readUInt32LE(end + 4) ? end : undefined;
    };
    const start = this.#endBytes === 0 ? HEADER_BYTES : this.#endBytes;
    if (continued(start) !== undefined) return true;
    // Its length is damaged too: the others are looked for, two links of the chain in a row, which no sender's bytes have by chance.
    const mark = Buffer.alloc(GENERATION_BYTES);
    mark.writeUInt32LE(generation);
    for (
      let at = memory.indexOf(mark, start + BATCH_HEADER_BYTES);
      at >= 0 && bytesLeft > 0;
      at = memory.indexOf(mark, at + 1)
    ) {
      const end = continued(at - BATCH_HEADER_BYTES);
      if (end !== undefined && continued(end) !== undefined) return true;
    }
    return false;
  }

  /** Where a batch would end if its header is right; undefined: there is none of this generation. */
  #batchEnd(memory: Buffer, offset: number, generation: number): number | undefined {
    const startBytes = offset + BATCH_HEADER_BYTES;
    if (startBytes + GENERATION_BYTES > memory.length) return undefined;
    const length = memory.readUInt32LE(offset);
    const isOne = length > GENERATION_BYTES && startBytes + length <= memory.length;
    return isOne && memory.readUInt32LE(startBytes) === generation ? startBytes + length : undefined;
  }

  /**
   * Adds one batch and hands its changes to the sink once it is synced. Resolves with false, having written nothing, when there is no room for
   * it. Rejects with the system's error; the next batch then takes its place, and as far as the disk still lets it, nothing of the failed
   * one is left. One call at a time.
   */
  async append(changes: readonly StoreChange[], sink: JournalSink): Promise<boolean> {
    const startBytes = this.#endBytes;
    const batchBytes = startBytes === 0 ? HEADER_BYTES : startBytes;
    const endBytes = batchBytes + encodedBytes(changes);
    if (endBytes > this.#fileBytes && !(await this.#grow(endBytes))) return false;
    const seed = startBytes === 0 ? this.#writeHeader() : this.#checksum;
    const checksum = this.#encode(changes, batchBytes, endBytes, seed);
    try {
      await writeWhole(this.#descriptor, this.#memory.subarray(startBytes, endBytes), startBytes);
    } catch (error) {
      await this.#disown(startBytes);
      throw error;
    }
    this.#endBytes = endBytes;
    this.#checksum = checksum;
    this.#handOver(batchBytes, endBytes, sink);
    return true;
  }

  /** What a failed write may have left is made to be no batch, as far as the disk still lets it. */
  async #disown(startBytes: number): Promise<void> {
    const length = startBytes === 0 ? HEADER_BYTES : BATCH_HEADER_BYTES;
    await writeWhole(this.#descriptor, new Uint8Array(length), startBytes).catch(() => undefined);
  }

  async close(): Promise<void> {
    await closeFile(this.#descriptor);
  }

  /** False: the file is at its limit, or the disk is full. */
  async #grow(endBytes: number): Promise<boolean> {
    if (endBytes > this.#memory.length) return false;
    let fileBytes = Math.max(this.#fileBytes, INITIAL_BYTES);
    while (fileBytes < endBytes) fileBytes *= 2;
    fileBytes = Math.min(fileBytes, this.#memory.length);
    try {
      await writeWhole(this.#descriptor, Buffer.alloc(fileBytes - this.#fileBytes), this.#fileBytes);
    } catch (error) {
      if (isOutOfSpace(error)) return false;
      throw error;
    }
    this.#fileBytes = fileBytes;
    return true;
  }

  #writeHeader(): number {
    const seed = randomBytes(4).readUInt32LE();
    MAGIC.copy(this.#memory);
    this.#memory.writeUInt32LE(this.generation, MAGIC.length);
    this.#memory.writeUInt32LE(seed, MAGIC.length + 4);
    this.#memory.writeUInt32LE(this.previousEnd?.bytes ?? 0, MAGIC.length + 8);
    this.#memory.writeUInt32LE(this.previousEnd?.checksum ?? 0, MAGIC.length + 12);
    this.#memory.writeUInt32LE(this.#headerChecksum(), HEADER_BYTES - 4);
    return seed;
  }

  #hasHeader(): boolean {
    const isOurs = this.#memory.subarray(0, MAGIC.length).equals(MAGIC);
    return isOurs && this.#memory.readUInt32LE(HEADER_BYTES - 4) === this.#headerChecksum();
  }

  #headerChecksum(): number {
    return crc32(this.#memory.subarray(0, HEADER_BYTES - 4));
  }

  #encode(changes: readonly StoreChange[], startBytes: number, endBytes: number, seed: number): number {
    const memory = this.#memory;
    let offset = startBytes + BATCH_HEADER_BYTES;
    memory.writeUInt32LE(this.generation, offset);
    offset += GENERATION_BYTES;
    for (const change of changes) offset = writeChange(memory, offset, change);
    const checksum = crc32(memory.subarray(startBytes + BATCH_HEADER_BYTES, endBytes), seed);
    memory.writeUInt32LE(endBytes - startBytes - BATCH_HEADER_BYTES, startBytes);
    memory.writeUInt32LE(checksum, startBytes + 4);
    return checksum;
  }

  /** Changes of a batch whose bytes are known to be whole. */
  #handOver(batchBytes: number, endBytes: number, sink: JournalSink): void {
    const memory = this.#memory;
    let at = batchBytes + BATCH_HEADER_BYTES + GENERATION_BYTES;
    for (; at < endBytes; at = changeEnd(memory, at)) sink.take(memory, at);
  }

  async #load(appliedGeneration: number, sink: JournalSink): Promise<void> {
    const memory = this.#memory;
    const start = memory.subarray(0, Math.min(HEADER_BYTES, this.#fileBytes));
    if ((await readWhole(this.#descriptor, start, 0)) === HEADER_BYTES && this.#hasHeader()) {
      this.generation = memory.readUInt32LE(MAGIC.length);
      if (this.generation <= appliedGeneration) return;
    }
    const rest = memory.subarray(start.length, this.#fileBytes);
    const fileBytes = start.length + (await readWhole(this.#descriptor, rest, start.length));
    if (this.generation === 0) return;
    this.#checksum = memory.readUInt32LE(MAGIC.length + 4);
    const bytes = memory.readUInt32LE(MAGIC.length + 8);
    if (bytes > 0) this.previousEnd = { bytes, checksum: memory.readUInt32LE(MAGIC.length + 12) };
    const read = memory.subarray(0, fileBytes);
    for (let offset = HEADER_BYTES; ;) {
      const endBytes = this.#batchEnd(read, offset, this.generation);
      if (endBytes === undefined) break;
      const checksum = crc32(memory.subarray(offset + BATCH_HEADER_BYTES, endBytes), this.#checksum);
      if (checksum !== memory.readUInt32LE(offset + 4)) break;
      this.#handOver(offset, endBytes, sink);
      this.#checksum = checksum;
      this.#endBytes = offset = endBytes;
    }
  }
}

function encodedBytes(changes: readonly StoreChange[]): number {
  let bytes = BATCH_HEADER_BYTES + GENERATION_BYTES;
  for (const change of changes) bytes += bytesOfChange(change);
  return bytes;
}

function isOutOfSpace(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** All of it: a system call may do less. */
function writeWhole(descriptor: number, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const writeFrom = (done: number): void => {
      if (done === bytes.length) return resolve();
      write(descriptor, bytes, done, bytes.length - done, position + done, (error, count) =>
        error === null ? writeFrom(done + count) : reject(error),
      );
    };
    writeFrom(0);
  });
}

/** Resolves with how much there was. */
async function readWhole(descriptor: number, bytes: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const count = await new Promise<number>((resolve, reject) => {
      read(descriptor, bytes, done, bytes.length - done, position + done, (error, got) =>
        error === null ? resolve(got) : reject(error),
      );
    });
    if (count === 0) break;
    done += count;
  }
  return done;
}

/**
 * The chunks of the log that anybody still waits for, by slot, and the bytes of those used lately.
 *
 * A committed chunk keeps its bytes for a while, since what was just stored is usually delivered at once; an older one
 * is read from the store when somebody comes for it.
 */
import { WakelineError } from '../base/errors.js';
import { limits } from '../base/limits.js';
import type { Store } from '../ports/store.js';
import { Chunk, logKey } from './chunk.js';

/** Spare pieces of memory that are kept. */
const SPARE_MAX = 4;

export class ChunkTable {
  readonly #store: Store;
  readonly #chunks: (Chunk | null)[] = [];
  readonly #freeSlots: number[] = [];
  /** Slots of committed durable chunks that hold their bytes, oldest first. (Numbers, as in the commit queue.) */
  readonly #cached = new Set<number>();
  #cachedBytes = 0;
  /** Memory of chunks that were small: at a low rate each commit has a chunk of its own. */
  readonly #spare: Uint8Array[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  /** The chunk an entry refers to. */
  at(slot: number): Chunk {
    return this.#chunks[slot]!;
  }

  has(chunk: Chunk): boolean {
    return this.#chunks[chunk.slot] === chunk;
  }

  add(position: number, isDurable: boolean, bytes: Uint8Array | null): Chunk {
    const slot = this.#freeSlots.pop() ?? this.#chunks.length;
    const chunk = new Chunk(slot, position, isDurable, bytes);
    this.#chunks[slot] = chunk;
    return chunk;
  }

  delete(chunk: Chunk): void {
    if (!this.has(chunk)) return;
    this.uncache(chunk);
    this.#chunks[chunk.slot] = null;
    this.#freeSlots.push(chunk.slot);
  }

  /** Memory for a new chunk, of at least so many bytes; what is in it means nothing. */
  takeMemory(bytes: number): Uint8Array {
    const spare = this.#spare.pop();
    return spare !== undefined && spare.length >= bytes ? spare : new Uint8Array(bytes);
  }

  /** The chunk's bytes, from the store if need be. */
  bytesOf(chunk: Chunk): Uint8Array {
    if (chunk.bytes !== null) return chunk.bytes;
    const bytes = this.#store.get('log', logKey(chunk.position));
    if (bytes === undefined) throw corruptChunk(chunk.position);
    chunk.bytes = bytes;
    this.cache(chunk);
    return bytes;
  }

  /** Keeps the bytes of a committed chunk until others push them out. */
  cache(chunk: Chunk): void {
    const bytes = chunk.bytes!;
    // A half-empty buffer would keep twice what it holds.
    if (bytes.length > chunk.used * 2) {
      chunk.bytes = bytes.slice(0, chunk.used);
      if (this.#spare.length < SPARE_MAX) this.#spare.push(bytes);
    }
    this.#cached.add(chunk.slot);
    this.#cachedBytes += chunk.bytes!.length;
    for (const oldest of this.#cached) {
      if (this.#cachedBytes <= limits.chunkCacheBytesMax || oldest === chunk.slot) break;
      this.uncache(this.at(oldest));
    }
  }

  uncache(chunk: Chunk): void {
    if (!this.#cached.delete(chunk.slot)) return;
    this.#cachedBytes -= chunk.bytes!.length;
    chunk.bytes = null;
  }
}

export function corruptChunk(position: number): WakelineError {
  return new WakelineError(
    'STORE_CORRUPT',
    `log chunk ${position} cannot be read; restore the data directory from a backup`,
  );
}

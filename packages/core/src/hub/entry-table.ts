/**
 * The waiting messages of all inboxes, in memory: 28 bytes each, in typed arrays, nothing for the collector.
 *
 * An entry says where a message lies (chunk slot and offset), its place in the inbox (sequence), until when it may
 * wait, and links it to its neighbours in the inbox. Entry 0 is nobody.
 */

/** Bits of an entry. The low four are the {@link RecipientFlag}s of the record. */
export const EntryFlag = {
  qos2: 1,
  addressed: 2,
  retain: 4,
  subscriptionIds: 8,
  /** Has been handed to a flow, this one or an earlier one: no longer expires, is replaced or makes room. */
  sent: 16,
  /** Has been handed to the current flow and is not acknowledged. */
  inflight: 32,
  /** The record carries a message id: its end is told. */
  receipt: 64,
  /** The record carries a replace key. */
  keyed: 128,
} as const;

const FIRST_CAPACITY = 1024;
/** Entries that are reserved at most: an estimate may be far too high. */
const RESERVED_MAX = 4_000_000;
/** One that is a little too low would be as good as none. */
const ESTIMATE_FACTOR = 1.1;

export class EntryTable {
  next: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  previous: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  chunk: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  sequence: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  /** Offset of the record in its chunk: at most 16 KiB, since a larger chunk holds one record only. */
  offset: Uint16Array = new Uint16Array(FIRST_CAPACITY);
  flags: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** Urgency of the message, 0 … 3. */
  urgency: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** Wall-clock seconds, rounded up, at which the message expires; 0: never, as in every new entry. */
  expirySeconds: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  /** Bytes of topic, properties and body. */
  size: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  #free = 0;
  #used = 1;
  #count = 0;

  /** Entries in use. */
  get count(): number {
    return this.#count;
  }

  allocate(): number {
    this.#count++;
    const reused = this.#free;
    if (reused !== 0) {
      this.#free = this.next[reused];
      return reused;
    }
    if (this.#used === this.next.length) this.#grow(this.next.length * 2);
    return this.#used++;
  }

  release(entry: number): void {
    this.#count--;
    this.flags[entry] = 0;
    this.sequence[entry] = 0;
    this.expirySeconds[entry] = 0;
    this.next[entry] = this.#free;
    this.#free = entry;
  }

  /**
   * Makes room at once for about so many entries more. Growing step by step writes to twice the memory, and for the system a page that a
   * process has not had before is more work than its bytes. What is never used is never touched.
   */
  reserve(count: number): void {
    const capacity = this.#count + Math.ceil(Math.min(count, RESERVED_MAX) * ESTIMATE_FACTOR);
    if (capacity > this.next.length) this.#grow(capacity);
  }

  #grow(capacity: number): void {
    this.next = grown(this.next, new Uint32Array(capacity));
    this.previous = grown(this.previous, new Uint32Array(capacity));
    this.chunk = grown(this.chunk, new Uint32Array(capacity));
    this.sequence = grown(this.sequence, new Uint32Array(capacity));
    this.offset = grown(this.offset, new Uint16Array(capacity));
    this.flags = grown(this.flags, new Uint8Array(capacity));
    this.urgency = grown(this.urgency, new Uint8Array(capacity));
    this.expirySeconds = grown(this.expirySeconds, new Uint32Array(capacity));
    this.size = grown(this.size, new Uint32Array(capacity));
  }
}

function grown<A extends Uint8Array | Uint16Array | Uint32Array>(old: A, fresh: A): A {
  fresh.set(old);
  return fresh;
}

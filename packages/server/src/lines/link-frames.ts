/**
 * Frames of the link between a line process and the hub process: `length` (4 bytes, big-endian, of what follows),
 * `kind` (1 byte), content. A frame is bounded before memory is taken for it.
 */

/** What a frame holds. Numbers never change their meaning; a new one raises {@link linkProtocolVersion}. */
export const FrameKind = {
  /** v8: {@link LinkHello}. First frame of either side. */
  hello: 1,
  /** Records of command-codec.ts, from a line. */
  commands: 2,
  /** Records of event-codec.ts, from the hub. */
  events: 3,
  /** v8: a request with its ticket, from a line. */
  request: 4,
  /** v8: its reply, from the hub. */
  reply: 5,
  /** v8: {@link LinkAsk}, from either side. */
  ask: 6,
  /** v8: {@link LinkAnswer}. */
  answer: 7,
  /** The hub is leaving: the line sends nothing more until there is another. */
  leave: 8,
  /** From the line: that was the last of what it had sent. */
  left: 9,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** Both ends of a link must speak the same version; program versions may differ. */
export const linkProtocolVersion = 3;

export const FRAME_HEAD_BYTES = 5;

export interface Frame {
  readonly kind: number;
  /** The content; a view that stays valid as long as somebody holds it. */
  readonly content: Uint8Array;
}

/** Takes a stream apart into frames, in place where a frame came in one piece. */
export class FrameReader {
  readonly #frameBytesMax: number;
  /** What came and was not looked at; its first `#start` bytes are done. */
  #chunks: Uint8Array[] = [];
  #start = 0;
  #bytes = 0;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** The chunk is the reader's from here on. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
    this.#bytes += chunk.length;
  }

  /** The next whole frame; undefined: more has to come. Throws when the peer breaks the protocol. */
  next(): Frame | undefined {
    if (this.#bytes < FRAME_HEAD_BYTES) return undefined;
    this.#gather(FRAME_HEAD_BYTES);
    const head = this.#chunks[0]!;
    const at = this.#start;
    const length = head[at]! * 0x100_0000 + ((head[at + 1]! << 16) | (head[at + 2]! << 8) | head[at + 3]!);
    if (length < 1 || length > this.#frameBytesMax) throw new LinkError(`a frame of ${length} bytes`);
    if (this.#bytes < 4 + length) return undefined;
    this.#gather(4 + length);
    const bytes = this.#chunks[0]!;
    const content = bytes.subarray(this.#start + FRAME_HEAD_BYTES, this.#start + 4 + length);
    const kind = bytes[this.#start + 4]!;
    this.#start += 4 + length;
    this.#bytes -= 4 + length;
    if (this.#start === bytes.length) {
      this.#chunks.shift();
      this.#start = 0;
    }
    return { kind, content };
  }

  /** Sees to it that the next `count` bytes lie in the first chunk. */
  #gather(count: number): void {
    const first = this.#chunks[0]!;
    if (first.length - this.#start >= count) return;
    // All that is there: a large frame is copied twice at most, not once for each read.
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const [index, chunk] of this.#chunks.entries()) {
      const part = index === 0 ? chunk.subarray(this.#start) : chunk;
      whole.set(part, at);
      at += part.length;
    }
    this.#chunks = [whole];
    this.#start = 0;
  }
}

/** The other end of a link broke its protocol, or speaks another one. */
export class LinkError extends Error {
  override readonly name = 'LinkError';

  constructor(what: string) {
    super(`the link's other end is not what it should be: ${what}`);
  }
}

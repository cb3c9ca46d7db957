/**
 * One end of the link: frames out, gathered so that a turn is one write, and frames in. Knows no flow.
 */
import type { Socket } from 'node:net';
import { deserialize, serialize } from 'node:v8';
import { ByteWriter } from '@wakeline/core/base';
import { FRAME_HEAD_BYTES, FrameReader } from './link-frames.js';
import type { Frame, FrameKind } from './link-frames.js';

/** First word of either side. */
export interface LinkHello {
  readonly protocol: number;
  readonly version: string;
  readonly pid: number;
  /** Of a line process: which one it is. */
  readonly line?: string;
}

/** A question to the process at the other end. */
export interface LinkAsk {
  readonly id: number;
  readonly what: string;
  readonly value: unknown;
}

export interface LinkAnswer {
  readonly id: number;
  readonly value?: unknown;
  /** The other side failed; a text for the log. */
  readonly error?: string;
}

export interface LinkSocketHandlers {
  /** False: enough for now; call {@link LinkSocket.resume} later. */
  handleFrame(frame: Frame): boolean;
  /** Everything of one read was handed over. */
  handleReadEnd(): void;
  /** All bytes given to the host have left the process. */
  handleDrained(): void;
  /** The link is gone; last call. `error`: what the other end did wrong, if it did. */
  handleClosed(error: unknown): void;
}

export class LinkSocket {
  readonly #socket: Socket;
  readonly #handlers: LinkSocketHandlers;
  readonly #reader: FrameReader;
  readonly #flushBytes: number;
  #isPaused = false;
  #fault: unknown;
  /** The frame being filled; its head is written when it is done. */
  readonly writer = new ByteWriter(16 * 1024);
  #openKind: FrameKind | 0 = 0;

  constructor(socket: Socket, handlers: LinkSocketHandlers, frameBytesMax: number, flushBytes: number) {
    this.#socket = socket;
    this.#handlers = handlers;
    this.#reader = new FrameReader(frameBytesMax);
    this.#flushBytes = flushBytes;
    socket.on('data', (chunk: Buffer) => this.#handleData(chunk));
    socket.on('drain', () => handlers.handleDrained());
    socket.on('end', () => socket.destroy());
    socket.on('error', (error) => (this.#fault ??= error));
    socket.on('close', () => handlers.handleClosed(this.#fault));
  }

  /** Bytes that the other end has not taken, those not flushed included. */
  get unsentBytes(): number {
    return this.#socket.writableLength + this.writer.length;
  }

  /** Bytes the host has taken so far: does not grow while the other end takes nothing. */
  get sentBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /**
   * Makes sure that a frame of this kind is being filled, by way of `writer`; true: it is a new one. The frame goes
   * when it is large enough, when another kind is asked for, or with {@link flush}.
   */
  open(kind: FrameKind): boolean {
    if (this.#openKind === kind && this.writer.length < this.#flushBytes) return false;
    this.flush();
    this.#openKind = kind;
    this.writer.writeU32(0);
    this.writer.writeU8(kind);
    return true;
  }

  /** A frame of its own, behind everything before it. */
  send(kind: FrameKind, value?: unknown): void {
    this.open(kind);
    if (value !== undefined) this.writer.writeBytes(serialize(value));
    this.flush();
  }

  flush(): void {
    if (this.#openKind === 0) return;
    this.#openKind = 0;
    const bytes = this.writer.take();
    const length = bytes.length - FRAME_HEAD_BYTES + 1;
    bytes[0] = length >>> 24;
    bytes[1] = length >>> 16;
    bytes[2] = length >>> 8;
    bytes[3] = length;
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** Goes on after `handleFrame` has said that it is enough. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#readFrames();
    if (!this.#isPaused) this.#socket.resume();
  }

  /** Sends what is written, then closes. */
  end(): void {
    this.flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The other end broke the rules: told with `handleClosed`. */
  fail(fault: unknown): void {
    this.#fault ??= fault;
    this.#socket.destroy();
  }

  #handleData(chunk: Buffer): void {
    this.#reader.push(chunk);
    if (!this.#isPaused) this.#readFrames();
  }

  #readFrames(): void {
    try {
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
        if (this.#socket.destroyed) return;
        if (this.#handlers.handleFrame(frame)) continue;
        this.#isPaused = true;
        this.#socket.pause();
        break;
      }
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#handlers.handleReadEnd();
  }
}

/** The value of a frame that holds one. */
export function valueOf(frame: Frame): unknown {
  return deserialize(new Uint8Array(frame.content));
}

/** Questions under way to the other end. */
export class LinkAsks {
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  #lastId = 0;

  /** `send` carries the question. Rejects when the other side failed or the link is lost. */
  ask(what: string, value: unknown, send: (ask: LinkAsk) => void): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      send({ id, what, value });
    });
  }

  handleAnswer({ id, value, error }: LinkAnswer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }

  /** The link is lost. */
  fail(error: Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}

/** Answers a question of the other end, whenever `answer` has done so. */
export function answerAsk(
  ask: LinkAsk,
  answer: (what: string, value: unknown) => unknown,
  send: (answer: LinkAnswer) => void,
): void {
  const { id } = ask;
  Promise.resolve()
    .then(() => answer(ask.what, ask.value))
    .then(
      (value) => send({ id, value }),
      (error: unknown) => send({ id, error: error instanceof Error ? error.message : String(error) }),
    );
}

/**
 * Messages out of a stream (RFC 3261 §18.3): where one ends is told by Content-Length, in bytes.
 *
 * A message that lies whole in a chunk is a view of it. Only the beginning of one whose end has not arrived is
 * copied, into memory that grows with what was received and never by what a length promises.
 */
import { assert } from '../../base/index.js';
import { sipFault, type SipFault } from './fault.js';
import type { SipFaultCode } from './fault-code.js';
import { isTokenUnit } from './grammar.js';
import { scanHead, type MessageHead } from './head.js';
import { sipMessageLimits, type SipMessageLimits } from './limits.js';
import type { SipMessage } from './message.js';
import { contentLength, faultOf, readMessage } from './parse-message.js';

/** RFC 5626 §4.4.1: CRLFCRLF between messages, to be answered at once with one CRLF. */
export interface SipPing {
  readonly kind: 'ping';
}

const CR = 0x0d;
const LF = 0x0a;
/** First memory for a partial message, bytes. */
const PARTIAL_BYTES_FIRST = 256;

const noBytes = new Uint8Array(0);
const ping: SipPing = Object.freeze({ kind: 'ping' });

/**
 * Reads one direction of one connection. Call `push` with what was read, then `next` until it returns undefined; the
 * chunk must not change as long as its messages are used. After a fault that cannot continue nothing more comes.
 */
export class SipFramer {
  readonly #limits: SipMessageLimits;
  #chunk: Uint8Array = noBytes;
  #position = 0;
  /** Beginning of a message that is not whole yet. */
  #partial: Uint8Array | undefined;
  #partialBytes = 0;
  /** Before this there is no empty line in the partial message. */
  #searched = 0;
  /** Bytes of the partial message, body included; 0 until its empty line has come. */
  #totalBytes = 0;
  /** Bytes of CRLFCRLF that have come, 0 … 3. */
  #lineEndBytes = 0;
  #isDead = false;

  constructor(limits: SipMessageLimits = sipMessageLimits) {
    this.#limits = limits;
  }

  /** Bytes held of a message that is not whole yet: whoever sends one slowly can be told from who is silent. */
  get partialBytes(): number {
    return this.#partialBytes;
  }

  /** Memory taken for them, at most twice as much (or the first few bytes). */
  get heldBytes(): number {
    return this.#partial?.length ?? 0;
  }

  /** Hands over what was read. Everything before must have been taken with `next`. */
  push(chunk: Uint8Array): void {
    if (this.#isDead) return;
    assert(this.#position === this.#chunk.length, 'a framer is drained before it is given more');
    this.#chunk =
      chunk.constructor === Uint8Array ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#position = 0;
  }

  /** The next message, ping or fault; undefined when more bytes are needed. A lone CRLF is passed over. */
  next(): SipMessage | SipPing | SipFault | undefined {
    if (this.#isDead) return undefined;
    if (this.#partial !== undefined) return this.#continuePartial();
    const between = this.#skipLineEnds();
    if (between !== undefined) return between;
    const chunk = this.#chunk;
    const start = this.#position;
    if (start === chunk.length) return this.#letGo();
    if (!isTokenUnit(chunk[start]!)) return this.#die(sipFault('start-line', 'No message begins so'));
    const measured = this.#measure(chunk, start, chunk.length, start);
    if (measured !== undefined && 'kind' in measured) return measured;
    if (measured !== undefined && measured.end <= chunk.length) {
      this.#position = measured.end;
      return this.#finish(readMessage(measured.head, measured.end, true));
    }
    this.#partial = new Uint8Array(Math.max(PARTIAL_BYTES_FIRST, chunk.length - start));
    this.#totalBytes = measured === undefined ? 0 : measured.end - start;
    this.#copyPartial(chunk.length - start);
    this.#searched = this.#partialBytes;
    return this.#letGo();
  }

  /** Reads no more and lets go of everything held; later chunks are ignored. */
  stop(): void {
    this.#isDead = true;
    this.#dropPartial();
    this.#letGo();
  }

  /** Between messages, RFC 3261 §7.5 and RFC 5626 §4.4.1. */
  #skipLineEnds(): SipPing | SipFault | undefined {
    const chunk = this.#chunk;
    while (this.#position < chunk.length) {
      const byte = chunk[this.#position]!;
      const isExpected = byte === ((this.#lineEndBytes & 1) === 0 ? CR : LF);
      if (!isExpected) {
        if ((this.#lineEndBytes & 1) === 1) return this.#die(sipFault('line-ending', 'Lines end with CRLF'));
        this.#lineEndBytes = 0;
        return undefined;
      }
      this.#position += 1;
      this.#lineEndBytes += 1;
      if (this.#lineEndBytes === 4) {
        this.#lineEndBytes = 0;
        return ping;
      }
    }
    return undefined;
  }

  /** Head and end of the message at `start`; undefined if its empty line, looked for from `from`, has not come. */
  #measure(
    bytes: Uint8Array,
    start: number,
    end: number,
    from: number,
  ): MeasuredMessage | SipFault | undefined {
    const limits = this.#limits;
    const headEnd = findHeadEnd(bytes, from, end);
    const headBytes = (headEnd < 0 ? end : headEnd) - start;
    if (headBytes > limits.headBytesMax) return this.#die(sipFault('head-too-large', 'Message too large'));
    if (headEnd < 0) return undefined;
    const head = scanHead(bytes, start, headEnd, limits);
    if ('kind' in head) return this.#die(sipFault(head.code, head.message));
    const length = contentLength(head);
    // RFC 3261 §20.14: without it nobody knows where the next message begins.
    if (length === undefined) return this.#die(refuse(head, 'header-missing', 'Content-Length is missing'));
    if (length < 0) return this.#die(refuse(head, 'header-malformed', 'Content-Length is malformed'));
    if (length > limits.bodyBytesMax) return this.#die(refuse(head, 'body-too-large', 'Body too large'));
    return { head, end: headEnd + length };
  }

  /** Takes bytes until the empty line, then those of the body. */
  #continuePartial(): SipMessage | SipFault | undefined {
    const available = this.#chunk.length - this.#position;
    if (this.#totalBytes > 0) {
      this.#copyPartial(Math.min(available, this.#totalBytes - this.#partialBytes));
    } else {
      // One byte beyond the limit tells that it is reached.
      this.#copyPartial(Math.min(available, this.#limits.headBytesMax + 1 - this.#partialBytes));
      const from = Math.max(0, this.#searched - 3);
      this.#searched = this.#partialBytes;
      const measured = this.#measure(this.#partial!, 0, this.#partialBytes, from);
      if (measured === undefined) return this.#letGo();
      if ('kind' in measured) return measured;
      this.#totalBytes = measured.end;
      // What was taken beyond the end belongs to the next message; what is missing may be in the chunk.
      const surplus = this.#partialBytes - measured.end;
      if (surplus > 0) {
        this.#position -= surplus;
        this.#partialBytes = measured.end;
      } else this.#copyPartial(Math.min(-surplus, this.#chunk.length - this.#position));
    }
    if (this.#partialBytes < this.#totalBytes) return this.#letGo();
    const end = this.#totalBytes;
    const head = scanHead(this.#partial!, 0, end, this.#limits);
    this.#dropPartial();
    if ('kind' in head) return this.#die(sipFault(head.code, head.message));
    return this.#finish(readMessage(head, end, true));
  }

  /** Moves `count` bytes of the chunk behind the partial message, doubling its memory when it does not suffice. */
  #copyPartial(count: number): void {
    const length = this.#partialBytes;
    let target = this.#partial!;
    if (length + count > target.length) {
      target = new Uint8Array(Math.max(length + count, target.length * 2));
      target.set(this.#partial!.subarray(0, length));
      this.#partial = target;
    }
    target.set(this.#chunk.subarray(this.#position, this.#position + count), length);
    this.#partialBytes = length + count;
    this.#position += count;
  }

  #dropPartial(): void {
    this.#partial = undefined;
    this.#partialBytes = 0;
    this.#searched = 0;
    this.#totalBytes = 0;
  }

  #letGo(): undefined {
    this.#chunk = noBytes;
    this.#position = 0;
    return undefined;
  }

  /** Behind a start line that is none nothing is believed, whatever its Content-Length said. */
  #finish(message: SipMessage | SipFault): SipMessage | SipFault {
    return message.kind === 'fault' && !message.canContinue ? this.#die(message) : message;
  }

  #die(fault: SipFault): SipFault {
    this.stop();
    return fault;
  }
}

interface MeasuredMessage {
  readonly head: MessageHead;
  /** The first byte behind its body, which may not have come. */
  readonly end: number;
}

/** A fault of a message whose body cannot be found, with its request if the head can be answered. */
function refuse(head: MessageHead, code: SipFaultCode, text: string): SipFault {
  const message = readMessage(head, head.end, false);
  return message.kind === 'fault' ? sipFault(code, text, message.request) : faultOf(message, code, text);
}

/** The index behind the first empty line whose CRLFCRLF begins at `from` or later; -1 if there is none. */
function findHeadEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = bytes.indexOf(LF, from + 3);
  while (at >= 0 && at < end) {
    if (bytes[at - 2] === LF && bytes[at - 1] === CR && bytes[at - 3] === CR) return at + 1;
    at = bytes.indexOf(LF, at + 1);
  }
  return -1;
}

/**
 * From a stream of bytes to packets, in place.
 *
 * A chunk is decoded where it lies: payloads and properties are views into it. Only the beginning of a packet
 * whose end has not arrived is copied, into memory that grows with what was received and never by what a length
 * promises, so that each byte is copied a bounded number of times however small the chunks are.
 */
import { assert, ByteReader } from '../../base/index.js';
import { decodeConnack, decodeConnect, readProtocolVersion } from './decode-connect.js';
import {
  decodeAck,
  decodeAuth,
  decodeDisconnect,
  decodeSuback,
  decodeSubscribe,
  decodeUnsubscribe,
} from './decode-packet.js';
import { decodePublish } from './decode-publish.js';
import { Malformed, malformedPacket } from './malformed.js';
import type { AckType, Packet, PingreqPacket, PingrespPacket, ProtocolVersion } from './packets.js';
import { packetTypes } from './packets.js';
import { ReasonCode } from './reason-codes.js';
import { TopicInterner } from './topic-interner.js';

/** Packet types by number, as in {@link packetTypes}. */
const TypeNumber = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

/** First memory for a partial packet, bytes. */
const PARTIAL_BYTES_FIRST = 64;

/** What a fixed header may need: type and four bytes of length. */
const HEADER_BYTES_MAX = 5;

const noChunk = new Uint8Array(0);
const pingreq: PingreqPacket = Object.freeze({ type: 'pingreq' });
const pingresp: PingrespPacket = Object.freeze({ type: 'pingresp' });

/** One table for the whole process: topics are public among the connections of a server anyway. */
let sharedTopics: TopicInterner | undefined;

export interface MqttDecoderOptions {
  /** Largest packet taken, fixed header included, bytes. A larger one is reported from its fixed header. */
  readonly maxPacketBytes: number;
  /** Of the packets to come; a decoder that reads CONNECT sets it itself. Default: 4. */
  readonly protocolVersion?: ProtocolVersion;
  /** Default: one table shared by all decoders of the process. */
  readonly topics?: TopicInterner;
}

/**
 * Reads one direction of one connection. Call `push` with what was read, then `next` until it returns undefined;
 * the chunk must not change until then. After a {@link Malformed} nothing more comes.
 */
export class MqttDecoder {
  /** Set by the first CONNECT, even by one that is refused: the version in which to answer. */
  protocolVersion: ProtocolVersion;
  /** Largest packet taken from now on; may be changed between packets. */
  maxPacketBytes: number;
  readonly #topics: TopicInterner;
  #chunk: Uint8Array = noChunk;
  #position = 0;
  /** Beginning of a packet that is not whole yet. */
  #partial: Uint8Array | undefined;
  #partialBytes = 0;
  #isDead = false;
  #hasConnect = false;

  constructor(options: MqttDecoderOptions) {
    this.maxPacketBytes = options.maxPacketBytes;
    this.protocolVersion = options.protocolVersion ?? 4;
    this.#topics = options.topics ?? (sharedTopics ??= new TopicInterner());
  }

  /** Goes on with the bytes of another connection, behind its CONNECT. Only between packets. */
  resume(protocolVersion: ProtocolVersion, maxPacketBytes: number): void {
    assert(!this.#isDead && this.#partial === undefined, 'a decoder changes connections between packets');
    this.protocolVersion = protocolVersion;
    this.maxPacketBytes = maxPacketBytes;
    this.#hasConnect = true;
  }

  /** Bytes held of a packet that is not whole yet. */
  get partialBytes(): number {
    return this.#partialBytes;
  }

  /** Memory taken for them, at most twice as much (or the first few bytes). */
  get heldBytes(): number {
    return this.#partial?.length ?? 0;
  }

  /** Hands over what was read. Everything before must have been taken with `next` or `takeRest`. */
  push(chunk: Uint8Array): void {
    if (this.#isDead) return;
    assert(this.#position === this.#chunk.length, 'a decoder is drained before it is given more');
    // A plain array: the host's own class may give `subarray` and `slice` another cost or meaning.
    this.#chunk =
      chunk.constructor === Uint8Array ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#position = 0;
  }

  /** The next packet; undefined when more bytes are needed. */
  next(): Packet | Malformed | undefined {
    if (this.#partial !== undefined) return this.#continuePartial();
    const chunk = this.#chunk;
    const start = this.#position;
    if (start === chunk.length) return this.#letGo();
    const total = packetBytesAt(chunk, start, chunk.length);
    if (total > 0 && total <= this.maxPacketBytes && total <= chunk.length - start) {
      this.#position = start + total;
      return this.#decode(chunk, start, start + total);
    }
    const bad = this.#checkHeader(total, chunk[start]!);
    if (bad !== undefined) return bad;
    this.#partial = new Uint8Array(Math.max(PARTIAL_BYTES_FIRST, chunk.length - start));
    this.#partialBytes = 0;
    this.#copyPartial(chunk.length - start);
    return this.#letGo();
  }

  /** Takes back a copy of what was pushed and not read yet, for the one who decides to read on later. */
  takeRest(): Uint8Array {
    const rest = this.#chunk.slice(this.#position);
    this.#letGo();
    return rest;
  }

  /** Reads no more and lets go of everything held; later chunks are ignored. */
  stop(): void {
    this.#isDead = true;
    this.#partial = undefined;
    this.#partialBytes = 0;
    this.#letGo();
  }

  #letGo(): undefined {
    this.#chunk = noChunk;
    this.#position = 0;
    return undefined;
  }

  /** [MQTT-3.1.2-24] of 5.0: what cannot be taken is refused before it is buffered. */
  #checkHeader(total: number, firstByte: number): Malformed | undefined {
    if (total < 0) return this.#die(malformedPacket('the remaining length has more than four bytes'));
    // Another protocol on this port is told from its first byte, not after the length it seems to announce.
    const bad = checkFirstByte(firstByte);
    if (bad !== undefined) return this.#die(bad);
    if (total > this.maxPacketBytes) {
      return this.#die(
        new Malformed('packet-too-large', ReasonCode.packetTooLarge, 'larger than the maximum packet size'),
      );
    }
    return undefined;
  }

  #die(bad: Malformed): Malformed {
    this.stop();
    return bad;
  }

  #continuePartial(): Packet | Malformed | undefined {
    // Byte by byte until the length is known: four times at most.
    let total = packetBytesAt(this.#partial!, 0, this.#partialBytes);
    while (total === 0 && this.#position < this.#chunk.length) {
      this.#copyPartial(1);
      total = packetBytesAt(this.#partial!, 0, this.#partialBytes);
    }
    const bad = this.#checkHeader(total, this.#partial![0]!);
    if (bad !== undefined) return bad;
    if (total === 0) return this.#letGo();
    this.#copyPartial(Math.min(total - this.#partialBytes, this.#chunk.length - this.#position));
    if (this.#partialBytes < total) return this.#letGo();
    const packet = this.#partial!;
    this.#partial = undefined;
    this.#partialBytes = 0;
    return this.#decode(packet, 0, total);
  }

  /** Moves `count` bytes of the chunk behind the partial packet, doubling its memory when it does not suffice. */
  #copyPartial(count: number): void {
    let target = this.#partial!;
    const length = this.#partialBytes;
    if (length + count > target.length) {
      target = new Uint8Array(Math.max(length + count, Math.min(target.length * 2, this.maxPacketBytes)));
      target.set(this.#partial!.subarray(0, length));
      this.#partial = target;
    }
    const chunk = this.#chunk;
    const from = this.#position;
    if (count === 1) target[length] = chunk[from]!;
    else target.set(chunk.subarray(from, from + count), length);
    this.#partialBytes = length + count;
    this.#position = from + count;
  }

  #decode(bytes: Uint8Array, start: number, end: number): Packet | Malformed {
    const first = bytes[start]!;
    let body = start + 2;
    while (bytes[body - 1]! >= 0x80) body += 1;
    // [MQTT-1.5.5-1] holds from MQTT 5.0 on; some clients of 3.1.1 reserve four bytes and fill them up.
    const isPadded = body > start + 2 && bytes[body - 1] === 0;
    let packet: Packet | Malformed;
    if (isPadded && this.protocolVersion === 5) packet = malformedPacket('the remaining length is padded');
    else if (first >> 4 === TypeNumber.publish) {
      packet = decodePublish(bytes, body, end, first & 0x0f, this.protocolVersion, this.#topics);
    } else packet = this.#decodeOther(first, bytes, body, end);
    return packet.type === 'malformed' ? this.#die(packet) : packet;
  }

  #decodeOther(first: number, bytes: Uint8Array, start: number, end: number): Packet | Malformed {
    const number = first >> 4;
    const bad = checkFirstByte(first);
    if (bad !== undefined) return bad;
    const version = this.protocolVersion;
    const type = packetTypes[number]!;
    if (number >= TypeNumber.puback && number <= TypeNumber.pubcomp) {
      return decodeAck(type as AckType, bytes, start, end, version);
    }
    if (number === TypeNumber.pingreq || number === TypeNumber.pingresp) {
      if (start !== end) return malformedPacket(`${type} has the wrong length`);
      return number === TypeNumber.pingreq ? pingreq : pingresp;
    }
    const reader = new ByteReader(bytes, start, end);
    switch (type) {
      case 'connect': {
        const { answer, bad } = readProtocolVersion(reader);
        // Only the first: a later one is a protocol error, to be answered in the version that was agreed.
        if (!this.#hasConnect) this.protocolVersion = answer;
        this.#hasConnect = true;
        return bad ?? decodeConnect(reader, answer);
      }
      case 'connack':
        return decodeConnack(reader, version);
      case 'subscribe':
        return decodeSubscribe(reader, version);
      case 'unsubscribe':
        return decodeUnsubscribe(reader, version);
      case 'suback':
      case 'unsuback':
        return decodeSuback(type, reader, version);
      case 'disconnect':
        return decodeDisconnect(reader, version);
      case 'auth':
        return decodeAuth(reader, version);
      default:
        return malformedPacket('packet type 0 is reserved');
    }
  }
}

/** The type and flags of a fixed header, where they cannot begin a packet. */
function checkFirstByte(firstByte: number): Malformed | undefined {
  const number = firstByte >> 4;
  if (number === 0) return malformedPacket('packet type 0 is reserved');
  if (number === TypeNumber.publish) return undefined;
  const needsFlag =
    number === TypeNumber.pubrel || number === TypeNumber.subscribe || number === TypeNumber.unsubscribe;
  // [MQTT-2.2.2-2] of 3.1.1, [MQTT-2.1.3-1] of 5.0
  return (firstByte & 0x0f) === (needsFlag ? 2 : 0)
    ? undefined
    : malformedPacket('reserved flags of the fixed header');
}

/** Bytes of the packet at `start`, fixed header included; 0: not known before `end`; -1: it never will be. */
function packetBytesAt(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  let shift = 0;
  for (let index = start + 1; index < end; index += 1) {
    if (index - start >= HEADER_BYTES_MAX) return -1;
    const byte = bytes[index]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return index + 1 - start + value;
    shift += 7;
  }
  return end - start >= HEADER_BYTES_MAX ? -1 : 0;
}
